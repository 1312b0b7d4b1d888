//! Near misses: operations of different goroutines on one map, shortly after each other, at least one
//! of which writes.
//!
//! Of each map the last operation of a few goroutines is kept. A new operation is held against those
//! that came since the same goroutine last did the same: so what is counted is how often the two
//! alternate, not how often each is repeated. Memory is bounded, whatever is recorded: there are
//! [`MOST_MAPS`] maps and [`MOST_PAIRS`] pairs of stacks; what goes beyond is counted.

use super::stacks::StackId;
use crate::ring::layout::Record;
use crate::ring::{Operation, goid_of};
use std::collections::HashMap;

/// Maps that are watched at a time. One takes 216 bytes; so many just fit a table of 2^18 entries.
const MOST_MAPS: usize = (1 << 18) / 8 * 7;
/// Pairs of stacks that are told apart.
const MOST_PAIRS: usize = 1 << 16;
/// Operations that are kept for each map.
const KEPT: usize = 8;
/// Different maps and goroutines that are counted for a pair.
const MOST_COUNTED: usize = 32;

/// A map: address of its header, and its seed, since memory is reused.
type Map = (u64, u32);
type Hasher = foldhash::fast::RandomState;

/// Watches a stream of operations.
pub struct NearMisses {
    /// Operations further apart are not held against each other, in ticks of the time-stamp counter.
    window: u64,
    maps: HashMap<Map, Watched, Hasher>,
    pairs: HashMap<(StackId, StackId), Pair, Hasher>,
    lost: Lost,
}

/// What was not watched to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost {
    /// Maps that were forgotten because there were too many at a time.
    pub maps: u64,
    /// Near misses whose pair of stacks was one too many.
    pub pairs: u64,
}

/// The last operations on a map: each goroutine's last one from each place.
struct Watched {
    /// How many there are.
    count: usize,
    /// The newest first.
    kept: [Kept; KEPT],
}

/// The last operation that a goroutine did from one place.
#[derive(Clone, Copy)]
struct Kept {
    goroutine: u64,
    clock: u64,
    stack: StackId,
    writes: bool,
}

/// Two stacks whose operations came close to each other.
#[derive(Clone, Debug)]
pub struct Pair {
    /// How often the second one followed the first, and the first the second.
    pub followed: [u64; 2],
    /// The smallest distance, in ticks.
    pub gap: u64,
    /// When it first happened, in ticks.
    pub first: u64,
    /// When it last happened, in ticks.
    pub last: u64,
    /// The closest near miss: the goroutines in the order of the pair's stacks.
    pub goroutines: [u64; 2],
    /// Its map's address, seed, and the low half of the address of the map's type.
    pub map: (u64, u32, u32),
    /// Different maps, counted up to a bound.
    pub maps: Few<Map>,
    /// Different goroutines, counted up to a bound.
    pub all_goroutines: Few<u64>,
}

impl Pair {
    /// How often the two took turns: `A B A` is twice, `A A B` once.
    pub fn alternations(&self) -> u64 {
        let [there, back] = self.followed;
        there.min(back).saturating_mul(2) + u64::from(there != back)
    }

    /// How often one followed the other.
    pub fn count(&self) -> u64 {
        let [there, back] = self.followed;
        there.saturating_add(back)
    }
}

/// A small set that stops growing.
#[derive(Clone, Debug)]
pub struct Few<T>(Vec<T>);

impl<T: PartialEq> Few<T> {
    fn add(&mut self, item: T) {
        if self.0.len() < MOST_COUNTED && !self.0.contains(&item) {
            self.0.push(item);
        }
    }

    /// What they are.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl NearMisses {
    /// Watches with a window in ticks of the time-stamp counter.
    pub fn new(window: u64) -> NearMisses {
        NearMisses {
            window,
            maps: HashMap::default(),
            pairs: HashMap::default(),
            lost: Lost::default(),
        }
    }

    /// Takes the next operation into account.
    pub fn add(&mut self, record: &Record, stack: StackId, operation: Operation) {
        let new = Kept {
            goroutine: goid_of(record),
            clock: record.clock,
            stack,
            writes: operation.writes(),
        };
        let key = (record.map, record.seed);
        let Some(watched) = self.maps.get_mut(&key) else {
            if self.maps.len() >= MOST_MAPS {
                self.forget(record.clock);
            }
            self.maps.insert(key, Watched::new(new));
            return;
        };
        let since = watched.since(&new);
        for old in since {
            let is_conflict = old.goroutine != new.goroutine && (old.writes || new.writes);
            let gap = new.clock.saturating_sub(old.clock);
            if is_conflict && gap <= self.window {
                near_miss(&mut self.pairs, &mut self.lost, record, old, &new);
            }
        }
        let since = since.len();
        watched.put(new, since);
    }

    /// Makes room: maps that nobody used for longer than the window can have no near miss any more.
    /// Where that is not enough, all are forgotten.
    fn forget(&mut self, now: u64) {
        let window = self.window;
        self.maps
            .retain(|_, watched| now.saturating_sub(watched.last_used()) <= window);
        if self.maps.len() > MOST_MAPS / 2 {
            self.lost.maps += self.maps.len() as u64;
            self.maps.clear();
        }
    }

    /// The pairs, and what is missing.
    pub fn finish(self) -> (HashMap<(StackId, StackId), Pair, Hasher>, Lost) {
        (self.pairs, self.lost)
    }
}

impl Watched {
    fn new(first: Kept) -> Watched {
        Watched {
            count: 1,
            kept: [first; KEPT],
        }
    }

    fn last_used(&self) -> u64 {
        let [newest, ..] = &self.kept;
        newest.clock
    }

    /// The operations that came since the same one; all, when there was none.
    fn since(&self, new: &Kept) -> &[Kept] {
        let kept = self.kept.get(..self.count).unwrap_or_default();
        let same = kept.iter().position(|old| old.is_same(new));
        same.and_then(|same| kept.get(..same)).unwrap_or(kept)
    }

    /// Puts an operation in front, in place of the one after `since` others (the same, or none), or of the
    /// oldest when there is no room.
    fn put(&mut self, new: Kept, since: usize) {
        let place = since.min(KEPT - 1);
        self.count = self.count.max(place + 1);
        self.kept.copy_within(..place, 1);
        let [newest, ..] = &mut self.kept;
        *newest = new;
    }
}

impl Kept {
    /// It is the same goroutine's operation from the same place.
    fn is_same(&self, new: &Kept) -> bool {
        self.goroutine == new.goroutine && self.stack == new.stack
    }
}

fn near_miss(
    pairs: &mut HashMap<(StackId, StackId), Pair, Hasher>,
    lost: &mut Lost,
    record: &Record,
    old: &Kept,
    new: &Kept,
) {
    let in_order = old.stack <= new.stack;
    let key = if in_order {
        (old.stack, new.stack)
    } else {
        (new.stack, old.stack)
    };
    if pairs.len() >= MOST_PAIRS && !pairs.contains_key(&key) {
        lost.pairs += 1;
        return;
    }
    let pair = pairs.entry(key).or_insert_with(|| Pair {
        followed: [0; 2],
        gap: u64::MAX,
        first: new.clock,
        last: new.clock,
        goroutines: [0; 2],
        map: (0, 0, 0),
        maps: Few(Vec::new()),
        all_goroutines: Few(Vec::new()),
    });
    // One place alone: the goroutines' numbers give it two directions.
    let forward = if old.stack == new.stack {
        old.goroutine < new.goroutine
    } else {
        in_order
    };
    let [there, back] = &mut pair.followed;
    *(if forward { there } else { back }) += 1;
    let gap = new.clock.saturating_sub(old.clock);
    if gap < pair.gap {
        pair.gap = gap;
        pair.map = (record.map, record.seed, record.map_type);
        pair.goroutines = if in_order {
            [old.goroutine, new.goroutine]
        } else {
            [new.goroutine, old.goroutine]
        };
    }
    pair.last = pair.last.max(new.clock);
    pair.maps.add((record.map, record.seed));
    pair.all_goroutines.add(old.goroutine);
    pair.all_goroutines.add(new.goroutine);
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    const READ: (StackId, Operation) = (StackId::of(1), Operation::Read);
    const WRITE: (StackId, Operation) = (StackId::of(2), Operation::Assign);

    /// Operations as (goroutine, clock, what), all on one map.
    fn pairs(operations: &[(u64, u64, (StackId, Operation))]) -> Vec<Pair> {
        let mut near = NearMisses::new(100);
        for (goroutine, clock, (stack, operation)) in operations {
            let mut record = Record::new_zeroed();
            (record.map, record.seed) = (0xc000, 7);
            (record.who, record.clock) = (*goroutine, *clock);
            near.add(&record, *stack, *operation);
        }
        near.finish().0.into_values().collect()
    }

    #[test]
    fn who_takes_turns_is_near() {
        let found = pairs(&[(1, 10, READ), (2, 15, WRITE), (1, 18, READ), (2, 30, WRITE)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].alternations(), found[0].gap), (3, 3));
        assert_eq!(found[0].goroutines, [1, 2]);
    }

    #[test]
    fn repetition_is_no_alternation() {
        let mut operations = vec![(1, 10, READ); 50];
        operations.push((2, 15, WRITE));
        operations.extend([(1, 16, READ); 50]);
        assert_eq!(pairs(&operations)[0].count(), 2);
    }

    #[test]
    fn no_near_miss() {
        let alone = [(1, 10, READ), (1, 11, WRITE), (1, 12, READ)];
        let readers = [(1, 10, READ), (2, 11, READ), (1, 12, READ)];
        let apart = [(1, 10, READ), (2, 111, WRITE), (1, 212, READ)];
        for operations in [alone, readers, apart] {
            assert!(pairs(&operations).is_empty(), "{operations:?}");
        }
    }

    #[test]
    fn one_place_conflicts_with_itself() {
        let found = pairs(&[(1, 10, WRITE), (2, 11, WRITE), (1, 12, WRITE)]);
        assert_eq!(found[0].followed, [1, 1]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut near = NearMisses::new(100);
        let mut record = Record::new_zeroed();
        for map in 0..2 * MOST_MAPS as u64 {
            (record.map, record.clock) = (map, 5);
            near.add(&record, READ.0, READ.1);
        }
        assert!(near.maps.len() <= MOST_MAPS);
        assert!(near.lost.maps > 0);
    }
}
