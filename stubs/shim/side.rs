//! The sides of a conflict: who a goroutine is and where it stands, as its g, its stack and its mark
//! tell.

use crate::config::{Config, FrameOf};
use crate::context::copy_labels;
use crate::front::{Front, read_at};
use crate::layout::*;
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{Ordering, fence};

/// Return addresses that a walk finds at most; the rest of a side's room keeps those of the mark meanwhile.
const WALKED_PCS: usize = SIDE_PCS - RECORD_PCS;

/// The goroutine that noticed, as the hook passes it.
pub struct Here {
    pub goid: u64,
    pub g: u64,
    pub frame: u64,
    pub op: u8,
    pub return_pc: u32,
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
    /// Return address into the code that wants the operation: the innermost one outside of the runtime's and
    /// reflect's own functions. The frames of those lie right above.
    ///
    /// # Safety
    /// `g` must be the running g.
    #[inline(never)]
    pub unsafe fn place(&self, config: &Config) -> u32 {
        const MOST_BETWEEN: u32 = 4;
        let (mut pc, mut frame) = (self.return_pc, self.frame);
        // SAFETY: the offsets are the patcher's; frames are followed within the goroutine's stack.
        unsafe {
            let lo = read_at(self.g, config.g_stack_lo);
            let hi = highest_frame(config, self.g);
            for _ in 0..MOST_BETWEEN {
                let is_frame = frame > lo && frame <= hi && frame.is_multiple_of(8);
                if !is_between(config, pc) || !is_frame {
                    break;
                }
                pc = read_at(frame, 8) as u32;
                frame = read_at(frame, 0);
            }
        }
        pc
    }

    /// As `Mark::depth`.
    pub fn depth(&self, config: &Config) -> u32 {
        // SAFETY: a Here is made of a live g; the offset is the patcher's.
        unsafe { highest_frame(config, self.g) }.wrapping_sub(self.frame) as u32
    }
}

/// The call that returns to an address is in the runtime's or reflect's own functions.
fn is_between(config: &Config, pc: u32) -> bool {
    config.between.iter().any(|[start, end]| {
        let start_low = config.bias.wrapping_add(*start) as u32;
        let offset = pc.wrapping_sub(1).wrapping_sub(start_low);
        u64::from(offset) < end.wrapping_sub(*start)
    })
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

/// The other goroutine: its mark, and what is known about it.
#[derive(Clone, Copy)]
pub struct Other {
    pub mark: *mut Mark,
    /// `SIDE_*`, as long as the mark does not say that it is inside.
    pub otherwise: u8,
}

/// The mark says that its goroutine is inside its operation, and can be believed.
///
/// # Safety
/// The mark must lie in the front.
pub unsafe fn is_inside(front: Front, mark: *mut Mark) -> bool {
    // SAFETY: the caller's.
    unsafe {
        read_volatile(&raw const (*mark).state) == MARK_INSIDE
            && read_volatile(&raw const (*mark).record.clock)
                >= read_volatile(&raw const (*front.control()).since)
    }
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
pub unsafe fn fill_other(config: &Config, other: Other, map: u64, side: *mut Side) -> bool {
    let mark = other.mark;
    // SAFETY: the caller's; the mark may change at any time, so it is read volatile and compared.
    unsafe {
        // A goroutine in a hot loop changes its mark all the time; between two changes there is room.
        const TRIES: u32 = 100;
        let Some(seen) = (0..TRIES).find_map(|_| Seen::take(mark, map, side)) else {
            side.write_bytes(0, 1);
            return false;
        };
        (*side).certainty = other.otherwise;
        if extend(config, mark, &seen, map, side) {
            (*side).certainty = SIDE_INSIDE;
        }
    }
    true
}

/// Walks the stack of a goroutine whose mark was copied into the side. While it is inside its operation, its
/// callers' frames cannot change; whether it stayed inside is checked afterwards, and if not, only the
/// frames that the mark itself holds are kept. Whether it was inside all the time.
///
/// # Safety
/// `mark` and `side` lie in the front.
#[inline(always)]
unsafe fn extend(config: &Config, mark: *mut Mark, seen: &Seen, map: u64, side: *mut Side) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let (g, goid, marked) = (
            seen.g,
            (*side).goid,
            ((*side).depth as usize).min(RECORD_PCS),
        );
        let pcs = (&raw mut (*side).pcs).cast::<u32>();
        pcs.add(WALKED_PCS).copy_from_nonoverlapping(pcs, marked);
        (*side).truncated = 1;
        let mut was_inside = false;
        if is_g_of(config, g, goid) {
            fill_goroutine(config, g, goid, side);
            let top = highest_frame(config, g);
            walk(config, g, top.wrapping_sub(u64::from(seen.depth)), side, 1);
            fence(Ordering::Acquire);
            was_inside = seen.holds(mark, map, side) && is_inside(Front::of(config), mark);
            // A stack that moved meanwhile may have been walked in its old place.
            let is_whole = highest_frame(config, g) == top && (*side).depth as usize >= marked;
            if !was_inside || !is_whole {
                pcs.copy_from_nonoverlapping(pcs.add(WALKED_PCS), marked);
                (*side).depth = marked as u32;
                (*side).truncated = 1;
            }
        }
        pcs.add(WALKED_PCS).write_bytes(0, RECORD_PCS);
        was_inside
    }
}

/// A g that a mark names is one, and the goroutine's. Marks lie in memory that others may write to: where nothing
/// can be read is no g.
#[inline(always)]
fn is_g_of(config: &Config, g: u64, goid: u64) -> bool {
    // SAFETY: its fields can be read.
    g != 0
        && g.is_multiple_of(8)
        && has_fields(config, g)
        && unsafe { read_at(g, config.g_goid) } == goid
}

/// A goroutine is on some thread now, as far as the g that its mark names tells: it runs, unless the thread has lost its CPU.
///
/// # Safety
/// `mark` lies in the front.
#[inline(never)]
pub unsafe fn is_on_thread(config: &Config, mark: *mut Mark, goid: u64) -> bool {
    // SAFETY: the caller's; the g's fields are read only where they can be.
    unsafe {
        let g = read_volatile(&raw const (*mark).g);
        is_g_of(config, g, goid) && read_at(g, config.g_m) != 0
    }
}

/// The fields of a g can be read. Apart, for its few registers: it runs on a goroutine's stack.
#[inline(never)]
fn has_fields(config: &Config, g: u64) -> bool {
    let has = |field: u32| sys::is_readable(g.wrapping_add(u64::from(field)));
    // All fields in use lie between these two, less than a page apart.
    has(config.g_stack_lo) && has(config.g_labels)
}

/// Copies the labels of the goroutine that was found inside its operation: they are those of the operation
/// as long as it lasts.
///
/// # Safety
/// `conflict` and `labels` lie in the front.
#[inline(always)]
pub unsafe fn fill_labels(config: &Config, conflict: *mut Conflict, labels: *mut Labels) {
    // SAFETY: the caller's.
    unsafe {
        let side = &raw mut (*conflict).sides[1];
        let mark = Front::of(config).mark_of((*side).goid);
        let g = read_volatile(&raw const (*mark).g);
        if (*side).certainty != SIDE_INSIDE || !is_g_of(config, g, (*side).goid) {
            return;
        }
        let depth = read_volatile(&raw const (*mark).depth);
        copy_labels(config, g, labels);
        fence(Ordering::Acquire);
        let seen = Seen { g, depth };
        if !(seen.holds(mark, (*conflict).map, side) && is_inside(Front::of(config), mark)) {
            (*labels).used = 0;
            (*labels).left_out = 0;
        }
    }
}

/// A traced operation that is proven to have been under way after somebody else came: what its mark said.
pub struct Inside {
    mark: *mut Mark,
    /// The mark's record, and the address of the g behind it.
    words: [u64; WORDS],
    depth: u32,
}

/// Words of eight bytes at a mark's start that belong to one operation.
const WORDS: usize = core::mem::offset_of!(Mark, g) / 8 + 1;

impl Inside {
    /// The mark says that its goroutine is inside an operation on the map; all that is read of it is of that
    /// operation.
    ///
    /// # Safety
    /// The mark must lie in the front.
    #[inline(always)]
    pub unsafe fn proven(front: Front, mark: *mut Mark, map: u64) -> Option<Inside> {
        // SAFETY: the caller's.
        unsafe {
            let sequence = read_volatile(&raw const (*mark).sequence);
            let was_inside = is_inside(front, mark);
            fence(Ordering::Acquire);
            let mut seen = Inside {
                mark,
                words: [0; WORDS],
                depth: read_volatile(&raw const (*mark).depth),
            };
            for (index, word) in seen.words.iter_mut().enumerate() {
                *word = read_volatile(mark.cast::<u64>().add(index));
            }
            fence(Ordering::Acquire);
            let is_still_inside = is_inside(front, mark);
            fence(Ordering::Acquire);
            // An operation that began in another mode leaves the sequence as it is. Since the mode changed it is
            // its goroutine's only one, so that what it changes shows in a second look.
            let is_one =
                seen.is_what_it_says() && read_volatile(&raw const (*mark).sequence) == sequence;
            let is_on_map = seen.record().map == map;
            (was_inside && is_still_inside && is_one && is_on_map).then_some(seen)
        }
    }

    /// # Safety
    /// The mark must lie in the front.
    unsafe fn is_what_it_says(&self) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let words = self.words.iter().enumerate();
            let mut words =
                words.map(|(at, word)| *word == read_volatile(self.mark.cast::<u64>().add(at)));
            words.all(|is_same| is_same)
                && read_volatile(&raw const (*self.mark).depth) == self.depth
        }
    }

    /// What was recorded of the operation.
    pub fn record(&self) -> &Record {
        // SAFETY: a mark begins with its record, and the words are a copy of it; both are aligned to 8 bytes.
        unsafe { &*self.words.as_ptr().cast::<Record>() }
    }
}

/// Fills in the side of an operation that is proven to have been under way.
///
/// # Safety
/// `side` lies in the front.
#[inline(never)]
pub unsafe fn fill_inside(config: &Config, inside: &Inside, side: *mut Side) {
    // SAFETY: the caller's.
    unsafe {
        copy_record(inside.record(), side);
        let seen = Seen {
            g: inside.words[WORDS - 1],
            depth: inside.depth,
        };
        extend(config, inside.mark, &seen, inside.record().map, side);
        (*side).certainty = SIDE_INSIDE;
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
            copy_record(&raw const (*mark).record, side);
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
                && read_volatile(&raw const (*mark).record.who) == who((*side).goid, (*side).op)
                && read_volatile(&raw const (*mark).depth) == self.depth
                && read_volatile(&raw const (*mark).record.pcs[0]) == (*side).pcs[0]
        }
    }
}

/// Copies what a record says into a side.
///
/// # Safety
/// `record` and `side` are readable and writable; others may write to the record.
unsafe fn copy_record(record: *const Record, side: *mut Side) {
    // SAFETY: the caller's.
    unsafe {
        let who = read_volatile(&raw const (*record).who);
        (*side).goid = who & GOID;
        (*side).op = op_of(who);
        (*side).clock = read_volatile(&raw const (*record).clock);
        let mut depth = 0;
        while depth < RECORD_PCS {
            let pc = read_volatile(&raw const (*record).pcs[depth]);
            if pc == 0 {
                break;
            }
            write_volatile(&raw mut (*side).pcs[depth], pc);
            depth += 1;
        }
        (*side).depth = depth as u32;
    }
}

/// Follows the chain of frame pointers from `frame`, writing return addresses from `pcs[depth]` on; also
/// through C, where the chain leads to C's stack.
///
/// # Safety
/// `g` must be a g; `side` lies in the front.
unsafe fn walk(config: &Config, g: u64, frame: u64, side: *mut Side, depth: usize) {
    let mut frame = frame;
    // SAFETY: the caller's.
    unsafe {
        (*side).depth = depth as u32;
        while frame != 0 {
            // Both go upwards, so this ends.
            let last = follow(config, g, frame, side);
            frame = if last == 0 {
                0
            } else {
                through_c(config, g, last, side)
            };
        }
    }
}

/// Follows one chain of frame pointers to its last frame, which it gives back, or 0. It must stay inside the
/// goroutine's stack and ascend, which bounds the walk. Registers are kept few: it runs on that stack.
///
/// # Safety
/// As for [`walk`].
#[inline(never)]
unsafe fn follow(config: &Config, g: u64, frame: u64, side: *mut Side) -> u64 {
    let mut frame = frame;
    // SAFETY: the caller's; stack memory stays mapped for the life of the process.
    unsafe {
        let (lo, hi) = (read_at(g, config.g_stack_lo), read_at(g, config.g_stack_hi));
        let (mut below, mut last) = (lo, 0);
        (*side).truncated = 0;
        while frame > below && frame.is_multiple_of(8) && frame <= hi.saturating_sub(16) {
            if !put(side, read_at(frame, 8)) {
                break;
            }
            (below, last) = (frame, frame);
            frame = read_at(frame, 0);
        }
        last
    }
}

/// Adds a return address; false when there is no room.
///
/// # Safety
/// `side` lies in the front.
unsafe fn put(side: *mut Side, pc: u64) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let depth = (*side).depth as usize;
        if depth >= WALKED_PCS {
            (*side).truncated = 1;
            return false;
        }
        write_volatile(&raw mut (*side).pcs[depth], pc as u32);
        (*side).depth = depth as u32 + 1;
        true
    }
}

/// Where the chain of frame pointers goes on when Go code that C has called is reached: `last` is the last
/// frame before C's stack, and its return address leads into `cgocallback`. That one has put a frame of its own above
/// what the goroutine had when it called C (runtime/asm_amd64.s), for tracebacks to go on there. 0 when it is not
/// like that.
///
/// # Safety
/// As for [`walk`]; `last` lies on the goroutine's stack.
#[inline(never)]
unsafe fn through_c(config: &Config, g: u64, last: u64, side: *mut Side) -> u64 {
    let [callback, switch, call] = &config.through_c;
    // SAFETY: the caller's; what is read lies below `frame`, on the stack.
    unsafe {
        if !lies_in(config, callback, read_at(last, 8)) {
            return 0;
        }
        let switched_at = last.saturating_add(16 + callback.size);
        let called_at = switched_at.saturating_add(8 + switch.size);
        // Where `cgocall` keeps its caller's frame pointer.
        let frame = called_at.saturating_add(call.size);
        if frame > read_at(g, config.g_stack_hi).saturating_sub(16) {
            return 0;
        }
        let mut switched = read_at(switched_at, 0);
        if switched.wrapping_sub(config.bias) == switch.start {
            // Old versions have its entry there. Readers look for the call before a return address.
            switched = switched.wrapping_add(1);
        }
        let called = read_at(called_at, 0);
        let is_expected = lies_in(config, switch, switched) && lies_in(config, call, called);
        if is_expected && put(side, switched) && put(side, called) {
            frame
        } else {
            0
        }
    }
}

/// Whether a return address leads into a function.
fn lies_in(config: &Config, function: &FrameOf, pc: u64) -> bool {
    let at = pc.wrapping_sub(config.bias);
    function.start < at && at <= function.end
}
