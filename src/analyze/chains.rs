//! Who touched a map after whom: for each map that goroutines collided on, its last recorded
//! operations in their order, a run of the same one as a single link.

use super::clock::Clock;
use super::executable::{AnalyzeError, Options, for_each_ring};
use super::frames;
use super::model::{Hex, Moment};
use super::stacks::{Counted, StackId, Stacks};
use super::stream::Stream;
use super::symbols::Symbolizer;
use crate::ring::layout::{Conflict, Record};
use crate::ring::{Operation, Ring, RuntimeAddr, goid_of};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};

/// Links that are kept of each chain: the last ones.
const LINKS: usize = 64;

/// The chains of all rings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chains {
    /// One for each map that goroutines collided on, in the order of the first conflict.
    pub chains: Vec<Chain>,
    /// Why names are missing, or rings could be read only in part.
    pub problems: Vec<String>,
}

/// What happened to one map.
#[derive(Clone, Debug, Serialize)]
pub struct Chain {
    /// The process it lives in.
    pub pid: u32,
    /// Address of its header.
    pub address: Hex,
    /// Its Go type.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Earlier links that are not kept.
    pub earlier: u64,
    /// In their order; as exact as the recorded clocks, which are read every few operations.
    pub links: Vec<Link>,
}

/// Operations of one goroutine in one place, one after the other; or a conflict.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// The goroutine.
    pub goroutine: u64,
    /// What it did.
    pub operation: Option<Operation>,
    /// How often in a row.
    pub count: u64,
    /// The innermost function of the user.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// When it began, nanoseconds since the process started.
    pub since_start_ns: u64,
    /// The conflict was noticed here, by this goroutine.
    pub conflict: bool,
}

/// A chain while it is collected.
struct Collecting {
    links: VecDeque<Recorded>,
    earlier: u64,
}

struct Recorded {
    goroutine: u64,
    stack: StackId,
    place: u64,
    operation: Operation,
    count: u64,
    clock: u64,
}

/// Follows the maps that goroutines collided on through the recorded operations.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn chains(rings: Vec<Ring>, options: &Options) -> Result<Chains, AnalyzeError> {
    let mut all = Chains::default();
    let missing = for_each_ring(rings, options, |ring, symbols| {
        follow(ring, symbols, &mut all);
    })?;
    all.problems.splice(0..0, missing);
    Ok(all)
}

fn follow(ring: &Ring, symbols: &mut Symbolizer<'_>, all: &mut Chains) {
    let conflicts = ring.conflicts().unwrap_or_else(|error| {
        all.problems.push(error.to_string());
        Default::default()
    });
    let conflicts = conflicts.committed;
    let mut followed = Followed::of(&conflicts);
    let mut stacks = Stacks::default();
    let ended = Stream::open(ring).for_each(|record| {
        if !followed.is_of_interest(record) {
            return;
        }
        if let Counted::Operation(stack, operation) = stacks.count(record, ring, symbols) {
            followed.add(record, stack, operation, &stacks);
        }
    });
    all.problems
        .extend(ended.errors.iter().map(ToString::to_string));
    let clock = Clock::new(ring.header(), &conflicts);
    followed.finish((ring, &clock, &stacks), symbols, &conflicts, all);
}

/// The maps of one ring that goroutines collided on.
pub struct Followed(HashMap<u64, Collecting, foldhash::fast::RandomState>);

impl Followed {
    /// Follows the maps of these conflicts.
    pub fn of(conflicts: &[Conflict]) -> Followed {
        let maps = conflicts.iter().filter(|conflict| conflict.map != 0);
        Followed(
            maps.map(|conflict| (conflict.map, Collecting::new()))
                .collect(),
        )
    }

    fn is_of_interest(&self, record: &Record) -> bool {
        self.0.contains_key(&record.map)
    }

    /// Takes an operation into account, if it is on one of the maps.
    pub fn add(&mut self, record: &Record, stack: StackId, operation: Operation, stacks: &Stacks) {
        // The seed is left out: it changes when a map becomes empty.
        if let Some(chain) = self.0.get_mut(&record.map) {
            chain.add(record, (stack, stacks.place(stack)), operation);
        }
    }

    /// The chains, in the order of the first conflict.
    pub fn finish(
        mut self,
        (ring, clock, stacks): (&Ring, &Clock, &Stacks),
        symbols: &mut Symbolizer<'_>,
        conflicts: &[Conflict],
        all: &mut Chains,
    ) {
        let mut naming = Naming {
            ring,
            symbols,
            clock,
            stacks,
        };
        for conflict in conflicts {
            if let Some(collected) = self.0.remove(&conflict.map) {
                all.chains
                    .push(naming.chain(conflict, collected, conflicts));
            }
        }
    }
}

impl Collecting {
    fn new() -> Collecting {
        Collecting {
            links: VecDeque::new(),
            earlier: 0,
        }
    }

    fn add(&mut self, record: &Record, (stack, place): (StackId, u64), operation: Operation) {
        let goroutine = goid_of(record);
        if let Some(last) = self.links.back_mut()
            && (last.goroutine, last.place, last.operation) == (goroutine, place, operation)
        {
            last.count += 1;
            return;
        }
        if self.links.len() >= LINKS {
            self.links.pop_front();
            self.earlier += 1;
        }
        self.links.push_back(Recorded {
            goroutine,
            stack,
            place,
            operation,
            count: 1,
            clock: record.clock,
        });
    }
}

/// What it takes to name a chain's links.
struct Naming<'a, 'b> {
    ring: &'a Ring,
    symbols: &'a mut Symbolizer<'b>,
    clock: &'a Clock,
    stacks: &'a Stacks,
}

impl Naming<'_, '_> {
    fn chain(&mut self, first: &Conflict, collected: Collecting, conflicts: &[Conflict]) -> Chain {
        let mut links: Vec<Link> = collected
            .links
            .iter()
            .map(|recorded| self.link(recorded))
            .collect();
        let on_it = conflicts.iter().filter(|other| other.map == first.map);
        links.extend(on_it.map(|conflict| noticed(conflict, self.clock)));
        links.sort_by_key(|link| link.since_start_ns);
        let descriptor = self.ring.link_time(RuntimeAddr(first.map_type));
        Chain {
            pid: self.ring.header().pid,
            address: Hex(first.map),
            type_name: descriptor.and_then(|at| self.symbols.type_name(at)),
            earlier: collected.earlier,
            links,
        }
    }

    fn link(&mut self, recorded: &Recorded) -> Link {
        let named = self
            .stacks
            .named_one(recorded.stack, self.ring, self.symbols);
        let place = named
            .as_ref()
            .and_then(|named| frames::innermost_user(&named.stack));
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        Link {
            goroutine: recorded.goroutine,
            operation: Some(recorded.operation),
            count: recorded.count,
            function: text(place.map(|frame| &frame.function)),
            file: text(place.map(|frame| &frame.file)),
            line: place.map_or(0, |frame| frame.line),
            since_start_ns: self.clock.at_tsc(recorded.clock).since_start_ns,
            conflict: false,
        }
    }
}

fn noticed(conflict: &Conflict, clock: &Clock) -> Link {
    let [noticed, _] = &conflict.sides;
    let (Moment { since_start_ns, .. }, _) = clock.of_conflict(conflict);
    Link {
        goroutine: noticed.goid,
        operation: Operation::from_code(noticed.op),
        count: 1,
        function: String::new(),
        file: String::new(),
        line: 0,
        since_start_ns,
        conflict: true,
    }
}
