//! The same question asked of an executable, without source: which map operations do goroutines with
//! different beginnings come to, and which locks do they hold there?
//!
//! It is a weaker view than the source's. Which map it is cannot be told, only its type; calls through
//! interfaces are not followed; a function value is followed where it is made or passed. What it says is where to
//! look, not what is wrong. It needs no symbols and no DWARF: functions, lines and inlined calls are in pclntab,
//! names of types in their descriptors.
//!
//! 1. Every function is decoded ([`code`]) and run on a [`machine`] that knows where values come from and which locks
//!    are held: calls, map operations with the map's type, `go` statements with their functions ([`body`]).
//!    Locks are known by the functions that are called, and by the inline tree where they are inlined.
//! 2. From each function that a goroutine begins with, the calls are followed ([`follow`]); a lock counts as held when
//!    it is held on every way.
//! 3. Places are put together by the map's type; a type that several goroutines may use, one of them
//!    writing, is reported.

mod body;
mod code;
mod follow;
mod known;
mod machine;

use crate::analyze::frames::package_of;
use crate::golang::{Frame, Func, GoBinary};
use crate::image::Vaddr;
use crate::ring::Operation;
use body::{Body, Decoding, Effect, MapCall};
use follow::{Beginning, Calls, LockSet};
use known::Known;
pub use known::Mode;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Goroutines that are listed for maps of one type; the rest is counted.
const MOST_GOROUTINES: usize = 64;

/// A lock, by the place where it is taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lock {
    /// How.
    pub mode: Mode,
    /// The innermost function that does not belong to package sync.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line.
    pub line: u32,
}

/// A map operation in a function of the program.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Place {
    /// What is done.
    pub operation: Operation,
    /// Where: innermost first.
    pub frames: Vec<Frame>,
}

/// A goroutine's coming to a place.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Touch {
    /// The place, by its number in [`MapUse::places`].
    pub place: usize,
    /// Locks that are held on every way there that was followed.
    pub locks: Vec<Lock>,
}

/// What goroutines that begin with one function do with maps of one type.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GoroutineUse {
    /// The function that they begin with.
    pub function: String,
    /// Where they are started: `file:line`; empty for the main goroutine and for what others start.
    pub started: Vec<String>,
    /// What they do: writes without a lock first.
    pub touches: Vec<Touch>,
}

/// The uses of maps of one type.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MapUse {
    /// The type, as Go source writes it; where it is not seen (generic code), the function instead.
    pub map_type: String,
    /// Somebody comes to one of the places without a lock.
    pub unlocked: bool,
    /// The places.
    pub places: Vec<Place>,
    /// Who comes there, the most writes without a lock first.
    pub uses: Vec<GoroutineUse>,
    /// How many more do.
    pub more: usize,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct BinaryScan {
    /// Functions that were decoded.
    pub functions: usize,
    /// Functions that goroutines begin with.
    pub entry_points: usize,
    /// `go` statements of which the function is not seen.
    pub unknown_starts: usize,
    /// Map operations outside the standard library.
    pub places: usize,
    /// Those on maps of a goroutine's own stack.
    pub private: usize,
    /// Those in functions to which no call leads that was followed.
    pub unreached: usize,
    /// Types that several goroutines may use, with a write.
    pub maps: Vec<MapUse>,
}

/// Scans an executable.
pub fn scan(go: &GoBinary<'_>) -> BinaryScan {
    let functions: HashMap<Vaddr, Func<'_>> = go
        .functions()
        .map(|function| (function.entry, function))
        .collect();
    let bodies = bodies(go, &functions);
    let library = Library::of(go);
    let own: BTreeSet<Vaddr> = bodies
        .iter()
        .filter(|(_, body)| !body.maps.is_empty() || body.private > 0)
        .map(|(at, _)| *at)
        .filter(|at| {
            functions
                .get(at)
                .is_some_and(|function| !library.has(go, function))
        })
        .collect();
    let calls = Calls::new(&functions, &bodies, |at| own.contains(&at));
    let beginnings = calls.beginnings(go);
    let goroutines = goroutines(go, &functions, &beginnings);
    let reached: Vec<HashMap<Vaddr, LockSet>> = goroutines
        .par_iter()
        .map(|goroutine| reached_from(&calls, &goroutine.entries))
        .collect();
    let own_bodies = || own.iter().filter_map(|at| Some((at, bodies.get(at)?)));
    let is_reached = |at: &Vaddr| reached.iter().any(|reached| reached.contains_key(at));
    BinaryScan {
        functions: bodies.len(),
        entry_points: goroutines.len(),
        unknown_starts: bodies
            .values()
            .flat_map(|body| &body.goes)
            .filter(|go| go.functions.is_empty() && go.arguments.is_empty())
            .count(),
        places: own_bodies()
            .map(|(_, body)| body.maps.len() + body.private)
            .sum(),
        private: own_bodies().map(|(_, body)| body.private).sum(),
        unreached: own_bodies()
            .filter(|(at, _)| !is_reached(at))
            .map(|(_, body)| body.maps.len())
            .sum(),
        maps: maps(go, &bodies, &own, &goroutines, &reached),
    }
}

/// Decodes all functions; twice those that call what takes or gives back locks for them.
fn bodies(go: &GoBinary<'_>, functions: &HashMap<Vaddr, Func<'_>>) -> BTreeMap<Vaddr, Body> {
    let known = functions
        .values()
        .filter_map(|function| Some((function.entry, Known::by_name(function.name)?)));
    let program: Vec<&Func<'_>> = functions
        .values()
        .filter(|function| !known::is_runtime(function.name))
        .collect();
    let mut decoding = Decoding {
        go,
        entries: program.iter().map(|function| function.entry).collect(),
        known: known.collect(),
        effects: HashMap::new(),
    };
    let decode = |decoding: &Decoding<'_, '_>, functions: &[&Func<'_>]| -> Vec<(Vaddr, Body)> {
        let all = functions.par_iter();
        all.map(|function| (function.entry, decoding.body(function)))
            .collect()
    };
    let mut bodies: BTreeMap<Vaddr, Body> = decode(&decoding, &program).into_iter().collect();
    let effects = bodies
        .iter()
        .filter(|(at, body)| body.effect != Effect::default() && !decoding.known.contains_key(at));
    decoding.effects = effects
        .map(|(at, body)| (*at, body.effect.clone()))
        .collect();
    let again: Vec<&Func<'_>> = program
        .into_iter()
        .filter(|function| {
            let body = bodies.get(&function.entry);
            body.is_some_and(|body| {
                let mut calls = body.calls.iter();
                calls.any(|call| decoding.effects.contains_key(&call.target))
            })
        })
        .collect();
    bodies.extend(decode(&decoding, &again));
    bodies
}

/// Which functions belong to the standard library.
struct Library {
    /// Where its sources lay when it was compiled; empty with `-trimpath`.
    root: String,
    main_module: Option<String>,
}

impl Library {
    fn of(go: &GoBinary<'_>) -> Library {
        let main = go.functions_named("runtime.main").into_iter().next();
        let file = main.and_then(|main| go.frames_at(main.entry).pop());
        let root = file.and_then(|frame| {
            let root = frame.file.strip_suffix("runtime/proc.go")?;
            Some(root.to_owned())
        });
        Library {
            root: root.unwrap_or_default(),
            main_module: go.main_module(),
        }
    }

    fn has(&self, go: &GoBinary<'_>, function: &Func<'_>) -> bool {
        if !self.root.is_empty() {
            let frames = go.frames_at(function.entry);
            return frames
                .last()
                .is_some_and(|frame| frame.file.starts_with(&self.root));
        }
        let package = package_of(function.name);
        let is_main_module = self.main_module.as_deref().is_some_and(|module| {
            package
                .strip_prefix(module)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let first = package.split('/').next().unwrap_or(package);
        package != "main" && !is_main_module && !first.contains('.')
    }
}

/// Goroutines that are named alike.
struct Goroutine {
    function: String,
    started: Vec<String>,
    /// The main goroutine runs all of its beginnings, one after the other.
    entries: Vec<Vaddr>,
    /// There is only one.
    main: bool,
}

fn goroutines(
    go: &GoBinary<'_>,
    functions: &HashMap<Vaddr, Func<'_>>,
    beginnings: &BTreeMap<Vaddr, Beginning>,
) -> Vec<Goroutine> {
    let main = beginnings.iter().filter(|(_, beginning)| beginning.main);
    let main = Goroutine {
        function: "main.main".to_owned(),
        started: Vec::new(),
        entries: main.map(|(at, _)| *at).collect(),
        main: true,
    };
    let others = beginnings
        .iter()
        .filter(|(_, beginning)| beginning.handed || !beginning.started.is_empty())
        .map(|(at, beginning)| Goroutine {
            function: functions
                .get(at)
                .map_or("?", |function| function.name)
                .to_owned(),
            started: beginning
                .started
                .iter()
                .filter_map(|start| outside_sync(go.frames_at(*start)).into_iter().next())
                .map(|frame| format!("{}:{}", frame.file, frame.line))
                .collect(),
            entries: vec![*at],
            main: false,
        });
    std::iter::once(main).chain(others).collect()
}

fn reached_from(calls: &Calls<'_, '_>, entries: &[Vaddr]) -> HashMap<Vaddr, LockSet> {
    let mut all: HashMap<Vaddr, LockSet> = HashMap::new();
    for reached in entries.iter().map(|entry| calls.follow(*entry)) {
        for (function, locks) in reached {
            all.entry(function)
                .and_modify(|known| known.retain(|lock| locks.contains(lock)))
                .or_insert(locks);
        }
    }
    all
}

/// Frames from the first on that is not package sync's.
fn outside_sync(mut frames: Vec<Frame>) -> Vec<Frame> {
    let is_sync = |frame: &Frame| {
        [
            "sync",
            "internal/sync",
            "sync/atomic",
            "internal/runtime/atomic",
        ]
        .contains(&package_of(&frame.function))
    };
    let own = frames.iter().take_while(|frame| is_sync(frame)).count();
    frames.drain(..own);
    frames
}

fn maps(
    go: &GoBinary<'_>,
    bodies: &BTreeMap<Vaddr, Body>,
    own: &BTreeSet<Vaddr>,
    goroutines: &[Goroutine],
    reached: &[HashMap<Vaddr, LockSet>],
) -> Vec<MapUse> {
    let locks = locks(go, bodies);
    let mut by_type: BTreeMap<String, Vec<(Vaddr, &MapCall)>> = BTreeMap::new();
    for (at, body) in own.iter().filter_map(|at| Some((*at, bodies.get(at)?))) {
        for map in &body.maps {
            by_type.entry(type_of(go, map)).or_default().push((at, map));
        }
    }
    let mut maps: Vec<MapUse> = by_type
        .into_iter()
        .filter(|(_, places)| places.iter().any(|(_, map)| map.operation.writes()))
        .filter_map(|(map_type, places)| {
            let uses: Vec<(&Goroutine, Vec<Touch>)> = goroutines
                .iter()
                .zip(reached)
                .map(|(goroutine, reached)| (goroutine, touches(&places, reached, &locks)))
                .filter(|(_, touches)| !touches.is_empty())
                .collect();
            let places = places.iter().map(|(_, map)| Place {
                operation: map.operation,
                frames: go.frames_at(map.at),
            });
            shared(map_type, places.collect(), uses)
        })
        .collect();
    maps.sort_by_key(|map| !map.unlocked);
    maps
}

/// All locks that are held somewhere, by the address where they are taken.
fn locks(go: &GoBinary<'_>, bodies: &BTreeMap<Vaddr, Body>) -> HashMap<Vaddr, Lock> {
    let calls = bodies.values().flat_map(|body| &body.calls);
    let maps = bodies.values().flat_map(|body| &body.maps);
    let held = calls
        .map(|call| &call.locks)
        .chain(maps.map(|map| &map.locks));
    let mut locks = HashMap::new();
    for taken in held.flat_map(|locks| &locks.taken) {
        locks.entry(taken.at).or_insert_with(|| {
            let frame = outside_sync(go.frames_at(taken.at)).into_iter().next();
            let (function, file, line) = frame.map_or_else(
                || ("?".to_owned(), "?".to_owned(), 0),
                |frame| (frame.function, frame.file, frame.line),
            );
            Lock {
                mode: taken.mode,
                function,
                file,
                line,
            }
        });
    }
    locks
}

fn type_of(go: &GoBinary<'_>, map: &MapCall) -> String {
    let named = map.map_type.and_then(|at| go.type_name(at));
    named.unwrap_or_else(|| {
        let frame = go.frames_at(map.at).into_iter().next();
        let function = frame.map_or_else(|| "?".to_owned(), |frame| frame.function);
        format!("a type that is not seen, in {function}")
    })
}

fn touches(
    places: &[(Vaddr, &MapCall)],
    reached: &HashMap<Vaddr, LockSet>,
    known: &HashMap<Vaddr, Lock>,
) -> Vec<Touch> {
    let mut touches: Vec<(bool, Touch)> = Vec::new();
    for (place, (function, map)) in places.iter().enumerate() {
        let Some(callers) = reached.get(function) else {
            continue;
        };
        let mut taken: LockSet = map.locks.taken.iter().map(|taken| taken.at).collect();
        if map.locks.keeps {
            taken.extend(callers);
        }
        let locks: Vec<Lock> = taken
            .iter()
            .filter_map(|at| known.get(at).cloned())
            .collect();
        touches.push((map.operation.writes(), Touch { place, locks }));
    }
    touches.sort_by_key(|(writes, touch)| (!touch.locks.is_empty(), !writes));
    touches.into_iter().map(|(_, touch)| touch).collect()
}

/// The uses of one type, when several goroutines may come to them and one writes.
fn shared(
    map_type: String,
    places: Vec<Place>,
    mut uses: Vec<(&Goroutine, Vec<Touch>)>,
) -> Option<MapUse> {
    let is_write = |touch: &Touch| {
        let place = places.get(touch.place);
        place.is_some_and(|place| place.operation.writes())
    };
    let writes = uses.iter().any(|(_, touches)| touches.iter().any(is_write));
    // Of goroutines that begin with one function there may be many; the main one is alone.
    let several = uses.len() > 1 || uses.iter().any(|(goroutine, _)| !goroutine.main);
    if !several || !writes {
        return None;
    }
    let is_open = |touch: &&Touch| touch.locks.is_empty();
    let unlocked = uses
        .iter()
        .any(|(_, touches)| touches.iter().any(|touch| is_open(&touch)));
    uses.sort_by_key(|(_, touches)| {
        let open = touches.iter().filter(is_open);
        Reverse(open.filter(|touch| is_write(touch)).count())
    });
    Some(MapUse {
        map_type,
        unlocked,
        more: uses.len().saturating_sub(MOST_GOROUTINES),
        uses: uses
            .into_iter()
            .take(MOST_GOROUTINES)
            .map(|(goroutine, touches)| GoroutineUse {
                function: goroutine.function.clone(),
                started: goroutine.started.clone(),
                touches,
            })
            .collect(),
        places,
    })
}
