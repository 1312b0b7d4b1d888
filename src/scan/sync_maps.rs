//! sync.Map used in two steps, or under a lock anyway. Both are hints: no run of the program is proven to
//! go wrong.

use super::found::{Found, FoundSide};
use super::rules::{self, Rule};
use super::sim::{MapCall, Sim};
use crate::analyze::model::Confidence;
use std::rc::Rc;

/// What one entry does with sync.Maps that is worth a hint.
pub fn find(sim: &Sim<'_>) -> Vec<Found> {
    let calls = &sim.map_calls;
    let mut found = Vec::new();
    for (index, store) in calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.method == "Store")
    {
        let before = calls.get(..index).unwrap_or_default();
        let load = before
            .iter()
            .rev()
            .find(|load| load.method == "Load" && is_same_step(load, store));
        if let Some(load) = load
            && store.locks.is_empty()
        {
            let because = format!(
                "loaded in line {}, stored here; another goroutine may store between",
                load.place.span.line
            );
            found.push(hint(sim, &rules::LOAD_STORE, store, because));
        }
        if store.locks.iter().any(|lock| sim.ty(lock.lock).is_lock()) {
            let because = "the lock that is held makes sync.Map's own one useless".to_owned();
            found.push(hint(sim, &rules::SYNC_MAP_LOCKED, store, because));
        }
    }
    found
}

fn is_same_step(load: &MapCall, store: &MapCall) -> bool {
    let same_call = match (&load.path, &store.path) {
        (Some(a), Some(b)) => Rc::ptr_eq(a, b),
        _ => false,
    };
    same_call && load.object == store.object && load.key.is_some() && load.key == store.key
}

fn hint(sim: &Sim<'_>, rule: &'static Rule, call: &MapCall, because: String) -> Found {
    Found {
        rule,
        confidence: Confidence::Low,
        map: sim.describe(call.object),
        map_type: "sync.Map".to_owned(),
        sides: vec![FoundSide {
            operation: None,
            place: call.place,
            stack: sim.frames(&call.path, call.place),
            created: Vec::new(),
            how: "caller",
            locks: call
                .locks
                .iter()
                .map(|held| sim.describe(held.lock))
                .collect(),
            via: None,
        }],
        because: vec![because],
    }
}
