//! What hunting may cost: the program takes at most `budget` per cent longer.
//!
//! Two things cost time: holds, and the hooks themselves. A hold is charged for the time in which the held
//! operation's P had nothing else to do; while others run there, the program goes on, and a quarter is charged,
//! since somebody may be waiting for the held one. Holds at the same time are charged once. What the hooks cost is
//! estimated from the operations that were counted, some of which are timed, and what it took to make the ring is added.
//! Both are measured against the time that the program has had for itself, which is what has passed less what both have
//! taken. Half of the budget is the hooks': where they would take more, some operations are left out (see `traffic`). What
//! they leave is the holds', and a sixth in any case.

use crate::arrival::Arrival;
use crate::front::Front;
use crate::layout::*;
use crate::sys;
use crate::traffic;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering};

/// Time on credit, in tenths of a hold, for a program too short to earn any: so many for places that were not held in
/// this run, when earlier runs have told which ones to look at;
const FIRST_TENTHS: u64 = 100;
/// and so many elsewhere: for a first look at two, at two and a half each and what comes after them.
const OTHER_TENTHS: u64 = 6;
/// Each of the former places is worth one hold, whatever the others have used up: what is seldom done in a program that
/// is busy with maps comes when the budget is spent. One in so many of the budget is theirs beside the credit.
const FIRST_HOLDS_SHARE: u64 = 8;
/// The hooks' share of the budget is one in so many.
const HOOKS_SHARE: u64 = 2;
/// What the hooks take for an operation beside what was timed, in nanoseconds: saving registers, the exit, and what
/// the program has to fetch again since they have pushed it out of the caches.
const UNTIMED_NS: u64 = 100;
/// What they take for one that is left out.
const LEFT_OUT_NS: u64 = 70;
/// Time that a program may spend in hooks before it has earned any, in microseconds.
const HOOKS_ON_CREDIT_US: u64 = 500;
/// What counts as recent, for the hooks: of longer times the half is forgotten. And the longest pause between two
/// looks that counts: a program that was idle for long has not earned a long time over the budget.
const RECENT_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 20;
/// Fewer operations than one burst in 2 to this power are not looked at.
pub const HIGHEST_LEVEL: u32 = 5;
/// One in so many of the budget is the holds' own: else a program that does little else than using maps would
/// never be held.
const HOLDS_AT_LEAST: u64 = 6;
/// A held operation costs one in so many of the ticks that others use meanwhile.
const SHARED: u64 = 4;
/// For so many ticks of a hold one more is charged: after it the caches are cold and CPUs asleep. In the tests of
/// encoding/json, charged without that, holds and hooks together took up to 31 % where 30 % was the budget.
const AFTERMATH: u64 = 10;

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
    /// Time that need not be earned, in tenths of a hold.
    fn credit(self) -> u64 {
        match self {
            Purpose::First => FIRST_TENTHS,
            Purpose::Explore | Purpose::Suspect => OTHER_TENTHS,
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
        // A clock that nobody has set points far back. The shortest holds take as long as it takes to go to sleep and wake.
        let longest = arrival
            .front
            .hold_ticks()
            .max(read_volatile(&raw const (*control).ticks_per_ms));
        let from = from.max(until.saturating_sub(longest));
        let cost = until.saturating_sub(from.max(charged_until(control, until)));
        let others_ran = arrival.now.wrapping_sub(yielded) >= moment(control) && yielded != 0;
        let cost = if others_ran { cost / SHARED } else { cost };
        let cost = cost + cost / AFTERMATH;
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
        let hold = arrival.front.hold_ticks();
        let spent = read_volatile(&raw const (*control).charged_ticks)
            .saturating_sub(read_volatile(&raw const (*control).charged_before));
        let start = read_volatile(&raw const (*control).budget_since);
        let hooks = read_volatile(&raw const (*control).hook_ticks)
            .saturating_sub(read_volatile(&raw const (*control).hooks_before));
        let passed = arrival.now.saturating_sub(start);
        let own = passed.saturating_sub(spent).saturating_sub(hooks);
        let share = own / 100 * percent;
        let credit = (hold / 10).saturating_mul(purpose.credit());
        if percent == 0 {
            return false;
        }
        if purpose == Purpose::First {
            let granted = AtomicU64::from_ptr(&raw mut (*control).first_hold_ticks);
            let before = granted.fetch_add(ticks, Ordering::Relaxed);
            if before.saturating_add(ticks) <= credit.saturating_add(share / FIRST_HOLDS_SHARE) {
                return true;
            }
            granted.fetch_sub(ticks, Ordering::Relaxed);
        }
        let wanted = spent.saturating_add(ticks);
        let covers = |share: u64| {
            wanted
                <= credit.max(if purpose == Purpose::Explore {
                    share / 2
                } else {
                    share
                })
        };
        covers(share - hooks.min(share - share / HOLDS_AT_LEAST))
    }
}

/// The program goes on, which has `begun` to make the ring: that counts as the hooks' time, which they save later.
pub fn begin(control: &mut Control, begun: u64) {
    let now = sys::tsc();
    let took = now.wrapping_sub(begun);
    control.budget_since = begun;
    control.hooks_counted = now;
    control.hook_ticks = took;
    control.recent_ticks = took;
    control.recent_hook_ticks = took;
}

/// Once a millisecond: estimates what the hooks have cost since the last time, and changes the share of operations
/// that hunt looks at, when that is more than their share of the budget, or clearly less.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn balance(front: Front, now: u64) {
    // SAFETY: the caller's.
    unsafe {
        let control = front.control();
        let per_ms = read_volatile(&raw const (*control).ticks_per_ms).max(1_000);
        let counted = AtomicU64::from_ptr(&raw mut (*control).hooks_counted);
        let before = counted.load(Ordering::Relaxed);
        let passed = now.wrapping_sub(before).min(LONGEST_PAUSE_MS * per_ms);
        let mine = passed >= per_ms
            && counted
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        let seen = AtomicU64::from_ptr(&raw mut (*control).threads_seen);
        let threads = u64::from(seen.swap(0, Ordering::Relaxed).count_ones()).max(1);
        let mut spent = Spent {
            had: passed * threads,
            ..hook_ticks(front, per_ms)
        };
        let together = &raw mut (*control).hook_ticks;
        let longer = read_volatile(together).wrapping_add(spent.hooks / threads);
        write_volatile(together, longer);
        spent.add_recent(control, per_ms);
        let percent = u64::from(read_volatile(&raw const (*control).budget_percent));
        let level = &raw mut (*control).burst_level;
        let next = spent.level(percent / HOOKS_SHARE, per_ms, read_volatile(level));
        write_volatile(level, next);
    }
}

/// What threads that use maps had since somebody last looked, and in recent time, in ticks of all threads.
#[derive(Default)]
struct Spent {
    had: u64,
    /// Of that, in hooks.
    hooks: u64,
    /// The same, had no operation been left out.
    hooks_of_all: u64,
    had_of_late: u64,
    hooks_of_late: u64,
}

impl Spent {
    /// Adds what there was in recent time; of longer times the half is forgotten.
    ///
    /// # Safety
    /// The front must be mapped; only one thread is here.
    unsafe fn add_recent(&mut self, control: *mut Control, per_ms: u64) {
        // SAFETY: the caller's.
        unsafe {
            let had = &raw mut (*control).recent_ticks;
            let hooks = &raw mut (*control).recent_hook_ticks;
            self.had_of_late = read_volatile(had).wrapping_add(self.had);
            self.hooks_of_late = read_volatile(hooks).wrapping_add(self.hooks);
            let is_long = u64::from(self.had_of_late > RECENT_MS * per_ms);
            write_volatile(had, self.had_of_late >> is_long);
            write_volatile(hooks, self.hooks_of_late >> is_long);
        }
    }

    /// The next level. The least at which the hooks would stay within their share of the budget, in per cent of the
    /// program's own time, if everything could be left out; one more each time, as long as they have taken more of late,
    /// since not everything can.
    fn level(&self, percent: u64, per_ms: u64, level: u32) -> u32 {
        if percent == 0 {
            return 0;
        }
        let share = |had: u64| had / (100 + percent) * percent;
        let theirs = share(self.had).max(1);
        let least = (0..HIGHEST_LEVEL).find(|level| self.hooks_of_all >> level <= theirs);
        let least = least.unwrap_or(HIGHEST_LEVEL);
        // Where there is nothing to save, what was spent too much is saved later.
        let is_little = self.hooks_of_all < theirs / 4;
        let theirs = share(self.had_of_late) + HOOKS_ON_CREDIT_US * per_ms / 1_000;
        if self.hooks_of_late > theirs && !is_little {
            least.max(level + 1).min(HIGHEST_LEVEL)
        } else if self.hooks_of_late < theirs / 2 {
            least.min(level).saturating_sub(1)
        } else {
            least
        }
    }
}

/// What the hooks have cost since this was last asked.
///
/// # Safety
/// The front must be mapped; only one thread is here.
unsafe fn hook_ticks(front: Front, per_ms: u64) -> Spent {
    // SAFETY: the caller's.
    unsafe {
        let control = front.control();
        let (operations, left_out) = traffic::total(front);
        let new = |total: u64, counted: *mut u64| {
            let before = read_volatile(counted);
            write_volatile(counted, total);
            // Nobody makes more operations in the time; somebody wrote into the ring then.
            total.saturating_sub(before).min(1 << 32)
        };
        let operations = new(operations, &raw mut (*control).operations_counted);
        let left_out = new(left_out, &raw mut (*control).left_out_counted).min(operations);
        let timed = read_volatile(&raw const (*control).timed).max(1);
        let body = read_volatile(&raw const (*control).timed_ticks) / timed;
        let of_ns = |ns: u64| ns * per_ms / 1_000_000;
        let taken = body.min(per_ms) + of_ns(UNTIMED_NS);
        Spent {
            hooks: (operations - left_out) * taken + left_out * of_ns(LEFT_OUT_NS),
            hooks_of_all: operations * taken,
            ..Spent::default()
        }
    }
}
