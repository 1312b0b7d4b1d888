//! A ring that is cut off while it is mapped: a load or store behind the end of a mapped file is SIGBUS (mmap(2)), which
//! ends a Go program. It need not: who cut the file off has no business with the program.
//!
//! Zeros that nobody else sees take the place of the ring, of all of it, since the file is somebody else's now. The gate
//! among them is closed, so every hook that begins from now on does nothing. One that was under way goes on where it was:
//! the addresses that it has in hand stay valid, those that it is still to load are in `Private`, and all else that it may
//! find, zeros are as good for as anything: no lock is taken, no mark says that anybody is inside. What lies before the
//! cut is still in the file.

use crate::config::Config;
use crate::front::Front;
use crate::layout::{FRONT_SIZE, Private};
use crate::sys;
use crate::text::Text;
use core::sync::atomic::{AtomicU32, Ordering};

/// What the kernel tells of a fault (struct siginfo, include/uapi/asm-generic/siginfo.h).
#[repr(C)]
pub struct SignalInfo {
    number: i32,
    errno: i32,
    /// Positive when the kernel itself has sent the signal: only then is there an address.
    code: i32,
    padding: i32,
    address: usize,
}

/// The thread has got SIGBUS. Returns 1 when the ring was the reason and the program can go on where it was.
///
/// # Safety
/// Called by a hook only, in the handler of that signal: `info` is what the kernel gave it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_lost(config: &Config, info: &SignalInfo) -> u32 {
    let front = Front::of(config);
    let private = front.private();
    // SAFETY: what is read was written before there was another thread.
    let (lanes, lanes_size) = unsafe { ((*private).lanes_start, (*private).lanes_size) };
    let parts = [
        (front.header() as usize, FRONT_SIZE),
        (lanes as usize, lanes_size as usize),
    ];
    let is_in = |(start, size): &(usize, usize)| info.address.wrapping_sub(*start) < *size;
    if lanes == 0 || info.code <= 0 || !parts.iter().any(is_in) {
        return 0;
    }
    // Another thread may be here, too, or may have been: zeros for zeros harm nobody.
    // SAFETY: the ring lies there, whose users are content with zeros.
    let is_replaced = |(start, size)| unsafe { sys::map_zeros(start, size) }.is_ok();
    if !parts.into_iter().all(is_replaced) {
        return 0;
    }
    // SAFETY: the ring is there, and the private part with it.
    unsafe { tell(config, private) };
    1
}

/// One line on standard error, once.
///
/// # Safety
/// The private part must be there.
unsafe fn tell(config: &Config, private: *mut Private) {
    // SAFETY: aligned; nobody uses it otherwise.
    let is_lost = unsafe { AtomicU32::from_ptr(&raw mut (*private).is_lost) };
    if is_lost.swap(1, Ordering::Relaxed) != 0 {
        return;
    }
    const SHORT: &[u8] = b"gocc: the ring was cut off while it was in use; hooks stay dormant\n";
    let Some(mut text) = Text::new() else {
        return sys::write_stderr(SHORT);
    };
    text.push(b"gocc: the ring ");
    // SAFETY: the path ends with a zero.
    unsafe { text.push_zero_terminated((&raw const config.ring_path).cast()) };
    text.push(b" was cut off while it was in use; hooks stay dormant from now on\n");
    sys::write_stderr(text.bytes());
}
