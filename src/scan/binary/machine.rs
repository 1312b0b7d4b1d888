//! A machine that runs Go's code without values: what is told apart is where a value comes from, and which
//! locks are held.
//!
//! It follows what the compiler makes of closures, locks and map types: moves between registers and the
//! stack, addresses, fields of what was just made. Everything else makes a value unknown.

use super::known::Mode;
use crate::image::Vaddr;
use iced_x86::{
    Instruction, InstructionInfoFactory, MemorySize, Mnemonic, OpAccess, OpKind, Register,
};
use std::collections::BTreeMap;

/// Registers of integer arguments and results, in order (ABIInternal).
pub(super) const ARGUMENTS: [Register; 9] = [
    Register::RAX,
    Register::RBX,
    Register::RCX,
    Register::RDI,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Base {
    /// Nobody knows.
    Unknown,
    /// Zero, or nil.
    Zero,
    /// An address of the executable.
    Address,
    /// The stack pointer after the prologue.
    Stack,
    /// An argument of the function, by number.
    Argument(u8),
    /// A result, by number, of the call at an address.
    Result(u64, u8),
    /// Loaded from memory that was not seen written, by the instruction at an address.
    Loaded(u64),
}

/// A value: `base + displacement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Value {
    pub(super) base: Base,
    pub(super) displacement: i64,
}

impl Value {
    pub(super) const UNKNOWN: Value = Value::of(Base::Unknown);
    const ZERO: Value = Value::of(Base::Zero);

    const fn of(base: Base) -> Value {
        Value {
            base,
            displacement: 0,
        }
    }

    pub(super) fn address(self) -> Option<Vaddr> {
        (self.base == Base::Address).then_some(Vaddr(self.displacement.cast_unsigned()))
    }

    pub(super) fn is_known(self) -> bool {
        !matches!(self.base, Base::Unknown | Base::Zero)
    }

    pub(super) fn plus(self, displacement: i64) -> Value {
        if !self.is_known() {
            return Value::UNKNOWN;
        }
        Value {
            displacement: self.displacement.wrapping_add(displacement),
            ..self
        }
    }

    /// What is known when it is one or the other. Nil is no function, lock or map that could be used.
    fn or(self, other: Value) -> Value {
        match (self, other) {
            (a, b) if a == b => a,
            (a, Value::ZERO) => a,
            (Value::ZERO, b) => b,
            _ => Value::UNKNOWN,
        }
    }
}

/// A lock that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Taken {
    /// Where.
    pub(super) at: Vaddr,
    pub(super) lock: Value,
    pub(super) mode: Mode,
}

impl Taken {
    fn is_same(&self, other: &Taken) -> bool {
        self.at == other.at
            || self.lock.is_known() && self.lock == other.lock && self.mode == other.mode
    }
}

/// The machine between two instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    registers: [Value; 16],
    memory: BTreeMap<Value, Value>,
    /// Locks that this function has taken and not given back.
    pub(super) held: Vec<Taken>,
    /// Locks of the callers are still held.
    pub(super) keeps: bool,
}

impl Machine {
    /// At a function's entry.
    pub(super) fn at_entry() -> Machine {
        let mut machine = Machine::with_nothing();
        for (number, register) in (0u8..).zip(ARGUMENTS) {
            machine.set(register, Value::of(Base::Argument(number)));
        }
        machine
    }

    /// Where nothing is known of the way there.
    pub(super) fn with_nothing() -> Machine {
        let mut machine = Machine {
            registers: [Value::UNKNOWN; 16],
            memory: BTreeMap::new(),
            held: Vec::new(),
            keeps: true,
        };
        machine.set(Register::RSP, Value::of(Base::Stack));
        machine
    }

    /// What holds on this way and on another; whether that is less than before.
    pub(super) fn join(&mut self, other: &Machine) -> bool {
        let before = self.clone();
        for (own, others) in self.registers.iter_mut().zip(&other.registers) {
            *own = own.or(*others);
        }
        let mut both = BTreeMap::new();
        for (at, value) in &self.memory {
            if let Some(others) = other.memory.get(at) {
                both.insert(*at, value.or(*others));
            }
        }
        self.memory = both;
        self.held
            .retain(|taken| other.held.iter().any(|others| others.is_same(taken)));
        self.keeps &= other.keeps;
        *self != before
    }

    pub(super) fn get(&self, register: Register) -> Value {
        let full = register.full_register();
        let known = full.is_gpr64().then(|| self.registers.get(full.number()));
        known.flatten().copied().unwrap_or(Value::UNKNOWN)
    }

    fn set(&mut self, register: Register, value: Value) {
        let full = register.full_register();
        if full.is_gpr64()
            && let Some(known) = self.registers.get_mut(full.number())
        {
            *known = value;
        }
    }

    /// What lies at an address.
    pub(super) fn at(&self, address: Value) -> Option<Value> {
        self.memory.get(&address).copied()
    }

    /// The address of an instruction's memory operand, without index.
    pub(super) fn operand(&self, instruction: &Instruction) -> Value {
        let displacement = instruction.memory_displacement64().cast_signed();
        if instruction.memory_index() != Register::None {
            return Value::UNKNOWN;
        }
        match instruction.memory_base() {
            Register::RIP => Value {
                base: Base::Address,
                displacement: instruction.ip_rel_memory_address().cast_signed(),
            },
            base => self.get(base).plus(displacement),
        }
    }

    fn load(&self, instruction: &Instruction) -> Value {
        self.at(self.operand(instruction))
            .unwrap_or(Value::of(Base::Loaded(instruction.ip())))
    }

    fn store(&mut self, address: Value, value: Value) {
        if !address.is_known() {
            return;
        }
        if value == Value::UNKNOWN {
            self.memory.remove(&address);
        } else {
            self.memory.insert(address, value);
        }
    }

    /// Runs an instruction that is no call.
    pub(super) fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let kinds = (instruction.op0_kind(), instruction.op1_kind());
        let (first, second) = (instruction.op0_register(), instruction.op1_register());
        match (instruction.mnemonic(), kinds) {
            (Mnemonic::Mov, (OpKind::Register, OpKind::Register)) if first.is_gpr64() => {
                self.set(first, self.get(second));
            }
            (Mnemonic::Mov, (OpKind::Register, OpKind::Memory)) if first.is_gpr64() => {
                self.set(first, self.load(instruction));
            }
            (Mnemonic::Mov, (OpKind::Memory, OpKind::Register)) if second.is_gpr64() => {
                self.store(self.operand(instruction), self.get(second));
            }
            (Mnemonic::Mov, (OpKind::Memory, _)) if is_zero(instruction) => {
                self.store(self.operand(instruction), Value::ZERO);
            }
            (Mnemonic::Lea, _) if first.is_gpr64() => {
                self.set(first, self.operand(instruction));
            }
            (Mnemonic::Xor, (OpKind::Register, OpKind::Register)) if first == second => {
                self.set(first, Value::ZERO);
            }
            (_, (OpKind::Memory, OpKind::Register)) if second == Register::XMM15 => {
                self.clear(instruction);
            }
            _ => self.forget(instruction, info),
        }
    }

    /// X15 is zero in Go's code.
    fn clear(&mut self, instruction: &Instruction) {
        let at = self.operand(instruction);
        self.store(at, Value::ZERO);
        if instruction.memory_size().size() > 8 {
            self.store(at.plus(8), Value::ZERO);
        }
    }

    /// What an instruction writes is not known afterwards.
    fn forget(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let used = info.info(instruction);
        let writes = |access: OpAccess| {
            !matches!(
                access,
                OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            )
        };
        let written: Vec<Register> = used
            .used_registers()
            .iter()
            .filter(|register| writes(register.access()))
            .map(|register| register.register().full_register())
            .collect();
        let stores = used
            .used_memory()
            .iter()
            .any(|memory| writes(memory.access()));
        let is_operand = (0..instruction.op_count())
            .any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        if stores && is_operand {
            self.store(self.operand(instruction), Value::UNKNOWN);
        }
        // The prologue and the epilogue move the stack pointer; between them it stands still.
        for register in written
            .into_iter()
            .filter(|written| *written != Register::RSP)
        {
            self.set(register, Value::UNKNOWN);
        }
    }

    /// After a call: results in the argument registers, nothing elsewhere.
    pub(super) fn call(&mut self, at: u64) {
        let stack = self.get(Register::RSP);
        self.registers = [Value::UNKNOWN; 16];
        self.set(Register::RSP, stack);
        for (number, register) in (0u8..).zip(ARGUMENTS) {
            self.set(register, Value::of(Base::Result(at, number)));
        }
    }

    pub(super) fn write_barrier(&mut self, stored: Option<Register>) {
        if let Some(register) = stored {
            self.store(self.get(Register::RDI), self.get(register));
        }
        self.set(Register::R11, Value::UNKNOWN);
    }

    pub(super) fn lock(&mut self, taken: Taken) {
        self.held.push(taken);
    }

    /// The lock that is given back is the one with that address, else the last one of its kind, else one that
    /// a caller has taken.
    pub(super) fn unlock(&mut self, lock: Value, mode: Mode) {
        let same = |taken: &Taken| lock.is_known() && taken.lock == lock;
        let held = self.held.iter();
        let found = held
            .clone()
            .rposition(same)
            .or_else(|| held.clone().rposition(|taken| taken.mode == mode));
        match found {
            Some(index) => {
                self.held.remove(index);
            }
            None => self.keeps = false,
        }
    }

    /// Somebody else gives a lock back.
    pub(super) fn unlock_any(&mut self) {
        if self.held.pop().is_none() {
            self.keeps = false;
        }
    }
}

fn is_zero(instruction: &Instruction) -> bool {
    instruction.memory_size() == MemorySize::UInt64
        && matches!(
            instruction.op1_kind(),
            OpKind::Immediate32to64 | OpKind::Immediate64
        )
        && instruction.immediate(1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(at: u64, lock: Value) -> Taken {
        Taken {
            at: Vaddr(at),
            lock,
            mode: Mode::Exclusive,
        }
    }

    #[test]
    fn what_one_way_does_not_hold_is_not_held() {
        let mut a = Machine::at_entry();
        let mut b = Machine::at_entry();
        let lock = Value::of(Base::Argument(0));
        a.lock(taken(1, lock));
        a.lock(taken(2, Value::UNKNOWN));
        b.lock(taken(3, lock));
        assert!(a.join(&b));
        assert_eq!(a.held, [taken(1, lock)], "the same lock, taken elsewhere");
        assert!(!a.join(&b), "nothing changes any more");
    }

    #[test]
    fn a_lock_that_only_a_caller_can_have_taken_is_given_back() {
        let mut machine = Machine::at_entry();
        machine.lock(taken(1, Value::UNKNOWN));
        machine.unlock(Value::UNKNOWN, Mode::Exclusive);
        assert!(machine.held.is_empty() && machine.keeps);
        machine.unlock(Value::UNKNOWN, Mode::Exclusive);
        assert!(!machine.keeps);
    }

    #[test]
    fn nil_does_not_hide_the_other_value() {
        let some = Value::of(Base::Argument(1));
        assert_eq!(some.or(Value::ZERO), some);
        assert_eq!(some.or(Value::of(Base::Argument(2))), Value::UNKNOWN);
    }
}
