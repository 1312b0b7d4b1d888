//! The different stacks of a ring's recorded operations, each stored once.

use super::frames;
use super::model::OperationStack;
use super::symbols::Symbolizer;
use crate::ring::layout::{RECORD_PCS, Record};
use crate::ring::{Operation, Ring, goid_of, operation_of};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Stacks that are told apart in one ring; a hostile one could hold any number of them.
const MOST_STACKS: usize = 1 << 20;

/// Goroutines that are told apart at one stack.
const MOST_GOROUTINES: usize = 1 << 16;

/// A stack's number in [`Stacks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(u32);

impl StackId {
    /// Its place in a list of all stacks.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// A number of the test's choice.
    #[cfg(test)]
    pub const fn of(number: u32) -> StackId {
        StackId(number)
    }
}

/// An operation and its return addresses (low 32 bits, innermost first, zeros at the end).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    operation: Operation,
    pcs: [u32; RECORD_PCS],
}

/// In words of eight bytes: once for every record, and several times faster than field by field.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (pairs, _) = self.pcs.as_chunks::<2>();
        for &[low, high] in pairs {
            state.write_u64(u64::from(low) | u64::from(high) << 32);
        }
        state.write_u8(self.operation.code());
    }
}

/// What is known of a stack.
struct Entry {
    key: Key,
    count: u64,
    /// The operation is part of a larger one, such as an assignment inside `maps.Clone`.
    internal: bool,
    /// Stands for function, file and line of the user's innermost call.
    place: u64,
    goroutines: HashSet<u64>,
    /// Mostly the one of the next record, too.
    latest: u64,
}

impl Entry {
    fn note(&mut self, goroutine: u64) {
        if self.latest != goroutine && self.goroutines.len() < MOST_GOROUTINES {
            self.goroutines.insert(goroutine);
        }
        self.latest = goroutine;
    }
}

/// How one record was counted.
pub enum Counted {
    /// As an operation of the user's.
    Operation(StackId, Operation),
    /// As a part of a larger operation, or without telling its stack from others.
    Aside,
    /// It makes no sense.
    Damaged,
}

/// The stacks of one ring, with counts.
#[derive(Default)]
pub struct Stacks {
    ids: HashMap<Key, StackId, foldhash::fast::RandomState>,
    entries: Vec<Entry>,
    /// Operations that found the table full.
    beyond: u64,
    /// Goroutines are noted.
    with_goroutines: bool,
}

impl Stacks {
    /// None yet. To know the goroutines of each takes time and memory.
    pub fn new(with_goroutines: bool) -> Stacks {
        Stacks {
            with_goroutines,
            ..Stacks::default()
        }
    }

    /// Counts a record.
    pub fn count(&mut self, record: &Record, ring: &Ring, symbols: &mut Symbolizer<'_>) -> Counted {
        let Some(operation) = operation_of(record) else {
            return Counted::Damaged;
        };
        let pcs = record.pcs;
        let Some(id) = self.id(Key { operation, pcs }, ring, symbols) else {
            self.beyond += 1;
            return Counted::Aside;
        };
        match self.entries.get_mut(id.0 as usize) {
            Some(entry) => {
                entry.count += 1;
                if self.with_goroutines {
                    entry.note(goid_of(record));
                }
                if entry.internal {
                    Counted::Aside
                } else {
                    Counted::Operation(id, operation)
                }
            }
            None => Counted::Aside,
        }
    }

    fn id(&mut self, key: Key, ring: &Ring, symbols: &mut Symbolizer<'_>) -> Option<StackId> {
        if let Some(&id) = self.ids.get(&key) {
            return Some(id);
        }
        if self.entries.len() >= MOST_STACKS {
            return None;
        }
        let id = StackId(u32::try_from(self.entries.len()).ok()?);
        let internal = is_internal(key.pcs, ring, symbols);
        self.ids.insert(key, id);
        self.entries.push(Entry {
            key,
            count: 0,
            internal,
            place: place_of(key.pcs, ring, symbols),
            goroutines: HashSet::new(),
            latest: 0,
        });
        Some(id)
    }

    /// The same number for stacks whose innermost user call is the same.
    pub fn place(&self, id: StackId) -> u64 {
        let entry = self.entries.get(id.0 as usize);
        entry.map_or(0, |entry| entry.place)
    }

    /// The return addresses of a stack.
    pub fn pcs(&self, id: StackId) -> &[u32] {
        let Some(entry) = self.entries.get(id.0 as usize) else {
            return &[];
        };
        let depth = entry.key.pcs.iter().take_while(|&&pc| pc != 0).count();
        entry.key.pcs.get(..depth).unwrap_or_default()
    }

    /// One of the stacks, with names.
    pub fn named_one(
        &self,
        id: StackId,
        ring: &Ring,
        symbols: &mut Symbolizer<'_>,
    ) -> Option<OperationStack> {
        let entry = self.entries.get(id.0 as usize)?;
        Some(named(entry, ring, symbols))
    }

    /// Operations whose stacks were too many to be told apart.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// The stacks with names, and how often each was recorded.
    pub fn named(&self, ring: &Ring, symbols: &mut Symbolizer<'_>) -> Vec<OperationStack> {
        let users = self.entries.iter().filter(|entry| !entry.internal);
        users.map(|entry| named(entry, ring, symbols)).collect()
    }
}

fn named(entry: &Entry, ring: &Ring, symbols: &mut Symbolizer<'_>) -> OperationStack {
    let Key { operation, pcs } = entry.key;
    let recorded = pcs.iter().take_while(|&&pc| pc != 0);
    let stack = symbols.stack(recorded.map(|&low| ring.link_time_pc(low)));
    let ends = pcs.contains(&0)
        || stack
            .last()
            .is_some_and(|frame| frame.function == "runtime.goexit");
    let pid = ring.header().pid;
    OperationStack {
        operation,
        stack,
        truncated: !ends,
        count: entry.count,
        goroutines: entry.goroutines.iter().map(|&id| (pid, id)).collect(),
    }
}

/// Only the direct caller tells whether an operation is part of another.
fn is_internal(pcs: [u32; RECORD_PCS], ring: &Ring, symbols: &mut Symbolizer<'_>) -> bool {
    let [innermost, ..] = pcs;
    let Some(at) = ring.link_time_pc(innermost) else {
        return false;
    };
    let frames = symbols.frames_of_return(at);
    frames
        .iter()
        .any(|frame| frames::is_internal_caller(&frame.function))
}

/// A loop over a map has several calls in one line, and they are one place.
fn place_of(pcs: [u32; RECORD_PCS], ring: &Ring, symbols: &mut Symbolizer<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for at in pcs.iter().filter_map(|&low| ring.link_time_pc(low)) {
        let frames = symbols.frames_of_return(at);
        let user = frames
            .iter()
            .find(|frame| !frames::is_machinery(&frame.function));
        if let Some(frame) = user {
            (&frame.function, &frame.file, frame.line).hash(&mut hasher);
            return hasher.finish();
        }
    }
    pcs.hash(&mut hasher);
    hasher.finish()
}
