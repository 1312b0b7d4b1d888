//! From conflict records to findings: conflicts at one pair of places are one finding.

use super::clock::Clock;
use super::frames;
use super::grade::{self, grade};
use super::model::{Certainty, Finding, Goroutine, Hex, Making, MapIdentity, Side, StackFrame};
use super::symbols::Symbolizer;
use crate::ring::layout::{self, Conflict, Context, Labels, Record};
use crate::ring::{Operation, Ring, RuntimeAddr, goid_of, labels_of, side_pcs};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Collects conflicts of any number of rings into findings.
#[derive(Default)]
pub struct Collector {
    by_places: HashMap<[Place; 2], Group>,
}

/// Where a side's operation stands in the source: what makes two conflicts the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    operation: Option<Operation>,
    function: String,
    file: String,
    line: u32,
}

impl Place {
    /// The same place wherever the sources lay when the program was built.
    pub fn anywhere(mut self) -> Place {
        if let Some((_, name)) = self.file.rsplit_once('/') {
            self.file = name.to_owned();
        }
        self
    }
}

/// The conflicts at one pair of places.
struct Group {
    /// The best-proven one (the earliest of these), with the times and the count of all.
    shown: Finding,
    instances: HashSet<(u32, u64)>,
    goroutines: HashSet<(u32, u64)>,
    /// Process and goroutine that noticed each of the conflicts.
    noticed_by: HashSet<(u32, u64)>,
}

impl Collector {
    /// Adds one conflict.
    pub fn add(
        &mut self,
        ring: &Ring,
        symbols: &mut Symbolizer<'_>,
        clock: &Clock,
        (conflict, context): (&Conflict, &Context),
    ) {
        let finding = finding_of(ring, symbols, clock, (conflict, context));
        let mut places = [place_of(&finding.sides[0]), place_of(&finding.sides[1])];
        places.sort();
        match self.by_places.entry(places) {
            Entry::Vacant(vacant) => {
                vacant.insert(Group::new(finding));
            }
            Entry::Occupied(mut group) => group.get_mut().merge(finding),
        }
    }

    /// The findings: confirmed ones first, then by time.
    pub fn finish(self) -> Vec<Finding> {
        let mut groups: Vec<_> = self.by_places.into_iter().collect();
        groups.sort_by(|(place_a, a), (place_b, b)| {
            let key = |group: &Group| (group.shown.grade, group.shown.first);
            key(a).cmp(&key(b)).then_with(|| place_a.cmp(place_b))
        });
        groups
            .into_iter()
            .map(|(_, group)| group.finish())
            .collect()
    }
}

impl Group {
    fn new(finding: Finding) -> Group {
        let mut group = Group {
            instances: HashSet::new(),
            goroutines: HashSet::new(),
            noticed_by: HashSet::new(),
            shown: finding.clone(),
        };
        group.count_parties(&finding);
        group
    }

    fn merge(&mut self, other: Finding) {
        let mut count = self.shown.count;
        // The hook notices a conflict, then the runtime's own check does: that is one conflict.
        if !(other.fatal && self.noticed_by.contains(&noticed_by(&other))) {
            count = count.saturating_add(other.count);
        }
        self.count_parties(&other);
        let (first, last) = (
            self.shown.first.min(other.first),
            self.shown.last.max(other.last),
        );
        let fatal = self.shown.fatal || other.fatal;
        if rank(&other) < rank(&self.shown) {
            self.shown = other;
        }
        self.shown.count = count;
        self.shown.fatal = fatal;
        self.shown.first = first;
        self.shown.last = last;
    }

    fn count_parties(&mut self, finding: &Finding) {
        // The seed alone is not enough (32 bits), nor is the address (memory is reused); a pair of
        // both is as good as an identity.
        let address = finding.map.address.map_or(0, |address| address.0);
        self.instances.insert((
            finding.pid,
            address ^ finding.map.instance.0.rotate_left(32),
        ));
        self.noticed_by.insert(noticed_by(finding));
        for goroutine in finding
            .sides
            .iter()
            .filter_map(|side| side.goroutine.as_ref())
        {
            self.goroutines.insert((finding.pid, goroutine.id));
        }
    }

    fn finish(mut self) -> Finding {
        self.shown.instances = self.instances.len();
        self.shown.goroutines = self.goroutines.len();
        self.shown
    }
}

fn noticed_by(finding: &Finding) -> (u32, u64) {
    let [noticed, _] = &finding.sides;
    (
        finding.pid,
        noticed
            .goroutine
            .as_ref()
            .map_or(0, |goroutine| goroutine.id),
    )
}

/// Lower is better: which of several conflicts is shown.
pub fn rank(finding: &Finding) -> impl Ord + use<> {
    let [_, found] = &finding.sides;
    (
        finding.grade,
        found.certainty,
        found.truncated,
        finding.first,
    )
}

/// Where a side stands.
pub fn place_of(side: &Side) -> Place {
    let frame = frames::innermost_user(&side.stack);
    Place {
        operation: side.operation,
        function: frame
            .map(|frame| frame.function.clone())
            .unwrap_or_default(),
        file: frame.map(|frame| frame.file.clone()).unwrap_or_default(),
        line: frame.map_or(0, |frame| frame.line),
    }
}

fn finding_of(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    clock: &Clock,
    (conflict, context): (&Conflict, &Context),
) -> Finding {
    let (grade, evidence) = grade(conflict);
    let [noticed, found] = &conflict.sides;
    let [noticed_labels, found_labels] = &context.labels;
    let (first, last) = clock.of_conflict(conflict);
    Finding {
        grade,
        evidence,
        map: map_of(ring, symbols, conflict, &context.made),
        sides: [
            side_of(ring, symbols, noticed, noticed_labels),
            side_of(ring, symbols, found, found_labels),
        ],
        pid: ring.header().pid,
        fatal: conflict.evidence == layout::EVIDENCE_RUNTIME_FATAL,
        count: 1 + u64::from(conflict.repeats),
        instances: 1,
        goroutines: 1,
        first,
        last,
        suspicion: None,
        allowed: None,
        scan: None,
        joined: None,
    }
}

fn map_of(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    conflict: &Conflict,
    made: &Record,
) -> MapIdentity {
    let descriptor = (conflict.map_type != 0).then_some(RuntimeAddr(conflict.map_type));
    MapIdentity {
        address: (conflict.map != 0).then_some(Hex(conflict.map)),
        instance: Hex(conflict.seed),
        type_name: descriptor
            .and_then(|at| ring.link_time(at))
            .and_then(|at| symbols.type_name(at)),
        made: (made.map != 0).then(|| making_of(ring, symbols, made, conflict.seed as u32)),
    }
}

/// Who made a map, and where; `seed` is the map's now.
pub fn making_of(ring: &Ring, symbols: &mut Symbolizer<'_>, made: &Record, seed: u32) -> Making {
    let recorded = made.pcs.iter().take_while(|&&pc| pc != 0);
    Making {
        goroutine: goid_of(made),
        emptied: made.seed != seed,
        stack: symbols.stack(recorded.map(|&low| ring.link_time_pc(low))),
    }
}

fn side_of(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    side: &layout::Side,
    labels: &Labels,
) -> Side {
    let stack = symbols.stack(side_pcs(side).iter().map(|&low| ring.link_time_pc(low)));
    let operation = match grade::operation(side) {
        // Up to Go 1.24 a clone iterates through the hooked functions.
        Some(Operation::Iterate) if frames::is_clone(&stack) => Some(Operation::Clone),
        operation => operation,
    };
    Side {
        operation,
        certainty: certainty_of(side),
        goroutine: (side.goid != 0).then(|| goroutine_of(ring, symbols, side, labels)),
        stack,
        truncated: side.truncated != 0 || side.depth as usize > layout::SIDE_PCS,
        heat: None,
    }
}

fn certainty_of(side: &layout::Side) -> Certainty {
    match side.certainty {
        layout::SIDE_SELF => Certainty::Noticed,
        layout::SIDE_INSIDE => Certainty::Inside,
        layout::SIDE_LATEST => Certainty::Latest,
        layout::SIDE_HELD => Certainty::Held,
        layout::SIDE_JUST_LEFT => Certainty::JustLeft,
        _ => Certainty::Unknown,
    }
}

fn goroutine_of(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    side: &layout::Side,
    labels: &Labels,
) -> Goroutine {
    let (labels, labels_left_out) = labels_of(labels);
    let at = |address: u64| {
        (address != 0)
            .then_some(RuntimeAddr(address))
            .and_then(|at| ring.link_time(at))
    };
    Goroutine {
        id: side.goid,
        parent: (side.parent_goid != 0).then_some(side.parent_goid),
        created_by: at(side.created_at)
            .map(|at| created_by(symbols, at))
            .unwrap_or_default(),
        start: at(side.start_fn).and_then(|at| symbols.function_at(at)),
        labels: labels.into_iter().collect(),
        labels_left_out,
    }
}

/// The `go` statement; nothing for the goroutines that the runtime itself starts (`main` above all).
fn created_by(symbols: &mut Symbolizer<'_>, at: crate::image::Vaddr) -> Vec<StackFrame> {
    let frames = symbols.frames_of_return(at);
    let by_runtime = frames
        .iter()
        .all(|frame| frames::package_of(&frame.function) == "runtime");
    if by_runtime {
        Vec::new()
    } else {
        frames.to_vec()
    }
}
