//! What can happen when a function runs: its statements are followed, calls entered, goroutines run,
//! and every touch of a map that others may reach is written down with who, where, when and under
//! which locks.
//!
//! One [`Sim`] follows one *entry*: a function that something outside the module may call. Receiver and
//! parameters are symbols. Objects stand for what was made at one place in one round of a loop, so
//! that a map made in each round is not the map of the next one; loops that start goroutines or
//! communicate are followed for two rounds, all others for one. Branches are followed one after the other; locks
//! held after them are those held on all of them that go on, unless a condition keeps them apart ([`state`]). What a variable or field can hold is a set
//! that grows where it is not known which branch was taken.
//!
//! Goroutines are followed when the one that started them first waits, or ends. Their order is not
//! guessed from that: each [`Thread`] has numbered events, and [`order`](super::order) follows the
//! edges between them (start, channel, WaitGroup, once, atomic flag).

mod branch;
mod builtins;
mod call;
mod condition;
mod events;
mod expr;
mod heap;
mod known;
mod memo;
mod readers;
mod start;
mod state;
mod stmt;
mod sync;
mod testing;

use super::hash::{Map, Set};
use super::names::Name;
use super::order::Order;
use super::program::{FileId, FuncId, GlobalId, Program};
use super::syntax::{Expr, FuncLit, Span};
use super::types::{Ty, TypeId};
use crate::ring::Operation;
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

use state::State;

pub use memo::TypeMemo;

/// Calls deeper than this are not entered.
const DEEPEST_CALL: usize = 9;
/// Threads beyond these are not followed.
const MOST_THREADS: usize = 40;
/// Objects beyond these are not told apart.
const MOST_OBJECTS: usize = 40_000;
/// Touches beyond these are not written down.
const MOST_ACCESSES: usize = 4_000;

/// An object of the simulated heap, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjId(pub u32);

/// A variable, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CellId(u32);

/// A goroutine, by number; 0 is the caller of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u32);

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// Where in it.
    pub span: Span,
}

/// What an expression can be.
#[derive(Clone, Debug)]
struct Value {
    ty: Ty,
    objs: Vec<ObjId>,
    scalar: Option<Scalar>,
}

/// What is known of a number or string: enough to tell elements apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scalar {
    Int(u64),
    Str(Name),
    Bool(bool),
    /// What differs from round to round of a loop: the loop's place and the round.
    Round(u32, u32),
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The entry's receiver.
    Receiver(TypeId),
    /// A parameter of the entry.
    Param(Name),
    /// A package variable's first value.
    Global(GlobalId),
    /// What a field held before anything was seen to be stored there.
    Field(ObjId, Name),
    /// The same for an element.
    Element(ObjId),
    /// Made in the code that was followed, and called so first.
    Made(Name),
}

/// Something in memory.
#[derive(Debug)]
struct Object<'p> {
    ty: Ty,
    origin: Origin,
    /// Who made it.
    owner: ThreadId,
    /// How many branches were open then.
    depth: u32,
    /// Others may reach it.
    escaped: bool,
    /// The step at which that began.
    escaped_at: u32,
    fields: Map<Name, Value>,
    elements: Vec<(Option<Scalar>, Value)>,
    queue: VecDeque<Value>,
    /// A channel's room; `None` when not known.
    room: Option<u64>,
    /// A struct that was copied: fields not seen here are the other's.
    copy_of: Option<ObjId>,
    /// It is the copy that a method with a value receiver works on.
    is_receiver_copy: bool,
    code: Option<Code<'p>>,
    called: bool,
}

/// What a function value runs.
#[derive(Clone, Debug)]
enum Code<'p> {
    Declared(FuncId, Option<Box<Value>>),
    Literal(&'p FuncLit, Rc<Closure>),
}

/// What a literal sees around it.
#[derive(Debug)]
struct Closure {
    scope: Env,
    file: FileId,
    types: Rc<Vec<(Name, Ty)>>,
    outer: Option<FuncId>,
}

/// Variables in scope, innermost first.
type Env = Option<Rc<Binding>>;

#[derive(Debug)]
struct Binding {
    name: Name,
    cell: CellId,
    outer: Env,
}

#[derive(Debug)]
struct Cell {
    value: Value,
    /// How many branches were open where it was declared.
    depth: u32,
    owner: ThreadId,
    /// A function literal stores there, or somebody has its address.
    is_shared: bool,
    /// It was stored to after its declaration.
    is_rewritten: bool,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// RLock.
    Shared,
    /// Lock.
    Exclusive,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub lock: ObjId,
    /// How.
    pub mode: Mode,
    /// Where it was taken.
    pub place: Place,
    /// How deep the call that took it is.
    depth: usize,
}

/// A lock that is held for a goroutine, by the one that started it.
#[derive(Clone, Copy, Debug)]
pub struct Cover {
    /// The lock.
    pub held: Held,
    /// It is not held on all ways to the start: whoever wants it so decides.
    pub is_optional: bool,
}

/// A call in a path: who runs, and where it was called from.
#[derive(Debug)]
pub struct Link {
    /// The declared function.
    pub function: Option<FuncId>,
    /// The literal's suffix.
    pub suffix: Option<Name>,
    /// The function's file.
    pub file: FileId,
    /// Where it was called; `None` for the first.
    pub called: Option<Place>,
    /// Its caller.
    pub caller: Path,
    depth: usize,
}

/// A path of calls, innermost first.
pub type Path = Option<Rc<Link>>;

/// A goroutine.
#[derive(Debug)]
pub struct Thread {
    /// The `go` statement or call that starts it, and the way there.
    pub started: Option<(Place, Path)>,
    /// What kind of start that is: `go`, `errgroup`, `http handler`.
    pub how: &'static str,
    /// Who starts it.
    pub parent: Option<ThreadId>,
    /// Only followed for its own sake: nothing says when it runs.
    pub detached: bool,
    /// It is given what the entry was called with: each call starts one of its own.
    pub is_task: bool,
    /// What orders it, with the number of the first thing after it.
    pub events: Vec<(u32, Event)>,
    /// Locks that its parent held when it started.
    pub covers: Vec<Cover>,
    /// The number of its start among its parent's events.
    pub started_at: u32,
    /// Locks that it has released, and when.
    pub released: Vec<(u32, ObjId)>,
    /// It was not followed to its end: what it would have told the others then is not known.
    pub is_cut: bool,
    next: u32,
    counts: Map<(ObjId, bool), u32>,
}

/// What orders goroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Starts another one.
    Start(ThreadId),
    /// What came before is seen by who acquires from this object.
    Release(ObjId, Signal, u32),
    /// The other side; it orders what comes before the number at the end.
    Acquire(ObjId, Signal, u32, u32),
}

/// How objects order goroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The nth message of a channel.
    Message,
    /// The nth receive of a channel without room lets the nth send return.
    Taken,
    /// A closed channel.
    Closed,
    /// WaitGroup, errgroup.
    Joined,
    /// Once, atomic flag, sync.Map.
    Flag,
}

/// A touch of a map.
#[derive(Clone, Debug)]
pub struct Access {
    /// The map.
    pub object: ObjId,
    /// What is done.
    pub operation: Operation,
    /// Who does it.
    pub thread: ThreadId,
    /// Its number among the goroutine's events.
    pub at: u32,
    /// Locks held.
    pub locks: Vec<Held>,
    /// Where.
    pub place: Place,
    /// How it got there.
    pub path: Path,
    /// The function of another module that does it: `json.Marshal`.
    pub via: Option<&'static str>,
    /// Whoever calls the entry, or has set a field, decides whether one more lock is held.
    pub is_optional: bool,
    /// The map was found through an interface, or a chain of values that can be several.
    pub certain: bool,
    /// Where the range loop ends, for an iteration: what comes before it happens inside.
    pub until: u32,
}

/// A lock left held on one way out of a function that releases it on another.
#[derive(Clone, Debug)]
pub struct LeftLocked {
    /// The lock.
    pub lock: ObjId,
    /// Where it was taken.
    pub taken: Place,
    /// Where the function is left.
    pub left: Place,
    /// The way there.
    pub path: Path,
}

/// A call of a method of sync.Map.
#[derive(Clone, Debug)]
pub struct MapCall {
    /// The sync.Map.
    pub object: ObjId,
    /// The method.
    pub method: Name,
    /// The variable or constant that is the key.
    pub key: Option<Name>,
    /// Where.
    pub place: Place,
    /// How it got there.
    pub path: Path,
    /// Locks held.
    pub locks: Vec<Held>,
}

/// What is written down about one entry.
pub struct Sim<'p> {
    program: &'p Program,
    memo: Rc<TypeMemo<'p>>,
    objects: Vec<Object<'p>>,
    cells: Vec<Cell>,
    globals: Map<GlobalId, CellId>,
    /// The entry's parameters.
    params: Vec<CellId>,
    /// The goroutines.
    pub threads: Vec<Thread>,
    /// What comes before what, once somebody has asked: after that no events are added.
    pub(super) order: OnceCell<Order>,
    /// The touches.
    pub accesses: Vec<Access>,
    /// Ways out that leave a lock held.
    pub left_locked: Vec<LeftLocked>,
    /// Calls of sync.Map's methods.
    pub map_calls: Vec<MapCall>,
    /// Functions that were entered.
    pub entered: Set<FuncId>,
    /// What a sync.Once has stored in fields and package variables.
    pub made_once: Set<ObjId>,
    holders: Map<ObjId, (ObjId, Option<Name>)>,
    seen: Set<Repeated>,
    unlocked: Set<ObjId>,
    /// What stands for the results of calls that were followed last.
    answers: Map<Place, ObjId>,
    /// Locks that a call of this depth released before it had taken them.
    lent: Set<(usize, ObjId)>,
    /// Steps of branches that are not taken where the code is that is followed: the other side of an open branch, or
    /// one that has left the function.
    not_taken: Vec<std::ops::Range<u32>>,
    /// The step at which the innermost open branch began.
    branch_begin: u32,
    thread: ThreadId,
    /// What is held on the ways to here: never empty.
    states: Vec<State>,
    /// Calls deferred in the functions that are running.
    deferred: u32,
    branches: u32,
    path: Path,
    waiting: Vec<Start<'p>>,
    at_end: Vec<Start<'p>>,
    literals: Vec<ObjId>,
    /// What is followed ends the program.
    dying: bool,
    steps: u32,
    most_steps: u32,
    test: bool,
    /// Others than the module call the entry.
    is_visible: bool,
}

/// What makes two touches the same: map, operation, place, goroutine, locks.
type Repeated = (ObjId, Operation, Place, ThreadId, Vec<(ObjId, Mode)>);

/// A goroutine that is to be followed.
struct Start<'p> {
    thread: ThreadId,
    code: Code<'p>,
    args: Vec<Value>,
    at: Place,
    /// Told when it ends.
    done: Option<ObjId>,
    path: Path,
    how: &'static str,
}

/// A function being followed.
struct Frame<'p> {
    file: FileId,
    function: Option<FuncId>,
    env: Env,
    types: Rc<Vec<(Name, Ty)>>,
    results: Vec<Value>,
    named_results: Vec<CellId>,
    /// What stands for each result that is true on some ways and false on others.
    result_objects: Vec<Option<ObjId>>,
    defers: Vec<(&'p Expr, Env, u32)>,
    returns: Vec<(Span, Vec<State>)>,
}

/// Whether the statements that follow are reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Stop,
}

impl<'p> Sim<'p> {
    /// Nothing followed yet.
    pub fn new(program: &'p Program, memo: Rc<TypeMemo<'p>>, most_steps: u32) -> Sim<'p> {
        let main = Thread {
            started: None,
            how: "caller",
            parent: None,
            detached: false,
            is_task: false,
            events: Vec::new(),
            covers: Vec::new(),
            started_at: 0,
            released: Vec::new(),
            is_cut: false,
            next: 0,
            counts: Map::default(),
        };
        Sim {
            program,
            memo,
            objects: Vec::new(),
            cells: Vec::new(),
            globals: Map::default(),
            params: Vec::new(),
            threads: vec![main],
            order: OnceCell::new(),
            accesses: Vec::new(),
            left_locked: Vec::new(),
            map_calls: Vec::new(),
            entered: Set::default(),
            made_once: Set::default(),
            holders: Map::default(),
            seen: Set::default(),
            unlocked: Set::default(),
            answers: Map::default(),
            lent: Set::default(),
            not_taken: Vec::new(),
            branch_begin: 0,
            thread: ThreadId(0),
            states: vec![State::default()],
            deferred: 0,
            branches: 0,
            path: None,
            waiting: Vec::new(),
            at_end: Vec::new(),
            literals: Vec::new(),
            dying: false,
            steps: 0,
            most_steps,
            test: false,
            is_visible: false,
        }
    }

    /// Follows a function as somebody outside calls it.
    pub fn run(&mut self, entry: FuncId) {
        let function = self.program.function(entry);
        self.test = self.program.is_test(self.program.file_of(entry));
        self.is_visible = self.program.is_visible(entry);
        let (receiver, args) = self.symbols(entry);
        let place = Place {
            file: self.program.file_of(entry),
            span: function.span,
        };
        let code = Code::Declared(entry, receiver.map(Box::new));
        self.call_code(code, args, place);
        if is_handler_entry(self, entry) {
            self.repeat_as_handler(entry, place);
        }
        self.finish();
        self.note_holders();
    }

    /// Everything that waits is followed, and what may start at any time from now on.
    fn finish(&mut self) {
        for _ in 0..4 {
            self.run_waiting();
            self.serve();
            self.run_waiting();
            self.run_uncalled();
            if self.waiting.is_empty() && self.at_end.is_empty() {
                break;
            }
        }
    }

    /// Literals that nobody was seen to call are looked at as well, for what happens inside.
    fn run_uncalled(&mut self) {
        let literals = std::mem::take(&mut self.literals);
        for id in literals {
            let Some(object) = self.objects.get_mut(id.0 as usize) else {
                continue;
            };
            if object.called {
                continue;
            }
            object.called = true;
            let Some(Code::Literal(literal, closure)) = object.code.clone() else {
                continue;
            };
            let place = Place {
                file: closure.file,
                span: literal.span,
            };
            let code = Code::Literal(literal, closure);
            let args = self.symbols_for(&code);
            self.start(code, args, place, "callback", true, None);
            self.run_waiting();
        }
    }

    fn repeat_as_handler(&mut self, entry: FuncId, place: Place) {
        let (_, args) = self.symbols(entry);
        let receiver = self.receiver_symbol(entry);
        for _ in 0..2 {
            let code = Code::Declared(entry, receiver.clone().map(Box::new));
            self.start(code, args.clone(), place, "http handler", false, None);
        }
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps < self.most_steps
    }

    /// Everything was followed to its end.
    pub fn is_complete(&self) -> bool {
        self.steps < self.most_steps
    }
}

/// The entry is called by a http server, each time in a goroutine of its own.
fn is_handler_entry(sim: &Sim<'_>, entry: FuncId) -> bool {
    let ty = sim.function_type(entry);
    ty.is_handler()
}
