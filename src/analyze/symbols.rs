//! From addresses to names, with a memory: each address is looked up once.

use super::frames;
use super::locks::{self, Lock};
use super::model::StackFrame;
use crate::golang::{Frame, GoBinary};
use crate::image::Vaddr;
use crate::ring::{Ring, RuntimeAddr};
use std::collections::HashMap;
use std::rc::Rc;

/// Return addresses that are remembered; a hostile ring could name any number of them.
const REMEMBERED: usize = 1 << 20;

/// Functions of a stack in which a lock is looked for: further out it is hardly the map's.
const LOOKED_AT: usize = 3;

/// The symbols of one executable, or the lack of them.
pub struct Symbolizer<'a> {
    binary: Option<&'a GoBinary<'a>>,
    returns: HashMap<Vaddr, Rc<[StackFrame]>>,
    /// By the function's entry: the locks that its code takes.
    locking: HashMap<Vaddr, Vec<Lock>>,
}

impl<'a> Symbolizer<'a> {
    /// Looks names up in this executable; without one, addresses stand for names.
    pub fn new(binary: Option<&'a GoBinary<'a>>) -> Symbolizer<'a> {
        Symbolizer {
            binary,
            returns: HashMap::new(),
            locking: HashMap::new(),
        }
    }

    /// The frames of the call that returns to an address, inlined ones first. Empty for the wrappers
    /// that the compiler makes (`main.main.gowrap1`), which Go's own tracebacks leave out as well.
    pub fn frames_of_return(&mut self, at: Vaddr) -> Rc<[StackFrame]> {
        if let Some(known) = self.returns.get(&at) {
            return Rc::clone(known);
        }
        let frames = self.look_up(at);
        if self.returns.len() < REMEMBERED {
            self.returns.insert(at, Rc::clone(&frames));
        }
        frames
    }

    fn look_up(&self, at: Vaddr) -> Rc<[StackFrame]> {
        let nobody = || Rc::from([nameless(&at.to_string())]);
        let Some(binary) = self.binary else {
            return nobody();
        };
        let frames = binary.frames_of_return(at);
        let is_known = !frames.is_empty() || binary.function_at(at).is_some();
        if is_known {
            frames.into_iter().map(named).collect()
        } else {
            nobody()
        }
    }

    /// A whole stack, innermost first, its runtime frames folded. An address that belongs nowhere
    /// (`None`) becomes a frame that says so.
    pub fn stack(&mut self, returns: impl Iterator<Item = Option<Vaddr>>) -> Vec<StackFrame> {
        let mut stack = Vec::new();
        for at in returns {
            match at {
                Some(at) => stack.extend(self.frames_of_return(at).iter().cloned()),
                None => stack.push(nameless("(outside Go's code)")),
            }
            if stack
                .last()
                .is_some_and(|frame| frame.function == "runtime.goexit")
            {
                break;
            }
        }
        frames::fold(&mut stack);
        stack
    }

    /// The name of the function that starts at (or contains) an address.
    pub fn function_at(&self, at: Vaddr) -> Option<String> {
        self.binary?
            .function_at(at)
            .map(|function| function.name.to_owned())
    }

    /// The Go type of which a record has the low half of the descriptor's address: it lies near the
    /// text.
    pub fn type_name_of_low(&self, ring: &Ring, low: u32) -> Option<String> {
        let text = ring.header().text_start;
        let near = (text & !0xffff_ffff) | u64::from(low);
        [near, near.wrapping_add(1 << 32), near.wrapping_sub(1 << 32)]
            .into_iter()
            .filter_map(|at| ring.link_time(RuntimeAddr(at)))
            .find_map(|at| self.type_name(at))
    }

    /// The locks that the innermost user functions of a stack take.
    pub fn locks(&mut self, returns: impl Iterator<Item = Vaddr>) -> Vec<Lock> {
        let Some(binary) = self.binary else {
            return Vec::new();
        };
        let functions = returns.filter_map(|at| binary.function_at(Vaddr(at.0.checked_sub(1)?)));
        let users = functions.filter(|function| !frames::is_machinery(function.name));
        let mut all = Vec::new();
        for function in users.take(LOOKED_AT) {
            let known = self.locking.entry(function.entry);
            all.extend_from_slice(known.or_insert_with(|| locks::taken(binary, &function)));
        }
        all
    }

    /// The Go type whose descriptor is at an address.
    pub fn type_name(&self, descriptor: Vaddr) -> Option<String> {
        self.binary?.type_name(descriptor)
    }
}

fn named(frame: Frame) -> StackFrame {
    let Frame {
        function,
        file,
        line,
        inlined,
        ..
    } = frame;
    StackFrame {
        function,
        file,
        line,
        inlined,
        runtime: false,
    }
}

fn nameless(text: &str) -> StackFrame {
    StackFrame {
        function: text.to_owned(),
        file: String::new(),
        line: 0,
        inlined: false,
        runtime: false,
    }
}
