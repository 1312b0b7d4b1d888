//! Which maps are shared: by how many goroutines, at what ratio of reads to writes.

use super::clock::Clock;
use super::executable::{AnalyzeError, Options, for_each_ring};
use super::frames;
use super::model::Hex;
use super::stacks::{Counted, StackId, Stacks};
use super::stream::Stream;
use super::symbols::Symbolizer;
use crate::ring::layout::Record;
use crate::ring::{Operation, Ring, goid_of};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Maps that are told apart in one ring; what comes after them is counted together.
const MOST_MAPS: usize = 1 << 18;
/// Goroutines of one map that are told apart.
const MOST_GOROUTINES: usize = 64;
/// Maps that are given back.
const LISTED: usize = 1000;

/// The maps of all rings, the most shared ones first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Instances {
    /// Maps that more goroutines than one used first, then by operations.
    pub maps: Vec<InstanceCount>,
    /// Maps that are not listed.
    pub unlisted: u64,
    /// Operations on maps that were too many to be told apart.
    pub beyond: u64,
    /// Why names are missing, or rings could be read only in part.
    pub problems: Vec<String>,
}

/// What was recorded of one map.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceCount {
    /// The process it lives in.
    pub pid: u32,
    /// Address of its header.
    pub address: Hex,
    /// Its random seed.
    pub instance: Hex,
    /// Its Go type.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Different goroutines.
    pub goroutines: usize,
    /// There are more of them than are counted.
    pub more_goroutines: bool,
    /// Reads, clones and steps of iterations.
    pub reads: u64,
    /// Assignments, deletions and clears.
    pub writes: u64,
    /// Where it was first used: the innermost function of the user.
    pub first_used_in: String,
    /// When it was last used, nanoseconds since the process started.
    pub last_since_start_ns: u64,
}

/// A map while it is counted.
struct Counting {
    goroutines: HashSet<u64>,
    more_goroutines: bool,
    reads: u64,
    writes: u64,
    map_type: u32,
    first: StackId,
    last: u64,
}

/// Counts the operations of all rings by map.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn instances(rings: Vec<Ring>, options: &Options) -> Result<Instances, AnalyzeError> {
    let mut all = Instances::default();
    let missing = for_each_ring(rings, options, |ring, symbols| {
        count_ring(ring, symbols, &mut all);
    })?;
    all.problems.splice(0..0, missing);
    let key = |map: &InstanceCount| (map.goroutines.min(2), map.reads.saturating_add(map.writes));
    all.maps.sort_by(|a, b| {
        let by_use = key(b).cmp(&key(a));
        by_use.then_with(|| (a.pid, a.address, a.instance).cmp(&(b.pid, b.address, b.instance)))
    });
    all.unlisted = all.maps.len().saturating_sub(LISTED) as u64;
    all.maps.truncate(LISTED);
    Ok(all)
}

fn count_ring(ring: &Ring, symbols: &mut Symbolizer<'_>, all: &mut Instances) {
    let mut stacks = Stacks::default();
    let mut maps: HashMap<(u64, u32), Counting, foldhash::fast::RandomState> = HashMap::default();
    let mut beyond = 0;
    let ended = Stream::open(ring).for_each(|record| {
        let Counted::Operation(stack, operation) = stacks.count(record, ring, symbols) else {
            return;
        };
        let key = (record.map, record.seed);
        if maps.len() >= MOST_MAPS && !maps.contains_key(&key) {
            beyond += 1;
            return;
        }
        let map = maps
            .entry(key)
            .or_insert_with(|| Counting::new(record, stack));
        map.count(record, operation);
    });
    let problems = ended.errors.iter().map(ToString::to_string);
    all.problems.extend(problems);
    all.beyond += beyond;
    let clock = Clock::new(ring.header(), &[]);
    for ((address, seed), counted) in maps {
        let frames = stacks.named_one(counted.first, ring, symbols);
        let place = frames
            .as_ref()
            .and_then(|recorded| frames::innermost_user(&recorded.stack));
        all.maps.push(InstanceCount {
            pid: ring.header().pid,
            address: Hex(address),
            instance: Hex(seed.into()),
            type_name: symbols.type_name_of_low(ring, counted.map_type),
            goroutines: counted.goroutines.len(),
            more_goroutines: counted.more_goroutines,
            reads: counted.reads,
            writes: counted.writes,
            first_used_in: place.map_or_else(String::new, |frame| frame.function.clone()),
            last_since_start_ns: clock.at_tsc(counted.last).since_start_ns,
        });
    }
}

impl Counting {
    fn new(record: &Record, first: StackId) -> Counting {
        Counting {
            goroutines: HashSet::new(),
            more_goroutines: false,
            reads: 0,
            writes: 0,
            map_type: record.map_type,
            first,
            last: 0,
        }
    }

    fn count(&mut self, record: &Record, operation: Operation) {
        let goroutine = goid_of(record);
        if self.goroutines.len() < MOST_GOROUTINES {
            self.goroutines.insert(goroutine);
        } else if !self.goroutines.contains(&goroutine) {
            self.more_goroutines = true;
        }
        if operation.writes() {
            self.writes += 1;
        } else {
            self.reads += 1;
        }
        self.last = self.last.max(record.clock);
    }
}
