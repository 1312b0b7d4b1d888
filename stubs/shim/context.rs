//! What else a conflict's record tells: the goroutines' labels, and where the map was made.
//!
//! Labels are the program's own memory, which its garbage collector may reuse while another
//! goroutine's are read. So every address is tried before it is followed, and all loops are bounded.

use crate::config::{Config, LABELS_LIST, LABELS_MAP};
use crate::front::{Front, read_at};
use crate::layout::*;
use crate::sys;
use core::mem::size_of;
use core::ptr::read_volatile;

/// Slots for labels that are looked at.
const MOST_SLOTS: u64 = 64;
/// The longest key or value that is copied, in bytes.
const LONGEST: u64 = 127;

/// `runtime.hmap` (runtime/map.go): count, B and buckets, the same in Go 1.18 to 1.23.
const HMAP_COUNT: u32 = 0;
const HMAP_B: u32 = 9;
const HMAP_BUCKETS: u32 = 16;
/// Slots of a bucket.
const SLOTS: u64 = 8;
/// A bucket of a `map[string]string`: a byte of hash for each slot, keys, values, the next one.
const KEYS: u64 = SLOTS;
const VALUES: u64 = KEYS + SLOTS * STRING;
const BUCKET: u64 = VALUES + SLOTS * STRING + 8;
/// Lower hashes mean an empty or moved slot (`minTopHash`).
const LEAST_HASH: u8 = 5;
/// A string's header: address and length.
const STRING: u64 = 16;

/// Where labels lie: a slice of pairs, or the buckets of a map. A map of labels was filled before it
/// became the labels and never changes. Its overflow buckets are not followed: with so few labels there
/// are hardly any, and labels that are missing are counted.
struct Slots {
    first: u64,
    slots: u64,
    /// Labels there are.
    count: u64,
    is_map: bool,
}

impl Slots {
    /// # Safety
    /// `set` is what g.labels points to, and readable.
    #[inline(always)]
    unsafe fn of(config: &Config, set: u64) -> Option<Slots> {
        // SAFETY: the caller's; a map is tried before it is read.
        unsafe {
            let first = read_at(set, 0);
            match config.labels_form {
                LABELS_LIST => {
                    let count = read_at(set, 8);
                    Some(Slots {
                        first,
                        slots: count.min(MOST_SLOTS),
                        count,
                        is_map: false,
                    })
                }
                LABELS_MAP if first != 0 && is_readable(first, 32) => {
                    let log = read_volatile((first + u64::from(HMAP_B)) as *const u8);
                    Some(Slots {
                        first: read_at(first, HMAP_BUCKETS),
                        slots: (SLOTS << log.min(8)).min(MOST_SLOTS),
                        count: read_at(first, HMAP_COUNT),
                        is_map: true,
                    })
                }
                _ => None,
            }
        }
    }

    /// The addresses of the headers of a slot's key and value.
    #[inline(always)]
    fn at(&self, index: u64) -> Option<(u64, u64)> {
        if !self.is_map {
            let at = self.first.wrapping_add(index * 2 * STRING);
            return Some((at, at.wrapping_add(STRING)));
        }
        let bucket = self.first.wrapping_add(index / SLOTS * BUCKET);
        let hash = bucket.wrapping_add(index % SLOTS);
        // SAFETY: tried before it is read.
        if !is_readable(hash, 1) || unsafe { read_volatile(hash as *const u8) } < LEAST_HASH {
            return None;
        }
        let at = bucket.wrapping_add(index % SLOTS * STRING);
        Some((at.wrapping_add(KEYS), at.wrapping_add(VALUES)))
    }
}

/// Copies a goroutine's labels.
///
/// # Safety
/// `g` must be a g; `labels` lies in the front and nobody else writes to it.
#[inline(never)]
pub unsafe fn copy_labels(config: &Config, g: u64, labels: *mut Labels) {
    // SAFETY: the offset is the patcher's; everything behind it is tried before it is read.
    unsafe {
        (*labels).used = 0;
        (*labels).left_out = 0;
        let set = read_at(g, config.g_labels);
        if set == 0 || !is_readable(set, 16) {
            return;
        }
        let Some(slots) = Slots::of(config, set) else {
            return;
        };
        let mut copied = 0;
        for index in 0..slots.slots {
            if let Some((key, value)) = slots.at(index)
                && copy_pair(key, value, labels)
            {
                copied += 1;
            }
        }
        (*labels).left_out = slots.count.saturating_sub(copied).min(0xffff) as u16;
    }
}

/// Appends a label, if there is room; the addresses are those of two string headers.
///
/// # Safety
/// `labels` lies in the front.
#[inline(always)]
unsafe fn copy_pair(key: u64, value: u64, labels: *mut Labels) -> bool {
    // SAFETY: addresses are tried before they are read; the room in the front is checked.
    unsafe {
        if !is_readable(key, STRING) || !is_readable(value, STRING) {
            return false;
        }
        let (key_size, value_size) = (read_at(key, 8), read_at(value, 8));
        if key_size > LONGEST || value_size > LONGEST {
            return false;
        }
        let used = u64::from((*labels).used);
        let end = used + 2 + key_size + value_size;
        if end > LABEL_BYTES as u64 {
            return false;
        }
        let to = (&raw mut (*labels).text).cast::<u8>().add(used as usize);
        to.write(key_size as u8);
        to.add(1).write(value_size as u8);
        let is_whole = copy_text(read_at(key, 0), key_size, to.add(2))
            && copy_text(read_at(value, 0), value_size, to.add(2 + key_size as usize));
        if is_whole {
            (*labels).used = end as u16;
        }
        is_whole
    }
}

/// # Safety
/// There is room at `to`.
#[inline(always)]
unsafe fn copy_text(at: u64, size: u64, to: *mut u8) -> bool {
    let is_whole = is_readable(at, size);
    if is_whole {
        // SAFETY: the source was tried, for the destination the caller stands.
        unsafe { to.copy_from_nonoverlapping(at as *const u8, size as usize) };
    }
    is_whole
}

/// A range of at most a page can be read: its first and its last bytes tell.
fn is_readable(at: u64, size: u64) -> bool {
    let Some(last) = at.checked_add(size.saturating_sub(1)) else {
        return false;
    };
    size == 0 || sys::is_readable(at & !7) && sys::is_readable(last & !7)
}

/// Copies where a conflict's map was made, if the table still knows.
///
/// # Safety
/// Both lie in the front.
#[inline(never)]
pub unsafe fn copy_made(front: Front, map: u64, to: *mut Record) {
    // SAFETY: the caller's; the table's entry may change meanwhile, so it is looked at again.
    unsafe {
        (*to).map = 0;
        for entry in [front.made(map), front.made(map).add(1)] {
            let is_it = || read_volatile(&raw const (*entry).map) == map;
            if map != 0 && is_it() {
                // Volatile like the looks before and after it, so that it stays between them.
                for word in 0..size_of::<Record>() / 8 {
                    let seen = read_volatile(entry.cast::<u64>().add(word));
                    to.cast::<u64>().add(word).write(seen);
                }
                if is_it() {
                    return;
                }
                (*to).map = 0;
            }
        }
    }
}
