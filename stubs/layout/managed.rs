// What hunt, block and guard keep in a ring's front: who is inside which map, who is held at its door, which places are
// suspect, and what orders them. Part of `layout`.

use super::{Labels, Side};

/// Readers that an occupancy entry knows by name.
pub const READERS: usize = 8;
/// Accesses that an occupancy entry remembers.
pub const HISTORY: usize = 4;

/// Entries in a table by hash that are tried, from the first one on.
pub const PROBES: usize = 8;

/// The first entry for a return address in the table of places, before it is cut to its size.
pub const fn place_index(pc: u32) -> usize {
    (pc.wrapping_mul(0x9e37_79b9) >> 16) as usize
}

/// The key of a pair of places in its table: in whatever order they are named, the lower one first.
pub const fn pair_key(one: u32, other: u32) -> u64 {
    let (low, high) = if one < other {
        (one, other)
    } else {
        (other, one)
    };
    low as u64 | (high as u64) << 32
}

/// The first entry for a pair in the table of pairs, before it is cut to its size.
pub const fn pair_index(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// A pair that was seen in order so often is taken for ordered.
pub const ORDERED_AT: u32 = 3;

/// `Access::who`: the operation had been held before, in vain.
pub const ACCESS_HELD: u64 = 1 << 56;

/// An operation that an occupancy entry remembers.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Access {
    /// As `Record::who`, with `ACCESS_HELD`; 0 for none.
    pub who: u64,
    /// Low 32 bits of the innermost return address outside of the runtime's and reflect's own functions.
    pub pc: u32,
    /// Time-stamp counter divided by 1024, low 32 bits; after a hold, as of its end.
    pub time: u32,
}

/// `Occupancy::lock`: some thread changes the entry. Any other word is as good as none.
pub const ENTRY_LOCKED: u32 = 0x6c6f_636b;

/// Who is inside one map now. Two cache lines: a program with many maps pays for each.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Occupancy {
    /// `ENTRY_LOCKED` while some thread changes the entry.
    pub lock: u32,
    /// Goroutines reading for whom there was no room in `readers`.
    pub crowd: u32,
    /// The map; 0 when the entry is free.
    pub map: u64,
    /// Goroutine writing, the low half of its id, which its mark has in full; 0 for none.
    pub writer: u32,
    /// The goroutine whose turn is next, in the same way: whoever comes after it lets it go first. 0 for none.
    pub turn: u32,
    /// Goroutines reading, in the same way; 0 for none.
    pub readers: [u32; READERS],
    /// `Control::epoch` that all of this is of.
    pub epoch: u32,
    /// The trap at this map's door, plus one; 0 for none.
    pub trap: u16,
    /// Where the next access goes.
    pub next: u8,
    /// 1 when somebody has waited for the lock in vain; 0 when it was had since then.
    pub given_up: u8,
    /// The last accesses.
    pub history: [Access; HISTORY],
}

/// `Trap::state`: somebody is held there.
pub const TRAP_SET: u32 = 1;
/// `Trap::state`: a conflicting operation has come.
pub const TRAP_SPRUNG: u32 = 2;
/// `Trap::state`: being filled in.
pub const TRAP_CLAIMED: u32 = 3;

/// A goroutine held at a map's door.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Trap {
    /// 0 free, else `TRAP_*` in the lowest two bits and the low 30 bits of `Control::epoch` above.
    pub state: u32,
    /// Zero.
    pub reserved0: u32,
    /// The map.
    pub map: u64,
    /// When it was set, time-stamp counter.
    pub set: u64,
    /// Zero.
    pub reserved1: u64,
    /// Who is held.
    pub side: Side,
    /// Its labels.
    pub labels: Labels,
    /// Zero.
    pub reserved2: [u64; 4],
}

/// A program place (an innermost return address, as `Access::pc`) that took part in near misses.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        Debug,
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Place {
    /// Low 32 bits of the return address; 0 when the entry is free.
    pub pc: u32,
    /// The shortest time, in units of 1024 ticks of the time-stamp counter, after which a conflicting
    /// operation by another goroutine followed on the same map; 0 when none did.
    pub gap: u32,
    /// Chance of being held, in 1024ths; fruitless holds halve it.
    pub chance: u32,
    /// Near misses.
    pub near_misses: u32,
    /// Times held.
    pub holds: u32,
    /// Times somebody walked in.
    pub catches: u32,
    /// Operations here, as far as they were counted: drives the sequence of chances.
    pub visits: u32,
    /// `OP_*`.
    pub op: u32,
}

/// Two places (innermost return addresses) whose operations nearly met on some map.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        Debug,
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Pair {
    /// `pair_key`; 0 when the entry is free.
    pub key: u64,
    /// Near misses.
    pub near_misses: u32,
    /// Times that holding an operation at one of them delayed one at the other.
    pub ordered: u32,
}

/// A hold that caught nobody.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Ended {
    /// The goroutine; 0 while this is being written.
    pub goid: u64,
    /// When it began, time-stamp counter.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// The place.
    pub pc: u32,
    /// Zero.
    pub reserved: u32,
}

/// Operations that came through one entry of the table of traffic: those at the places of one hash.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        Debug,
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Traffic {
    /// Operations under hunt.
    pub operations: u64,
    /// Those of them that hunt did not look at, to keep its budget.
    pub left_out: u64,
    /// Until there were so many, hunt looks at all of them: a place there has come under suspicion.
    pub all_until: u64,
    /// Zero.
    pub reserved: u64,
}

/// Who has used a map of late, as far as hunt needs to know it fast.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Owner {
    /// A few bits of the map, and of the goroutine that was alone there; in its place 0xffff after a near miss, 0xfffe when
    /// there were several and all have read.
    pub who: u32,
    /// When that near miss was, as `Access::time`; 0 when there was none.
    pub nearly_met: u32,
}
