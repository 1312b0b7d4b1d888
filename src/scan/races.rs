//! Pairs of touches that nothing keeps apart, in what was followed from one entry.

use super::found::{Found, FoundSide};
use super::hash::Set;
use super::rules::{self, Rule};
use super::shared;
use super::sim::{Access, Cover, Held, Mode, ObjId, Origin, Place, Sim};
use super::types::Type;
use crate::analyze::model::Confidence;
use crate::ring::Operation;
use std::collections::BTreeMap;

/// Touches of one object beyond these are not compared.
const MOST: usize = 160;

/// All pairs of one entry, each pair of places once.
pub fn find(sim: &Sim<'_>) -> Vec<Found> {
    let mut by_object: BTreeMap<ObjId, Vec<&Access>> = BTreeMap::new();
    for access in &sim.accesses {
        by_object.entry(access.object).or_default().push(access);
    }
    let mut found = Vec::new();
    let mut seen: Set<[(Place, bool); 2]> = Set::default();
    for accesses in by_object.values() {
        if accesses.iter().any(|access| access.operation.writes()) {
            pairs(sim, accesses, &mut seen, &mut found);
        }
    }
    found
}

fn pairs(
    sim: &Sim<'_>,
    accesses: &[&Access],
    seen: &mut Set<[(Place, bool); 2]>,
    found: &mut Vec<Found>,
) {
    let accesses = accesses.get(..MOST).unwrap_or(accesses);
    for (index, a) in accesses.iter().enumerate() {
        for b in accesses.iter().skip(index + 1) {
            if a.thread == b.thread
                || !(a.operation.writes() || b.operation.writes())
                || are_locked(a, b)
            {
                continue;
            }
            let covered = covered(sim, a, b);
            if covered == Some(Covered::Always) {
                continue;
            }
            let mut key = [
                (a.place, a.operation.writes()),
                (b.place, b.operation.writes()),
            ];
            key.sort_unstable();
            if seen.contains(&key) || !sim.may_overlap(a, b) {
                continue;
            }
            seen.insert(key);
            found.push(finding(sim, a, b, covered.is_some()));
        }
    }
}

/// A lock that both hold keeps them apart, unless both only share it.
fn are_locked(a: &Access, b: &Access) -> bool {
    a.locks.iter().any(|held| {
        let other = b.locks.iter().find(|other| other.lock == held.lock);
        other.is_some_and(|other| held.mode == Mode::Exclusive || other.mode == Mode::Exclusive)
    })
}

/// Whether a lock keeps two touches apart that is held by who started the goroutine of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Covered {
    /// If whoever decides wants it so.
    Optionally,
    /// Always.
    Always,
}

fn covered(sim: &Sim<'_>, a: &Access, b: &Access) -> Option<Covered> {
    covered_by(sim, a, b).max(covered_by(sim, b, a))
}

/// The lock is held around the goroutine of the first. Who holds it, and who else he has started, is not kept apart.
fn covered_by(sim: &Sim<'_>, a: &Access, b: &Access) -> Option<Covered> {
    let others = || sim.covers(b).into_iter();
    let covers = sim
        .covers(a)
        .into_iter()
        .filter(|(owner, _)| *owner != b.thread && !sim.is_ancestor(*owner, b.thread));
    let kept_apart = covers.filter_map(|(_, cover)| {
        let excludes = |other: &Held| {
            other.lock == cover.held.lock
                && (other.mode == Mode::Exclusive || cover.held.mode == Mode::Exclusive)
        };
        let is_around = |(owner, other): &(_, Cover)| {
            excludes(&other.held) && *owner != a.thread && !sim.is_ancestor(*owner, a.thread)
        };
        let around = others().find(is_around);
        if b.locks.iter().any(excludes) {
            Some(cover.is_optional)
        } else {
            around.map(|(_, other)| cover.is_optional || other.is_optional)
        }
    });
    kept_apart
        .map(|is_optional| match is_optional {
            true => Covered::Optionally,
            false => Covered::Always,
        })
        .max()
}

fn finding(sim: &Sim<'_>, a: &Access, b: &Access, is_covered: bool) -> Found {
    let rule = rule_for(sim, a, b);
    let is_helper =
        rule == &rules::WRITE_RLOCK && (is_also_exclusive(sim, a) || is_also_exclusive(sim, b));
    let relies = [a, b].iter().any(|side| relies_on_callers(sim, side));
    let alike = !shared_mode(a, b) && shared::locks_look_alike(sim, a, b);
    let is_cut = [a, b].iter().any(|side| sim.is_cut(side.thread));
    let confidence = if is_helper || relies || alike || is_covered || is_cut {
        Confidence::Low
    } else if a.certain && b.certain {
        Confidence::High
    } else {
        Confidence::Medium
    };
    let (a, b) = writer_first((a, a.operation), (b, b.operation));
    Found {
        rule,
        confidence: confidence.min(rule.confidence),
        map: sim.describe(a.object),
        map_type: sim.type_name(a.object),
        sides: vec![side(sim, a), side(sim, b)],
        because: reasons(sim, a, b),
    }
}

/// It begins with a function that says that its callers take care, and holds no lock of its own; or it would hold
/// one if it were asked to.
fn relies_on_callers(sim: &Sim<'_>, access: &Access) -> bool {
    let mut first = access.path.as_ref();
    while let Some(caller) = first.and_then(|link| link.caller.as_ref()) {
        first = Some(caller);
    }
    let function = first.and_then(|link| link.function);
    access.is_optional
        || access.locks.is_empty()
            && function.is_some_and(|function| sim.program().function(function).relies_on_callers)
}

/// The side that writes comes first: it is what has to change.
pub(super) fn writer_first<T>(a: (T, Operation), b: (T, Operation)) -> (T, T) {
    if !a.1.writes() && b.1.writes() {
        (b.0, a.0)
    } else {
        (a.0, b.0)
    }
}

/// The same statement is reached under the write lock, too: the path that writes may be that one.
fn is_also_exclusive(sim: &Sim<'_>, access: &Access) -> bool {
    sim.accesses.iter().any(|other| {
        other.place == access.place && other.locks.iter().any(|held| held.mode == Mode::Exclusive)
    })
}

/// What one side does, how it gets there and what it holds.
pub fn side(sim: &Sim<'_>, access: &Access) -> FoundSide {
    FoundSide {
        operation: Some(access.operation),
        place: access.place,
        stack: sim.frames(&access.path, access.place),
        created: sim.created(access.thread),
        how: sim.how(access.thread),
        locks: access
            .locks
            .iter()
            .map(|held| lock_name(sim, held))
            .collect(),
        via: access.via,
    }
}

/// `s.mu (RLock)`.
pub fn lock_name(sim: &Sim<'_>, held: &Held) -> String {
    let name = sim.describe(held.lock);
    if held.mode == Mode::Shared {
        format!("{name} (read lock)")
    } else {
        name
    }
}

fn reasons(sim: &Sim<'_>, a: &Access, b: &Access) -> Vec<String> {
    let mut because = Vec::new();
    if a.place == b.place && a.operation == b.operation {
        because.push("several goroutines run the same statement".to_owned());
    }
    because.push(match (a.locks.is_empty(), b.locks.is_empty()) {
        (true, true) => "neither holds a lock".to_owned(),
        (false, false) if shared_mode(a, b) => {
            "both hold the same lock, but only for reading".to_owned()
        }
        (false, false) => "they hold different locks".to_owned(),
        _ => "only one of them holds a lock".to_owned(),
    });
    because.push(
        "no channel, WaitGroup, once or atomic value that was followed puts one before the other"
            .to_owned(),
    );
    if !sim.is_complete() {
        because.push("not all code was followed to its end".to_owned());
    }
    because
}

fn shared_mode(a: &Access, b: &Access) -> bool {
    a.locks
        .iter()
        .any(|held| b.locks.iter().any(|other| other.lock == held.lock))
}

/// The rule that says best what is wrong.
fn rule_for(sim: &Sim<'_>, a: &Access, b: &Access) -> &'static Rule {
    let write_shared = |access: &Access| {
        access.operation.writes() && access.locks.iter().any(|held| held.mode == Mode::Shared)
    };
    if (write_shared(a) || write_shared(b)) && shared_mode(a, b) {
        return &rules::WRITE_RLOCK;
    }
    let hows = [sim.how(a.thread), sim.how(b.thread)];
    if let Some(rule) = rule_by_means(a, b) {
        return rule;
    }
    if hows.contains(&"parallel subtest") {
        return &rules::PARALLEL_TEST;
    }
    if let Some(rule) = rule_by_place(sim, a.object) {
        return rule;
    }
    if !a.locks.is_empty() && !b.locks.is_empty() {
        return &rules::DIFFERENT_LOCKS;
    }
    if a.locks.is_empty() != b.locks.is_empty() {
        let open = if a.locks.is_empty() { a } else { b };
        return if open.operation.writes() {
            &rules::UNLOCKED_WRITE
        } else {
            &rules::UNLOCKED_READ
        };
    }
    if hows.contains(&"http handler") {
        return &rules::HANDLER;
    }
    if a.operation == Operation::Iterate || b.operation == Operation::Iterate {
        return &rules::RANGE;
    }
    rule_by_origin(sim, a.object)
}

/// What kind of thing leads to the map.
pub(super) fn rule_by_origin(sim: &Sim<'_>, object: ObjId) -> &'static Rule {
    let is_in_field = || matches!(sim.holder(object), Some((_, Some(_))));
    match sim.origin(object) {
        Some(Origin::Global(_)) => &rules::GLOBAL,
        Some(Origin::Field(..)) => &rules::FIELD,
        Some(Origin::Param(_) | Origin::Receiver(_)) => &rules::PARAMETER,
        _ if is_in_field() => &rules::FIELD,
        _ => &rules::CAPTURED,
    }
}

fn rule_by_means(a: &Access, b: &Access) -> Option<&'static Rule> {
    let via = a.via.or(b.via)?;
    Some(match via {
        via if via.starts_with("reflect") => &rules::REFLECT,
        via if via.contains("maps") => &rules::CLONE,
        _ => &rules::READER,
    })
}

fn rule_by_place(sim: &Sim<'_>, object: ObjId) -> Option<&'static Rule> {
    let holder = match sim.origin(object)? {
        Origin::Element(holder) => Some(holder),
        _ => sim.container(object),
    }?;
    let ty = sim.ty(holder);
    if ty.is_external("sync", "Map") {
        return Some(&rules::SYNC_MAP_VALUE);
    }
    matches!(
        &*sim.program().underlying(&ty),
        Type::Map(..) | Type::Slice(..)
    )
    .then_some(&rules::NESTED)
}
