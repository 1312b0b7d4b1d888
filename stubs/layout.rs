// The layout of a ring file: one definition for the code that runs inside the target (the shim and
// the emitted hooks) and for the reader. All fields are little-endian; all sizes are bytes.
//
//   0x0000   Header          written once at start, `ready` last
//   0x1000   Control         gates and counters; changed while the program runs
//   0x2000   LaneHeader x MAX_LANES
//            Mark x MARK_COUNT           the last operation of each goroutine (by goid modulo count)
//            Conflict x CONFLICT_COUNT   appended; never overwritten
//            Occupancy x OCCUPANCY_COUNT who is inside which map (hunt, block and guard), by map address
//            Trap x TRAP_COUNT           goroutines held at a map's door (hunt)
//            Place x PLACE_COUNT         program places under suspicion (hunt), by return address
//            Context x CONFLICT_COUNT    what else is known about the conflict of the same number
//            Record x MADE_COUNT         where maps were made, by map address
//            u32 x LAST_COUNT            the mark last left (trace): low half of its address, by map address
//            Pair x PAIR_COUNT           pairs of places that nearly met, and what orders them (hunt)
//            Ended x ENDED_COUNT         the last holds that caught nobody (hunt)
//            Traffic x TRAFFIC_COUNT     operations at program places (hunt), by return address
//            Owner x OWNER_COUNT         who has used a map of late (hunt), by map address
//   FRONT_SIZE, then lane_count lanes of lane_size bytes each: rings of Record
//
// The front (everything before the lanes) is mapped over a fixed place of the patched executable,
// so that hooks reach it relative to the instruction pointer. The lanes are mapped anywhere. Where they are mapped, and all
// else that hooks take for an address or a size, the process keeps to itself (`Private`).

#[path = "layout/managed.rs"]
mod managed;
#[path = "layout/private.rs"]
mod private;
pub use managed::*;
pub use private::*;

/// First bytes of every ring file.
pub const MAGIC: [u8; 8] = *b"goccring";
/// Version of this layout; a reader refuses any other.
pub const FORMAT_VERSION: u32 = 6;

/// Most lanes a ring can have; a P with a higher id is counted in `Control::dropped_no_lane`.
pub const MAX_LANES: usize = 256;
/// Number of marks: a power of two.
pub const MARK_COUNT: usize = 4096;
/// Number of conflict records.
pub const CONFLICT_COUNT: usize = 512;
/// Return addresses in a record.
pub const RECORD_PCS: usize = 8;
/// Return addresses for each side of a conflict.
pub const SIDE_PCS: usize = 106;

/// File offset of the control page.
pub const CONTROL_OFFSET: usize = 0x1000;
/// File offset of the lane headers.
pub const LANE_HEADERS_OFFSET: usize = 0x2000;
/// File offset of the marks.
pub const MARKS_OFFSET: usize =
    LANE_HEADERS_OFFSET + MAX_LANES * core::mem::size_of::<LaneHeader>();
/// File offset of the conflict records.
pub const CONFLICTS_OFFSET: usize = MARKS_OFFSET + MARK_COUNT * core::mem::size_of::<Mark>();
/// Number of occupancy entries: a power of two.
pub const OCCUPANCY_COUNT: usize = 4096;
/// Number of traps.
pub const TRAP_COUNT: usize = 64;
/// Number of places: a power of two.
pub const PLACE_COUNT: usize = 1024;
/// File offset of the occupancy entries.
pub const OCCUPANCY_OFFSET: usize =
    CONFLICTS_OFFSET + CONFLICT_COUNT * core::mem::size_of::<Conflict>();
/// File offset of the traps.
pub const TRAPS_OFFSET: usize =
    OCCUPANCY_OFFSET + OCCUPANCY_COUNT * core::mem::size_of::<Occupancy>();
/// File offset of the places.
pub const PLACES_OFFSET: usize = TRAPS_OFFSET + TRAP_COUNT * core::mem::size_of::<Trap>();
/// Entries of the table of where maps were made: a power of two. Two are for a map: the first one keeps the
/// map that came first, since maps that are made early live long; the second one keeps the last of the others.
pub const MADE_COUNT: usize = 8192;
/// `Record::map` in that table while an entry is written.
pub const MADE_CHANGING: u64 = 1;
/// Bytes for the labels of a goroutine.
pub const LABEL_BYTES: usize = 220;
/// File offset of the conflicts' contexts.
pub const CONTEXTS_OFFSET: usize = PLACES_OFFSET + PLACE_COUNT * core::mem::size_of::<Place>();
/// File offset of the table of where maps were made.
pub const MADE_OFFSET: usize = CONTEXTS_OFFSET + CONFLICT_COUNT * core::mem::size_of::<Context>();

/// The first of a map's two entries in the table of where maps were made.
pub const fn made_index(map: u64) -> usize {
    2 * (map_index(map) & (MADE_COUNT / 2 - 1))
}
/// A map's entry in a table by map address, before it is cut to the table's size: the span, times `SPAN_HASH`, what is
/// left of that after `SPAN_SHIFT`, plus the place in the span. What is made one after the other in Go lies side by side
/// in a span (runtime/mheap.go), and so do its entries then: each costs less than a cache line of its own, and hardly
/// ever an entry of the TLB.
pub const fn map_index(map: u64) -> usize {
    let span = (map >> SPAN_BITS).wrapping_mul(SPAN_HASH) >> SPAN_SHIFT;
    span.wrapping_add(map >> SLOT_BITS) as usize
}
/// A span has at least 2 to this power bytes (`pageSize`, runtime/internal/sys).
pub const SPAN_BITS: u32 = 13;
/// 2^64 divided by the golden ratio.
pub const SPAN_HASH: u64 = 0x9e37_79b9_7f4a_7c15;
/// What is above this is well mixed.
pub const SPAN_SHIFT: u32 = 40;
/// Maps are further apart than 2 to this power bytes: the smallest header has 48.
pub const SLOT_BITS: u32 = 5;
/// Number of last marks: 2 to the power of `LAST_BITS`.
pub const LAST_COUNT: usize = 1 << LAST_BITS;
/// See `LAST_COUNT`.
pub const LAST_BITS: u32 = 12;
/// A map's last mark is at the highest bits of the low half of its address divided by 16, times this (2^32
/// divided by the golden ratio).
pub const LAST_MULTIPLIER: u32 = 0x9e37_79b1;
/// File offset of the last marks.
pub const LASTS_OFFSET: usize = MADE_OFFSET + MADE_COUNT * core::mem::size_of::<Record>();
/// Number of pairs: a power of two.
pub const PAIR_COUNT: usize = 1024;
/// File offset of the pairs.
pub const PAIRS_OFFSET: usize = LASTS_OFFSET + LAST_COUNT * core::mem::size_of::<u32>();
/// Number of holds that are remembered.
pub const ENDED_COUNT: usize = 128;
/// File offset of the holds that have ended.
pub const ENDED_OFFSET: usize = PAIRS_OFFSET + PAIR_COUNT * core::mem::size_of::<Pair>();
/// Entries of the table of traffic: a power of two.
pub const TRAFFIC_COUNT: usize = 512;
/// File offset of the table of traffic.
pub const TRAFFIC_OFFSET: usize = ENDED_OFFSET + ENDED_COUNT * core::mem::size_of::<Ended>();
/// Entries of the table of owners: a power of two.
pub const OWNER_COUNT: usize = 4096;
/// File offset of the table of owners.
pub const OWNERS_OFFSET: usize = TRAFFIC_OFFSET + TRAFFIC_COUNT * core::mem::size_of::<Traffic>();
/// Size of the front; a multiple of the page size.
pub const FRONT_SIZE: usize = OWNERS_OFFSET + OWNER_COUNT * core::mem::size_of::<Owner>();

/// `Control::gate`: hooks do nothing.
pub const GATE_DORMANT: u32 = 0;
/// `Control::gate`: check the writing flag, leave marks for writes, record a share of the operations.
pub const GATE_OBSERVE: u32 = 1;
/// `Control::gate`: record every operation.
pub const GATE_TRACE: u32 = 2;

/// `Control::gate`: as guard, and hold suspicious operations at the door for a while.
pub const GATE_HUNT: u32 = 3;
/// `Control::gate`: conflicting operations on one map take turns.
pub const GATE_GUARD: u32 = 4;
/// `Control::gate`: the first conflict ends the program.
pub const GATE_BLOCK: u32 = 5;

/// What a hook tells the shim of a place: the low half of a return address, the operation above it, and for
/// `gocc_overlap` the number of a mark from this bit on.
pub const PLACE_MARK_SHIFT: u32 = 40;

/// Operation on a map, as stored in records.
pub const OP_READ: u8 = 1;
/// Assignment (`m[k] = v`, and taking the address of a slot to modify it).
pub const OP_ASSIGN: u8 = 2;
/// `delete(m, k)`.
pub const OP_DELETE: u8 = 3;
/// `clear(m)`, or a range loop that the compiler turned into one.
pub const OP_CLEAR: u8 = 4;
/// One step of an iteration.
pub const OP_ITERATE: u8 = 5;
/// `maps.Clone`.
pub const OP_CLONE: u8 = 6;

/// Goroutine and operation as `Record::who` and `Access::who` have them.
pub const fn who(goid: u64, op: u8) -> u64 {
    (goid & GOID) | (op as u64) << 48
}

/// The bits of a `who` that are the goroutine's id.
pub const GOID: u64 = 0xffff_ffff_ffff;

/// The operation in a `who`, as it is stored.
pub const fn op_of(who: u64) -> u8 {
    (who >> 48) as u8
}

/// The operation changes the map, so that it conflicts with every other one.
pub const fn is_write(op: u8) -> bool {
    matches!(op, OP_ASSIGN | OP_DELETE | OP_CLEAR)
}

/// Two operations on one map by different goroutines, at least one of which writes; each given as a `who`.
pub const fn conflict(a: u64, b: u64) -> bool {
    a & GOID != b & GOID && (is_write(op_of(a)) || is_write(op_of(b)))
}

/// Identity of the process, filled in by the init stub before the Go runtime starts.
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
pub struct Header {
    /// `MAGIC`.
    pub magic: [u8; 8],
    /// `FORMAT_VERSION`.
    pub version: u32,
    /// 1 once every other field is valid.
    pub ready: u32,
    /// Process id, as the process itself sees it.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Field 22 of /proc/self/stat (clock ticks since boot), 0 when it could not be read.
    pub start_ticks: u64,
    /// CLOCK_REALTIME at start, nanoseconds.
    pub realtime_ns: u64,
    /// CLOCK_MONOTONIC at start, nanoseconds.
    pub monotonic_ns: u64,
    /// The time-stamp counter at that moment.
    pub tsc: u64,
    /// Run-time address minus link-time address.
    pub load_bias: u64,
    /// Run-time start of Go's text (moduledata.text).
    pub text_start: u64,
    /// Run-time end of Go's text.
    pub text_end: u64,
    /// Link-time start of the injected code; with `injected_end` for naming stub addresses.
    pub injected_start: u64,
    /// Link-time end of the injected code.
    pub injected_end: u64,
    /// SHA-256 of the executable before patching.
    pub input_sha256: [u8; 32],
    /// Size of the whole file.
    pub file_size: u64,
    /// Lanes in use.
    pub lane_count: u32,
    /// Size of each lane: a power of two, a multiple of the page size.
    pub lane_size: u32,
    /// Exit code `gocc exec` and block mode use when there are findings.
    pub exit_code: u32,
    /// Length of `exe_path`.
    pub exe_path_len: u32,
    /// Length of `build_id`.
    pub build_id_len: u32,
    /// Zero.
    pub reserved: u32,
    /// Go's build ID (the text of .note.go.buildid), cut at 128 bytes.
    pub build_id: [u8; 128],
    /// The executable, as /proc/self/exe names it, cut at 1024 bytes.
    pub exe_path: [u8; 1024],
}

/// What hooks consult and count while the program runs. Words that different threads write lie on
/// cache lines of their own.
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
pub struct Control {
    /// One of `GATE_*`: every hook reads it first.
    pub gate: u32,
    /// Counts the times that the gate came to another side of `GATE_TRACE`. Changes together with the gate
    /// in one store of eight bytes: whoever reads both at once knows that in this epoch every operation
    /// that registers with its map also takes that back.
    pub epoch: u32,
    /// In observe mode one operation in this many per P is recorded.
    pub sample_period: u32,
    /// Zero.
    pub reserved5: u32,
    /// Operations to record in a second in observe mode, for which `sample_period` is adapted; 0 for none.
    pub rate: u32,
    /// Hunt looks at bursts of the operations at busy places, one burst in 2 to this power; 0: at every operation.
    pub burst_level: u32,
    /// Goroutines that wait or are held at a door under hunt; some may have been forgotten there when the mode changed.
    pub at_doors: u32,
    /// Zero.
    pub reserved0: [u32; 9],
    /// The time-stamp counter when some P last looked: nearly free to read, and that old.
    pub clock: u64,
    /// Time-stamp counter when the sampling period was last held against `rate`.
    pub rate_since: u64,
    /// Operations recorded since then.
    pub rate_count: u32,
    /// Zero.
    pub reserved4: u32,
    /// Zero.
    pub reserved1: [u64; 5],
    /// Conflict records claimed so far; may exceed `CONFLICT_COUNT`, the excess was dropped.
    pub conflicts_claimed: u32,
    /// Zero.
    pub reserved2: u32,
    /// The goroutine that is dying of `concurrent map ...` and has recorded why.
    pub dying_goid: u64,
    /// Zero.
    pub reserved3: [u64; 6],
    /// Events not recorded because the P's id had no lane.
    pub dropped_no_lane: u64,
    /// Events not recorded because the thread had no P.
    pub dropped_no_p: u64,
    /// Operations that hunt, block or guard let through without keeping track of them: a table entry was
    /// taken by another map or goroutine.
    pub untracked: u64,
    /// Operations that waited for their turn in vain and went ahead unguarded.
    pub waited_in_vain: u64,
    /// Operations that waited for their turn.
    pub waited: u64,
    /// Operations held at the door.
    pub holds: u64,
    /// Time-stamp counter ticks spent in holds.
    pub held_ticks: u64,
    /// Yields of operations that were held or waited.
    pub yields: u64,
    /// Time-stamp counter ticks per millisecond, measured at start.
    pub ticks_per_ms: u64,
    /// How long an operation is held, in ticks.
    pub hold_ticks: u64,
    /// How long an operation waits for its turn, in ticks.
    pub wait_ticks: u64,
    /// Two operations this close in time, in ticks, are a near miss.
    pub window_ticks: u64,
    /// Bound on the time spent in holds, in per cent of the time since the start.
    pub budget_percent: u32,
    /// Where the sequence of sampled holds starts.
    pub seed: u32,
    /// Places under suspicion; 0 lets hunt explore.
    pub suspects: u32,
    /// 1 once two goroutines have done map operations.
    pub has_many: u32,
    /// The goroutine that did the first map operation under hunt.
    pub first_goid: u64,
    /// 1 when suspects were read from a file: hunt need not explore.
    pub has_file: u32,
    /// 1 when block leaves a core dump.
    pub dumps_core: u32,
    /// Time-stamp counter when the gate came to another side of `GATE_TRACE`, or was opened; 0 when it never
    /// did. Marks that are older may never have been cleared: they do not prove that anybody is inside.
    pub since: u64,
    /// Time-stamp counter from which on holds earn their budget.
    pub budget_since: u64,
    /// `charged_ticks` at that moment.
    pub charged_before: u64,
    /// Holds that have ended in vain.
    pub ended: u32,
    /// 1 once block has begun to end the program.
    pub is_ending: u32,
    /// What holds have cost, in ticks: time in which a held operation's P had nothing else to do, and a share
    /// of the time in which it had. Holds at the same time are charged once.
    pub charged_ticks: u64,
    /// Until when holds are charged, time-stamp counter.
    pub charged_until: u64,
    /// How much longer hunt's hooks have made the program, in ticks, as it was estimated last.
    pub hook_ticks: u64,
    /// When that was, time-stamp counter.
    pub hooks_counted: u64,
    /// `hook_ticks` at `budget_since`.
    pub hooks_before: u64,
    /// Operations that were counted by then.
    pub operations_counted: u64,
    /// Those of them that were left out.
    pub left_out_counted: u64,
    /// Ticks that threads using maps have had of late.
    pub recent_ticks: u64,
    /// Ticks of these that hunt's hooks have taken.
    pub recent_hook_ticks: u64,
    /// What some operations have taken in hunt's hooks, in ticks.
    pub timed_ticks: u64,
    /// How many operations these were.
    pub timed: u64,
    /// A bit for each thread, by hash, that was seen since `hooks_counted`.
    pub threads_seen: u64,
    /// For how many ticks operations were to be held at places that an earlier run suspected, each for the first time.
    pub first_hold_ticks: u64,
}

/// One lane: a ring of records with a single writer, the P it belongs to.
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
pub struct LaneHeader {
    /// Bytes ever committed; the next record goes to `head & mask`. Stored after the record.
    pub head: u64,
    /// Zero.
    pub reserved0: u64,
    /// `lane_size - 1`, for readers.
    pub mask: u64,
    /// The time-stamp counter when this P last looked: for the first record after the scheduler's turn or a system
    /// call, and once in some more.
    pub clock: u64,
    /// Address of the mark that was last left on this P, in the process; 0 for none.
    pub current: u64,
    /// Operations until the next sample in observe mode, an `i32`.
    pub countdown: u32,
    /// Zero.
    pub padding: u32,
    /// What the P had counted of the scheduler's turns and of system calls (p.schedtick, p.syscalltick) when it last
    /// looked at the clock.
    pub ticks: u64,
    /// Zero.
    pub reserved: [u32; 18],
}

/// One map operation. A return address is stored as its low 32 bits: Go's text is smaller than
/// 4 GiB, so the text range gives the rest. Unused ones are zero and end the list.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
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
pub struct Record {
    /// Address of the map's header (`*hmap` or `*maps.Map`).
    pub map: u64,
    /// Goroutine id in bits 0 to 47, operation (`OP_*`) in bits 48 to 55, flags in bits 56 to 63.
    pub who: u64,
    /// Time-stamp counter, as of the last time this P looked.
    pub clock: u64,
    /// Low 32 bits of the map's random seed: tells maps apart when memory is reused. It changes when
    /// the map becomes empty. In a mark, which is read together with the map itself: low 32 bits of the frame
    /// pointer at the function's entry.
    pub seed: u32,
    /// Low 32 bits of the address of the map's type descriptor.
    pub map_type: u32,
    /// Low 32 bits of return addresses, innermost first.
    pub pcs: [u32; RECORD_PCS],
}

/// The last operation of one goroutine that left a mark.
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
pub struct Mark {
    /// The operation.
    pub record: Record,
    /// Address of the goroutine's g.
    pub g: u64,
    /// Counts the operations that were marked here in trace mode: what is read while it stays the same is of
    /// one operation.
    pub sequence: u32,
    /// The place of a hold that this goroutine had to wait for, as it seems; see `after_left`.
    pub after: u32,
    /// `MARK_IDLE`, `MARK_INSIDE` or `MARK_CHANGING`.
    pub state: u32,
    /// The occupancy entry that it is counted in, plus one; 0 for none.
    pub occupancy: u32,
    /// While `MARK_HELD`: when to stop waiting, time-stamp counter.
    pub deadline: u64,
    /// Where the caller's frame is (the frame pointer at the function's entry): its distance from the
    /// highest place that a frame can have, 16 bytes below the top of the goroutine's stack. Stays the same
    /// when the stack moves.
    pub depth: u32,
    /// The trap it is held in, plus one; 0 for none.
    pub trap: u32,
    /// While `MARK_HELD`: `HELD_RECORDED`, `HELD_NOTED`.
    pub done: u16,
    /// So many of the goroutine's next operations still count as ordered behind `after`.
    pub after_left: u16,
    /// `Control::epoch` when hunt, block or guard left the mark.
    pub epoch: u32,
    /// When it last yielded, time-stamp counter.
    pub yielded: u64,
    /// `Control::yields` then.
    pub yields: u64,
}

// Words of a thread, as offsets from where its FS points. Without C code that is behind the first of the six words
// of m.tls (runtime/runtime2.go tlsSlots, sys_linux_amd64.s settls); on Linux the runtime uses that first one, for
// g. Operations are counted there, since the way to the lane (g, m, p, its id) costs more than the rest of a hook.
// With C code FS points to what the C library keeps there.

/// Operations of the thread until its batch is over, an `i32`.
pub const THREAD_SLOT: i32 = 8;
/// Address of the mark that the thread left last, or of any other one. Valid wherever the count is positive.
pub const THREAD_MARK: i32 = 16;
/// When the thread's batch began, time-stamp counter.
pub const THREAD_BATCH_BEGUN: i32 = 24;
/// Operations in the thread's batch.
pub const THREAD_BATCH: i32 = 32;

/// `Mark::state`: the operation has returned (or nothing was ever recorded here).
pub const MARK_IDLE: u32 = 0;
/// `Mark::state`: the goroutine has entered the operation and not left it.
pub const MARK_INSIDE: u32 = 1;
/// `Mark::state`: being written; do not trust the rest.
pub const MARK_CHANGING: u32 = 2;
/// `Mark::state`: the goroutine is held at the door, or waits there for its turn.
pub const MARK_HELD: u32 = 3;

/// `Mark::done`: the conflict that it waits for was recorded.
pub const HELD_RECORDED: u16 = 1;
/// `Mark::done`: its access was compared with the map's last ones, and it need not be held any more.
pub const HELD_NOTED: u16 = 2;

/// `Conflict::state`: claimed, being written. (0: never used.)
pub const CONFLICT_WRITING: u32 = 1;
/// `Conflict::state`: complete.
pub const CONFLICT_COMMITTED: u32 = 2;

/// `Conflict::evidence`: the hook saw the map's writing flag set at the function's entry.
pub const EVIDENCE_FLAG_AT_ENTRY: u32 = 1;
/// `Conflict::evidence`: the runtime's own check failed (`fatal error: concurrent map ...`).
pub const EVIDENCE_RUNTIME_FATAL: u32 = 2;

/// `Conflict::evidence`: both were inside at the same time: entry and exit of the one around the entry of the
/// other.
pub const EVIDENCE_OVERLAP: u32 = 3;
/// `Conflict::evidence`: one was held at the door when the other came.
pub const EVIDENCE_TRAP: u32 = 4;

/// `Side::certainty`: this goroutine recorded the conflict itself.
pub const SIDE_SELF: u8 = 1;
/// `Side::certainty`: its mark said that it was inside the operation, before and after it was read.
pub const SIDE_INSIDE: u8 = 2;
/// `Side::certainty`: its mark is the latest one for this map, but it had left the operation.
pub const SIDE_LATEST: u8 = 3;
/// `Side::certainty`: the operation is the last that some P did, and on this map; by the time it was read
/// (some hundred nanoseconds) the goroutine had left it.
pub const SIDE_JUST_LEFT: u8 = 4;

/// `Side::certainty`: it was held at the door, about to begin the operation.
pub const SIDE_HELD: u8 = 5;

/// One of the two goroutines of a conflict.
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
pub struct Side {
    /// Goroutine id; 0 when this side is unknown.
    pub goid: u64,
    /// Id of the goroutine that created it; 0 when unknown (Go before 1.21).
    pub parent_goid: u64,
    /// Return address of the `go` statement, run-time address.
    pub created_at: u64,
    /// Entry of the function it was started with, run-time address.
    pub start_fn: u64,
    /// `OP_*`.
    pub op: u8,
    /// `SIDE_*`; 0 when this side is unknown.
    pub certainty: u8,
    /// 1 when the stack was longer than `SIDE_PCS`, or only the mark's own frames are known.
    pub truncated: u8,
    /// Zero.
    pub reserved0: u8,
    /// Return addresses in `pcs`.
    pub depth: u32,
    /// Time-stamp counter of the operation (as of `Record::clock` for a side read from a mark).
    pub clock: u64,
    /// Zero.
    pub reserved1: u64,
    /// Low 32 bits of return addresses, innermost first.
    pub pcs: [u32; SIDE_PCS],
}

/// Two goroutines on one map.
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
pub struct Conflict {
    /// 0, `CONFLICT_WRITING` or `CONFLICT_COMMITTED`; stored last.
    pub state: u32,
    /// `EVIDENCE_*`.
    pub evidence: u32,
    /// Address of the map's header; 0 when unknown.
    pub map: u64,
    /// The map's seed.
    pub seed: u64,
    /// Run-time address of the map's type descriptor; 0 when unknown.
    pub map_type: u64,
    /// Time-stamp counter when it was noticed.
    pub tsc: u64,
    /// CLOCK_MONOTONIC when it was noticed, nanoseconds.
    pub monotonic_ns: u64,
    /// Times it was seen again with the same two innermost callers.
    pub repeats: u32,
    /// Zero.
    pub reserved: u32,
    /// Time-stamp counter of the last repeat.
    pub last_tsc: u64,
    /// The goroutine that noticed, then the one it found there.
    pub sides: [Side; 2],
}

/// The labels of a goroutine (package runtime/pprof).
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
pub struct Labels {
    /// Bytes in use of `text`.
    pub used: u16,
    /// Labels for which there was no room, or which could not be read.
    pub left_out: u16,
    /// One label after the other: a byte each for the lengths of key and value, key, value.
    pub text: [u8; LABEL_BYTES],
}

/// What else is known about the conflict of the same number.
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
pub struct Context {
    /// Of the goroutine that noticed, then of the one it found there.
    pub labels: [Labels; 2],
    /// Where the map was made: `map` is 0 when that is not known. The operation is 0.
    pub made: Record,
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<Header>() <= CONTROL_OFFSET);
    assert!(size_of::<Control>() <= LANE_HEADERS_OFFSET - CONTROL_OFFSET);
    assert!(size_of::<LaneHeader>() == 128);
    assert!(size_of::<Record>() == 64);
    assert!(size_of::<Mark>() == 128);
    assert!(size_of::<Side>() == 480);
    assert!(size_of::<Conflict>() == 1024);
    assert!(size_of::<Occupancy>() == 128);
    assert!(size_of::<Trap>() == 768);
    assert!(size_of::<Context>() == 512);
    assert!(size_of::<Place>() == 32);
    assert!(size_of::<Pair>() == 16 && size_of::<Ended>() == 32);
    assert!(PAIR_COUNT.is_power_of_two() && ENDED_COUNT.is_power_of_two());
    assert!(OCCUPANCY_COUNT.is_power_of_two() && PLACE_COUNT.is_power_of_two());
    assert!(MADE_COUNT.is_power_of_two());
    assert!(MARK_COUNT.is_power_of_two() && OWNER_COUNT.is_power_of_two());
    assert!(FRONT_SIZE.is_multiple_of(4096));
};
