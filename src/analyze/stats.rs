//! Which function performs how many operations on maps.

use super::executable::{AnalyzeError, Options, for_each_ring};
use super::findings::damaged_lane;
use super::frames;
use super::model::Losses;
use super::symbols::Symbolizer;
use crate::ring::layout::Record;
use crate::ring::{Lane, Operation, Ring, operation_of};
use serde::Serialize;
use std::collections::HashMap;

/// Places that are told apart; a hostile ring could name any number of them.
const MOST_NAMES: usize = 1 << 20;

/// Recorded operations, counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Sorted by function, then operation.
    pub operations: Vec<FunctionCount>,
    /// Operations that are part of a larger one (the assignments inside `maps.Clone`): not counted
    /// above.
    pub internal: u64,
    /// What is missing.
    pub lost: Losses,
    /// Why names are missing, or rings could be read only in part.
    pub problems: Vec<String>,
}

/// The operations of one kind that one function performed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FunctionCount {
    /// The innermost function of the user: `main.(*Cache).Put`. An address without symbols.
    pub function: String,
    /// What it did.
    pub operation: Operation,
    /// How often it was recorded.
    pub count: u64,
}

/// Counts the operations in the lanes of all rings. Memory grows with the number of different places
/// in the program, not with the number of records.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn statistics(rings: Vec<Ring>, options: &Options) -> Result<Stats, AnalyzeError> {
    let mut stats = Stats::default();
    let mut total: HashMap<(String, Operation), u64> = HashMap::new();
    let missing = for_each_ring(rings, options, |ring, symbols| {
        count_ring(ring, symbols, &mut stats, &mut total);
    })?;
    stats.problems.splice(0..0, missing);
    let count = |((function, operation), count)| FunctionCount {
        function,
        operation,
        count,
    };
    stats.operations = total.into_iter().map(count).collect();
    stats.operations.sort();
    Ok(stats)
}

fn count_ring(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    stats: &mut Stats,
    total: &mut HashMap<(String, Operation), u64>,
) {
    match ring.control() {
        Ok(control) => {
            stats.lost.dropped_no_lane += control.dropped_no_lane;
            stats.lost.dropped_no_p += control.dropped_no_p;
        }
        Err(error) => stats.problems.push(error.to_string()),
    }
    match ring.left_out() {
        Ok(left_out) => stats.lost.left_out = stats.lost.left_out.saturating_add(left_out),
        Err(error) => stats.problems.push(error.to_string()),
    }
    let mut counter = Counter {
        callers: Callers::new(ring, symbols),
        counts: HashMap::new(),
        internal: 0,
        damaged: 0,
    };
    for lane in ring.lanes() {
        let done = lane.and_then(|mut lane| {
            let done = counter.count_lane(&mut lane);
            stats.lost.overwritten += lane.loss().overwritten;
            done
        });
        if let Err(error) = done {
            damaged_lane(&mut stats.lost, &mut stats.problems, &error);
        }
    }
    stats.internal += counter.internal;
    stats.lost.damaged_records += counter.damaged;
    let names = counter.callers.names;
    for ((function, operation), count) in counter.counts {
        let name = names.name(function).to_owned();
        *total.entry((name, operation)).or_default() += count;
    }
}

/// The operations of one ring, counted by function.
struct Counter<'a, 'b, 'c> {
    callers: Callers<'a, 'b, 'c>,
    counts: HashMap<(NameId, Operation), u64>,
    internal: u64,
    damaged: u64,
}

impl Counter<'_, '_, '_> {
    fn count_lane(&mut self, lane: &mut Lane<'_>) -> Result<(), crate::ring::RingError> {
        while let Some(block) = lane.next_block()? {
            block.iter().for_each(|record| self.count(record));
        }
        Ok(())
    }

    fn count(&mut self, record: &Record) {
        let Some(operation) = operation_of(record) else {
            self.damaged += 1;
            return;
        };
        match self.callers.caller_of(record) {
            Caller::Internal => self.internal += 1,
            Caller::User(name) | Caller::Machinery(name) => {
                *self.counts.entry((name, operation)).or_default() += 1
            }
        }
    }
}

/// What a return address says about the operation that was called from there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The operation is part of a larger one.
    Internal,
    /// Runtime, reflection: the user's function is further out.
    Machinery(NameId),
    /// The user's function.
    User(NameId),
}

/// The callers of one ring by the low 32 bits of their return addresses: names are looked up once
/// for each.
pub(super) struct Callers<'a, 'b, 'c> {
    ring: &'a Ring,
    pub(super) symbols: &'b mut Symbolizer<'c>,
    known: HashMap<u32, Caller>,
    names: Names,
}

impl<'a, 'b, 'c> Callers<'a, 'b, 'c> {
    pub(super) fn new(ring: &'a Ring, symbols: &'b mut Symbolizer<'c>) -> Callers<'a, 'b, 'c> {
        Callers {
            ring,
            symbols,
            known: HashMap::new(),
            names: Names::default(),
        }
    }

    pub(super) fn name(&self, id: NameId) -> &str {
        self.names.name(id)
    }

    pub(super) fn caller_of(&mut self, record: &Record) -> Caller {
        let mut innermost = None;
        for &low in record.pcs.iter().take_while(|&&low| low != 0) {
            match (self.classify(low), innermost) {
                (Caller::User(name), _) => return Caller::User(name),
                // Only the direct caller tells whether the operation is part of another.
                (Caller::Internal, None) => return Caller::Internal,
                (other, None) => innermost = Some(other),
                _ => {}
            }
        }
        innermost.unwrap_or_else(|| Caller::Machinery(self.names.id("?")))
    }

    fn classify(&mut self, low: u32) -> Caller {
        if let Some(&known) = self.known.get(&low) {
            return known;
        }
        let caller = match self.ring.link_time_pc(low) {
            Some(at) => self.classify_frames(at),
            // Not remembered: a hostile ring has four billion of these.
            None => return Caller::Machinery(self.names.id("?")),
        };
        if self.known.len() < MOST_NAMES {
            self.known.insert(low, caller);
        }
        caller
    }

    fn classify_frames(&mut self, at: crate::image::Vaddr) -> Caller {
        let stack = self.symbols.frames_of_return(at);
        if stack
            .iter()
            .any(|frame| frames::is_internal_caller(&frame.function))
        {
            return Caller::Internal;
        }
        let users = |function: &str| {
            !frames::is_machinery(function) && frames::package_of(function) != "maps"
        };
        match stack.iter().find(|frame| users(&frame.function)) {
            Some(frame) => Caller::User(self.names.id(&frame.function)),
            None => Caller::Machinery(
                self.names
                    .id(stack.first().map_or("?", |frame| frame.function.as_str())),
            ),
        }
    }
}

/// A function name's number in [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NameId(usize);

/// Function names, each stored once.
#[derive(Default)]
struct Names {
    ids: HashMap<String, NameId>,
    names: Vec<String>,
}

impl Names {
    fn id(&mut self, name: &str) -> NameId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        if self.names.len() >= MOST_NAMES {
            return NameId(usize::MAX);
        }
        let id = NameId(self.names.len());
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        id
    }

    fn name(&self, id: NameId) -> &str {
        self.names.get(id.0).map_or("(others)", String::as_str)
    }
}
