//! What hunting may cost: the program takes at most `budget` per cent longer.
//!
//! Two things cost time: holds, and the hooks themselves. A hold is charged for the time in which the held
//! operation's P had nothing else to do; while others run there, the program goes on, and a quarter is charged,
//! since somebody may be waiting for the held one. Holds at the same time are charged once. What the hooks cost is
//! estimated from the operations that were counted. Both are measured against the time that the program has had for
//! itself, which is what has passed less what was charged.

use crate::arrival::Arrival;
use crate::front::Front;
use crate::layout::*;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering};

/// Holds on credit, for a program too short to earn any: so many for places that were not held in this run, when
/// earlier runs have told which ones to look at, each of which is worth one, whatever the others have used up;
const FIRST_HOLDS: u64 = 10;
/// and so many elsewhere.
const OTHER_HOLDS: u64 = 1;
/// What the hooks take for an operation, in nanoseconds (`scripts/bench`, hunt less unpatched).
const HOOK_NS: u64 = 80;
/// One in so many of the budget is the holds' own: else a program that does little else than using maps would
/// never be held.
const HOLDS_AT_LEAST: u64 = 4;
/// A held operation costs one in so many of the ticks that others use meanwhile.
const SHARED: u64 = 4;

/// For what an operation is to be held.
#[derive(Clone, Copy, PartialEq)]
pub enum Purpose {
    /// Nothing is known about the place.
    Explore,
    /// The place is suspect, and nobody was held there in this run, which knows what earlier ones have learned.
    First,
    /// The place is suspect.
    Suspect,
}

impl Purpose {
    /// Holds that need not be earned.
    fn credit(self) -> u64 {
        match self {
            Purpose::First => FIRST_HOLDS,
            Purpose::Explore | Purpose::Suspect => OTHER_HOLDS,
        }
    }
}

/// Charges for a held operation's time since it last yielded.
///
/// # Safety
/// The arrival must be the running goroutine's, which is held.
pub unsafe fn charge(arrival: &Arrival<'_>, until: u64) {
    // SAFETY: the mark is this goroutine's.
    unsafe {
        let control = arrival.front.control();
        let yielded = read_volatile(&raw const (*arrival.mark).yielded);
        let from = if yielded == 0 { arrival.now } else { yielded };
        // A clock that nobody has set points far back.
        let from = from.max(until.saturating_sub(read_volatile(&raw const (*control).hold_ticks)));
        let cost = until.saturating_sub(from.max(charged_until(control, until)));
        let others_ran = arrival.now.wrapping_sub(yielded) >= moment(control) && yielded != 0;
        let cost = if others_ran { cost / SHARED } else { cost };
        AtomicU64::from_ptr(&raw mut (*control).charged_ticks).fetch_add(cost, Ordering::Relaxed);
    }
}

/// Time that others need to have run, in ticks: 20 microseconds.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn moment(control: *mut Control) -> u64 {
    // SAFETY: the caller's.
    unsafe { read_volatile(&raw const (*control).ticks_per_ms) / 50 }
}

/// Until when holds were charged before; from now on it is `until`.
///
/// # Safety
/// The front must be mapped.
unsafe fn charged_until(control: *mut Control, until: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let charged = AtomicU64::from_ptr(&raw mut (*control).charged_until);
        let before = charged.fetch_max(until, Ordering::Relaxed);
        // Nobody is that far ahead: somebody wrote into the ring.
        let ahead = before.saturating_sub(until);
        if ahead > read_volatile(&raw const (*control).ticks_per_ms) {
            charged.store(until, Ordering::Relaxed);
            return 0;
        }
        before
    }
}

/// The budget allows a hold of so many ticks. Exploring may use half of it.
///
/// # Safety
/// The front must be mapped.
#[inline(never)]
pub unsafe fn allows(arrival: &Arrival<'_>, purpose: Purpose, ticks: u64) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        let percent = u64::from(read_volatile(&raw const (*control).budget_percent));
        let hold = read_volatile(&raw const (*control).hold_ticks);
        let spent = read_volatile(&raw const (*control).charged_ticks)
            .saturating_sub(read_volatile(&raw const (*control).charged_before));
        let start = read_volatile(&raw const (*control).budget_since);
        let own = arrival.now.saturating_sub(start).saturating_sub(spent);
        let share = own / 100 * percent;
        let credit = hold.saturating_mul(purpose.credit());
        let wanted = spent.saturating_add(ticks);
        let covers = |share: u64| {
            wanted
                <= credit.max(if purpose == Purpose::Explore {
                    share / 2
                } else {
                    share
                })
        };
        // What the hooks have cost takes counting: only where it can make a difference.
        percent != 0
            && covers(share)
            && covers(share - hook_ticks(arrival).min(share - share / HOLDS_AT_LEAST))
    }
}

/// What the hooks have cost so far, in ticks; counted once a millisecond at most.
///
/// # Safety
/// The front must be mapped.
unsafe fn hook_ticks(arrival: &Arrival<'_>) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        let per_ms = read_volatile(&raw const (*control).ticks_per_ms);
        let counted = read_volatile(&raw const (*control).hooks_counted);
        if arrival.now.wrapping_sub(counted) < per_ms {
            return read_volatile(&raw const (*control).hook_ticks);
        }
        let ticks = operations(arrival.front).saturating_mul(per_ms * HOOK_NS / 1_000_000);
        write_volatile(&raw mut (*control).hooks_counted, arrival.now);
        write_volatile(&raw mut (*control).hook_ticks, ticks);
        ticks
    }
}

/// Operations under hunt, as far as they were counted.
///
/// # Safety
/// The front must be mapped.
unsafe fn operations(front: Front) -> u64 {
    (0..PLACE_COUNT)
        .map(|index| {
            // SAFETY: places lie in the front.
            u64::from(unsafe { read_volatile(&raw const (*front.place(index)).visits) })
        })
        .sum()
}
