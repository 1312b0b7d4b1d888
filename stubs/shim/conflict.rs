//! The slow path of the hooks: a conflict was noticed; record both goroutines.
//!
//! Everything here runs on the stack of a goroutine that is about to operate on a map, or about to
//! die in `runtime.fatal`; nothing is allocated and nothing blocks.

use crate::config::Config;
use crate::context::{copy_labels, copy_made};
use crate::front::{Front, read_at};
use crate::layout::{self, *};
use crate::side::{
    Here, Inside, Other, fill_inside, fill_labels, fill_other, fill_self, is_inside,
};
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

/// Conflicts of one pair of places on one map beyond this many only count as repeats of the last.
const RECORDS_PER_PAIR: u32 = 4;

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

/// A traced operation begins while the mark of another one on the same map says that its goroutine is
/// inside. Marks are left at every entry and cleared at every exit, in the order in which the processor
/// shows its stores to others: what orders two operations also shows the second one the cleared mark.
/// `place` has the number of that mark.
///
/// # Safety
/// As for `gocc_conflict`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_overlap(
    config: &Config,
    place: u64,
    map: u64,
    map_type: u64,
    g: u64,
    frame: u64,
) {
    // SAFETY: as above.
    unsafe {
        let here = Here::new(config, place, g, frame);
        let front = Front::of(config);
        let mark = front.mark((place >> PLACE_MARK_SHIFT) as usize);
        let Some(inside) = Inside::proven(front, mark, map) else {
            return;
        };
        let them = inside.record().who;
        // System goroutines of all threads share the id 0.
        if here.goid != 0 && them & GOID != 0 && conflict(who(here.goid, here.op), them) {
            let found = Found::Inside(&inside);
            record_found(config, &here, map, map_type, EVIDENCE_OVERLAP, found);
        }
    }
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
        let own = is_inside(front, mark) && (*mark).record.who & GOID == here.goid;
        let map_type = if own {
            near_text(config, (*mark).record.map_type)
        } else {
            0
        };
        if own && map == 0 {
            here.op = op_of((*mark).record.who);
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

/// The address with these low 32 bits at or above the start of Go's text, where its types lie too.
fn near_text(config: &Config, low: u32) -> u64 {
    let text = config.bias.wrapping_add(config.text_start);
    text.wrapping_add(u64::from(low.wrapping_sub(text as u32)))
}

/// The second goroutine of a conflict.
#[derive(Clone, Copy)]
pub enum Found<'a> {
    Nobody,
    /// Proven to have been inside after the noticing one came.
    Inside(&'a Inside),
    /// Known by its mark.
    Marked(Other),
    /// Held at the door, its side filled in when it was.
    Held(*const Trap),
}

impl Found<'_> {
    /// Its innermost return address.
    ///
    /// # Safety
    /// What it points to lies in the front.
    unsafe fn pc(&self) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Found::Nobody => 0,
                Found::Inside(inside) => inside.record().pcs[0],
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

/// Records a conflict; its index, or one that is too high when there is no record of its own. Inlined, so that its two halves use the stack one after the other.
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
    found: Found<'_>,
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let index = record_sides(config, here, map, map_type, evidence, found);
        if index < CONFLICT_COUNT {
            commit(config, here.g, index, found);
        }
        index
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
    found: Found<'_>,
) -> usize {
    let front = Front::of(config);
    // SAFETY: the front is mapped whenever a gate is open.
    unsafe {
        // Block ends the program with the record of this one.
        let is_last = front.regime().gate == GATE_BLOCK;
        if !is_last && is_repeat(front, here, found.pc(), map, evidence) {
            return CONFLICT_COUNT;
        }
        let claimed = AtomicU32::from_ptr(&raw mut (*front.control()).conflicts_claimed);
        let index = claimed.fetch_add(1, Ordering::Relaxed) as usize;
        if index >= CONFLICT_COUNT {
            return index;
        }
        let conflict = front.conflict(index);
        state_of(conflict).store(CONFLICT_WRITING, Ordering::Relaxed);
        (*conflict).evidence = evidence;
        (*conflict).tsc = sys::tsc();
        (*conflict).monotonic_ns = sys::clock_ns(sys::CLOCK_MONOTONIC);
        let side = &raw mut (*conflict).sides[1];
        match found {
            Found::Nobody => {}
            Found::Inside(inside) => fill_inside(config, inside, side),
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
unsafe fn commit(config: &Config, g: u64, index: usize, found: Found<'_>) {
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
        copy_made(front, (*conflict).map, &raw mut (*context).made);
        state_of(conflict).store(CONFLICT_COMMITTED, Ordering::Release);
    }
}

/// Says whether the rest of a record can be read by others than the thread that writes it.
///
/// # Safety
/// The conflict must lie in the front.
unsafe fn state_of<'a>(conflict: *mut Conflict) -> &'a AtomicU32 {
    // SAFETY: aligned, in the front, which stays mapped; all threads of the program use it atomically.
    unsafe { AtomicU32::from_ptr(&raw mut (*conflict).state) }
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
        if let Some(mark) = current.filter(|mark| is_inside(front, *mark)) {
            return Some(Other {
                mark,
                otherwise: SIDE_JUST_LEFT,
            });
        }
        let any = any_mark(front, map, goid);
        match (any, current) {
            (Some(mark), Some(_)) if is_inside(front, mark) => Some(Other {
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
        let lanes = read_volatile(&raw const (*front.private()).lane_count) as usize;
        for lane in 0..lanes.min(MAX_LANES) {
            let mark = read_volatile(&raw const (*front.lane(lane)).current) as *mut Mark;
            if front.holds_mark(mark) && best.consider(front, mark, map, goid) {
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
        if unsafe { best.consider(front, front.mark(index), map, goid) } {
            break;
        }
    }
    best.mark
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
    unsafe fn consider(&mut self, front: Front, mark: *mut Mark, map: u64, goid: u64) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let who = read_volatile(&raw const (*mark).record.who);
            // Who set the flag was writing.
            let is_other_writer = conflict(layout::who(goid, OP_READ), who);
            if read_volatile(&raw const (*mark).record.map) != map || !is_other_writer {
                return false;
            }
            let clock = read_volatile(&raw const (*mark).record.clock);
            let inside = is_inside(front, mark);
            if inside || self.mark.is_none() || clock > self.clock {
                (self.mark, self.clock) = (Some(mark), clock);
            }
            inside
        }
    }
}

/// Counts a conflict that is recorded often enough already. Records that other threads are still writing are passed over:
/// one or two too many do no harm.
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
            let is_complete = state_of(conflict).load(Ordering::Acquire) == CONFLICT_COMMITTED;
            let same = is_complete
                && (*conflict).map == map
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
