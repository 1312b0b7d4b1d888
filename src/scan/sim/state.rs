//! What is held on the ways that lead to a point of the code.
//!
//! Ways with different locks stay apart as *states* as long as a condition tells them apart that can be asked
//! again: after `if need { mu.Lock() }` there is one in which `need` is true and the lock is held, and one in which neither
//! is. Otherwise they become one, which holds what all of them hold.

use super::*;

/// States beyond these become one with the last.
const MOST_STATES: usize = 4;
/// What is known beyond this is forgotten, the oldest first of what tells no states apart.
const MOST_FACTS: usize = 16;

/// What holds on one way, or on several alike ones.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) locks: Vec<Held>,
    /// Locks that were taken and released on this way.
    pub(super) released: Vec<ObjId>,
    pub(super) facts: Vec<Fact>,
    /// Calls that were deferred on this way, by their numbers.
    pub(super) deferred: u64,
    /// Became one with a state that holds more, because whoever is asked wanted it so.
    pub(super) is_optional: bool,
}

/// A condition that was true or false on the way.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) condition: Rc<Condition>,
    pub(super) holds: bool,
    /// It has told states apart.
    divides: bool,
}

/// A condition without effects, by which ways can be told apart.
#[derive(Debug)]
pub(super) struct Condition {
    /// The same for conditions that are the same.
    pub(super) key: u64,
    /// What a store to makes another condition of it.
    pub(super) depends: Vec<Dependency>,
    /// The newest variable that the key names.
    pub(super) newest_cell: Option<CellId>,
    /// The newest object that the key names.
    pub(super) newest_object: Option<ObjId>,
    /// Nobody else can change it.
    pub(super) is_certain: bool,
    pub(super) decides: Decides,
}

/// What a condition hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependency {
    Cell(CellId),
    Global(GlobalId),
    Field(Name),
}

/// Who decides a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decides {
    /// The code that was followed.
    Code,
    /// Who calls the entry.
    Caller,
    /// Who stored to a field or package variable.
    Field,
}

impl State {
    pub(super) fn fact(&self, key: u64) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.condition.key == key)
    }

    pub(super) fn learn(&mut self, condition: &Rc<Condition>, holds: bool) {
        let is_same = |fact: &Fact| fact.condition.key == condition.key;
        let divides = self.facts.iter().any(|fact| fact.divides && is_same(fact));
        self.facts.retain(|fact| !is_same(fact));
        if self.facts.len() >= MOST_FACTS {
            let plain = self.facts.iter().position(|fact| !fact.divides);
            self.facts.remove(plain.unwrap_or(0));
        }
        self.facts.push(Fact {
            condition: Rc::clone(condition),
            holds,
            divides,
        });
    }

    /// Notes which facts tell it apart from another state.
    fn mark_divided(&mut self, other: &State) {
        for fact in &mut self.facts {
            let known = other.fact(fact.condition.key);
            fact.divides |= known.is_some_and(|known| known.holds != fact.holds);
        }
    }

    pub(super) fn forget(&mut self, depends: impl Fn(&Dependency) -> bool) {
        self.facts
            .retain(|fact| !fact.condition.depends.iter().any(&depends));
    }

    /// The conditions that are true on one way and false on the other.
    fn differences<'s>(&'s self, other: &'s State) -> impl Iterator<Item = &'s Condition> {
        let differs = |fact: &&Fact| {
            let known = other.fact(fact.condition.key);
            known.is_some_and(|known| known.holds != fact.holds)
        };
        self.facts
            .iter()
            .filter(differs)
            .map(|fact| &*fact.condition)
    }

    fn is_apart(&self, other: &State) -> bool {
        self.differences(other).next().is_some()
    }

    fn is_alike(&self, other: &State) -> bool {
        let same = |(a, b): (&Held, &Held)| a.lock == b.lock && a.mode == b.mode;
        self.deferred == other.deferred
            && self.locks.len() == other.locks.len()
            && self.locks.iter().zip(&other.locks).all(same)
    }

    /// What is not held here is held on the other way, as somebody outside of what was followed wants it.
    pub(super) fn leaves_out(&self, other: &State, thread: ThreadId) -> bool {
        let is_held = |lock: &Held| {
            self.released.contains(&lock.lock)
                || self.locks.iter().any(|held| held.lock == lock.lock)
        };
        // A goroutine does not have the locks of who started it.
        let outside = |condition: &Condition| match condition.decides {
            Decides::Code => false,
            Decides::Caller => thread == ThreadId(0),
            Decides::Field => true,
        };
        !other.locks.iter().all(is_held) && self.differences(other).any(outside)
    }

    fn join(&mut self, other: &State, thread: ThreadId) {
        self.is_optional |=
            other.is_optional || self.leaves_out(other, thread) || other.leaves_out(self, thread);
        if !self.is_alike(other) {
            self.locks = common(std::mem::take(&mut self.locks), &other.locks);
        }
        self.deferred |= other.deferred;
        self.released.retain(|lock| other.released.contains(lock));
        self.facts.retain(|fact| {
            let known = other.fact(fact.condition.key);
            known.is_some_and(|known| known.holds == fact.holds)
        });
    }
}

/// Held on both, with the weaker mode.
pub(super) fn common(held: Vec<Held>, other: &[Held]) -> Vec<Held> {
    held.into_iter()
        .filter_map(|mut lock| {
            let same = other.iter().find(|candidate| candidate.lock == lock.lock)?;
            lock.mode = lock.mode.min(same.mode);
            Some(lock)
        })
        .collect()
}

/// The same ways, those in one state that hold the same or that no condition tells apart.
pub(super) fn merged(mut states: Vec<State>, thread: ThreadId) -> Vec<State> {
    while states.len() > 1 {
        let count = states.len();
        let mut kept: Vec<State> = Vec::with_capacity(count);
        for state in states {
            let alike = kept.iter().position(|known| known.is_alike(&state));
            let same = alike.or_else(|| kept.iter().position(|known| !known.is_apart(&state)));
            let is_full = kept.len() >= MOST_STATES;
            match same.or_else(|| kept.len().checked_sub(1).filter(|_| is_full)) {
                Some(at) => {
                    if let Some(known) = kept.get_mut(at) {
                        known.join(&state, thread);
                    }
                }
                None => kept.push(state),
            }
        }
        states = kept;
        if states.len() == count {
            break;
        }
    }
    for at in 1..states.len() {
        let (before, rest) = states.split_at_mut(at);
        let Some(state) = rest.first_mut() else { break };
        for other in before {
            state.mark_divided(other);
            other.mark_divided(state);
        }
    }
    states
}

/// A result tells the caller which of two ways out was taken.
pub(super) fn is_told(results: &[Option<ObjId>], states: &[State], others: &[State]) -> bool {
    let is_result = |condition: &Condition| {
        condition.newest_object.is_some() && results.contains(&condition.newest_object)
    };
    let told = |state: &State| {
        let apart = |other: &State| state.differences(other).any(is_result);
        others.iter().all(apart)
    };
    states.iter().all(told)
}

impl Sim<'_> {
    /// What all states hold.
    pub(super) fn held_always(states: &[State]) -> Vec<Held> {
        let mut states = states.iter();
        let first = states.next().map(|state| state.locks.clone());
        states.fold(first.unwrap_or_default(), |held, other| {
            common(held, &other.locks)
        })
    }

    /// It is held in some state.
    pub(super) fn may_hold(&self, is_it: impl Fn(&Held) -> bool) -> bool {
        self.states
            .iter()
            .any(|state| state.locks.iter().any(&is_it))
    }

    /// Somebody stores there: what was asked of it says nothing any more.
    pub(super) fn forget(&mut self, stored: Dependency) {
        for state in &mut self.states {
            state.forget(|dependency| *dependency == stored);
        }
    }
}
