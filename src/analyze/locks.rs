//! Does the code around a map operation take a lock? Seen in the machine code: the function calls
//! one of package sync's lock functions, or the slow path of one that was inlined.

use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use iced_x86::{Decoder, DecoderOptions, FlowControl};

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

/// The function that contains an address calls something that takes a lock.
pub fn takes_lock(binary: &GoBinary<'_>, function: &Func<'_>) -> bool {
    let size = function.end.0.saturating_sub(function.entry.0);
    if size > LARGEST {
        return false;
    }
    let Some(code) = binary.image.bytes_at(function.entry, size) else {
        return false;
    };
    Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE)
        .iter()
        .filter(|at| at.flow_control() == FlowControl::Call)
        .filter_map(|call| binary.function_at(Vaddr(call.near_branch_target())))
        .any(|called| LOCKS.contains(&called.name))
}
