//! What synchronisation teaches hunt: which places are in order, so that holding one for the other is
//! in vain.
//!
//! After TSVD (Li et al., SOSP 2019, "happens-before inference"): when an operation was held and another
//! goroutine, silent all the while, comes right after the hold's end, it most likely had to wait for
//! the held one. Its next few operations then count as ordered behind it too. A pair of places of
//! which that was seen [`ORDERED_AT`] times is not held for any more; a place that has only such pairs is
//! left alone until it nearly meets a new one. An error costs a catch, never a false alarm.

use crate::arrival::Arrival;
use crate::front::Front;
use crate::layout::*;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Operations of a goroutine that count as ordered behind the hold it waited for.
const FOLLOWERS: u16 = 5;
/// The last holds that an arrival is compared with.
const COMPARED: u32 = 8;

/// What is known about a pair that has nearly met.
#[derive(Clone, Copy, PartialEq)]
pub enum Known {
    /// Nothing yet.
    New,
    /// It has nearly met before.
    Suspect,
    /// Something orders the two.
    Ordered,
}

/// Counts a near miss.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn near_miss(front: Front, one: u32, other: u32) -> Known {
    // SAFETY: pairs lie in the front; two threads that meet in one lose a count.
    unsafe {
        let Some(pair) = pair_of(front, pair_key(one, other), true) else {
            return Known::Suspect;
        };
        let near_misses = read_volatile(&raw const (*pair).near_misses);
        write_volatile(&raw mut (*pair).near_misses, near_misses.saturating_add(1));
        if read_volatile(&raw const (*pair).ordered) >= ORDERED_AT {
            Known::Ordered
        } else if near_misses == 0 {
            Known::New
        } else {
            Known::Suspect
        }
    }
}

/// An earlier run has seen a pair in order so often.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn known(front: Front, one: u32, other: u32, ordered: u32) {
    // SAFETY: the caller's.
    unsafe {
        if let Some(pair) = pair_of(front, pair_key(one, other), true) {
            write_volatile(&raw mut (*pair).ordered, ordered);
        }
    }
}

/// A hold has ended without a catch.
///
/// # Safety
/// The arrival must be the running goroutine's.
pub unsafe fn remember(arrival: &Arrival<'_>, start: u64) {
    // SAFETY: the front is mapped.
    unsafe {
        let next = AtomicU32::from_ptr(&raw mut (*arrival.front.control()).ended);
        let ended = arrival
            .front
            .ended(next.fetch_add(1, Ordering::Relaxed) as usize);
        write_volatile(&raw mut (*ended).goid, 0);
        write_volatile(&raw mut (*ended).start, start);
        write_volatile(&raw mut (*ended).end, arrival.now);
        write_volatile(&raw mut (*ended).pc, arrival.place);
        AtomicU64::from_ptr(&raw mut (*ended).goid).store(arrival.here.goid, Ordering::Release);
    }
}

/// A conflicting operation came to the map only when one that had been held there was through, and right
/// then: it had a whole hold's time to come before. Most likely it had to wait; and it need not be of a goroutine
/// that has been seen before.
///
/// # Safety
/// The arrival must be the running goroutine's.
pub unsafe fn came_after_hold(arrival: &Arrival<'_>, held: u32, later_by: u64) {
    // SAFETY: the front is mapped.
    unsafe {
        let hold = arrival.front.hold_ticks();
        if later_by <= hold / 2 {
            seen_in_order(arrival.front, held, arrival.place);
        }
    }
}

/// An operation comes: if its goroutine was silent while another one was held, and comes right after, the
/// two are in order. To be called before the goroutine's mark is filled in anew.
///
/// # Safety
/// The arrival must be the running goroutine's, not back from a yield.
#[inline(never)]
pub unsafe fn infer(arrival: &Arrival<'_>) {
    let mark = arrival.mark;
    // SAFETY: the mark lies in the front; it is this goroutine's if it says so.
    unsafe {
        if read_volatile(&raw const (*mark).record.who) & GOID != arrival.here.goid {
            write_volatile(&raw mut (*mark).after_left, 0);
            return;
        }
        let last = read_volatile(&raw const (*mark).record.clock);
        let hold = arrival.front.hold_ticks();
        let left = read_volatile(&raw const (*mark).after_left);
        if arrival.now.saturating_sub(last) >= hold / 2 {
            let waited_for = waited_for(arrival, last, hold);
            write_volatile(&raw mut (*mark).after, waited_for.unwrap_or(0));
            let followers = if waited_for.is_some() { FOLLOWERS } else { 0 };
            write_volatile(&raw mut (*mark).after_left, followers);
            if let Some(pc) = waited_for {
                seen_in_order(arrival.front, pc, arrival.place);
            }
        } else if left != 0 {
            write_volatile(&raw mut (*mark).after_left, left - 1);
            let after = read_volatile(&raw const (*mark).after);
            seen_in_order(arrival.front, after, arrival.place);
        }
    }
}

/// The place of another goroutine's hold that lies wholly in this one's silence and has just ended.
///
/// # Safety
/// The front must be mapped.
unsafe fn waited_for(arrival: &Arrival<'_>, last: u64, hold: u64) -> Option<u32> {
    // SAFETY: the caller's.
    unsafe {
        let count = read_volatile(&raw const (*arrival.front.control()).ended);
        for back in 1..=COMPARED.min(count) {
            let ended = arrival.front.ended(count.wrapping_sub(back) as usize);
            let goid = AtomicU64::from_ptr(&raw mut (*ended).goid).load(Ordering::Acquire);
            let (start, end) = (
                read_volatile(&raw const (*ended).start),
                read_volatile(&raw const (*ended).end),
            );
            let is_silent = last <= start && end <= arrival.now;
            let is_right_after = arrival.now.wrapping_sub(end) <= hold / 2;
            if goid != 0 && goid != arrival.here.goid && is_silent && is_right_after {
                return Some(read_volatile(&raw const (*ended).pc));
            }
        }
        None
    }
}

/// # Safety
/// The front must be mapped.
unsafe fn seen_in_order(front: Front, first: u32, then: u32) {
    // SAFETY: the caller's.
    unsafe {
        let Some(pair) = pair_of(front, pair_key(first, then), false) else {
            return;
        };
        let ordered = read_volatile(&raw const (*pair).ordered).saturating_add(1);
        write_volatile(&raw mut (*pair).ordered, ordered);
        if ordered == ORDERED_AT {
            leave_alone(front, first);
            leave_alone(front, then);
        }
    }
}

/// A place all of whose pairs are in order is not held any more.
///
/// # Safety
/// The front must be mapped.
#[inline(never)]
unsafe fn leave_alone(front: Front, pc: u32) {
    // SAFETY: the caller's.
    unsafe {
        for index in 0..PAIR_COUNT {
            let pair = front.pair(index);
            let key = read_volatile(&raw const (*pair).key);
            let is_its = key as u32 == pc || (key >> 32) as u32 == pc;
            if is_its && read_volatile(&raw const (*pair).ordered) < ORDERED_AT {
                return;
            }
        }
        if let Some(place) = crate::hunt::place_of(front, pc) {
            write_volatile(&raw mut (*place).chance, 0);
        }
    }
}

/// The entry of a pair; made, when it is asked for and there is room.
///
/// # Safety
/// The front must be mapped.
unsafe fn pair_of(front: Front, key: u64, makes: bool) -> Option<*mut Pair> {
    let first = pair_index(key);
    for probe in 0..PROBES {
        let pair = front.pair(first + probe);
        // SAFETY: pairs lie in the front.
        let holder = unsafe { AtomicU64::from_ptr(&raw mut (*pair).key) };
        let found = holder.load(Ordering::Relaxed);
        if found == key {
            return Some(pair);
        }
        if found != 0 {
            continue;
        }
        if !makes {
            return None;
        }
        match holder.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(pair),
            Err(found) if found == key => return Some(pair),
            Err(_) => {}
        }
    }
    None
}
