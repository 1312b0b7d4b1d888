//! Rings built of the layout's own structs, for tests of the reader and of everything behind it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use gocc::ring::layout::{
    self, Conflict, Control, Header, LaneHeader, Mark, RECORD_PCS, Record, SIDE_PCS, Side,
};
use std::path::{Path, PathBuf};
use zerocopy::{FromZeros, IntoBytes};

/// Run-time start of the text of the process that a test pretends to be.
pub const TEXT_START: u64 = 0x40_1000;
/// Its end.
pub const TEXT_END: u64 = 0x60_0000;
pub const LANE_SIZE: u32 = 4096;
pub const RECORDS_PER_LANE: u64 = LANE_SIZE as u64 / 64;

/// A ring in memory.
#[derive(Clone)]
pub struct RingBuilder {
    pub header: Header,
    pub control: Control,
    pub bytes: Vec<u8>,
}

impl RingBuilder {
    pub fn new(lane_count: u32) -> RingBuilder {
        let mut header = Header::new_zeroed();
        header.magic = layout::MAGIC;
        header.version = layout::FORMAT_VERSION;
        header.ready = 1;
        header.pid = 4711;
        header.realtime_ns = 1_700_000_000_000_000_000;
        header.monotonic_ns = 5_000_000_000;
        header.tsc = 1_000_000;
        header.text_start = TEXT_START;
        header.text_end = TEXT_END;
        header.lane_count = lane_count;
        header.lane_size = LANE_SIZE;
        header.exit_code = 66;
        header.file_size = layout::FRONT_SIZE as u64 + u64::from(lane_count) * u64::from(LANE_SIZE);
        let bytes = vec![0; header.file_size as usize];
        let mut ring = RingBuilder {
            header,
            control: Control::new_zeroed(),
            bytes,
        };
        for lane in 0..lane_count {
            ring.set_head(lane, 0);
        }
        ring
    }

    pub fn set_exe(&mut self, path: &Path, build_id: &str) {
        use std::os::unix::ffi::OsStrExt;
        let path = path.as_os_str().as_bytes();
        self.header.exe_path[..path.len()].copy_from_slice(path);
        self.header.exe_path_len = path.len() as u32;
        self.header.build_id[..build_id.len()].copy_from_slice(build_id.as_bytes());
        self.header.build_id_len = build_id.len() as u32;
    }

    pub fn put(&mut self, offset: usize, value: &(impl IntoBytes + zerocopy::Immutable)) {
        let bytes = value.as_bytes();
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub fn set_head(&mut self, lane: u32, head: u64) {
        let mut header = LaneHeader::new_zeroed();
        header.head = head;
        header.mask = u64::from(LANE_SIZE) - 1;
        self.put(
            layout::LANE_HEADERS_OFFSET + lane as usize * size_of::<LaneHeader>(),
            &header,
        );
    }

    /// Writes records as the program does, starting at position 0.
    pub fn write_lane(&mut self, lane: u32, records: &[Record]) {
        for (at, record) in records.iter().enumerate() {
            let slot = (at as u64 * 64) & (u64::from(LANE_SIZE) - 1);
            self.put(self.lane_offset(lane) + slot as usize, record);
        }
        self.set_head(lane, records.len() as u64 * 64);
    }

    pub fn lane_offset(&self, lane: u32) -> usize {
        layout::FRONT_SIZE + lane as usize * LANE_SIZE as usize
    }

    pub fn write_conflicts(&mut self, conflicts: &[Conflict]) {
        for (at, conflict) in conflicts.iter().enumerate() {
            self.put(
                layout::CONFLICTS_OFFSET + at * size_of::<Conflict>(),
                conflict,
            );
        }
        self.control.conflicts_claimed = conflicts.len() as u32;
    }

    pub fn write_mark(&mut self, at: usize, mark: &Mark) {
        self.put(layout::MARKS_OFFSET + at * size_of::<Mark>(), mark);
    }

    /// Header and control page are put in last, so that tests can change them freely before.
    pub fn finish(&self) -> Vec<u8> {
        let mut ring = self.clone();
        let (header, control) = (ring.header, ring.control);
        ring.put(0, &header);
        ring.put(layout::CONTROL_OFFSET, &control);
        ring.bytes
    }

    /// Writes it to a file of a temporary directory.
    pub fn save(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, self.finish()).expect("the temporary directory can be written");
        path
    }
}

/// An operation of goroutine `goid`, called from these addresses.
pub fn record(op: u8, goid: u64, pcs: &[u64]) -> Record {
    let mut record = Record::new_zeroed();
    record.map = 0xc0_0001_2340;
    record.who = goid | u64::from(op) << 48;
    record.seed = 0x1d2c_3b4a;
    record.clock = 42;
    for (to, from) in record.pcs.iter_mut().zip(pcs.iter().take(RECORD_PCS)) {
        *to = *from as u32;
    }
    record
}

/// A side of a conflict.
pub fn side(op: u8, certainty: u8, goid: u64, pcs: &[u64]) -> Side {
    let mut side = Side::new_zeroed();
    side.goid = goid;
    side.op = op;
    side.certainty = certainty;
    side.depth = pcs.len().min(SIDE_PCS) as u32;
    for (to, from) in side.pcs.iter_mut().zip(pcs) {
        *to = *from as u32;
    }
    side
}

/// A complete conflict record, noticed `after_ns` after the start of the process.
pub fn conflict(evidence: u32, after_ns: u64, sides: [Side; 2]) -> Conflict {
    let mut conflict = Conflict::new_zeroed();
    conflict.state = layout::CONFLICT_COMMITTED;
    conflict.evidence = evidence;
    conflict.map = 0xc0_0001_2340;
    conflict.seed = 0x1d2c_3b4a;
    conflict.monotonic_ns = 5_000_000_000 + after_ns;
    // Three ticks a nanosecond.
    conflict.tsc = 1_000_000 + 3 * after_ns;
    conflict.sides = sides;
    conflict
}
