//! Block: the end of the program, before the map comes to harm. Both sides of the conflict go to standard
//! error, in the words of the report; the rest is in the ring.

use crate::arrival::Arrival;
use crate::config::Config;
use crate::layout::*;
use crate::names;
use crate::sys;
use crate::text::Text;
use core::ptr::read_volatile;
use core::sync::atomic::{AtomicU32, Ordering};

/// In block mode the first conflict is the last: ends the program, when that is the mode. `index` is the
/// conflict's, or one that is too high when there was no room for it.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
pub unsafe fn end_if_blocking(arrival: &Arrival<'_>, index: usize) {
    if arrival.regime.gate != GATE_BLOCK {
        return;
    }
    let control = arrival.front.control();
    // SAFETY: the front is mapped.
    unsafe {
        let is_ending = AtomicU32::from_ptr(&raw mut (*control).is_ending);
        if is_ending.swap(1, Ordering::Relaxed) == 0 {
            tell(arrival, index);
        } else {
            // The first one is telling. It may not be able to finish.
            for _ in 0..1000 {
                sys::sleep_ns(1_000_000);
            }
        }
        if read_volatile(&raw const (*control).dumps_core) != 0 {
            sys::abort();
        }
        let code = read_volatile(&raw const (*arrival.front.header()).exit_code);
        sys::exit_group(code as usize)
    }
}

/// # Safety
/// As for `gocc_enter`.
#[inline(always)]
unsafe fn tell(arrival: &Arrival<'_>, index: usize) {
    let Some(mut text) = Text::new() else {
        sys::write_stderr(b"gocc: concurrent map access: the program ends before it does harm\n");
        return;
    };
    // SAFETY: the record lies in the front.
    unsafe {
        if index < CONFLICT_COUNT {
            report(arrival, arrival.front.conflict(index), &mut text);
        }
        let control = arrival.front.control();
        if read_volatile(&raw const (*control).dumps_core) != 0 {
            text.push(b"gocc: mode block ends the program with a core dump");
        } else {
            let code = read_volatile(&raw const (*arrival.front.header()).exit_code);
            text.push(b"gocc: mode block ends the program with exit code ");
            text.number(code.into(), 10);
        }
        text.push(b", before the map comes to harm; full report: gocc report ");
        text.push_zero_terminated((&raw const arrival.config.ring_path).cast());
        text.push(b"\n");
    }
    sys::write_stderr(text.bytes());
}

/// # Safety
/// The conflict must lie in the front.
unsafe fn report(arrival: &Arrival<'_>, conflict: *const Conflict, text: &mut Text) {
    const LINE: &[u8] = b"==================\n";
    // SAFETY: the caller's.
    unsafe {
        let [noticed, found] = &(*conflict).sides;
        text.push(LINE);
        text.push(match (*conflict).evidence {
            EVIDENCE_FLAG_AT_ENTRY => {
                b"WARNING: CONCURRENT MAP ACCESS (confirmed: the map was being written)\n"
            }
            _ => b"WARNING: CONCURRENT MAP ACCESS (confirmed: caught in the act)\n".as_slice(),
        });
        text.push(operation(noticed.op, true));
        side(arrival.config, noticed, text);
        text.push(b"\nPrevious ");
        text.push(operation(found.op, false));
        side(arrival.config, found, text);
        creation(arrival.config, noticed, text);
        creation(arrival.config, found, text);
        text.push(b"\nMap at 0x");
        text.number((*conflict).map, 16);
        text.push(b", in process ");
        text.number(
            read_volatile(&raw const (*arrival.front.header()).pid).into(),
            10,
        );
        text.push(b".\n");
        text.push(LINE);
    }
}

/// An operation, as at a sentence's start or within one.
fn operation(op: u8, begins: bool) -> &'static [u8] {
    let (start, within): (&[u8], &[u8]) = match op {
        OP_READ => (b"Read", b"read"),
        OP_ASSIGN => (b"Write", b"write"),
        OP_DELETE => (b"Delete", b"delete"),
        OP_CLEAR => (b"Clear", b"clear"),
        OP_ITERATE => (b"Iteration", b"iteration"),
        OP_CLONE => (b"Clone", b"clone"),
        _ => (b"Operation", b"operation"),
    };
    if begins { start } else { within }
}

/// # Safety
/// The side must lie in the front.
#[inline(always)]
unsafe fn side(config: &Config, side: &Side, text: &mut Text) {
    if side.goid == 0 {
        text.push(b" by an unknown goroutine.\n");
        return;
    }
    text.push(b" by goroutine ");
    text.number(side.goid, 10);
    text.push(b":\n");
    for low in side.pcs.iter().take(side.depth as usize) {
        frame(config, full(config, *low), text);
    }
}

fn creation(config: &Config, side: &Side, text: &mut Text) {
    if side.goid != 0 && side.created_at != 0 {
        text.push(b"\nGoroutine ");
        text.number(side.goid, 10);
        text.push(b" created at:\n");
        frame(config, side.created_at, text);
    }
}

/// The address with these low 32 bits at or above the start of Go's text.
fn full(config: &Config, low: u32) -> u64 {
    let text = config.bias.wrapping_add(config.text_start);
    text.wrapping_add(u64::from(low.wrapping_sub(text as u32)))
}

/// A call as in Go's tracebacks. The runtime's own are left out, as in the report.
fn frame(config: &Config, return_pc: u64, text: &mut Text) {
    // SAFETY: a goroutine is running, so the runtime is.
    let Some(place) = (unsafe { names::place_of(config, return_pc) }) else {
        text.push(b"  0x");
        text.number(return_pc, 16);
        text.push(b"\n");
        return;
    };
    let start = text.len();
    text.push(b"  ");
    // SAFETY: the program's tables hold zero-terminated strings.
    unsafe { text.push_zero_terminated(place.function) };
    let is_runtimes = {
        let name = text.bytes().get(start + 2..).unwrap_or(&[]);
        name.starts_with(b"runtime.") || name.starts_with(b"internal/runtime/")
    };
    if is_runtimes {
        text.cut(start);
        return;
    }
    text.push(b"()\n      ");
    // SAFETY: as above.
    unsafe { text.push_zero_terminated(place.file) };
    text.push(b":");
    text.number(place.line.into(), 10);
    text.push(b"\n");
}
