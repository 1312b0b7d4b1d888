//! From a process' own clocks to the time of day.

use super::model::Moment;
use crate::ring::layout::{Conflict, Header};

/// Rates that a time-stamp counter may have, in ticks per nanosecond.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.3..=10.0;
/// When nothing tells the rate: about that of most machines.
const USUAL: f64 = 2.5;
/// A rate is not taken from a shorter time than this, in nanoseconds.
const LONG_ENOUGH: u64 = 1_000_000;

/// The clocks of one process: all three were read at the same moment when it started.
pub struct Clock {
    realtime_ns: u64,
    monotonic_ns: u64,
    tsc: u64,
    /// Of the time-stamp counter.
    ticks_per_ns: f64,
}

impl Clock {
    /// The clocks as the header has them. The counter's rate follows from a conflict, which has both
    /// clocks, else from this machine's clocks now, if it can be the machine that the process ran on.
    pub fn new(header: &Header, conflicts: &[Conflict]) -> Clock {
        let rate_at = |tsc: u64, monotonic_ns: u64| {
            let ticks = tsc.checked_sub(header.tsc)?;
            let ns = monotonic_ns.checked_sub(header.monotonic_ns)?;
            let rate = ticks as f64 / ns as f64;
            (ns >= LONG_ENOUGH && PLAUSIBLE.contains(&rate)).then_some(rate)
        };
        let last = conflicts
            .iter()
            .max_by_key(|conflict| conflict.monotonic_ns);
        let ticks_per_ns = last
            .and_then(|conflict| rate_at(conflict.tsc, conflict.monotonic_ns))
            .or_else(|| rate_at(counter_now(), monotonic_now()))
            .unwrap_or(USUAL);
        Clock {
            realtime_ns: header.realtime_ns,
            monotonic_ns: header.monotonic_ns,
            tsc: header.tsc,
            ticks_per_ns,
        }
    }

    /// A number of ticks in nanoseconds.
    pub fn ns_of_ticks(&self, ticks: u64) -> u64 {
        // A float turns into the nearest integer there is.
        (ticks as f64 / self.ticks_per_ns) as u64
    }

    /// Nanoseconds in ticks.
    pub fn ticks_of_ns(&self, ns: u64) -> u64 {
        (ns as f64 * self.ticks_per_ns) as u64
    }

    /// Nanoseconds since the process started, as long as it runs on this machine.
    pub fn now_since_start(&self) -> u64 {
        monotonic_now().saturating_sub(self.monotonic_ns)
    }

    /// The time at a value of the time-stamp counter.
    pub fn at_tsc(&self, tsc: u64) -> Moment {
        self.moment(self.ns_of_ticks(tsc.saturating_sub(self.tsc)))
    }

    /// When a conflict was first and last noticed. The last time is known by the time-stamp counter
    /// alone, whose rate follows from the process' start and the conflict; without a usable rate it
    /// is given as the first.
    pub fn of_conflict(&self, conflict: &Conflict) -> (Moment, Moment) {
        let since_start = conflict.monotonic_ns.saturating_sub(self.monotonic_ns);
        let first = self.moment(since_start);
        let last = self
            .since_start_of(conflict, since_start)
            .map_or(first, |ns| self.moment(ns));
        (first, last.max(first))
    }

    fn since_start_of(&self, conflict: &Conflict, since_start: u64) -> Option<u64> {
        let ticks_to_first = conflict
            .tsc
            .checked_sub(self.tsc)
            .filter(|&ticks| ticks > 0)?;
        let ticks_to_last = conflict.last_tsc.checked_sub(self.tsc)?;
        let ns = u128::from(since_start) * u128::from(ticks_to_last) / u128::from(ticks_to_first);
        u64::try_from(ns).ok()
    }

    fn moment(&self, since_start_ns: u64) -> Moment {
        Moment {
            unix_ns: self.realtime_ns.saturating_add(since_start_ns),
            since_start_ns,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn counter_now() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_now() -> u64 {
    0
}

fn monotonic_now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither is negative.
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}
