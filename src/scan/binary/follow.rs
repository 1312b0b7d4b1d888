//! From where goroutines begin along the calls: who comes to which map operation, with which locks.

use super::body::{Body, Locks};
use super::known;
use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Where goroutines begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Beginning {
    /// `go` statements, as addresses of their calls.
    pub(super) started: BTreeSet<Vaddr>,
    /// The main goroutine begins here, with package initialisation or `main.main`.
    pub(super) main: bool,
    /// It is handed to something that starts goroutines, or serves requests.
    pub(super) handed: bool,
}

/// Locks by the addresses where they are taken.
pub(super) type LockSet = BTreeSet<Vaddr>;

/// All functions, and what they do.
pub(super) struct Calls<'c, 'a> {
    pub(super) functions: &'c HashMap<Vaddr, Func<'a>>,
    pub(super) bodies: &'c BTreeMap<Vaddr, Body>,
    /// Which arguments a function hands to goroutines.
    starters: HashMap<Vaddr, BTreeSet<u8>>,
    /// Functions from which map operations are reached.
    useful: HashSet<Vaddr>,
}

/// A call as it is followed.
struct Edge {
    target: Vaddr,
    taken: LockSet,
    keeps: bool,
}

impl Edge {
    fn new(target: Vaddr, locks: &Locks) -> Edge {
        Edge {
            target,
            taken: locks.taken.iter().map(|taken| taken.at).collect(),
            keeps: locks.keeps,
        }
    }

    /// Nothing is known of the locks.
    fn open(target: Vaddr) -> Edge {
        Edge {
            target,
            taken: LockSet::new(),
            keeps: false,
        }
    }
}

impl<'c, 'a> Calls<'c, 'a> {
    pub(super) fn new(
        functions: &'c HashMap<Vaddr, Func<'a>>,
        bodies: &'c BTreeMap<Vaddr, Body>,
        is_own: impl Fn(Vaddr) -> bool,
    ) -> Calls<'c, 'a> {
        let mut calls = Calls {
            functions,
            bodies,
            starters: starters(bodies),
            useful: HashSet::new(),
        };
        calls.useful = calls.leading_to_maps(is_own);
        calls
    }

    fn name(&self, at: Vaddr) -> &'a str {
        self.functions
            .get(&at)
            .map_or("?", |function| function.name)
    }

    /// A function value in this argument of a call is run by another goroutine.
    fn starts(&self, target: Vaddr, argument: u8) -> bool {
        self.starters
            .get(&target)
            .is_some_and(|arguments| arguments.contains(&argument))
            || known::starts_arguments(self.name(target))
    }

    fn edges(&self, body: &Body) -> Vec<Edge> {
        let mut edges: Vec<Edge> = body.kept.iter().copied().map(Edge::open).collect();
        for call in &body.calls {
            edges.push(Edge::new(call.target, &call.locks));
            let at_once = known::calls_at_once(self.name(call.target));
            for (argument, function) in &call.functions {
                if self.starts(call.target, *argument) {
                    continue;
                }
                edges.push(if at_once {
                    Edge::new(*function, &call.locks)
                } else {
                    Edge::open(*function)
                });
            }
        }
        edges
    }

    fn leading_to_maps(&self, is_own: impl Fn(Vaddr) -> bool) -> HashSet<Vaddr> {
        let mut callers: HashMap<Vaddr, Vec<Vaddr>> = HashMap::new();
        let mut todo: Vec<Vaddr> = Vec::new();
        for (at, body) in self.bodies {
            for edge in self.edges(body) {
                callers.entry(edge.target).or_default().push(*at);
            }
            if !body.maps.is_empty() && is_own(*at) {
                todo.push(*at);
            }
        }
        let mut useful = HashSet::new();
        while let Some(function) = todo.pop() {
            if useful.insert(function) {
                todo.extend(callers.get(&function).into_iter().flatten());
            }
        }
        useful
    }

    /// Where goroutines begin, by function.
    pub(super) fn beginnings(&self, go: &GoBinary<'_>) -> BTreeMap<Vaddr, Beginning> {
        let mut found: BTreeMap<Vaddr, Beginning> = BTreeMap::new();
        for (at, body) in self.bodies {
            let name = self.name(*at);
            if known::is_main(name) {
                found.entry(*at).or_default().main = true;
            }
            if known::is_handler(name) && !self.is_wrapper(go, *at) {
                found.entry(*at).or_default().handed = true;
            }
            for go_statement in &body.goes {
                for function in self.without_wrappers(go, &go_statement.functions) {
                    let beginning = found.entry(function).or_default();
                    beginning.started.insert(go_statement.at);
                }
            }
            for call in &body.calls {
                let handed = call.functions.iter();
                for (_, function) in
                    handed.filter(|(argument, _)| self.starts(call.target, *argument))
                {
                    found.entry(*function).or_default().handed = true;
                }
            }
        }
        found
    }

    fn is_wrapper(&self, go: &GoBinary<'_>, at: Vaddr) -> bool {
        self.functions
            .get(&at)
            .is_some_and(|function| go.is_wrapper(function))
    }

    /// The compiler wraps the function of a `go` statement that has arguments: what is meant is the function that
    /// the wrapper is given, or calls.
    fn without_wrappers(&self, go: &GoBinary<'_>, functions: &[Vaddr]) -> Vec<Vaddr> {
        let (wrappers, meant): (Vec<Vaddr>, Vec<Vaddr>) = functions
            .iter()
            .partition(|function| self.is_wrapper(go, **function));
        if !meant.is_empty() {
            return meant;
        }
        let called = |wrapper: &Vaddr| match self.bodies.get(wrapper).map(|body| &body.calls[..]) {
            Some([only]) => only.target,
            _ => *wrapper,
        };
        wrappers.iter().map(called).collect()
    }

    /// The functions that a goroutine comes to, and the locks that it holds there on every way.
    pub(super) fn follow(&self, from: Vaddr) -> HashMap<Vaddr, LockSet> {
        let mut reached: HashMap<Vaddr, LockSet> = HashMap::new();
        let mut todo = vec![(from, LockSet::new())];
        while let Some((function, locks)) = todo.pop() {
            if !self.useful.contains(&function) {
                continue;
            }
            let held = match reached.get_mut(&function) {
                None => reached.entry(function).or_insert(locks).clone(),
                Some(known) => {
                    let before = known.len();
                    known.retain(|lock| locks.contains(lock));
                    if known.len() == before {
                        continue;
                    }
                    known.clone()
                }
            };
            let Some(body) = self.bodies.get(&function) else {
                continue;
            };
            for edge in self.edges(body) {
                let mut locks = edge.taken;
                if edge.keeps {
                    locks.extend(&held);
                }
                todo.push((edge.target, locks));
            }
        }
        reached
    }
}

/// Arguments that end up in a `go` statement, there or in a function that they are passed on to.
fn starters(bodies: &BTreeMap<Vaddr, Body>) -> HashMap<Vaddr, BTreeSet<u8>> {
    let mut found: HashMap<Vaddr, BTreeSet<u8>> = HashMap::new();
    for (at, body) in bodies {
        let arguments: BTreeSet<u8> = body
            .goes
            .iter()
            .flat_map(|go| go.arguments.clone())
            .collect();
        if !arguments.is_empty() {
            found.insert(*at, arguments);
        }
    }
    loop {
        let mut more: Vec<(Vaddr, u8)> = Vec::new();
        for (at, body) in bodies {
            let passed = body.calls.iter().flat_map(|call| {
                let started = found.get(&call.target);
                let is_started =
                    move |number: &u8| started.is_some_and(|arguments| arguments.contains(number));
                call.passed_on
                    .iter()
                    .filter(move |(_, number)| is_started(number))
            });
            let own = found.get(at);
            let is_new = |own_number: &u8| own.is_none_or(|known| !known.contains(own_number));
            more.extend(
                passed
                    .map(|(own, _)| *own)
                    .filter(is_new)
                    .map(|own| (*at, own)),
            );
        }
        if more.is_empty() {
            return found;
        }
        for (at, number) in more {
            found.entry(at).or_default().insert(number);
        }
    }
}
