//! Sampling in observe mode: when a batch of operations is over, whether the next one is recorded, and how long
//! the next batch is.
//!
//! Hooks count operations in a word of their thread's, and call in here when it has run out. Batches are long on
//! busy threads, since each end costs more than the operations in it and upsets what the CPU has learned about the
//! branches around; and short on others, so that a change of the sampling period takes effect soon. With C code
//! in the program threads have no such words: hooks count in the lane, and call for what is to be recorded only.
//!
//! When there is a target of recorded operations a second, the sampling period follows it: four times a second, or
//! as soon as there were far too many, it is changed by the ratio of what was recorded to what should have been.

use crate::config::Config;
use crate::front::Front;
use crate::layout::{
    Control, LaneHeader, THREAD_BATCH, THREAD_BATCH_BEGUN, THREAD_MARK, THREAD_SLOT,
};
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Longest period: when a program that was busy has nearly come to rest, the next look must not be far.
const LONGEST: u64 = 1 << 24;
/// A period becomes so many times longer or shorter at once.
const MOST_CHANGE: u64 = 16;
/// Operations in the longest batch.
const LONGEST_BATCH: u32 = 512;
/// A batch that took less is doubled, one that took four times as long is cut to a quarter.
const BATCH_MS: u64 = 2;

/// The thread's batch is over. Returns 1 when the operation that is about to begin is to be recorded.
///
/// # Safety
/// Called by a hook only, on the thread that `lane` belongs to now; `has_thread_words` is 0 where C code keeps
/// something else in them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_sampled(
    config: &Config,
    lane: *mut LaneHeader,
    has_thread_words: u32,
) -> u32 {
    let front = Front::of(config);
    let control = front.control();
    // SAFETY: the front is mapped whenever a gate is open, and the lane is the caller's alone.
    unsafe {
        let countdown = &raw mut (*lane).countdown;
        // A count that was begun under a longer period does not go on for long.
        let period = read_volatile(&raw const (*control).sample_period).cast_signed();
        let mut left = read_volatile(countdown).cast_signed().min(period);
        if has_thread_words != 0 {
            left = left.wrapping_sub(next_batch(front).cast_signed());
            write_volatile(countdown, left.cast_unsigned());
        }
        if left > 0 {
            return 0;
        }
        if read_volatile(&raw const (*control).rate) != 0 {
            adapt(control);
        }
        // What was counted beyond this period belongs to the next, unless it has become shorter meanwhile.
        let period = read_volatile(&raw const (*control).sample_period).cast_signed();
        let next = left.wrapping_add(period);
        let next = if next > 0 { next } else { period };
        write_volatile(countdown, next.cast_unsigned());
    }
    1
}

/// Begins a batch of this thread; its length.
///
/// # Safety
/// The thread's words are the hooks'.
unsafe fn next_batch(front: Front) -> u32 {
    let control = front.control();
    // SAFETY: the caller's; the front is mapped.
    unsafe {
        if sys::thread_word::<THREAD_MARK>() == 0 {
            // Any mark will do: the hook looks whose it is.
            sys::set_thread_word::<THREAD_MARK>(front.mark(0) as u64);
        }
        let begun = sys::thread_word::<THREAD_BATCH_BEGUN>();
        let length = sys::thread_word::<THREAD_BATCH>() as u32;
        let now = sys::tsc();
        let ms = read_volatile(&raw const (*control).ticks_per_ms).max(1);
        let length = match now.wrapping_sub(begun) / ms {
            ..BATCH_MS => (length * 2).min(LONGEST_BATCH),
            took if took >= 4 * BATCH_MS => length / 4,
            _ => length,
        };
        let period = read_volatile(&raw const (*control).sample_period);
        let length = length.min(period).max(1);
        sys::set_thread_word::<THREAD_BATCH_BEGUN>(now);
        sys::set_thread_word::<THREAD_BATCH>(length.into());
        sys::set_thread_word::<THREAD_SLOT>(length.into());
        length
    }
}

/// An operation is about to be recorded.
///
/// # Safety
/// `control` must be mapped.
unsafe fn adapt(control: *mut Control) {
    // SAFETY: the caller's.
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
