//! A target of recorded operations a second: the sampling period follows it.
//!
//! The hooks of observe mode call in here for every operation that they are about to record, when there
//! is a target. Four times a second, or as soon as there were far too many, the period is changed by the
//! ratio of what was recorded to what should have been. Each P finishes the count that it has begun.

use crate::config::Config;
use crate::front::Front;
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Longest period: when a program that was busy has nearly come to rest, the next look must not be far.
const LONGEST: u64 = 1 << 24;
/// A period becomes so many times longer or shorter at once.
const MOST_CHANGE: u64 = 16;

/// An operation is about to be recorded.
///
/// # Safety
/// Called by a hook only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_sampled(config: &Config) {
    let control = Front::of(config).control();
    // SAFETY: the control page is mapped whenever a gate is open.
    unsafe {
        let rate = u64::from(read_volatile(&raw const (*control).rate));
        let count = AtomicU32::from_ptr(&raw mut (*control).rate_count);
        let recorded = u64::from(count.fetch_add(1, Ordering::Relaxed)) + 1;
        let since = AtomicU64::from_ptr(&raw mut (*control).rate_since);
        let start = since.load(Ordering::Relaxed);
        let now = sys::tsc();
        let per_ms = read_volatile(&raw const (*control).ticks_per_ms).max(1);
        // A second is as good as a longer time, and keeps the numbers small.
        let elapsed_us = now.wrapping_sub(start).min(1000 * per_ms) * 1000 / per_ms;
        let is_time = elapsed_us >= 250_000 || recorded > rate / 2 + 8;
        if !is_time
            || since
                .compare_exchange(start, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        count.store(0, Ordering::Relaxed);
        let period = &raw mut (*control).sample_period;
        let expected = rate * elapsed_us / 1_000_000;
        let next = adapted(u64::from(read_volatile(period)), recorded, expected);
        write_volatile(period, next as u32);
    }
}

/// The period with which as many would have been recorded as expected.
fn adapted(period: u64, recorded: u64, expected: u64) -> u64 {
    let period = period.max(1);
    let right = period * recorded / expected.max(1);
    right
        .max(period / MOST_CHANGE)
        .min(period * MOST_CHANGE)
        .max(1)
        .min(LONGEST)
}
