//! Maps that some touch under a lock, and others under none, another one, or the same for reading only.

use super::*;

/// Maps that some touch under a lock and others do not.
pub(super) fn guarded(program: &Program, touches: &[&Touch], found: &mut Vec<Found>) {
    let own: Vec<&Touch> = touches
        .iter()
        .copied()
        .filter(|touch| !touch.test)
        .collect();
    let asked = own.iter().filter(|touch| touch.is_optional).count();
    write_under_read_lock(&own, found);
    let mut uses: BTreeMap<LockKey, usize> = BTreeMap::new();
    for touch in &own {
        let locks: BTreeSet<LockKey> = touch.locks.iter().map(|(lock, _)| *lock).collect();
        for lock in locks {
            *uses.entry(lock).or_default() += 1;
        }
    }
    let Some((lock, count)) = uses
        .into_iter()
        .max_by_key(|(lock, count)| (*count, matches!(lock, LockKey::Beside(_))))
    else {
        return;
    };
    let holds = |touch: &Touch| touch.locks.iter().any(|(held, _)| *held == lock);
    let open: Vec<&Touch> = own.iter().copied().filter(|touch| !holds(touch)).collect();
    for touch in &open {
        let partners = own.iter().copied().filter(|other| holds(other));
        let best = partners
            .filter(|other| touch.operation.writes() || other.operation.writes())
            .max_by_key(|other| {
                let apart = !share_a_lock(touch, other);
                (apart, other.operation.writes(), other.entry != touch.entry)
            });
        let Some(partner) = best else { continue };
        let rule = match (touch.locks.is_empty(), touch.operation.writes()) {
            (false, _) => &rules::DIFFERENT_LOCKS,
            (true, true) => &rules::UNLOCKED_WRITE,
            (true, false) => &rules::UNLOCKED_READ,
        };
        let because = vec![format!(
            "{count} of {} uses of this map are under the same lock, this one is not",
            own.len() - asked
        )];
        let confidence = if share_a_lock(touch, partner) || is_beyond(touch, lock) {
            Confidence::Low
        } else {
            guarded_confidence(program, touch, count, own.len() - asked)
        };
        let mut pair = pair(rule, confidence, touch, partner, because);
        // What is to be changed comes first.
        pair.sides = vec![touch.side.clone(), partner.side.clone()];
        found.push(pair);
    }
}

/// The lock lies in a value that the entry does not have in its hands: the map's own type leaves locking to who uses
/// it, and what its callers hold is not seen from here.
fn is_beyond(touch: &Touch, lock: LockKey) -> bool {
    let (LockKey::Elsewhere(Key::Field(owner, _)), Role::Caller) = (lock, touch.role) else {
        return false;
    };
    !touch.around.contains(&owner)
}

fn guarded_confidence(program: &Program, touch: &Touch, locked: usize, all: usize) -> Confidence {
    let function = program.function(touch.entry);
    let name = function.name.text();
    let is_called =
        program.is_visible(touch.entry) || matches!(touch.role, Role::Handler | Role::Background);
    if function.relies_on_callers
        || is_setup(name)
        || !is_called
        || touch.role == Role::Other
        || name == "main"
    {
        return Confidence::Low;
    }
    match (locked, all.saturating_sub(locked)) {
        (locked, open) if locked >= 2 && locked >= open => Confidence::High,
        (1, 1) => Confidence::Medium,
        (locked, open) if locked * 2 >= open => Confidence::Medium,
        _ => Confidence::Low,
    }
}

/// The key of the map that this one's map is an element of.
pub(super) fn outer(key: Key) -> Option<Key> {
    match key {
        Key::FieldElement(ty, name) => Some(Key::Field(ty, name)),
        Key::GlobalElement(id) => Some(Key::Global(id)),
        _ => None,
    }
}

/// Writes to inner maps under no lock while the outer one is used under one.
pub(super) fn nested(
    program: &Program,
    outer: &[&Touch],
    inner: &[&Touch],
    found: &mut Vec<Found>,
) {
    let Some(locked) = outer
        .iter()
        .find(|touch| !touch.locks.is_empty() && !touch.test)
    else {
        return;
    };
    for touch in inner {
        if !touch.locks.is_empty()
            || !touch.operation.writes()
            || touch.test
            || touch.role == Role::Other
        {
            continue;
        }
        let function = program.function(touch.entry);
        let is_weak =
            is_setup(function.name.text()) || !program.is_visible(touch.entry) || touch.is_optional;
        let confidence = match is_weak {
            true => Confidence::Low,
            false => Confidence::High,
        };
        found.push(Found {
            rule: &rules::NESTED,
            confidence,
            map: touch.map.clone(),
            map_type: touch.map_type.clone(),
            sides: vec![touch.side.clone(), touch.side.clone()],
            because: vec![format!(
                "the map that holds this one is used under {} (line {}): others reach this one through it",
                locked.side.locks.join(", "),
                locked.side.place.span.line
            )],
        });
    }
}

fn write_under_read_lock(touches: &[&Touch], found: &mut Vec<Found>) {
    for touch in touches {
        let shared = touch.locks.iter().find(|(_, mode)| *mode == Mode::Shared);
        let exclusive = touch.locks.iter().any(|(_, mode)| *mode == Mode::Exclusive);
        if !touch.operation.writes() || exclusive {
            continue;
        }
        let Some((lock, _)) = shared else { continue };
        // A helper that is also called under the write lock: the path that writes may be another one.
        let is_helper = touches.iter().any(|other| {
            other.side.place == touch.side.place
                && other
                    .locks
                    .iter()
                    .any(|(held, mode)| held == lock && *mode == Mode::Exclusive)
        });
        let confidence = if is_helper {
            Confidence::Low
        } else {
            Confidence::High
        };
        let because =
            vec!["a read lock is held, which others can hold at the same time".to_owned()];
        let other = touches
            .iter()
            .filter(|other| {
                other
                    .locks
                    .iter()
                    .any(|(held, mode)| held == lock && *mode == Mode::Shared)
            })
            .max_by_key(|other| other.operation.writes())
            .unwrap_or(touch);
        found.push(pair(&rules::WRITE_RLOCK, confidence, touch, other, because));
    }
}
