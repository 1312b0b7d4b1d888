// What a process keeps of its ring to itself. Part of `layout`, but not of the ring file: it lies behind the front, in
// memory that no other process can write to. Whatever a hook uses as an address, a size or an index comes from here, so
// that nothing that others write into the ring leads it outside.

use super::{FRONT_SIZE, LANE_HEADERS_OFFSET, MAX_LANES, Record};

/// Where a lane lies. Entries are as far apart as lane headers, so that a hook that has the address of one has that of
/// the other, too.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PrivateLane {
    /// Address of the lane in the process.
    pub base: u64,
    /// What of `LaneHeader::head` is the offset of a record in the lane; see `record_mask`.
    pub mask: u64,
    /// Zero.
    pub reserved: [u64; 14],
}

/// The bits that an offset of a record in a lane may have.
pub const fn record_mask(lane_size: u64) -> u64 {
    lane_size - core::mem::size_of::<Record>() as u64
}

/// All of it is zero until the ring is there, and written once before any other thread exists; except `is_lost`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Private {
    /// By lane.
    pub lanes: [PrivateLane; MAX_LANES],
    /// Lanes in use, as in the header; the hooks' bound on P ids.
    pub lane_count: u32,
    /// 1 once the ring file was found cut off: then nothing of it is mapped any more.
    pub is_lost: u32,
    /// Address of the first lane; the others follow.
    pub lanes_start: u64,
    /// Bytes of all lanes.
    pub lanes_size: u64,
    /// `LONGEST_DELAY_NS` in ticks of the time-stamp counter: the bound on what the control page says.
    pub longest_delay: u64,
}

/// The longest that anybody may ask an operation to be held, or to wait for its turn, in nanoseconds.
pub const LONGEST_DELAY_NS: u64 = 10_000_000_000;

/// Offset of `Private` from the front's start.
pub const PRIVATE_OFFSET: usize = FRONT_SIZE;
/// Size of the front and what lies behind it; a multiple of the page size.
pub const RESERVED_SIZE: usize =
    PRIVATE_OFFSET + core::mem::size_of::<Private>().next_multiple_of(4096);
/// From a lane's header to its `PrivateLane`, in bytes.
pub const PRIVATE_LANE_DISTANCE: usize =
    PRIVATE_OFFSET + core::mem::offset_of!(Private, lanes) - LANE_HEADERS_OFFSET;

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<PrivateLane>() == size_of::<super::LaneHeader>());
};
