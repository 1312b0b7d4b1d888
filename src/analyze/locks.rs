//! Which locks does the code around a map operation take? Seen in the machine code: the function calls
//! one of package sync's lock functions, or the slow path of one that was inlined, and what it puts into
//! the register of the first argument is the lock's address.

use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// What a function calls that takes a lock. `internal/sync` has the mutex from Go 1.24 on; an inlined
/// `RLock` calls the semaphore only.
const LOCKS: [&str; 8] = [
    "sync.(*Mutex).Lock",
    "sync.(*Mutex).lockSlow",
    "internal/sync.(*Mutex).Lock",
    "internal/sync.(*Mutex).lockSlow",
    "sync.(*RWMutex).Lock",
    "sync.(*RWMutex).RLock",
    "sync.runtime_SemacquireRWMutexR",
    "sync.runtime_SemacquireMutex",
];
/// Larger functions are not looked at, in bytes.
const LARGEST: u64 = 1 << 20;

/// A lock, as far as the code that takes it says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// A global variable.
    Global(Vaddr),
    /// So many bytes behind the start of what a method's receiver points to: the method's type, bytes.
    Field(String, u64),
    /// Anything.
    Unknown,
}

/// What two pieces of code that take locks have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The same lock.
    Common,
    /// Different ones only.
    Different,
    /// That cannot be told.
    Unknown,
}

/// Compares two lists, neither of them empty.
pub fn overlap(a: &[Lock], b: &[Lock]) -> Overlap {
    let known = |lock: &&Lock| **lock != Lock::Unknown;
    if a.iter().filter(known).any(|lock| b.contains(lock)) {
        return Overlap::Common;
    }
    // A field may be reached in other ways than through its own type's methods.
    let is_global = |lock: &Lock| matches!(lock, Lock::Global(_));
    if a.iter().chain(b).all(is_global) {
        Overlap::Different
    } else {
        Overlap::Unknown
    }
}

/// The locks that a function takes, each once.
pub fn taken(binary: &GoBinary<'_>, function: &Func<'_>) -> Vec<Lock> {
    let mut locks = Vec::new();
    let size = function.end.0.saturating_sub(function.entry.0);
    let code = binary.image.bytes_at(function.entry, size);
    let Some(code) = code.filter(|_| size <= LARGEST) else {
        return locks;
    };
    let mut argument = Lock::Unknown;
    for at in Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE).iter() {
        if at.flow_control() == FlowControl::Call {
            let called = binary.function_at(Vaddr(at.near_branch_target()));
            if called.is_some_and(|called| LOCKS.contains(&called.name))
                && !locks.contains(&argument)
            {
                locks.push(argument.clone());
            }
            argument = Lock::Unknown;
        } else if at.op0_kind() == OpKind::Register
            && at.op0_register().full_register() == Register::RAX
        {
            argument = address_in(&at, function.name);
        }
    }
    locks
}

/// What an instruction puts into RAX.
fn address_in(at: &Instruction, function: &str) -> Lock {
    let is_address = at.mnemonic() == Mnemonic::Lea && at.memory_index() == Register::None;
    match (is_address, at.memory_base()) {
        (true, Register::RIP) => Lock::Global(Vaddr(at.memory_displacement64())),
        (true, Register::RSP | Register::RBP | Register::None) => Lock::Unknown,
        (true, _) => match receiver(function) {
            Some(owner) => Lock::Field(owner.to_owned(), at.memory_displacement64()),
            None => Lock::Unknown,
        },
        _ => Lock::Unknown,
    }
}

/// `main.(*Cache)` for `main.(*Cache).Put` and its closures.
fn receiver(function: &str) -> Option<&str> {
    let end = function.find(").")?;
    function.get(..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lock_or_two() {
        let field = |offset| Lock::Field("main.(*Cache)".to_owned(), offset);
        let (a, b) = (Lock::Global(Vaddr(1)), Lock::Global(Vaddr(2)));
        let cases = [
            (vec![a.clone()], vec![b.clone(), a.clone()], Overlap::Common),
            (vec![a.clone()], vec![b.clone()], Overlap::Different),
            (vec![field(8)], vec![field(8)], Overlap::Common),
            (vec![field(8)], vec![field(16)], Overlap::Unknown),
            (vec![Lock::Unknown], vec![Lock::Unknown], Overlap::Unknown),
            (vec![a, Lock::Unknown], vec![b], Overlap::Unknown),
        ];
        for (one, other, expected) in cases {
            assert_eq!(overlap(&one, &other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn receivers() {
        assert_eq!(
            receiver("main.(*Cache[...]).Put.func1"),
            Some("main.(*Cache[...])")
        );
        assert_eq!(receiver("main.put"), None);
    }
}
