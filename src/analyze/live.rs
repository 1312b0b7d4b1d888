//! A running process, followed through its ring: what it does with its maps now.
//!
//! Rates are averages in which a second ago counts less than now. Of what the ring holds no record of (operations
//! between samples, records that were overwritten before they could be read), the rates are estimates; the counts are
//! those of the ring, as `gocc report` and `gocc stats` give them.

use super::clock::Clock;
use super::conflicts::Collector;
use super::executable::{AnalyzeError, Options, Source, with_symbols};
use super::model::{Finding, Hex, Losses};
use super::stats::{Caller, Callers, NameId};
use crate::ring::layout::{Control, GATE_OBSERVE, Record};
use crate::ring::{Advance, Operation, Ring, RingError, Tail, operation_of};
use std::collections::HashMap;
use std::hash::Hash;

/// All kinds of operations, in the order of [`Snapshot::per_second`].
pub const OPERATIONS: [Operation; 6] = [
    Operation::Read,
    Operation::Assign,
    Operation::Delete,
    Operation::Clear,
    Operation::Iterate,
    Operation::Clone,
];
/// After this many seconds an old rate counts for a third.
const MEMORY_SECONDS: f64 = 2.0;
/// What is rarer than this, per second, is forgotten.
const FORGOTTEN: f64 = 0.05;
/// Functions and maps that are told apart; the busiest stay.
const MOST_ENTRIES: usize = 1 << 14;

/// A ring that is followed.
pub struct Live<'r, 'b, 'c> {
    ring: &'r Ring,
    tail: Tail,
    callers: Callers<'r, 'b, 'c>,
    per_second: Rates<usize>,
    functions: Rates<(NameId, usize)>,
    maps: Rates<MapKey>,
    writes: Rates<MapKey>,
    /// Records that went by unread.
    missed: u64,
    damaged: u64,
    /// What the findings were made of.
    conflicts: (usize, u64),
    findings: Vec<Finding>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct MapKey {
    address: u64,
    map_type: u32,
}

/// What a process does now.
#[derive(Clone)]
pub struct Snapshot {
    /// Gates and counters.
    pub control: Control,
    /// Operations per second by kind, in the order of [`OPERATIONS`].
    pub per_second: [f64; OPERATIONS.len()],
    /// The busiest functions.
    pub functions: Vec<HotFunction>,
    /// The busiest maps.
    pub maps: Vec<HotMap>,
    /// What the conflicts so far prove, as in the report; the latest first.
    pub findings: Vec<Finding>,
    /// Operations that were ever recorded.
    pub recorded: u64,
    /// Recorded operations that went by unread, since the watch began.
    pub missed: u64,
    /// What is known to be missing in the ring.
    pub lost: Losses,
    /// Time in holds since the start, in nanoseconds.
    pub held_ns: u64,
    /// Time since the process started, in nanoseconds.
    pub age_ns: u64,
}

/// A function and what it does.
#[derive(Clone, Debug, PartialEq)]
pub struct HotFunction {
    /// `main.(*Cache).Put`.
    pub function: String,
    /// What it does.
    pub operation: Operation,
    /// How often.
    pub per_second: f64,
}

/// A map and how busy it is.
#[derive(Clone, Debug, PartialEq)]
pub struct HotMap {
    /// Address of its header.
    pub address: Hex,
    /// Its Go type.
    pub type_name: Option<String>,
    /// All operations.
    pub per_second: f64,
    /// Those that change it.
    pub writes_per_second: f64,
}

/// Follows a ring for as long as `body` wants.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn live<'r, R>(
    ring: &'r Ring,
    options: &Options,
    body: impl FnOnce(&mut Live<'r, '_, '_>, &Source) -> R,
) -> Result<R, AnalyzeError> {
    with_symbols(ring, options, |symbols, source| {
        let mut live = Live {
            ring,
            tail: Tail::default(),
            callers: Callers::new(ring, symbols),
            per_second: Rates::default(),
            functions: Rates::default(),
            maps: Rates::default(),
            writes: Rates::default(),
            missed: 0,
            damaged: 0,
            conflicts: (usize::MAX, 0),
            findings: Vec::new(),
        };
        body(&mut live, source)
    })
}

impl Live<'_, '_, '_> {
    /// Looks again, so many seconds after the last time; lists at most `most` functions and maps. With 0 seconds, as
    /// for the first look, what the ring holds is no part of the rates.
    ///
    /// # Errors
    /// When the ring cannot be read any more.
    pub fn look(&mut self, seconds: f64, most: usize) -> Result<Snapshot, RingError> {
        let control = self.ring.control()?;
        let mut new = Counts::default();
        let ring = self.ring;
        let (callers, tail) = (&mut self.callers, &mut self.tail);
        let advance = tail.advance(ring, |record| new.add(record, callers));
        self.damaged += new.damaged;
        if seconds > 0.0 {
            self.missed += advance.missed;
        }
        let scale = scale(&advance, &control);
        self.per_second.take(&new.kinds, scale, seconds);
        self.functions.take(&new.functions, scale, seconds);
        self.maps.take(&new.maps, scale, seconds);
        self.writes.take(&new.writes, scale, seconds);
        let lost = self.take_conflicts(&advance, &control)?;
        Ok(self.snapshot(control, &advance, lost, most))
    }

    fn take_conflicts(
        &mut self,
        advance: &Advance,
        control: &Control,
    ) -> Result<Losses, RingError> {
        let conflicts = self.ring.conflicts()?;
        let repeats = conflicts
            .committed
            .iter()
            .map(|conflict| u64::from(conflict.repeats));
        let state = (conflicts.committed.len(), repeats.sum());
        if state != self.conflicts {
            self.conflicts = state;
            let clock = Clock::new(self.ring.header(), &conflicts.committed);
            let mut collector = Collector::default();
            for conflict in conflicts.committed.iter().zip(&conflicts.contexts) {
                collector.add(self.ring, self.callers.symbols, &clock, conflict);
            }
            self.findings = collector.finish();
            self.findings
                .sort_by_key(|finding| std::cmp::Reverse(finding.last));
        }
        Ok(Losses {
            conflicts_torn: conflicts.torn.into(),
            conflicts_dropped: conflicts.dropped.into(),
            overwritten: advance.overwritten,
            dropped_no_lane: control.dropped_no_lane,
            dropped_no_p: control.dropped_no_p,
            left_out: self.ring.left_out()?,
            damaged_lanes: advance.damaged,
            damaged_records: self.damaged,
        })
    }

    fn snapshot(&self, control: Control, advance: &Advance, lost: Losses, most: usize) -> Snapshot {
        let clock = Clock::new(self.ring.header(), &[]);
        let functions = self.functions.busiest(most).into_iter();
        let maps = self.maps.busiest(most).into_iter();
        let hot_function = |((name, kind), per_second): ((NameId, usize), f64)| HotFunction {
            function: self.callers.name(name).to_owned(),
            operation: OPERATIONS.get(kind).copied().unwrap_or(Operation::Read),
            per_second,
        };
        let hot_map = |(key, per_second): (MapKey, f64)| HotMap {
            address: Hex(key.address),
            type_name: self
                .callers
                .symbols
                .type_name_of_low(self.ring, key.map_type),
            per_second,
            writes_per_second: self.writes.of(&key),
        };
        Snapshot {
            per_second: std::array::from_fn(|kind| self.per_second.of(&kind)),
            functions: functions.map(hot_function).collect(),
            maps: maps.map(hot_map).collect(),
            findings: self.findings.clone(),
            recorded: advance.committed,
            missed: self.missed,
            lost,
            held_ns: clock.ns_of_ticks(control.held_ticks),
            age_ns: clock.now_since_start(),
            control,
        }
    }
}

/// How many operations a record that was read stands for.
fn scale(advance: &Advance, control: &Control) -> f64 {
    let read = advance.new.saturating_sub(advance.missed);
    let of_read = advance.new as f64 / read.max(1) as f64;
    let sampled = control.gate == GATE_OBSERVE;
    of_read
        * if sampled {
            f64::from(control.sample_period.max(1))
        } else {
            1.0
        }
}

/// What one look found.
#[derive(Default)]
struct Counts {
    kinds: HashMap<usize, u64>,
    functions: HashMap<(NameId, usize), u64>,
    maps: HashMap<MapKey, u64>,
    writes: HashMap<MapKey, u64>,
    damaged: u64,
}

impl Counts {
    fn add(&mut self, record: &Record, callers: &mut Callers<'_, '_, '_>) {
        let Some(operation) = operation_of(record) else {
            self.damaged += 1;
            return;
        };
        let caller = match callers.caller_of(record) {
            // Part of a larger operation.
            Caller::Internal => return,
            Caller::User(name) | Caller::Machinery(name) => name,
        };
        let kind = OPERATIONS.iter().position(|&known| known == operation);
        let kind = kind.unwrap_or_default();
        let map = MapKey {
            address: record.map,
            map_type: record.map_type,
        };
        *self.kinds.entry(kind).or_default() += 1;
        *self.functions.entry((caller, kind)).or_default() += 1;
        *self.maps.entry(map).or_default() += 1;
        if operation.writes() {
            *self.writes.entry(map).or_default() += 1;
        }
    }
}

/// Moving averages, per second.
struct Rates<K>(HashMap<K, f64>);

impl<K> Default for Rates<K> {
    fn default() -> Rates<K> {
        Rates(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash + Ord> Rates<K> {
    /// Adds what was counted in some seconds.
    fn take(&mut self, counts: &HashMap<K, u64>, scale: f64, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let kept = (-seconds / MEMORY_SECONDS).exp();
        self.0.values_mut().for_each(|rate| *rate *= kept);
        for (key, count) in counts {
            let now = *count as f64 * scale / seconds;
            *self.0.entry(*key).or_default() += (1.0 - kept) * now;
        }
        self.0.retain(|_, rate| *rate >= FORGOTTEN);
        if self.0.len() > MOST_ENTRIES {
            let kept = self.busiest(MOST_ENTRIES / 2);
            self.0 = kept.into_iter().collect();
        }
    }

    fn of(&self, key: &K) -> f64 {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn busiest(&self, most: usize) -> Vec<(K, f64)> {
        let mut all: Vec<(K, f64)> = self.0.iter().map(|(key, rate)| (*key, *rate)).collect();
        all.sort_by(|(key_a, a), (key_b, b)| b.total_cmp(a).then(key_a.cmp(key_b)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_told_and_a_past_one_forgotten() {
        let mut rates = Rates::<usize>::default();
        let counts = HashMap::from([(1, 50), (2, 5)]);
        for _ in 0..100 {
            rates.take(&counts, 10.0, 0.5);
        }
        assert!((rates.of(&1) - 1000.0).abs() < 1.0, "{}", rates.of(&1));
        assert_eq!(rates.busiest(1).first().map(|(key, _)| *key), Some(1));
        for _ in 0..100 {
            rates.take(&HashMap::new(), 10.0, 0.5);
        }
        assert!(rates.busiest(9).is_empty());
    }

    #[test]
    fn a_record_stands_for_those_that_are_not_there() {
        use zerocopy::FromZeros;
        let mut control = Control::new_zeroed();
        let advance = Advance {
            new: 300,
            missed: 200,
            ..Advance::default()
        };
        assert_eq!(scale(&advance, &control), 3.0);
        control.gate = GATE_OBSERVE;
        control.sample_period = 1024;
        assert_eq!(scale(&advance, &control), 3072.0);
    }
}
