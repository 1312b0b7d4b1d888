//! From near misses to suspects: what may be a conflict, the likeliest first.

use super::clock::Clock;
use super::conflicts::{Place, making_of, place_of};
use super::hunted::HuntedPlaces;
use super::locks::{Overlap, overlap};
use super::model::{
    Certainty, Evidence, EvidenceKind, Finding, Goroutine, Grade, Hex, LocksSeen, MapIdentity,
    Side, StackFrame, Suspicion,
};
use super::near::{NearMisses, Pair};
use super::stacks::{StackId, Stacks};
use super::symbols::Symbolizer;
use crate::ring::{Made, Ring};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Suspects that are listed.
const LISTED: usize = 200;
/// Suspects that are compared with each other.
const COMPARED: usize = 2000;
/// A gap as long as this halves the score, in nanoseconds.
const HALVING_GAP_NS: f64 = 100_000.0;
/// What remains of the score when the code of both sides takes the same lock.
const COMMON_LOCK: f64 = 0.02;
/// What remains of it when the code of both sides takes a lock, maybe the same.
const BOTH_LOCKED: f64 = 0.1;
/// What remains of it at least, however often hunting has held operations there in vain.
const HUNTED_IN_VAIN: f64 = 0.05;

/// Suspects of any number of rings.
#[derive(Default)]
pub struct Suspects {
    by_places: HashMap<[Place; 2], Suspect>,
}

/// The near misses at one pair of places.
struct Suspect {
    shown: Finding,
    maps: HashSet<(u32, u64, u32)>,
    goroutines: HashSet<(u32, u64)>,
}

/// What it takes to name the near misses of one ring.
pub struct Naming<'a, 'b> {
    /// The ring.
    pub ring: &'a Ring,
    /// Its executable's.
    pub symbols: &'a mut Symbolizer<'b>,
    /// Its clocks.
    pub clock: &'a Clock,
    /// The stacks of its operations.
    pub stacks: &'a Stacks,
    /// Where its maps were made.
    pub made: &'a Made,
    /// What hunting says about its places.
    pub hunted: &'a HuntedPlaces<'a>,
}

impl Suspects {
    /// Adds the near misses of a ring; gives back how much was not watched, in words.
    pub fn add(&mut self, near: NearMisses, naming: &mut Naming<'_, '_>) -> Option<String> {
        let (pairs, lost) = near.finish();
        for ((a, b), pair) in pairs {
            if let Some(suspect) = naming.suspect([a, b], &pair) {
                self.merge(suspect);
            }
        }
        (lost.maps + lost.pairs > 0).then(|| {
            format!(
                "suspects are incomplete: {} maps and {} near misses were more than could be kept",
                lost.maps, lost.pairs
            )
        })
    }

    fn merge(&mut self, suspect: Suspect) {
        let mut places = suspect.shown.sides.each_ref().map(place_of);
        places.sort();
        match self.by_places.get_mut(&places) {
            Some(known) => known.merge(suspect),
            None => {
                self.by_places.insert(places, suspect);
            }
        }
    }

    /// The likeliest first, without those that are findings already, those whose stacks have at least the
    /// share `same` of their functions in common as one; and how many more there were.
    pub fn finish(mut self, findings: &[Finding], same: f64) -> (Vec<Finding>, u64) {
        for finding in findings {
            let mut places = finding.sides.each_ref().map(place_of);
            places.sort();
            self.by_places.remove(&places);
        }
        let mut all: Vec<_> = self.by_places.into_iter().collect();
        all.sort_by(|(place_a, a), (place_b, b)| {
            let by_score = b.score().total_cmp(&a.score());
            by_score.then_with(|| place_a.cmp(place_b))
        });
        let beyond = all.len().saturating_sub(COMPARED);
        all.truncate(COMPARED);
        let merged = merge_similar(all.into_iter().map(|(_, suspect)| suspect), same);
        let unlisted = beyond + merged.len().saturating_sub(LISTED);
        let listed = merged.into_iter().take(LISTED).map(Suspect::finish);
        (listed.collect(), unlisted as u64)
    }
}

/// Suspects whose sides share most of their functions are one: the likeliest of them is shown.
fn merge_similar(suspects: impl Iterator<Item = Suspect>, same: f64) -> Vec<Suspect> {
    let mut kept: Vec<Suspect> = Vec::new();
    for suspect in suspects {
        match kept
            .iter_mut()
            .find(|other| other.is_similar(&suspect, same))
        {
            Some(other) => other.merge(suspect),
            None => kept.push(suspect),
        }
    }
    kept
}

impl Suspect {
    fn score(&self) -> f64 {
        self.shown.suspicion.as_ref().map_or(0.0, |why| why.score)
    }

    fn is_similar(&self, other: &Suspect, same: f64) -> bool {
        let ([a, b], [c, d]) = (&self.shown.sides, &other.shown.sides);
        let alike = |a: &Side, b: &Side| similarity(&a.stack, &b.stack) >= same;
        let same_type = self.shown.map.type_name == other.shown.map.type_name;
        same_type && (alike(a, c) && alike(b, d) || alike(a, d) && alike(b, c))
    }

    fn merge(&mut self, other: Suspect) {
        let count = self.shown.count.saturating_add(other.shown.count);
        let first = self.shown.first.min(other.shown.first);
        let last = self.shown.last.max(other.shown.last);
        self.maps.extend(&other.maps);
        self.goroutines.extend(&other.goroutines);
        if other.score() > self.score() {
            self.shown = other.shown;
        }
        (self.shown.count, self.shown.first, self.shown.last) = (count, first, last);
    }

    fn finish(mut self) -> Finding {
        self.shown.instances = self.maps.len();
        self.shown.goroutines = self.goroutines.len();
        self.shown
    }
}

impl Naming<'_, '_> {
    fn suspect(&mut self, ids: [StackId; 2], pair: &Pair) -> Option<Suspect> {
        let [a, b] = ids;
        let [goid_a, goid_b] = pair.goroutines;
        let sides = [self.side(a, goid_a)?, self.side(b, goid_b)?];
        let suspicion = self.suspicion(ids, &sides, pair);
        let pid = self.ring.header().pid;
        let (address, seed, map_type) = pair.map;
        let maps = pair.maps.iter().map(|&(map, seed)| (pid, map, seed));
        let shown = Finding {
            grade: Grade::Suspect,
            evidence: near_miss(&suspicion),
            map: MapIdentity {
                address: Some(Hex(address)),
                instance: Hex(seed.into()),
                type_name: self.symbols.type_name_of_low(self.ring, map_type),
                made: self
                    .made
                    .get(address)
                    .map(|made| making_of(self.ring, self.symbols, made, seed)),
            },
            sides,
            pid,
            fatal: false,
            count: pair.count(),
            instances: 0,
            goroutines: 0,
            first: self.clock.at_tsc(pair.first),
            last: self.clock.at_tsc(pair.last),
            suspicion: Some(suspicion),
            allowed: None,
            scan: None,
            joined: None,
        };
        Some(Suspect {
            shown,
            maps: maps.collect(),
            goroutines: pair
                .all_goroutines
                .iter()
                .map(|&goid| (pid, goid))
                .collect(),
        })
    }

    fn side(&mut self, id: StackId, goid: u64) -> Option<Side> {
        let recorded = self.stacks.named_one(id, self.ring, self.symbols)?;
        Some(Side {
            operation: Some(recorded.operation),
            certainty: Certainty::Recorded,
            goroutine: Some(Goroutine {
                id: goid,
                parent: None,
                created_by: Vec::new(),
                start: None,
                labels: BTreeMap::new(),
                labels_left_out: 0,
            }),
            stack: recorded.stack,
            truncated: recorded.truncated,
            heat: None,
        })
    }

    fn suspicion(&mut self, [a, b]: [StackId; 2], sides: &[Side; 2], pair: &Pair) -> Suspicion {
        let [locks_a, locks_b] = [a, b].map(|id| {
            let pcs = self.stacks.pcs(id).iter();
            let returns = pcs.filter_map(|&low| self.ring.link_time_pc(low));
            self.symbols.locks(returns)
        });
        let locks = match (locks_a.is_empty(), locks_b.is_empty()) {
            (true, true) => LocksSeen::Neither,
            (false, false) => match overlap(&locks_a, &locks_b) {
                Overlap::Common => LocksSeen::Common,
                Overlap::Different => LocksSeen::Different,
                Overlap::Unknown => LocksSeen::Both,
            },
            _ => LocksSeen::One,
        };
        let [a, b] = [(a, &sides[0]), (b, &sides[1])].map(|(id, side)| {
            let innermost = self.stacks.pcs(id).first();
            self.hunted.untried(innermost.copied(), side)
        });
        let untried = a.min(b);
        let [a, b] = sides;
        let mut suspicion = Suspicion {
            score: 0.0,
            gap_ns: self.clock.ns_of_ticks(pair.gap),
            alternations: pair.alternations(),
            similarity: similarity(&a.stack, &b.stack),
            locks,
            untried,
        };
        suspicion.score = score(&suspicion);
        suspicion
    }
}

/// From 0 to 1: close in time, often in turns, on different ways through the program (one way often
/// has one lock), not obviously under a lock, and not where hunting has held operations in vain.
fn score(why: &Suspicion) -> f64 {
    let close = 1.0 / (1.0 + why.gap_ns as f64 / HALVING_GAP_NS);
    let turns = 1.0 - 1.0 / (1.0 + why.alternations as f64);
    let different = 1.0 - 0.25 * why.similarity;
    let unlocked = match why.locks {
        LocksSeen::Common => COMMON_LOCK,
        LocksSeen::Both => BOTH_LOCKED,
        LocksSeen::Different | LocksSeen::One | LocksSeen::Neither => 1.0,
    };
    close * turns * different * unlocked * why.untried.max(HUNTED_IN_VAIN)
}

/// The share of user functions that two stacks have in common (Jaccard).
fn similarity(a: &[StackFrame], b: &[StackFrame]) -> f64 {
    let functions = |stack: &'_ [StackFrame]| -> BTreeSet<String> {
        let users = stack.iter().filter(|frame| !frame.runtime);
        users.map(|frame| frame.function.clone()).collect()
    };
    let (a, b) = (functions(a), functions(b));
    let either = a.union(&b).count();
    if either == 0 {
        1.0
    } else {
        a.intersection(&b).count() as f64 / either as f64
    }
}

fn near_miss(why: &Suspicion) -> Evidence {
    let statement = match why.locks {
        LocksSeen::Common => {
            "both goroutines used the map shortly after each other; the code of both takes the same lock"
        }
        LocksSeen::Different => {
            "both goroutines used the map shortly after each other; the code of both takes a lock, but not the same"
        }
        LocksSeen::Both => {
            "both goroutines used the map shortly after each other; the code of both takes a lock, maybe the same"
        }
        LocksSeen::One => {
            "both goroutines used the map shortly after each other; the code of one of them takes a lock, that of \
             the other was not seen to take one"
        }
        LocksSeen::Neither => {
            "both goroutines used the map shortly after each other; no lock was seen in the code of either"
        }
    };
    Evidence {
        kind: EvidenceKind::NearMiss,
        summary: "shortly after each other, nothing proven".into(),
        statement: statement.into(),
    }
}
