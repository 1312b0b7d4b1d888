//! The slow path of the hooks: a conflict was noticed; record both goroutines.
//!
//! Everything here runs on the stack of a goroutine that is about to operate on a map, or about to
//! die in `runtime.fatal`; nothing is allocated and nothing blocks.

use crate::config::Config;
use crate::context::{copy_labels, copy_made};
use crate::layout::*;
use crate::sys;
use core::mem::size_of;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering, fence};

/// Conflicts of one pair of places on one map beyond this many only count as repeats of the last.
const RECORDS_PER_PAIR: u32 = 4;

/// Return addresses that a walk finds at most; the rest of a side's room keeps those of the mark meanwhile.
const WALKED_PCS: usize = SIDE_PCS - RECORD_PCS;

/// The bits of `Record::who` that are the goroutine's id.
pub const GOID: u64 = 0xffff_ffff_ffff;

/// The goroutine that noticed, as the hook passes it.
pub struct Here {
    pub goid: u64,
    pub g: u64,
    pub frame: u64,
    pub op: u8,
    pub return_pc: u32,
}

/// A hook saw the map's writing flag set before its own operation began.
/// `place` is the operation in bits 32 to 39 and the low half of the return address below.
///
/// # Safety
/// Called by a hook only: `map` is live, `g` the running goroutine, `frame` its frame pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_conflict(
    config: &Config,
    place: u64,
    map: u64,
    map_type: u64,
    g: u64,
    frame: u64,
) {
    // SAFETY: as above.
    unsafe {
        record(
            config,
            &Here::new(config, place, g, frame),
            map,
            map_type,
            EVIDENCE_FLAG_AT_ENTRY,
        )
    };
}

/// The runtime's own check failed: called where it did, with the map, and again from `runtime.fatal`,
/// with 0, in case the former place was not recognised when the executable was patched. The goroutine's
/// own mark may then tell the map.
///
/// # Safety
/// As for `gocc_conflict`, except that `map` may be 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_death(config: &Config, place: u64, map: u64, g: u64, frame: u64) {
    // SAFETY: as above.
    unsafe {
        let mut here = Here::new(config, place, g, frame);
        let front = Front::of(config);
        let dying = &raw mut (*front.control()).dying_goid;
        if map == 0 && read_volatile(dying) == here.goid {
            return;
        }
        write_volatile(dying, here.goid);
        let mark = front.mark_of(here.goid);
        let own = is_inside(mark) && (*mark).record.goid() == here.goid;
        let map_type = if own {
            near_text(config, (*mark).record.map_type)
        } else {
            0
        };
        if own && map == 0 {
            here.op = (*mark).record.op();
            record(
                config,
                &here,
                (*mark).record.map,
                map_type,
                EVIDENCE_RUNTIME_FATAL,
            );
        } else {
            record(config, &here, map, map_type, EVIDENCE_RUNTIME_FATAL);
        }
    }
}

impl Here {
    /// # Safety
    /// `g` must be a live g.
    pub unsafe fn new(config: &Config, place: u64, g: u64, frame: u64) -> Here {
        // SAFETY: the offset is the patcher's.
        let goid = unsafe { read_at(g, config.g_goid) };
        Here {
            goid,
            g,
            frame,
            op: (place >> 32) as u8,
            return_pc: place as u32,
        }
    }
}

impl Here {
    /// As `Mark::depth`.
    pub fn depth(&self, config: &Config) -> u32 {
        // SAFETY: a Here is made of a live g; the offset is the patcher's.
        unsafe { highest_frame(config, self.g) }.wrapping_sub(self.frame) as u32
    }
}

/// The highest place that a frame can have on a goroutine's stack: frame pointer and return address
/// take 16 bytes.
///
/// # Safety
/// `g` must be a g.
unsafe fn highest_frame(config: &Config, g: u64) -> u64 {
    // SAFETY: the offset is the patcher's.
    unsafe { read_at(g, config.g_stack_hi) }.saturating_sub(16)
}

impl Record {
    fn goid(&self) -> u64 {
        self.who & GOID
    }
    fn op(&self) -> u8 {
        (self.who >> 48) as u8
    }
}

/// The address with these low 32 bits at or above the start of Go's text, where its types lie too.
fn near_text(config: &Config, low: u32) -> u64 {
    let text = config.bias.wrapping_add(config.text_start);
    text.wrapping_add(u64::from(low.wrapping_sub(text as u32)))
}

/// # Safety
/// `base + offset` must be readable.
pub unsafe fn read_at(base: u64, offset: u32) -> u64 {
    // SAFETY: the caller's.
    unsafe { read_volatile((base + u64::from(offset)) as *const u64) }
}

/// The mapped front of the ring.
#[derive(Clone, Copy)]
pub struct Front(usize);

impl Front {
    pub fn of(config: &Config) -> Front {
        Front(config.bias.wrapping_add(config.front) as usize)
    }
    pub fn control(self) -> *mut Control {
        (self.0 + CONTROL_OFFSET) as *mut Control
    }
    fn mark(self, index: usize) -> *mut Mark {
        (self.0 + MARKS_OFFSET + (index & (MARK_COUNT - 1)) * size_of::<Mark>()) as *mut Mark
    }
    pub fn mark_of(self, goid: u64) -> *mut Mark {
        self.mark(goid as usize)
    }
    fn lane(self, index: usize) -> *mut LaneHeader {
        (self.0 + LANE_HEADERS_OFFSET + index * size_of::<LaneHeader>()) as *mut LaneHeader
    }
    /// The address is one of a mark.
    fn holds_mark(self, mark: *mut Mark) -> bool {
        let offset = (mark as usize).wrapping_sub(self.0 + MARKS_OFFSET);
        offset < MARK_COUNT * size_of::<Mark>() && offset.is_multiple_of(size_of::<Mark>())
    }
    pub fn header(self) -> *mut Header {
        self.0 as *mut Header
    }
    pub fn occupancy(self, index: usize) -> *mut Occupancy {
        (self.0 + OCCUPANCY_OFFSET + (index & (OCCUPANCY_COUNT - 1)) * size_of::<Occupancy>())
            as *mut Occupancy
    }
    pub fn occupancy_index(self, entry: *mut Occupancy) -> u32 {
        ((entry as usize - self.0 - OCCUPANCY_OFFSET) / size_of::<Occupancy>()) as u32
    }
    /// Indices that are too high, which no gocc writes, mean the last one.
    pub fn trap(self, index: usize) -> *mut Trap {
        (self.0 + TRAPS_OFFSET + index.min(TRAP_COUNT - 1) * size_of::<Trap>()) as *mut Trap
    }
    pub fn place(self, index: usize) -> *mut Place {
        (self.0 + PLACES_OFFSET + (index & (PLACE_COUNT - 1)) * size_of::<Place>()) as *mut Place
    }
    fn context(self, index: usize) -> *mut Context {
        (self.0 + CONTEXTS_OFFSET + index * size_of::<Context>()) as *mut Context
    }
    pub fn made(self, map: u64) -> *const Record {
        (self.0 + MADE_OFFSET + made_index(map) * size_of::<Record>()) as *const Record
    }
    fn conflict(self, index: usize) -> *mut Conflict {
        (self.0 + CONFLICTS_OFFSET + index * size_of::<Conflict>()) as *mut Conflict
    }
}

/// The second goroutine of a conflict.
#[derive(Clone, Copy)]
pub enum Found {
    Nobody,
    /// Known by its mark.
    Marked(Other),
    /// Held at the door, its side filled in when it was.
    Held(*const Trap),
}

impl Found {
    /// Its innermost return address.
    ///
    /// # Safety
    /// What it points to lies in the front.
    unsafe fn pc(&self) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Found::Nobody => 0,
                Found::Marked(other) => read_volatile(&raw const (*other.mark).record.pcs[0]),
                Found::Held(trap) => (**trap).side.pcs[0],
            }
        }
    }
}

/// Looks for the other goroutine and records the conflict.
///
/// # Safety
/// As for `record_found`.
unsafe fn record(config: &Config, here: &Here, map: u64, map_type: u64, evidence: u32) {
    // SAFETY: the caller's.
    unsafe {
        let other = find_other(Front::of(config), map, here.goid);
        let map_type = match other {
            Some(other) if map_type == 0 => near_text(
                config,
                read_volatile(&raw const (*other.mark).record.map_type),
            ),
            _ => map_type,
        };
        let found = other.map_or(Found::Nobody, Found::Marked);
        record_found(config, here, map, map_type, evidence, found);
    }
}

/// Records a conflict. Inlined, so that its two halves use the stack one after the other.
///
/// # Safety
/// `here` describes the running goroutine; `map` is 0 or live; what `found` points to lies in the front.
#[inline(always)]
pub unsafe fn record_found(
    config: &Config,
    here: &Here,
    map: u64,
    map_type: u64,
    evidence: u32,
    found: Found,
) {
    // SAFETY: the caller's.
    unsafe {
        let index = record_sides(config, here, map, map_type, evidence, found);
        if index < CONFLICT_COUNT {
            commit(config, here.g, index, found);
        }
    }
}

/// The first half: who, what and where. The index of the record, or one that is too high.
///
/// # Safety
/// As for `record_found`.
#[inline(never)]
unsafe fn record_sides(
    config: &Config,
    here: &Here,
    map: u64,
    map_type: u64,
    evidence: u32,
    found: Found,
) -> usize {
    let front = Front::of(config);
    // SAFETY: the front is mapped whenever a gate is open.
    unsafe {
        if is_repeat(front, here, found.pc(), map, evidence) {
            return CONFLICT_COUNT;
        }
        let claimed = AtomicU32::from_ptr(&raw mut (*front.control()).conflicts_claimed);
        let index = claimed.fetch_add(1, Ordering::Relaxed) as usize;
        if index >= CONFLICT_COUNT {
            return index;
        }
        let conflict = front.conflict(index);
        write_volatile(&raw mut (*conflict).state, CONFLICT_WRITING);
        (*conflict).evidence = evidence;
        (*conflict).tsc = sys::tsc();
        (*conflict).monotonic_ns = sys::clock_ns(sys::CLOCK_MONOTONIC);
        let side = &raw mut (*conflict).sides[1];
        match found {
            Found::Nobody => {}
            Found::Marked(other) => {
                if !fill_other(config, other, map, side)
                    && let Some(another) = find_other(front, map, here.goid)
                {
                    fill_other(config, another, map, side);
                }
            }
            Found::Held(trap) => side.copy_from_nonoverlapping(&raw const (*trap).side, 1),
        }
        fill_self(config, here, (*conflict).tsc, &raw mut (*conflict).sides[0]);
        fill_map(config, conflict, map, map_type);
        index
    }
}

/// The second half: the context; from here on the record is complete.
///
/// # Safety
/// As for `record_found`.
#[inline(never)]
unsafe fn commit(config: &Config, g: u64, index: usize, found: Found) {
    let front = Front::of(config);
    // SAFETY: the caller's.
    unsafe {
        let (conflict, context) = (front.conflict(index), front.context(index));
        let labels = &raw mut (*context).labels;
        match found {
            Found::Held(trap) => {
                (&raw mut (*labels)[1]).copy_from_nonoverlapping(&raw const (*trap).labels, 1);
            }
            _ => fill_labels(config, conflict, &raw mut (*labels)[1]),
        }
        copy_labels(config, g, &raw mut (*labels)[0]);
        copy_made(front, conflict, &raw mut (*context).made);
        fence(Ordering::Release);
        write_volatile(&raw mut (*conflict).state, CONFLICT_COMMITTED);
    }
}

/// # Safety
/// As for `record`.
unsafe fn fill_map(config: &Config, conflict: *mut Conflict, map: u64, map_type: u64) {
    // SAFETY: the caller's.
    unsafe {
        (*conflict).map = map;
        (*conflict).map_type = map_type;
        (*conflict).seed = if map == 0 {
            0
        } else {
            read_at(map, config.map_seed) & 0xffff_ffff
        };
    }
}

/// The other goroutine: its mark, and what is known about it.
#[derive(Clone, Copy)]
pub struct Other {
    pub mark: *mut Mark,
    /// `SIDE_*`, as long as the mark does not say that it is inside.
    pub otherwise: u8,
}

/// The mark of the goroutine that the noticing one ran into, on this map. In this order: one that is
/// inside its operation (on some P now, or anywhere, since a goroutine may be parked inside), else one
/// that was the last on its P, else the latest of all.
///
/// # Safety
/// The front must be mapped.
#[inline(never)]
unsafe fn find_other(front: Front, map: u64, goid: u64) -> Option<Other> {
    if map == 0 {
        return None;
    }
    // SAFETY: the caller's.
    unsafe {
        let current = current_mark(front, map, goid);
        if let Some(mark) = current.filter(|mark| is_inside(*mark)) {
            return Some(Other {
                mark,
                otherwise: SIDE_JUST_LEFT,
            });
        }
        let any = any_mark(front, map, goid);
        match (any, current) {
            (Some(mark), Some(_)) if is_inside(mark) => Some(Other {
                mark,
                otherwise: SIDE_LATEST,
            }),
            (_, Some(mark)) => Some(Other {
                mark,
                otherwise: SIDE_JUST_LEFT,
            }),
            (any, None) => any.map(|mark| Other {
                mark,
                otherwise: SIDE_LATEST,
            }),
        }
    }
}

/// Of the marks that are current on some P, one on this map by another goroutine: inside, or the
/// latest.
///
/// # Safety
/// The front must be mapped.
unsafe fn current_mark(front: Front, map: u64, goid: u64) -> Option<*mut Mark> {
    let mut best = Best::new();
    // SAFETY: lane headers lie in the front; a mark's address is checked before it is followed.
    unsafe {
        let lanes = read_volatile(&raw const (*front.control()).lane_count) as usize;
        for lane in 0..lanes.min(MAX_LANES) {
            let mark = read_volatile(&raw const (*front.lane(lane)).current) as *mut Mark;
            if front.holds_mark(mark) && best.consider(mark, map, goid) {
                break;
            }
        }
    }
    best.mark
}

/// Of all marks, one on this map by another goroutine: inside, or the latest. Goroutines that were
/// started together have neighbouring ids, and so neighbouring marks: the search begins there.
///
/// # Safety
/// The front must be mapped.
unsafe fn any_mark(front: Front, map: u64, goid: u64) -> Option<*mut Mark> {
    let mut best = Best::new();
    for step in 0..MARK_COUNT {
        let distance = step.div_ceil(2);
        let index = if step % 2 == 0 {
            (goid as usize).wrapping_sub(distance)
        } else {
            (goid as usize).wrapping_add(distance)
        };
        // SAFETY: the index is cut to the number of marks.
        if unsafe { best.consider(front.mark(index), map, goid) } {
            break;
        }
    }
    best.mark
}

/// Who set a map's writing flag was writing.
pub fn is_write(op: u8) -> bool {
    matches!(op, OP_ASSIGN | OP_DELETE | OP_CLEAR)
}

/// The best mark so far.
struct Best {
    mark: Option<*mut Mark>,
    clock: u64,
}

impl Best {
    fn new() -> Best {
        Best {
            mark: None,
            clock: 0,
        }
    }

    /// Takes a mark into account; true when no better one can come.
    ///
    /// # Safety
    /// The mark must lie in the front. Others may write to it: what is read is checked again when it is
    /// used.
    unsafe fn consider(&mut self, mark: *mut Mark, map: u64, goid: u64) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let who = read_volatile(&raw const (*mark).record.who);
            let is_other_writer = who & GOID != goid && is_write((who >> 48) as u8);
            if read_volatile(&raw const (*mark).record.map) != map || !is_other_writer {
                return false;
            }
            let clock = read_volatile(&raw const (*mark).record.clock);
            let inside = is_inside(mark);
            if inside || self.mark.is_none() || clock > self.clock {
                (self.mark, self.clock) = (Some(mark), clock);
            }
            inside
        }
    }
}

/// # Safety
/// The mark must lie in the front.
unsafe fn is_inside(mark: *mut Mark) -> bool {
    // SAFETY: the caller's.
    unsafe { read_volatile(&raw const (*mark).state) == MARK_INSIDE }
}

/// Counts a conflict that is recorded often enough already.
///
/// # Safety
/// The front must be mapped.
unsafe fn is_repeat(front: Front, here: &Here, other_pc: u32, map: u64, evidence: u32) -> bool {
    if evidence == EVIDENCE_RUNTIME_FATAL {
        return false;
    }
    // SAFETY: records below the claimed count lie in the front.
    unsafe {
        let claimed = read_volatile(&raw const (*front.control()).conflicts_claimed) as usize;
        let mut seen = 0;
        for index in 0..claimed.min(CONFLICT_COUNT) {
            let conflict = front.conflict(index);
            let same = (*conflict).map == map
                && (*conflict).sides[0].pcs[0] == here.return_pc
                && (*conflict).sides[1].pcs[0] == other_pc;
            if !same {
                continue;
            }
            seen += 1;
            if seen == RECORDS_PER_PAIR {
                AtomicU32::from_ptr(&raw mut (*conflict).repeats).fetch_add(1, Ordering::Relaxed);
                write_volatile(&raw mut (*conflict).last_tsc, sys::tsc());
                return true;
            }
        }
    }
    false
}

/// # Safety
/// `here` describes the running goroutine; `side` lies in the front.
pub unsafe fn fill_self(config: &Config, here: &Here, tsc: u64, side: *mut Side) {
    // SAFETY: the caller's.
    unsafe {
        fill_goroutine(config, here.g, here.goid, side);
        (*side).op = here.op;
        (*side).certainty = SIDE_SELF;
        (*side).clock = tsc;
        (*side).pcs[0] = here.return_pc;
        walk(config, here.g, here.frame, side, 1);
    }
}

/// # Safety
/// `g` must be a g (they are never freed); `side` lies in the front.
unsafe fn fill_goroutine(config: &Config, g: u64, goid: u64, side: *mut Side) {
    // SAFETY: offsets are the patcher's.
    unsafe {
        (*side).goid = goid;
        (*side).created_at = read_at(g, config.g_gopc);
        (*side).start_fn = read_at(g, config.g_startpc);
        (*side).parent_goid = if config.g_parent_goid == 0 {
            0
        } else {
            read_at(g, config.g_parent_goid)
        };
    }
}

/// Fills in the side of a goroutine known by its mark. While it is inside the operation, its
/// callers' frames cannot change, so its stack may be walked; whether it stayed inside is checked
/// afterwards, and if not, only the frames that the mark itself holds are kept. False when the mark is
/// no longer one of an operation on this map: then nothing is known.
///
/// # Safety
/// `mark` and `side` lie in the front.
#[inline(never)]
unsafe fn fill_other(config: &Config, other: Other, map: u64, side: *mut Side) -> bool {
    let mark = other.mark;
    // SAFETY: the caller's; the mark may change at any time, so it is read volatile and compared.
    unsafe {
        // A goroutine in a hot loop changes its mark all the time; between two changes there is room.
        const TRIES: u32 = 100;
        let Some(seen) = (0..TRIES).find_map(|_| Seen::take(mark, map, side)) else {
            side.write_bytes(0, 1);
            return false;
        };
        let (g, goid, marked) = (seen.g, (*side).goid, (*side).depth as usize);
        let pcs = (&raw mut (*side).pcs).cast::<u32>();
        pcs.add(WALKED_PCS).copy_from_nonoverlapping(pcs, marked);
        (*side).certainty = other.otherwise;
        (*side).truncated = 1;
        if g != 0 && read_at(g, config.g_goid) == goid {
            fill_goroutine(config, g, goid, side);
            let top = highest_frame(config, g);
            walk(config, g, top.wrapping_sub(u64::from(seen.depth)), side, 1);
            fence(Ordering::Acquire);
            let is_inside = seen.holds(mark, map, side) && is_inside(mark);
            // A stack that moved meanwhile may have been walked in its old place.
            let is_whole = highest_frame(config, g) == top && (*side).depth as usize >= marked;
            if is_inside {
                (*side).certainty = SIDE_INSIDE;
            }
            if !is_inside || !is_whole {
                pcs.copy_from_nonoverlapping(pcs.add(WALKED_PCS), marked);
                (*side).depth = marked as u32;
                (*side).truncated = 1;
            }
        }
        pcs.add(WALKED_PCS).write_bytes(0, RECORD_PCS);
    }
    true
}

/// Copies the labels of the goroutine that was found inside its operation: they are those of the operation
/// as long as it lasts.
///
/// # Safety
/// `conflict` and `labels` lie in the front.
#[inline(always)]
unsafe fn fill_labels(config: &Config, conflict: *mut Conflict, labels: *mut Labels) {
    // SAFETY: the caller's.
    unsafe {
        let side = &raw mut (*conflict).sides[1];
        let mark = Front::of(config).mark_of((*side).goid);
        let g = read_volatile(&raw const (*mark).g);
        if (*side).certainty != SIDE_INSIDE || g == 0 || read_at(g, config.g_goid) != (*side).goid {
            return;
        }
        let depth = read_volatile(&raw const (*mark).depth);
        copy_labels(config, g, labels);
        fence(Ordering::Acquire);
        let seen = Seen { g, depth };
        if !(seen.holds(mark, (*conflict).map, side) && is_inside(mark)) {
            (*labels).used = 0;
            (*labels).left_out = 0;
        }
    }
}

/// What a mark said, while its pieces belonged together.
struct Seen {
    g: u64,
    depth: u32,
}

impl Seen {
    /// Copies a mark into a side; `None` when it changed meanwhile, or is not of this map.
    ///
    /// # Safety
    /// `mark` and `side` lie in the front.
    unsafe fn take(mark: *mut Mark, map: u64, side: *mut Side) -> Option<Seen> {
        // SAFETY: the caller's.
        unsafe {
            let g = read_volatile(&raw const (*mark).g);
            let depth = read_volatile(&raw const (*mark).depth);
            copy_mark(mark, side);
            let seen = Seen { g, depth };
            seen.holds(mark, map, side).then_some(seen)
        }
    }

    /// The mark still says what was copied.
    ///
    /// # Safety
    /// `mark` and `side` lie in the front.
    unsafe fn holds(&self, mark: *mut Mark, map: u64, side: *mut Side) -> bool {
        // SAFETY: the caller's.
        unsafe {
            read_volatile(&raw const (*mark).state) != MARK_CHANGING
                && read_volatile(&raw const (*mark).record.map) == map
                && read_volatile(&raw const (*mark).record.who)
                    == (*side).goid | u64::from((*side).op) << 48
                && read_volatile(&raw const (*mark).depth) == self.depth
                && read_volatile(&raw const (*mark).record.pcs[0]) == (*side).pcs[0]
        }
    }
}

/// Copies what a mark says into a side.
///
/// # Safety
/// As for `fill_other`.
unsafe fn copy_mark(mark: *mut Mark, side: *mut Side) {
    // SAFETY: the caller's.
    unsafe {
        let who = read_volatile(&raw const (*mark).record.who);
        (*side).goid = who & GOID;
        (*side).op = (who >> 48) as u8;
        (*side).clock = read_volatile(&raw const (*mark).record.clock);
        let mut depth = 0;
        while depth < RECORD_PCS {
            let pc = read_volatile(&raw const (*mark).record.pcs[depth]);
            if pc == 0 {
                break;
            }
            write_volatile(&raw mut (*side).pcs[depth], pc);
            depth += 1;
        }
        (*side).depth = depth as u32;
    }
}

/// Follows the chain of frame pointers from `frame`, writing return addresses from `pcs[depth]` on.
/// The chain must stay inside the goroutine's stack and ascend, which bounds the walk.
///
/// # Safety
/// `g` must be a g; `side` lies in the front.
unsafe fn walk(config: &Config, g: u64, frame: u64, side: *mut Side, depth: usize) {
    let mut depth = depth;
    let mut frame = frame;
    // SAFETY: the caller's; stack memory stays mapped for the life of the process.
    unsafe {
        let (lo, hi) = (read_at(g, config.g_stack_lo), read_at(g, config.g_stack_hi));
        let mut below = lo;
        (*side).truncated = 0;
        while frame > below && frame.is_multiple_of(8) && frame <= hi.saturating_sub(16) {
            if depth == WALKED_PCS {
                (*side).truncated = 1;
                break;
            }
            let pc = read_at(frame, 8) as u32;
            write_volatile(&raw mut (*side).pcs[depth], pc);
            depth += 1;
            below = frame;
            frame = read_at(frame, 0);
        }
        (*side).depth = depth as u32;
    }
}
