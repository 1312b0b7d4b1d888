//! The shim: the part of gocc that runs inside the target, beside the emitted hooks.
//!
//! It is freestanding: no libc, no heap, no thread-local storage, no panic, no data relocations. It
//! is entered in three ways only:
//!
//! - `gocc_init` once, at the executable's entry point, before the Go runtime exists;
//! - `gocc_conflict`, `gocc_overlap`, `gocc_death`, `gocc_enter`, `gocc_leave` and `gocc_sampled` from a hook's slow
//!   path, on a goroutine's stack (or g0's), where at least 800 bytes are free. A test proves the bound from the compiled code;
//! - `gocc_lost` from the Go runtime's handler of SIGBUS, on the thread's stack for signals.
//!
//! The build links it into one position-independent image with an entry in `.eh_frame` for every
//! function, from which the patcher derives what Go's unwinder needs to know.
#![no_std]
#![no_main]

#[path = "shim/arrival.rs"]
mod arrival;
#[path = "shim/budget.rs"]
mod budget;
#[path = "config.rs"]
mod config;
#[path = "shim/conflict.rs"]
mod conflict;
#[path = "shim/context.rs"]
mod context;
#[path = "shim/ending.rs"]
mod ending;
#[path = "shim/entry.rs"]
mod entry;
#[path = "shim/env.rs"]
mod env;
#[path = "shim/front.rs"]
mod front;
#[path = "shim/hunt.rs"]
mod hunt;
#[path = "shim/init.rs"]
mod init;
#[path = "layout.rs"]
#[allow(dead_code)]
mod layout;
#[path = "shim/lost.rs"]
mod lost;
#[path = "shim/mem.rs"]
mod mem;
#[path = "shim/names.rs"]
mod names;
#[path = "shim/order.rs"]
mod order;
#[path = "shim/rate.rs"]
mod rate;
#[path = "shim/side.rs"]
mod side;
#[path = "shim/suspects.rs"]
mod suspects;
#[path = "shim/sys.rs"]
mod sys;
#[path = "shim/text.rs"]
mod text;
#[path = "shim/traffic.rs"]
mod traffic;

/// Never reached: the code has no panicking operation left after optimisation, which a test of the
/// blob checks by the absence of this symbol's callers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(2)
}
