//! The recorded operations themselves, with names, one after the other.

use super::clock::Clock;
use super::executable::{AnalyzeError, Options, for_each_ring};
use super::model::StackFrame;
use super::stacks::{Counted, Stacks};
use super::stream::Stream;
use super::symbols::Symbolizer;
use crate::ring::layout::Record;
use crate::ring::{Operation, Ring, goid_of};
use std::collections::HashMap;
use std::rc::Rc;

/// One recorded operation.
pub struct Event<'a> {
    /// The process.
    pub pid: u32,
    /// The executable, as the process saw its path.
    pub executable: &'a str,
    /// When, nanoseconds since 1970; as exact as the recorded clocks, which are read every few operations.
    pub unix_ns: u64,
    /// Who.
    pub goroutine: u64,
    /// What was done.
    pub operation: Operation,
    /// Address of the map's header.
    pub map: u64,
    /// The map's random seed.
    pub seed: u32,
    /// The map's Go type.
    pub map_type: Option<&'a str>,
    /// The innermost calls, innermost first. The same stack is the same object.
    pub stack: &'a Rc<Vec<StackFrame>>,
}

/// Takes operations.
pub trait EventSink {
    /// Why it cannot go on.
    type Error;

    /// Takes the next one.
    ///
    /// # Errors
    /// Those of the sink.
    fn take(&mut self, event: &Event<'_>) -> Result<(), Self::Error>;
}

/// Gives every recorded operation of all rings to a sink, ring by ring, in the order of their clocks.
/// What could not be read is said in words; the sink's first error ends it.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn events<S: EventSink>(
    rings: Vec<Ring>,
    options: &Options,
    sink: &mut S,
) -> Result<Result<Vec<String>, S::Error>, AnalyzeError> {
    let mut problems = Vec::new();
    let mut failed = None;
    let missing = for_each_ring(rings, options, |ring, symbols| {
        if failed.is_none() {
            failed = give_out(ring, symbols, sink, &mut problems).err();
        }
    })?;
    problems.splice(0..0, missing);
    Ok(match failed {
        Some(error) => Err(error),
        None => Ok(problems),
    })
}

fn give_out<S: EventSink>(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    sink: &mut S,
    problems: &mut Vec<String>,
) -> Result<(), S::Error> {
    let executable = ring.exe_path().to_string_lossy().into_owned();
    let mut naming = Naming {
        ring,
        symbols,
        stacks: Stacks::default(),
        named: Vec::new(),
        types: HashMap::default(),
    };
    let clock = Clock::new(ring.header(), &[]);
    let mut result = Ok(());
    let ended = Stream::open(ring).for_each(|record| {
        if result.is_err() {
            return;
        }
        let Some((operation, stack)) = naming.stack(record) else {
            return;
        };
        result = sink.take(&Event {
            pid: ring.header().pid,
            executable: &executable,
            unix_ns: clock.at_tsc(record.clock).unix_ns,
            goroutine: goid_of(record),
            operation,
            map: record.map,
            seed: record.seed,
            map_type: naming.type_name(record.map_type).as_deref(),
            stack: &stack,
        });
    });
    problems.extend(ended.errors.iter().map(ToString::to_string));
    if ended.overwritten > 0 {
        problems.push(format!(
            "{} operations of process {} were overwritten by newer ones",
            ended.overwritten,
            ring.header().pid
        ));
    }
    result
}

/// Names, each looked up once.
struct Naming<'a, 'b> {
    ring: &'a Ring,
    symbols: &'a mut Symbolizer<'b>,
    stacks: Stacks,
    /// By the stack's number.
    named: Vec<Option<Rc<Vec<StackFrame>>>>,
    types: HashMap<u32, Option<String>, foldhash::fast::RandomState>,
}

impl Naming<'_, '_> {
    fn stack(&mut self, record: &Record) -> Option<(Operation, Rc<Vec<StackFrame>>)> {
        let counted = self.stacks.count(record, self.ring, self.symbols);
        let Counted::Operation(id, operation) = counted else {
            return None;
        };
        let index = id.index();
        if let Some(Some(known)) = self.named.get(index) {
            return Some((operation, Rc::clone(known)));
        }
        let named = self.stacks.named_one(id, self.ring, self.symbols)?;
        let stack = Rc::new(named.stack);
        if self.named.len() <= index {
            self.named.resize(index + 1, None);
        }
        if let Some(place) = self.named.get_mut(index) {
            *place = Some(Rc::clone(&stack));
        }
        Some((operation, stack))
    }

    fn type_name(&mut self, low: u32) -> &Option<String> {
        /// A hostile ring has four billion of these.
        const MOST_TYPES: usize = 1 << 16;
        if self.types.len() > MOST_TYPES {
            self.types.clear();
        }
        let (symbols, ring) = (&self.symbols, self.ring);
        let types = self.types.entry(low);
        types.or_insert_with(|| symbols.type_name_of_low(ring, low))
    }
}
