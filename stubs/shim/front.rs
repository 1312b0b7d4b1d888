//! The front of the ring, where the shim finds what hooks and goroutines share.

use crate::config::Config;
use crate::layout::*;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::mem::size_of;
use core::ptr::read_volatile;
use core::sync::atomic::{AtomicU64, Ordering};

/// # Safety
/// `base + offset` must be readable.
pub unsafe fn read_at(base: u64, offset: u32) -> u64 {
    // SAFETY: the caller's.
    unsafe { read_volatile((base + u64::from(offset)) as *const u64) }
}

/// The mapped front of the ring.
#[derive(Clone, Copy)]
pub struct Front(usize);

impl Front {
    pub fn of(config: &Config) -> Front {
        Front(config.bias.wrapping_add(config.front) as usize)
    }
    pub fn control(self) -> *mut Control {
        (self.0 + CONTROL_OFFSET) as *mut Control
    }
    pub fn mark(self, index: usize) -> *mut Mark {
        (self.0 + MARKS_OFFSET + (index & (MARK_COUNT - 1)) * size_of::<Mark>()) as *mut Mark
    }
    pub fn mark_of(self, goid: u64) -> *mut Mark {
        self.mark(goid as usize)
    }
    pub fn lane(self, index: usize) -> *mut LaneHeader {
        (self.0 + LANE_HEADERS_OFFSET + index * size_of::<LaneHeader>()) as *mut LaneHeader
    }
    /// The address is one of a mark.
    pub fn holds_mark(self, mark: *mut Mark) -> bool {
        let offset = (mark as usize).wrapping_sub(self.0 + MARKS_OFFSET);
        offset < MARK_COUNT * size_of::<Mark>() && offset.is_multiple_of(size_of::<Mark>())
    }
    /// What no other process can write to.
    pub fn private(self) -> *mut Private {
        (self.0 + PRIVATE_OFFSET) as *mut Private
    }
    pub fn header(self) -> *mut Header {
        self.0 as *mut Header
    }
    /// The entry that a map shares with others of the same index.
    pub fn occupancy_of(self, map: u64) -> *mut Occupancy {
        let index = map_index(map) & (OCCUPANCY_COUNT - 1);
        (self.0 + OCCUPANCY_OFFSET + index * size_of::<Occupancy>()) as *mut Occupancy
    }
    /// The map's entry is needed soon: in a program with many maps it has to come from far, and does so while other
    /// things are looked at.
    pub fn expect(self, map: u64) {
        let entry = self.occupancy_of(map).cast::<i8>();
        for line in 0..size_of::<Occupancy>() / 64 {
            // SAFETY: whatever the address is, this reads nothing that anybody could notice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(entry.wrapping_add(64 * line)) };
        }
    }
    /// Indices that are too high, which no gocc writes, mean the last one.
    pub fn trap(self, index: usize) -> *mut Trap {
        (self.0 + TRAPS_OFFSET + index.min(TRAP_COUNT - 1) * size_of::<Trap>()) as *mut Trap
    }
    pub fn place(self, index: usize) -> *mut Place {
        (self.0 + PLACES_OFFSET + (index & (PLACE_COUNT - 1)) * size_of::<Place>()) as *mut Place
    }
    pub fn pair(self, index: usize) -> *mut Pair {
        (self.0 + PAIRS_OFFSET + (index & (PAIR_COUNT - 1)) * size_of::<Pair>()) as *mut Pair
    }
    pub fn ended(self, index: usize) -> *mut Ended {
        (self.0 + ENDED_OFFSET + (index & (ENDED_COUNT - 1)) * size_of::<Ended>()) as *mut Ended
    }
    pub fn traffic(self, index: usize) -> *mut Traffic {
        (self.0 + TRAFFIC_OFFSET + (index & (TRAFFIC_COUNT - 1)) * size_of::<Traffic>())
            as *mut Traffic
    }
    /// Small enough to stay in the nearest caches, which the maps' own entries do not.
    pub fn owner_of(self, map: u64) -> *mut Owner {
        let index = map_index(map) & (OWNER_COUNT - 1);
        (self.0 + OWNERS_OFFSET + index * size_of::<Owner>()) as *mut Owner
    }
    pub fn context(self, index: usize) -> *mut Context {
        (self.0 + CONTEXTS_OFFSET + index * size_of::<Context>()) as *mut Context
    }
    pub fn made(self, map: u64) -> *const Record {
        (self.0 + MADE_OFFSET + made_index(map) * size_of::<Record>()) as *const Record
    }
    pub fn conflict(self, index: usize) -> *mut Conflict {
        (self.0 + CONFLICTS_OFFSET + index * size_of::<Conflict>()) as *mut Conflict
    }
}

/// What the gate and its epoch said at one moment.
#[derive(Clone, Copy, PartialEq)]
pub struct Regime {
    pub gate: u32,
    pub epoch: u32,
}

impl Regime {
    /// Hunt, block and guard: operations register with their map.
    pub fn is_managed(self) -> bool {
        self.gate > GATE_TRACE
    }
}

impl Front {
    /// Gate and epoch, which change together.
    pub fn regime(self) -> Regime {
        // SAFETY: the control page is mapped whenever a gate is open, and begins with both.
        let both = unsafe { AtomicU64::from_ptr(self.control().cast()) }.load(Ordering::Acquire);
        Regime {
            gate: both as u32,
            epoch: (both >> 32) as u32,
        }
    }
}

impl Front {
    /// How long an operation is held, in ticks.
    pub fn hold_ticks(self) -> u64 {
        // SAFETY: the control page is mapped whenever a gate is open.
        self.bounded(unsafe { read_volatile(&raw const (*self.control()).hold_ticks) })
    }

    /// How long an operation waits for its turn, in ticks.
    pub fn wait_ticks(self) -> u64 {
        // SAFETY: as above.
        self.bounded(unsafe { read_volatile(&raw const (*self.control()).wait_ticks) })
    }

    /// Nobody waits for ever, whatever somebody has written into the ring.
    fn bounded(self, ticks: u64) -> u64 {
        // SAFETY: the private part is always there.
        ticks.min(unsafe { read_volatile(&raw const (*self.private()).longest_delay) })
    }
}

/// Adds one to a counter that several threads share.
///
/// # Safety
/// The counter must be aligned and mapped.
pub unsafe fn count(counter: *mut u64) {
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(1, Ordering::Relaxed);
}
