//! Touches of different entries, compared by what they touch: a field of a type, or a package variable.
//!
//! That two entries run at the same time is an argument of its own here: the code takes a lock for the
//! same map elsewhere; both are http handlers; one has started a goroutine that stays.

mod guarded;

use self::guarded::{guarded, nested, outer};
use super::Followed;
use super::found::{Found, FoundSide};
use super::hash::Set;
use super::names::Name;
use super::program::{FuncId, GlobalId, Program, base_name};
use super::races;
use super::rules::{self, Rule};
use super::sim::{Access, Held, Mode, ObjId, Origin, Sim, ThreadId};
use super::types::{Type, TypeId};
use crate::analyze::model::Confidence;
use crate::ring::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// A map or lock as all entries know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A field of a declared type.
    Field(TypeId, Name),
    /// A package variable.
    Global(GlobalId),
    /// An element of a map in a field.
    FieldElement(TypeId, Name),
    /// An element of a map in a package variable.
    GlobalElement(GlobalId),
}

impl Key {
    /// The key of its elements; elements of elements are not told apart.
    fn element(self) -> Key {
        match self {
            Key::Field(ty, name) => Key::FieldElement(ty, name),
            Key::Global(id) => Key::GlobalElement(id),
            other => other,
        }
    }
}

/// A lock as seen from the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKey {
    /// In the same value as the map.
    Beside(Name),
    /// Elsewhere.
    Elsewhere(Key),
}

/// What one entry does with a map that others know too.
pub struct Touch {
    key: Key,
    entry: FuncId,
    role: Role,
    /// Each call of the entry starts a goroutine of its own that does it.
    is_task: bool,
    /// One more lock is held if the caller, or a field, asks for it.
    is_optional: bool,
    operation: Operation,
    locks: Vec<(LockKey, Mode)>,
    /// The locks, by the fields that they are in, of whichever value.
    fields: Vec<Key>,
    /// Types of the values that the map lies in, as far as the entry has them in its hands.
    around: Vec<TypeId>,
    side: FoundSide,
    map: String,
    map_type: String,
    test: bool,
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The caller of the entry.
    Caller,
    /// A http server.
    Handler,
    /// A goroutine that goes on when the entry has returned.
    Background,
    /// A goroutine that the entry waits for, or of which nothing is known.
    Other,
}

/// The locks of two touches, if they are the same fields of different values of one type: values that
/// the simulation took apart are then likelier than different locks.
pub fn locks_look_alike(sim: &Sim<'_>, a: &Access, b: &Access) -> bool {
    let key = |held: &Held| key_of(sim, held.lock, 0).map(|(key, _)| key);
    // Values that were made before our eyes are different ones.
    let is_made = |held: &Held| {
        let holder = match sim.origin(held.lock) {
            Some(Origin::Field(holder, _)) => Some(holder),
            _ => sim.holder(held.lock).map(|(holder, _)| holder),
        };
        matches!(
            holder.and_then(|holder| sim.origin(holder)),
            Some(Origin::Made(_))
        )
    };
    a.locks.iter().any(|held| {
        let known = key(held);
        let same = |other: &&Held| key(other) == known && !(is_made(held) && is_made(other));
        known.is_some() && b.locks.iter().any(|other| same(&other))
    })
}

/// What an entry touches that others know.
pub fn touches(sim: &Sim<'_>, entry: FuncId) -> Vec<Touch> {
    let mut found: Vec<Touch> = Vec::new();
    let mut seen = Set::default();
    for access in sim.accesses.iter().filter(|access| !runs_once(sim, access)) {
        let Some((key, base)) = key_of(sim, access.object, 0) else {
            continue;
        };
        let covers = sim.covers(access);
        let around = covers.iter().filter(|(_, cover)| !cover.is_optional);
        let held: Vec<&Held> = (access.locks.iter())
            .chain(around.map(|(_, cover)| &cover.held))
            .collect();
        let locks: Vec<_> = (held.iter())
            .filter_map(|held| lock_key(sim, held, base))
            .collect();
        let is_optional = access.is_optional || covers.iter().any(|(_, cover)| cover.is_optional);
        let role = role_of(sim, access, entry);
        if !seen.insert((
            key,
            access.operation.writes(),
            access.place,
            role as u8,
            is_optional,
            locks.clone(),
        )) {
            continue;
        }
        found.push(Touch {
            key,
            entry,
            role,
            is_task: is_task(sim, access.thread) && outlives_calls(sim, access.object, 0),
            is_optional,
            operation: access.operation,
            locks,
            around: types_around(sim, access.object),
            fields: held
                .iter()
                .filter_map(|held| Some(key_of(sim, held.lock, 0)?.0))
                .collect(),
            side: races::side(sim, access),
            map: sim.describe(access.object),
            map_type: sim.type_name(access.object),
            test: sim.program().is_test(sim.program().file_of(entry)),
        });
    }
    found
}

/// From a map outwards to what the entry was given.
fn types_around(sim: &Sim<'_>, map: ObjId) -> Vec<TypeId> {
    let mut types = Vec::new();
    let mut at = Some(map);
    for _ in 0..8 {
        at = at.and_then(|id| match sim.origin(id)? {
            Origin::Field(base, _) | Origin::Element(base) => Some(base),
            _ => sim.holder(id).map(|(base, _)| base),
        });
        if let Some(Type::Named(id, _)) = at.map(|id| sim.ty(id).pointee()).as_deref() {
            types.push(*id);
        }
    }
    types
}

/// What a sync.Once runs is over before anybody else goes on.
fn runs_once(sim: &Sim<'_>, access: &Access) -> bool {
    access
        .locks
        .iter()
        .any(|held| sim.ty(held.lock).is_external("sync", "Once"))
}

fn key_of(sim: &Sim<'_>, object: ObjId, depth: u32) -> Option<(Key, Option<ObjId>)> {
    if depth > 4 {
        return None;
    }
    match sim.origin(object)? {
        Origin::Global(id) => Some((Key::Global(id), None)),
        Origin::Field(base, name) => field_key(sim, base, name, depth + 1),
        Origin::Element(base) => element_key(sim, base, depth + 1),
        _ => match sim.holder(object)? {
            (base, Some(name)) => field_key(sim, base, name, depth + 1),
            (base, None) => element_key(sim, base, depth + 1),
        },
    }
}

fn element_key(sim: &Sim<'_>, base: ObjId, depth: u32) -> Option<(Key, Option<ObjId>)> {
    let is_map = matches!(&*sim.program().underlying(&sim.ty(base)), Type::Map(..));
    let (key, holder) = is_map.then(|| key_of(sim, base, depth)).flatten()?;
    Some((key.element(), holder))
}

fn field_key(sim: &Sim<'_>, base: ObjId, name: Name, depth: u32) -> Option<(Key, Option<ObjId>)> {
    if depth > 4 {
        return None;
    }
    match &*sim.ty(base).pointee() {
        Type::Named(id, _) => Some((Key::Field(*id, name), Some(base))),
        // A struct without a name in a package variable, or a field of one.
        _ => match sim.origin(base)? {
            Origin::Global(id) => Some((Key::Global(id), Some(base))),
            Origin::Field(outer, outer_name) => {
                field_key(sim, outer, outer_name, depth + 1).map(|(key, _)| (key, Some(base)))
            }
            _ => None,
        },
    }
}

fn lock_key(sim: &Sim<'_>, held: &Held, base: Option<ObjId>) -> Option<(LockKey, Mode)> {
    let place = match sim.origin(held.lock)? {
        Origin::Field(holder, name) => Some((holder, name)),
        _ => sim
            .holder(held.lock)
            .and_then(|(holder, name)| Some((holder, name?))),
    };
    if let Some((holder, name)) = place
        && Some(holder) == base
    {
        return Some((LockKey::Beside(name), held.mode));
    }
    let (key, _) = key_of(sim, held.lock, 0)?;
    Some((LockKey::Elsewhere(key), held.mode))
}

fn role_of(sim: &Sim<'_>, access: &Access, entry: FuncId) -> Role {
    let mut id = access.thread;
    loop {
        let Some(thread) = sim.threads.get(id.0 as usize) else {
            return Role::Other;
        };
        if thread.how == "http handler" {
            return Role::Handler;
        }
        if thread.detached {
            return Role::Other;
        }
        match thread.parent {
            None if access.thread == ThreadId(0)
                && sim.program().function(entry).name != "main" =>
            {
                return Role::Caller;
            }
            None if access.thread == ThreadId(0) => return Role::Other,
            None => break,
            Some(parent) => id = parent,
        }
    }
    if sim.ends_before_entry(access) {
        Role::Other
    } else {
        Role::Background
    }
}

/// It was there before the entry was called, so that the next call meets it again: something of the receiver, or
/// of a package variable.
fn outlives_calls(sim: &Sim<'_>, object: ObjId, depth: u32) -> bool {
    match sim.origin(object) {
        Some(Origin::Global(_) | Origin::Receiver(_)) => true,
        Some(Origin::Field(base, _) | Origin::Element(base)) if depth < 8 => {
            outlives_calls(sim, base, depth + 1)
        }
        _ => false,
    }
}

fn is_task(sim: &Sim<'_>, thread: ThreadId) -> bool {
    let mut at = sim.threads.get(thread.0 as usize);
    while let Some(thread) = at {
        if thread.is_task {
            return true;
        }
        at = thread.parent.and_then(|id| sim.threads.get(id.0 as usize));
    }
    false
}

impl Sim<'_> {
    /// The entry waits for the goroutine.
    fn ends_before_entry(&self, access: &Access) -> bool {
        let end = Access {
            thread: ThreadId(0),
            at: u32::MAX - 1,
            ..access.clone()
        };
        self.precedes(access, &end)
    }
}

/// All pairs of entries that argue for themselves.
pub(crate) fn find(program: &Program, followed: &[Followed]) -> Vec<Found> {
    let mut by_key: BTreeMap<Key, Vec<&Touch>> = BTreeMap::new();
    for touch in followed.iter().flat_map(|followed| &followed.touches) {
        by_key.entry(touch.key).or_default().push(touch);
    }
    let mut found = Vec::new();
    for (key, touches) in &by_key {
        handlers(touches, &mut found);
        background(program, touches, &mut found);
        tasks(program, touches, &mut found);
        guarded(program, touches, &mut found);
        if let Some(outer) = outer(*key).and_then(|outer| by_key.get(&outer)) {
            nested(program, outer, touches, &mut found);
        }
    }
    found
}

fn excluded(a: &Touch, b: &Touch) -> bool {
    a.locks.iter().any(|(lock, mode)| {
        b.locks.iter().any(|(other, other_mode)| {
            other == lock && (*mode == Mode::Exclusive || *other_mode == Mode::Exclusive)
        })
    })
}

/// Both hold a lock, if only for reading: which path writes is not known. Or both hold the lock in the same
/// field of values that the simulation took apart, which are likelier one value than two. Or one would hold it if
/// it were asked to.
fn share_a_lock(a: &Touch, b: &Touch) -> bool {
    if a.is_optional || b.is_optional {
        return true;
    }
    let same = |(lock, _): &(LockKey, Mode)| b.locks.iter().any(|(other, _)| other == lock);
    a.locks.iter().any(same) || a.fields.iter().any(|field| b.fields.contains(field))
}

fn pair(
    rule: &'static Rule,
    confidence: Confidence,
    a: &Touch,
    b: &Touch,
    because: Vec<String>,
) -> Found {
    let (a, b) = races::writer_first((a, a.operation), (b, b.operation));
    Found {
        rule,
        confidence: confidence.min(rule.confidence),
        map: a.map.clone(),
        map_type: a.map_type.clone(),
        sides: vec![a.side.clone(), b.side.clone()],
        because,
    }
}

/// Two http handlers of one type, or of one package.
fn handlers(touches: &[&Touch], found: &mut Vec<Found>) {
    let handlers: Vec<_> = touches
        .iter()
        .filter(|touch| touch.role == Role::Handler && !touch.test)
        .take(60)
        .collect();
    for (index, a) in handlers.iter().enumerate() {
        for b in handlers.iter().skip(index + 1) {
            let conflict = a.operation.writes() || b.operation.writes();
            if conflict && a.entry != b.entry && !excluded(a, b) {
                let because =
                    vec!["the server runs each request in a goroutine of its own".to_owned()];
                let confidence = if share_a_lock(a, b) {
                    Confidence::Low
                } else {
                    Confidence::High
                };
                found.push(pair(&rules::HANDLER, confidence, a, b, because));
            }
        }
    }
}

/// A goroutine that stays, and the methods that callers use meanwhile.
fn background(program: &Program, touches: &[&Touch], found: &mut Vec<Found>) {
    let staying = touches
        .iter()
        .filter(|touch| touch.role == Role::Background && !touch.test);
    for a in staying.take(30) {
        for b in touches.iter().take(200) {
            let conflict = a.operation.writes() || b.operation.writes();
            if b.role != Role::Caller || b.test || !conflict || a.entry == b.entry || excluded(a, b)
            {
                continue;
            }
            let confidence = background_confidence(program, a, b);
            let because = vec![format!(
                "{} starts a goroutine that stays; {} runs in its caller's",
                program.function_name(a.entry),
                program.function_name(b.entry)
            )];
            found.push(pair(&rules::STARTED, confidence, a, b, because));
        }
    }
}

/// What each call starts anew and does not wait for: the goroutines of two calls run at the same time.
fn tasks(program: &Program, touches: &[&Touch], found: &mut Vec<Found>) {
    let writes = |touch: &&&Touch| {
        touch.is_task
            && touch.role == Role::Background
            && touch.operation.writes()
            && touch.locks.is_empty()
            && !touch.is_optional
            && !touch.test
    };
    for touch in touches.iter().filter(writes).take(30) {
        let entry = program.function(touch.entry);
        let confidence = match program.is_visible(touch.entry) && !is_setup(entry.name.text()) {
            true => Confidence::Medium,
            false => Confidence::Low,
        };
        let rule = match touch.key {
            Key::Field(..) => &rules::FIELD,
            Key::Global(_) => &rules::GLOBAL,
            Key::FieldElement(..) | Key::GlobalElement(_) => &rules::NESTED,
        };
        let because = vec![format!(
            "each call of {} starts a goroutine for what it was given, and does not wait for it",
            program.function_name(touch.entry)
        )];
        found.push(pair(rule, confidence, touch, touch, because));
    }
}

fn background_confidence(program: &Program, a: &Touch, b: &Touch) -> Confidence {
    let starter = program.function(a.entry);
    let made_there = starter.receiver.is_none() && starter.name.text().starts_with("New");
    let caller = program.function(b.entry);
    let is_method = caller.receiver.is_some() || matches!(b.key, Key::Global(_));
    let relies = starter.relies_on_callers || caller.relies_on_callers || share_a_lock(a, b);
    if !is_method
        || relies
        || !program.is_visible(b.entry)
        || is_setup(caller.name.text()) && !made_there
        || is_inside(program, a, b)
    {
        return Confidence::Low;
    }
    if made_there || a.operation.writes() || a.is_task {
        Confidence::Medium
    } else {
        Confidence::Low
    }
}

/// `b` is called on a value inside of the one whose method or constructor starts `a`'s goroutine: whoever owns that
/// value decides who calls it when.
fn is_inside(program: &Program, a: &Touch, b: &Touch) -> bool {
    let Some(caller) = program.receiver(b.entry) else {
        return false;
    };
    if let Some(starter) = program.receiver(a.entry) {
        return starter != caller;
    }
    let results = &program.function(a.entry).signature.results;
    let made = results.first().and_then(|result| base_name(&result.ty));
    let name = program
        .type_decl(caller)
        .map(|declaration| declaration.name);
    // A constructor may give its value back as an interface: of `lessor` it is called `Lessor`.
    made.zip(name)
        .is_some_and(|(made, name)| !made.text().eq_ignore_ascii_case(name.text()))
}

/// Names of functions that run before anything else does, or after.
fn is_setup(name: &str) -> bool {
    const BEGINNINGS: [&str; 24] = [
        "New",
        "Init",
        "init",
        "Setup",
        "setup",
        "Start",
        "start",
        "Open",
        "Register",
        "Use",
        "With",
        "Close",
        "Stop",
        "Shutdown",
        "Configure",
        "Option",
        "Must",
        "Reset",
        "Handle",
        "On",
        "Load",
        "Parse",
        "Build",
        "Unmarshal",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

/// Touches that one entry alone says are wrong: under a copy of a lock, of a map in a sync.Map, of one that a
/// sync.Once has made.
pub fn alone(sim: &Sim<'_>, entry: FuncId) -> Vec<Found> {
    let is_own = |access: &&Access| !sim.program().is_test(access.place.file);
    let accesses = || sim.accesses.iter().filter(is_own);
    let program = sim.program();
    let is_called = program.is_visible(entry) && !is_setup(program.function(entry).name.text());
    let beside_once = accesses().filter(|access| is_called && is_beside_once(sim, access));
    let beside_once = beside_once.map(|access| found_beside_once(sim, access));
    let relies = program.function(entry).relies_on_callers;
    let handed_out = accesses().filter(|_| is_called && !relies);
    let handed_out = handed_out.filter_map(|access| handed_out_of_lock(sim, access));
    accesses()
        .filter_map(|access| alone_in(sim, access))
        .chain(beside_once)
        .chain(handed_out)
        .collect()
}

/// A map of a value that was found or put under a lock, in a map that others have, and is written after the lock is
/// released: whoever looks for the same key gets the same value.
fn handed_out_of_lock(sim: &Sim<'_>, access: &Access) -> Option<Found> {
    let is_open = access.locks.is_empty() && !access.is_optional && sim.covers(access).is_empty();
    let Some(Origin::Field(value, _)) = sim.origin(access.object) else {
        return None;
    };
    let Some(Origin::Element(holder)) = sim.origin(value) else {
        return None;
    };
    let is_map = matches!(&*sim.program().underlying(&sim.ty(holder)), Type::Map(..));
    if !access.operation.writes() || !is_open || !is_map || !outlives_calls(sim, holder, 0) {
        return None;
    }
    let around = || sim.accesses.iter().filter(|other| other.object == holder);
    let put = around().find(|other| {
        other.operation == Operation::Assign
            && other.thread == access.thread
            && other.at < access.at
    })?;
    let lock = put.locks.iter().find(|held| {
        let holds = |other: &Access| other.locks.iter().any(|known| known.lock == held.lock);
        held.mode == Mode::Exclusive && around().all(holds)
    })?;
    let because = format!(
        "what holds this map was found or put under {} (line {}): whoever looks for the same key gets the same one",
        races::lock_name(sim, lock),
        put.place.span.line
    );
    Some(Found {
        rule: &rules::NESTED,
        confidence: Confidence::Medium,
        map: sim.describe(access.object),
        map_type: sim.type_name(access.object),
        sides: vec![races::side(sim, access), races::side(sim, access)],
        because: vec![because],
    })
}

/// The caller writes what a sync.Once has made, outside of it and under no lock.
fn is_beside_once(sim: &Sim<'_>, access: &Access) -> bool {
    access.operation.writes()
        && access.locks.is_empty()
        && access.thread == ThreadId(0)
        && sim.made_once.contains(&access.object)
}

fn found_beside_once(sim: &Sim<'_>, access: &Access) -> Found {
    let rule = races::rule_by_origin(sim, access.object);
    let because = "a sync.Once makes the map, so several goroutines come here; it does not keep them apart afterwards";
    Found {
        rule,
        confidence: Confidence::Medium.min(rule.confidence),
        map: sim.describe(access.object),
        map_type: sim.type_name(access.object),
        sides: vec![races::side(sim, access), races::side(sim, access)],
        because: vec![because.to_owned()],
    }
}

fn alone_in(sim: &Sim<'_>, access: &Access) -> Option<Found> {
    let copied = access
        .locks
        .iter()
        .find(|held| match sim.origin(held.lock) {
            Some(Origin::Field(holder, _)) => sim.original(holder).is_some(),
            _ => false,
        });
    let (rule, because) = if let (Some(copied), [_]) = (copied, &access.locks[..]) {
        let name = sim.describe(copied.lock);
        (
            &rules::LOCK_COPIED,
            format!("{name} belongs to a copy of the struct; the map is the original's"),
        )
    } else {
        let holder = sim.container(access.object)?;
        let is_shared = sim.ty(holder).is_external("sync", "Map");
        if !is_shared || !access.locks.is_empty() || !access.operation.writes() {
            return None;
        }
        (
            &rules::SYNC_MAP_VALUE,
            "whoever loads the same key gets the same map".to_owned(),
        )
    };
    Some(Found {
        rule,
        confidence: rule.confidence,
        map: sim.describe(access.object),
        map_type: sim.type_name(access.object),
        sides: vec![races::side(sim, access), races::side(sim, access)],
        because: vec![because],
    })
}

/// Ways out of functions that leave a lock held.
pub fn left_locked(sim: &Sim<'_>) -> Vec<Found> {
    let known = if sim.is_complete() {
        sim.left_locked.as_slice()
    } else {
        &[]
    };
    known
        .iter()
        .map(|left| Found {
            rule: &rules::NOT_UNLOCKED,
            confidence: Confidence::High,
            map: sim.describe(left.lock),
            map_type: sim.type_name(left.lock),
            sides: vec![FoundSide {
                operation: None,
                place: left.left,
                stack: sim.frames(&left.path, left.left),
                created: Vec::new(),
                how: "caller",
                locks: vec![sim.describe(left.lock)],
                via: None,
            }],
            because: vec![format!(
                "taken in line {}, released on another way out, still held here",
                left.taken.span.line
            )],
        })
        .collect()
}
