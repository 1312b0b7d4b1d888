//! Which operations hunt looks at: all of them, as long as its hooks stay within their share of the budget.
//!
//! In a program that does little else than using maps the hooks alone would cost more than that. Then hunt looks at
//! bursts of the operations at busy places (LiteRace, PLDI 2009), and lets the others there go ahead; how many these are
//! is counted. Only their goroutine's mark tells of them. It leaves out none
//!
//! - at places that are seldom visited, which is where races hide, or have just come under suspicion,
//! - on maps that another goroutine has used of late, unless all have only read, or whose users are not known,
//! - that somebody held at a door waits for.

use crate::arrival::{Arrival, is_own};
use crate::budget;
use crate::entry::{Entry, says};
use crate::front::{Front, read_at};
use crate::hunt::apart;
use crate::layout::*;
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Visits up to which a place is not busy: half as many at each level.
const SELDOM: u64 = 512;
/// Operations at a place that is newly suspected which are all looked at.
const SUSPECTED: u64 = 64;
/// Operations in a burst: 2 to this power.
const BURST_BITS: u32 = 6;
/// Of so many operations at a place, one is timed.
const TIMED: u64 = 16;
/// What takes longer than this part of a moment (see `budget`) was interrupted: that is no time of the hook's.
const UNINTERRUPTED: u64 = 4;

/// What becomes of an operation under hunt.
#[derive(Clone, Copy, PartialEq)]
pub enum Look {
    /// It goes ahead.
    LeftOut,
    /// It arrives at its map's door.
    Taken,
    /// The same, and its time is taken.
    Timed,
}

/// Nothing is left out now.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn is_everything_looked_at(front: Front) -> bool {
    // SAFETY: the caller's.
    unsafe { read_volatile(&raw const (*front.control()).burst_level) == 0 }
}

/// An operation at a place is about to begin: counts it, and decides.
///
/// # Safety
/// The front must be mapped.
#[inline(never)]
pub unsafe fn look(arrival: &Arrival<'_>) -> Look {
    // SAFETY: the table lies in the front; two threads that meet in an entry lose a count.
    unsafe {
        let front = arrival.front;
        let entry = front.traffic(place_index(arrival.place));
        let number = read_volatile(&raw const (*entry).operations);
        write_volatile(&raw mut (*entry).operations, number.wrapping_add(1));
        let level = read_volatile(&raw const (*front.control()).burst_level);
        let is_in_burst = (number >> BURST_BITS).trailing_zeros() >= level;
        let all_until = (SELDOM >> level.min(budget::HIGHEST_LEVEL))
            .max(read_volatile(&raw const (*entry).all_until));
        let may_go = number >= all_until && !is_in_burst && is_alone(arrival, level);
        if may_go && !is_awaited(arrival) {
            let left_out = &raw mut (*entry).left_out;
            write_volatile(left_out, read_volatile(left_out).wrapping_add(1));
            return Look::LeftOut;
        }
        if number.is_multiple_of(TIMED) {
            Look::Timed
        } else {
            Look::Taken
        }
    }
}

/// Nobody else has used the map of late, as far as is known, and this goroutine has; or it reads what several have only
/// read. At the highest level, who comes first to a map counts as having used it: most maps are used by one goroutine,
/// a few times, and hunt is to look at others.
///
/// # Safety
/// The front must be mapped.
unsafe fn is_alone(arrival: &Arrival<'_>, level: u32) -> bool {
    let own = owner_word(arrival, own(arrival));
    // SAFETY: aligned, in the front; what is wrong there costs a look, or spares one.
    unsafe {
        let who = &raw mut (*arrival.front.owner_of(arrival.map)).who;
        let owner = read_volatile(who);
        let is_unknown = (owner ^ own) >> 16 != 0 && owner as u16 != NOBODY;
        if is_unknown && level >= budget::HIGHEST_LEVEL {
            write_volatile(who, own);
            return true;
        }
        owner == own || !is_write(arrival.here.op) && owner == owner_word(arrival, READERS)
    }
}

/// As `is_alone`, once more, after the goroutine's mark has said that it is inside.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn is_still_alone(arrival: &Arrival<'_>) -> bool {
    // SAFETY: the caller's; at this level nobody becomes an owner here.
    unsafe { is_alone(arrival, 0) }
}

/// An operation is looked at on a map that was another goroutine's alone: from now on it is nobody's. The former owner's
/// operation, if he is inside, was left out, and is registered now.
///
/// # Safety
/// The front must be mapped, the map's entry locked.
#[inline(never)]
pub unsafe fn take_over(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: aligned, in the front.
    unsafe {
        let who = &raw mut (*arrival.front.owner_of(arrival.map)).who;
        let owner = read_volatile(who);
        let goid = owner as u16;
        let is_others = (owner ^ owner_word(arrival, own(arrival))) >> 16 == 0
            && goid < READERS
            && goid != own(arrival);
        if !is_others {
            return;
        }
        AtomicU32::from_ptr(who).store(owner_word(arrival, NOBODY), Ordering::SeqCst);
        if let Some(former) = inside(arrival, goid) {
            entry.admit(former);
        }
    }
}

/// What a goroutine, known by some bits of its id, does on the map, if its mark says that it is inside.
///
/// # Safety
/// The front must be mapped.
unsafe fn inside(arrival: &Arrival<'_>, goid: u16) -> Option<u64> {
    let mark = arrival.front.mark_of(goid.into());
    // SAFETY: marks lie in the front.
    unsafe {
        let who = read_volatile(&raw const (*mark).record.who);
        let is_inside = says(mark, MARK_INSIDE, arrival.map, arrival.regime.epoch);
        (is_inside && (who & GOID) as u16 == goid).then_some(who)
    }
}

/// An operation was looked at, at a time as accesses remember it; whether it was a near miss with one of those on its map
/// that are remembered, and whether all of these are of its own goroutine. After a near miss nobody owns the map for as
/// long as two operations are one (`window`, in the same units): those that take turns, as a scheduler gives them, are
/// not alone while they have theirs. Nor does a map that has the same entry take it over meanwhile.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn note_owner(
    arrival: &Arrival<'_>,
    nearly_met: bool,
    is_alone: bool,
    time: u32,
    window: u64,
) {
    let nobody = owner_word(arrival, NOBODY);
    let now = if is_alone { own(arrival) } else { READERS };
    // SAFETY: aligned, in the front; two threads that meet there lose a note.
    unsafe {
        let owner = arrival.front.owner_of(arrival.map);
        if nearly_met {
            write_volatile(&raw mut (*owner).who, nobody);
            write_volatile(&raw mut (*owner).nearly_met, time.max(1));
            return;
        }
        let last = read_volatile(&raw const (*owner).nearly_met);
        let was_of_late = last != 0 && u64::from(apart(time, last)) < window;
        if !was_of_late || read_volatile(&raw const (*owner).who) as u16 != NOBODY {
            write_volatile(&raw mut (*owner).who, owner_word(arrival, now));
        }
    }
}

/// In place of a goroutine: several, at least one of which has written,
const NOBODY: u16 = u16::MAX;
/// and several that have only read.
const READERS: u16 = NOBODY - 1;

/// The arriving goroutine.
fn own(arrival: &Arrival<'_>) -> u16 {
    (arrival.here.goid as u16).min(READERS - 1)
}

/// `Owner::who` for a map, in this epoch. It tells most maps and goroutines apart; where it does not, some operations are
/// left out.
fn owner_word(arrival: &Arrival<'_>, who: u16) -> u32 {
    // Without the bits that choose the entry, as far as they lie there unmixed.
    let map = (arrival.map >> SPAN_BITS) as u32 ^ arrival.regime.epoch;
    map << 16 | u32::from(who)
}

/// A place has come under suspicion.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn suspected(front: Front, place: u32) {
    // SAFETY: the table lies in the front.
    unsafe {
        let entry = front.traffic(place_index(place));
        let number = read_volatile(&raw const (*entry).operations);
        write_volatile(
            &raw mut (*entry).all_until,
            number.saturating_add(SUSPECTED),
        );
    }
}

/// Somebody is held at the map's door, or this goroutine itself waits there.
///
/// # Safety
/// The front must be mapped.
unsafe fn is_awaited(arrival: &Arrival<'_>) -> bool {
    // SAFETY: entries and marks lie in the front.
    unsafe {
        if read_volatile(&raw const (*arrival.front.control()).at_doors) == 0 {
            return false;
        }
        let entry = arrival.front.occupancy_of(arrival.map);
        let is_trapped = read_volatile(&raw const (*entry).map) == arrival.map
            && read_volatile(&raw const (*entry).trap) != 0;
        let waits = read_volatile(&raw const (*arrival.mark).state) == MARK_HELD;
        is_trapped || waits && is_own(arrival)
    }
}

/// A goroutine comes to a door where it has to wait, or goes away from it.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn at_door(front: Front, comes: bool) {
    // SAFETY: aligned, in the front.
    let at_doors = unsafe { AtomicU32::from_ptr(&raw mut (*front.control()).at_doors) };
    at_doors.fetch_add(if comes { 1 } else { u32::MAX }, Ordering::Relaxed);
}

/// An operation has arrived, without waiting: that is how long it took.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
pub unsafe fn time(arrival: &Arrival<'_>) {
    // SAFETY: the offset is the patcher's; the words lie in the front.
    unsafe {
        let control = arrival.front.control();
        let now = sys::tsc();
        let took = now.wrapping_sub(arrival.now);
        if took < budget::moment(control) / UNINTERRUPTED {
            let add = |word, by| AtomicU64::from_ptr(word).fetch_add(by, Ordering::Relaxed);
            add(&raw mut (*control).timed_ticks, took);
            add(&raw mut (*control).timed, 1);
        }
        // Ms are at least 64-byte aligned; which bit stands for one does not matter.
        let thread = 1
            << (read_at(arrival.here.g, arrival.config.g_m).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 58);
        AtomicU64::from_ptr(&raw mut (*control).threads_seen).fetch_or(thread, Ordering::Relaxed);
        budget::balance(arrival.front, now);
    }
}

/// All operations so far, and those of them that were left out.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn total(front: Front) -> (u64, u64) {
    (0..TRAFFIC_COUNT).fold((0, 0), |(operations, left_out), index| {
        let entry = front.traffic(index);
        // SAFETY: the table lies in the front.
        unsafe {
            (
                read_volatile(&raw const (*entry).operations).wrapping_add(operations),
                read_volatile(&raw const (*entry).left_out).wrapping_add(left_out),
            )
        }
    })
}
