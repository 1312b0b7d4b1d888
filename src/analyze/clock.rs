//! From a process' own clocks to the time of day.

use super::model::Moment;
use crate::ring::layout::{Conflict, Header};

/// The clocks of one process: all three were read at the same moment when it started.
pub struct Clock {
    realtime_ns: u64,
    monotonic_ns: u64,
    tsc: u64,
}

impl Clock {
    /// The clocks as the header has them.
    pub fn new(header: &Header) -> Clock {
        Clock {
            realtime_ns: header.realtime_ns,
            monotonic_ns: header.monotonic_ns,
            tsc: header.tsc,
        }
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
