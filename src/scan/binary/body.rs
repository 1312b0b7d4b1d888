//! What one function does: which map operations under which locks, which goroutines it starts, whom it calls.

use super::code::{self, Block, Code};
use super::known::Known;
use super::machine::{ARGUMENTS, Base, Machine, Taken, Value};
use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use crate::ring::Operation;
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, Register};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Locks that are held somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Locks {
    /// Taken in this function.
    pub(super) taken: Vec<Taken>,
    /// Those of the caller are held, too.
    pub(super) keeps: bool,
}

/// A map operation.
pub(super) struct MapCall {
    pub(super) at: Vaddr,
    pub(super) operation: Operation,
    /// The map's type descriptor.
    pub(super) map_type: Option<Vaddr>,
    pub(super) locks: Locks,
}

/// A call.
pub(super) struct Call {
    pub(super) target: Vaddr,
    pub(super) locks: Locks,
    /// Function values that are passed: argument number and function.
    pub(super) functions: Vec<(u8, Vaddr)>,
    /// Arguments that are passed on: argument number and number in the call.
    pub(super) passed_on: Vec<(u8, u8)>,
}

/// A `go` statement.
pub(super) struct Go {
    pub(super) at: Vaddr,
    /// The functions that the goroutine runs: what it begins with and function values that it is given.
    pub(super) functions: Vec<Vaddr>,
    /// Arguments of the function around it that the goroutine is given, by number.
    pub(super) arguments: Vec<u8>,
}

/// What one function does.
#[derive(Default)]
pub(super) struct Body {
    pub(super) maps: Vec<MapCall>,
    /// Map operations on maps of the function's own stack.
    pub(super) private: usize,
    pub(super) calls: Vec<Call>,
    pub(super) goes: Vec<Go>,
    /// Functions whose value is made here and kept: who calls them is not seen.
    pub(super) kept: Vec<Vaddr>,
    /// What it does to the locks of its caller.
    pub(super) effect: Effect,
}

/// What a function does to its caller's locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// It returns with these.
    pub(super) leaves: Vec<Taken>,
    /// It gives one back that it has not taken.
    pub(super) gives_back: bool,
}

/// What all functions have in common.
pub(super) struct Decoding<'d, 'a> {
    pub(super) go: &'d GoBinary<'a>,
    /// Where the functions begin that are looked into.
    pub(super) entries: HashSet<Vaddr>,
    pub(super) known: HashMap<Vaddr, Known>,
    /// Functions that take or give back locks for their callers.
    pub(super) effects: HashMap<Vaddr, Effect>,
}

impl Decoding<'_, '_> {
    pub(super) fn body(&self, function: &Func<'_>) -> Body {
        let instructions = code::decode(self.go.image, function);
        if !self.is_worth_following(function, &instructions) {
            return self.calls_only(function, &instructions);
        }
        let code = Code::new(self.go.image, function, instructions, &self.known);
        let machines = self.machines(function, &code);
        let mut writer = Writer::default();
        let mut ends: Option<Machine> = None;
        for (block, machine) in code.blocks.iter().zip(machines) {
            let end = self.run(function, &code, block, machine, &mut Some(&mut writer));
            if block.returns {
                match &mut ends {
                    Some(known) => {
                        known.join(&end);
                    }
                    None => ends = Some(end),
                }
            }
        }
        let effect = ends.filter(|_| !writer.defers).map(|end| Effect {
            leaves: end.held,
            gives_back: !end.keeps,
        });
        Body {
            effect: effect.unwrap_or_default(),
            kept: writer.made.difference(&writer.used).copied().collect(),
            ..writer.body
        }
    }

    /// It has locks, map operations, goroutines or function values.
    fn is_worth_following(&self, function: &Func<'_>, instructions: &[Instruction]) -> bool {
        instructions.iter().any(|instruction| {
            instruction.has_lock_prefix()
                || self.function_value(instruction).is_some()
                || code::is_call(instruction, function)
                    && code::target(instruction).is_some_and(|target| {
                        self.effects.contains_key(&target)
                            || matches!(
                                self.known.get(&target),
                                Some(Known::Map(_) | Known::Go | Known::Lock(_) | Known::Unlock(_))
                            )
                    })
        })
    }

    fn calls_only(&self, function: &Func<'_>, instructions: &[Instruction]) -> Body {
        let targets: BTreeSet<Vaddr> = instructions
            .iter()
            .filter(|instruction| code::is_call(instruction, function))
            .filter_map(code::target)
            .filter(|target| self.entries.contains(target) && *target != function.entry)
            .collect();
        let calls = targets.into_iter().map(|target| Call {
            target,
            locks: Locks {
                taken: Vec::new(),
                keeps: true,
            },
            functions: Vec::new(),
            passed_on: Vec::new(),
        });
        Body {
            calls: calls.collect(),
            ..Body::default()
        }
    }

    /// The machine at the beginning of each block: what holds on all ways there.
    fn machines(&self, function: &Func<'_>, code: &Code) -> Vec<Machine> {
        let mut machines: Vec<Option<Machine>> = code.blocks.iter().map(|_| None).collect();
        if let Some(first) = machines.first_mut() {
            *first = Some(Machine::at_entry());
        }
        let mut todo: BTreeSet<usize> = BTreeSet::from([0]);
        while let Some(index) = todo.pop_first() {
            let (Some(block), Some(Some(machine))) = (code.blocks.get(index), machines.get(index))
            else {
                continue;
            };
            let end = self.run(function, code, block, machine.clone(), &mut None);
            for next in &block.next {
                let changed = match machines.get_mut(*next) {
                    Some(Some(known)) => known.join(&end),
                    Some(empty) => {
                        *empty = Some(end.clone());
                        true
                    }
                    None => false,
                };
                if changed {
                    todo.insert(*next);
                }
            }
        }
        machines
            .into_iter()
            .map(|machine| machine.unwrap_or_else(Machine::with_nothing))
            .collect()
    }

    /// Runs a block, and writes down what it does when somebody wants to know.
    fn run(
        &self,
        function: &Func<'_>,
        code: &Code,
        block: &Block,
        mut machine: Machine,
        writer: &mut Option<&mut Writer>,
    ) -> Machine {
        let mut info = InstructionInfoFactory::new();
        let instructions = code.instructions.get(block.instructions.clone());
        let instructions = instructions.unwrap_or_default();
        for (index, instruction) in instructions.iter().enumerate() {
            if let (Some(writer), Some(made)) = (writer.as_mut(), self.function_value(instruction))
            {
                writer.made.insert(made);
            }
            if code::is_call(instruction, function) {
                self.call(function, instruction, &mut machine, writer);
                continue;
            }
            if instruction.has_lock_prefix() {
                let rest = instructions.get(index + 1..).unwrap_or_default();
                self.atomic(instruction, rest, &mut machine);
            }
            machine.step(instruction, &mut info);
        }
        machine
    }

    /// The atomic instruction of a Lock or Unlock that was inlined. It is in the frame of the lock's method, or,
    /// where it checks for nil besides, in that of the caller (cmd/compile/internal/ssa/nilcheck.go): then the branch
    /// on its result is in the method's.
    fn atomic(&self, instruction: &Instruction, rest: &[Instruction], machine: &mut Machine) {
        let at = Vaddr(instruction.ip());
        let branch = rest
            .iter()
            .take_while(|next| !next.has_lock_prefix() && next.flow_control() != FlowControl::Call)
            .find(|next| next.flow_control() == FlowControl::ConditionalBranch);
        let known = self
            .inlined_lock(at)
            .or_else(|| self.inlined_lock(Vaddr(branch?.ip())));
        self.lock(known, at, machine.operand(instruction), machine);
    }

    /// The lock's method that an instruction belongs to: the outermost, which may be made of others.
    fn inlined_lock(&self, at: Vaddr) -> Option<Known> {
        let frames = self.go.frames_at(at);
        let inlined = frames.iter().filter(|frame| frame.inlined);
        inlined
            .filter_map(|frame| Known::lock(&frame.function))
            .next_back()
    }

    fn lock(&self, known: Option<Known>, at: Vaddr, lock: Value, machine: &mut Machine) {
        match known {
            Some(Known::Lock(mode)) => machine.lock(Taken { at, lock, mode }),
            Some(Known::Unlock(mode)) => machine.unlock(lock, mode),
            _ => {}
        }
    }

    fn call(
        &self,
        function: &Func<'_>,
        instruction: &Instruction,
        machine: &mut Machine,
        writer: &mut Option<&mut Writer>,
    ) {
        let at = Vaddr(instruction.ip());
        let target = code::target(instruction).or_else(|| self.indirect(instruction, machine));
        let known = target.and_then(|target| self.known.get(&target)).copied();
        if let (Some(writer), Some(target)) = (writer.as_mut(), target) {
            self.write(function, at, target, known, machine, writer);
        }
        self.lock(known, at, machine.get(Register::RAX), machine);
        match known {
            Some(Known::WriteBarrier(stored)) => machine.write_barrier(stored),
            _ => machine.call(at.0),
        }
        if let Some(effect) = target.and_then(|target| self.effects.get(&target)) {
            if effect.gives_back {
                machine.unlock_any();
            }
            for taken in &effect.leaves {
                machine.lock(Taken {
                    at,
                    lock: Value::UNKNOWN,
                    mode: taken.mode,
                });
            }
        }
    }

    /// A function value that was made before our eyes, as open-coded deferred calls are.
    fn indirect(&self, instruction: &Instruction, machine: &Machine) -> Option<Vaddr> {
        let register = instruction.op0_register();
        let target = machine.get(register).address()?;
        (register != Register::None && self.entries.contains(&target)).then_some(target)
    }

    fn write(
        &self,
        function: &Func<'_>,
        at: Vaddr,
        target: Vaddr,
        known: Option<Known>,
        machine: &Machine,
        writer: &mut Writer,
    ) {
        let locks = Locks {
            taken: machine.held.clone(),
            keeps: machine.keeps,
        };
        match known {
            Some(Known::Map(_)) if machine.get(Register::RBX).base == Base::Stack => {
                writer.body.private += 1;
            }
            Some(Known::Map(operation)) => writer.body.maps.push(MapCall {
                at,
                operation,
                map_type: machine.get(Register::RAX).address(),
                locks,
            }),
            Some(Known::Go) => {
                let go = self.started(at, machine);
                writer.used.extend(&go.functions);
                writer.body.goes.push(go);
            }
            Some(Known::RunsDeferred) => writer.defers = true,
            Some(_) => {}
            None if target == function.entry || !self.entries.contains(&target) => {}
            None => {
                writer.used.insert(target);
                let call = self.to(target, locks, machine);
                writer
                    .used
                    .extend(call.functions.iter().map(|(_, passed)| passed));
                writer.body.calls.push(call);
            }
        }
    }

    fn to(&self, target: Vaddr, locks: Locks, machine: &Machine) -> Call {
        let (mut functions, mut passed_on) = (Vec::new(), Vec::new());
        for (number, register) in (0u8..).zip(ARGUMENTS) {
            let value = machine.get(register);
            if let Some(function) = self.function_of(value, machine) {
                functions.push((number, function));
            } else if let (Base::Argument(own), 0) = (value.base, value.displacement) {
                passed_on.push((own, number));
            }
        }
        Call {
            target,
            locks,
            functions,
            passed_on,
        }
    }

    /// What `runtime.newproc` is given: a function value, and what a closure holds.
    fn started(&self, at: Vaddr, machine: &Machine) -> Go {
        let value = machine.get(Register::RAX);
        let own = |value: Value| match (value.base, value.displacement) {
            (Base::Argument(number), 0) => Some(number),
            _ => None,
        };
        let mut functions: Vec<Vaddr> = self.function_of(value, machine).into_iter().collect();
        let mut arguments: Vec<u8> = own(value).into_iter().collect();
        // Captured values follow the code pointer; more than these no closure of a go statement needs.
        for field in (8..=128).step_by(8) {
            let Some(captured) = machine.at(value.plus(field)) else {
                continue;
            };
            functions.extend(self.function_of(captured, machine));
            arguments.extend(own(captured));
        }
        Go {
            at,
            functions,
            arguments,
        }
    }

    /// The function that a function value leads to.
    fn function_of(&self, value: Value, machine: &Machine) -> Option<Vaddr> {
        let code = match value.address() {
            Some(at) => self.go.image.pointer_at(at),
            None => machine.at(value).and_then(Value::address),
        };
        code.filter(|code| self.entries.contains(code))
    }

    /// A function's address, or that of a function value.
    fn function_value(&self, instruction: &Instruction) -> Option<Vaddr> {
        if instruction.mnemonic() != Mnemonic::Lea || !instruction.is_ip_rel_memory_operand() {
            return None;
        }
        let at = Vaddr(instruction.ip_rel_memory_address());
        if (self.go.text_start..self.go.text_end).contains(&at) {
            return self.entries.contains(&at).then_some(at);
        }
        let pointer = self.go.image.pointer_at(at)?;
        self.entries.contains(&pointer).then_some(pointer)
    }
}

/// Collects what a function does.
#[derive(Default)]
struct Writer {
    body: Body,
    /// Functions whose values are made here.
    made: BTreeSet<Vaddr>,
    /// Those that are called, passed or started.
    used: BTreeSet<Vaddr>,
    /// It runs deferred calls when it ends, which may give locks back.
    defers: bool,
}
