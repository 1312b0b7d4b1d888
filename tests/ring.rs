//! The ring reader: what it gives out, what it counts as lost, and that nothing in a file can hurt it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::rings::{
    LANE_SIZE, RECORDS_PER_LANE, RingBuilder, TEXT_END, TEXT_START, conflict, record, side,
};
use gocc::analyze::{self, Options};
use gocc::ring::layout::{self, Conflict, LaneHeader, Mark, Record};
use gocc::ring::{Operation, Ring, RingError, goid_of, operation_of, ring_files, side_pcs};
use std::os::unix::fs::FileExt;
use zerocopy::FromZeros;

fn open(builder: &RingBuilder) -> Result<Ring, RingError> {
    let directory = tempfile::tempdir().unwrap();
    Ring::open(&builder.save(directory.path(), "gocc-test.ring"))
}

fn refusal(builder: &RingBuilder) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = builder.save(directory.path(), "r");
    let text = Ring::open(&path)
        .map(|_| ())
        .expect_err("it is refused")
        .to_string();
    text.replace(&path.display().to_string(), "PATH")
}

/// All records of a lane and what was lost.
fn read_lane(ring: &Ring, index: usize) -> (Vec<Record>, u64) {
    let mut lane = ring.lanes().nth(index).unwrap().unwrap();
    let mut records = Vec::new();
    while let Some(block) = lane.next_block().unwrap() {
        records.extend_from_slice(block);
    }
    (records, lane.loss().overwritten)
}

fn numbered(count: u64) -> Vec<Record> {
    (1..=count)
        .map(|goid| record(layout::OP_READ, goid, &[TEXT_START]))
        .collect()
}

#[test]
fn an_empty_ring() {
    let ring = open(&RingBuilder::new(2)).unwrap();
    assert_eq!(ring.lanes().count(), 2);
    assert_eq!(read_lane(&ring, 0), (vec![], 0));
    let conflicts = ring.conflicts().unwrap();
    assert_eq!(
        (conflicts.committed.len(), conflicts.torn, conflicts.dropped),
        (0, 0, 0)
    );
    assert_eq!(ring.marks().unwrap().len(), 0);
}

#[test]
fn records_come_oldest_to_newest() {
    let mut builder = RingBuilder::new(2);
    builder.write_lane(1, &numbered(10));
    let ring = open(&builder).unwrap();
    assert_eq!(read_lane(&ring, 0), (vec![], 0));
    let (records, lost) = read_lane(&ring, 1);
    assert_eq!((records, lost), (numbered(10), 0));
}

#[test]
fn a_lane_that_wrapped_loses_its_oldest_records() {
    for written in [
        RECORDS_PER_LANE - 1,
        RECORDS_PER_LANE,
        RECORDS_PER_LANE + 1,
        5 * RECORDS_PER_LANE + 7,
    ] {
        let mut builder = RingBuilder::new(1);
        builder.write_lane(0, &numbered(written));
        let ring = open(&builder).unwrap();
        let (records, lost) = read_lane(&ring, 0);
        // One slot may be half overwritten whenever the process stops: it is never given out.
        let kept = written.min(RECORDS_PER_LANE - 1);
        assert_eq!(lost, written - kept, "of {written}");
        let goids: Vec<u64> = records.iter().map(goid_of).collect();
        assert_eq!(
            goids,
            (written - kept + 1..=written).collect::<Vec<_>>(),
            "of {written}"
        );
    }
}

#[test]
fn records_overwritten_while_they_are_read_are_dropped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut builder = RingBuilder::new(1);
    builder.write_lane(0, &numbered(RECORDS_PER_LANE - 1));
    let path = builder.save(directory.path(), "gocc-live.ring");
    let ring = Ring::open(&path).unwrap();
    let mut lane = ring.lanes().next().unwrap().unwrap();
    // The program goes on by ten records after the lane was opened.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let head = (RECORDS_PER_LANE - 1 + 10) * 64;
    file.write_all_at(&head.to_le_bytes(), layout::LANE_HEADERS_OFFSET as u64)
        .unwrap();
    let block = lane.next_block().unwrap().unwrap();
    let first = goid_of(&block[0]);
    // Positions 0 to 8 are overwritten, 9 may be half overwritten just now; goroutines count from 1.
    assert_eq!((first, block.len() as u64), (11, RECORDS_PER_LANE - 1 - 10));
    assert_eq!(lane.loss().overwritten, 10);
    assert!(lane.next_block().unwrap().is_none());
}

#[test]
fn operations_are_named() {
    let names: Vec<_> = (0..8)
        .map(|op| operation_of(&record(op, 7, &[])).map(Operation::name))
        .collect();
    let expected = [
        None,
        Some("read"),
        Some("assign"),
        Some("delete"),
        Some("clear"),
        Some("iterate"),
        Some("clone"),
        None,
    ];
    assert_eq!(names, expected);
    assert_eq!(goid_of(&record(3, 0xffff_ffff_ffff, &[])), 0xffff_ffff_ffff);
}

#[test]
fn torn_and_dropped_conflicts_are_counted() {
    let whole = conflict(
        layout::EVIDENCE_FLAG_AT_ENTRY,
        0,
        [side(1, 1, 5, &[]), side(2, 2, 6, &[])],
    );
    let mut torn = whole;
    torn.state = layout::CONFLICT_WRITING;
    let mut builder = RingBuilder::new(1);
    builder.write_conflicts(&[whole, torn, Conflict::new_zeroed(), whole]);
    let conflicts = open(&builder).unwrap().conflicts().unwrap();
    assert_eq!(
        (conflicts.committed.len(), conflicts.torn, conflicts.dropped),
        (2, 2, 0)
    );

    builder.write_conflicts(&vec![whole; layout::CONFLICT_COUNT]);
    builder.control.conflicts_claimed = layout::CONFLICT_COUNT as u32 + 3;
    let conflicts = open(&builder).unwrap().conflicts().unwrap();
    assert_eq!(
        (conflicts.committed.len(), conflicts.torn, conflicts.dropped),
        (layout::CONFLICT_COUNT, 0, 3)
    );
}

#[test]
fn marks_that_are_being_changed_are_left_out() {
    let mut mark = Mark::new_zeroed();
    mark.record = record(layout::OP_ASSIGN, 9, &[TEXT_START]);
    mark.state = layout::MARK_INSIDE;
    let mut builder = RingBuilder::new(1);
    builder.write_mark(9, &mark);
    mark.state = layout::MARK_CHANGING;
    builder.write_mark(10, &mark);
    let marks = open(&builder).unwrap().marks().unwrap();
    assert_eq!(
        marks
            .iter()
            .map(|mark| goid_of(&mark.record))
            .collect::<Vec<_>>(),
        [9]
    );
}

#[test]
fn addresses_are_rebuilt_from_their_low_half() {
    let mut builder = RingBuilder::new(1);
    builder.header.load_bias = 0x5555_0000_0000;
    builder.header.text_start = 0x5555_ffff_0000;
    builder.header.text_end = 0x5556_0010_0000;
    builder.header.injected_start = 0x0200_0000;
    builder.header.injected_end = 0x0200_1000;
    let ring = open(&builder).unwrap();
    let full = |low: u32| ring.read_full_pc(low).map(|pc| pc.0);
    assert_eq!(full(0xffff_0000), Some(0x5555_ffff_0000));
    assert_eq!(
        full(0x0000_1234),
        Some(0x5556_0000_1234),
        "the text crosses a multiple of 4 GiB"
    );
    assert_eq!(
        full(0x0010_0000),
        Some(0x5556_0010_0000),
        "a call may be the text's last instruction"
    );
    assert_eq!(full(0x0010_0001), None);
    assert_eq!(full(0x0200_0010), Some(0x5555_0200_0010), "injected code");
    assert_eq!(
        ring.link_time_pc(0x0000_1234).map(|at| at.0),
        Some(0x1_0000_1234)
    );
}

#[test]
fn the_depth_of_a_side_is_not_believed() {
    let mut side = side(1, 1, 5, &[TEXT_START, TEXT_END]);
    assert_eq!(side_pcs(&side).len(), 2);
    side.depth = u32::MAX;
    assert_eq!(side_pcs(&side).len(), layout::SIDE_PCS);
}

/// Each refusal in its own words.
#[test]
fn refusals() {
    type Change = fn(&mut RingBuilder);
    let cases: [(Change, &str); 14] = [
        (
            |ring| ring.header.magic = *b"#!/bin/s",
            "PATH is not a ring: it starts with",
        ),
        (
            |ring| ring.header.version = 9,
            "PATH is a ring of format 9, this gocc reads format 6 (use the gocc",
        ),
        (
            |ring| ring.header.magic = [0; 8],
            "PATH was never completed",
        ),
        (|ring| ring.header.ready = 0, "PATH was never completed"),
        (
            |ring| ring.header.lane_count = 0,
            "lane_count is 0x0, expected 1 to 256",
        ),
        (|ring| ring.header.lane_count = 257, "lane_count is 0x101"),
        (
            |ring| ring.header.lane_size = 5000,
            "lane_size is 0x1388, expected a power of two",
        ),
        (|ring| ring.header.lane_size = 64, "lane_size is 0x40"),
        (
            |ring| ring.header.lane_size = 1 << 31,
            "lane_size is 0x80000000",
        ),
        (|ring| ring.header.file_size += 1, "file_size is"),
        (
            |ring| ring.bytes.truncate(layout::FRONT_SIZE - 5),
            "PATH is no ring, or was cut off: it has",
        ),
        (|ring| ring.header.text_end = 0, "text_end is 0x0"),
        (
            |ring| ring.header.exe_path_len = 1025,
            "exe_path_len is 0x401, expected at most 1024",
        ),
        (
            |ring| ring.header.build_id_len = 129,
            "build_id_len is 0x81",
        ),
    ];
    for (change, expected) in cases {
        let mut builder = RingBuilder::new(1);
        change(&mut builder);
        let text = refusal(&builder);
        assert!(text.contains(expected), "{text}\n  should say: {expected}");
    }
}

#[test]
fn other_things_than_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let text = |path: &std::path::Path| {
        Ring::open(path)
            .map(|_| ())
            .expect_err("it is refused")
            .to_string()
    };
    assert!(text(directory.path()).contains("is not a regular file"));
    assert!(text(&directory.path().join("absent")).contains("No such file"));
    assert!(text("/dev/null".as_ref()).contains("is not a regular file"));
    // A FIFO must not make the reader wait for a writer.
    let fifo = directory.path().join("gocc-fifo.ring");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(text(&fifo).contains("is not a regular file"));
    let empty = directory.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(text(&empty).contains("was never completed"));
}

/// Somebody cut it off, or a copy failed.
#[test]
fn a_ring_that_is_cut_off_is_read_as_far_as_it_goes() {
    let mut builder = RingBuilder::new(3);
    builder.write_lane(0, &numbered(2));
    builder.write_lane(1, &numbered(2));
    builder.bytes.truncate(builder.lane_offset(2) - 1);
    let ring = open(&builder).unwrap();
    assert_eq!(read_lane(&ring, 0).0, numbered(2));
    for lane in ring.lanes().skip(1) {
        let error = lane.map(|_| ()).expect_err("it is not there").to_string();
        assert!(error.ends_with(": it was cut off"), "{error}");
    }
}

#[test]
fn damaged_lanes_do_not_hide_the_others() {
    let mut builder = RingBuilder::new(3);
    builder.write_lane(0, &numbered(2));
    builder.set_head(1, 65);
    let mut wrong_mask = LaneHeader::new_zeroed();
    wrong_mask.head = 64;
    wrong_mask.mask = u64::MAX;
    builder.put(
        layout::LANE_HEADERS_OFFSET + 2 * size_of::<LaneHeader>(),
        &wrong_mask,
    );
    let ring = open(&builder).unwrap();
    let errors: Vec<_> = ring
        .lanes()
        .filter_map(|lane| lane.err().map(|error| error.to_string()))
        .collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].contains("lane 1: its head is not at a record's start"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("lane 2: its mask is not the lane size less one"),
        "{errors:?}"
    );
    let stats = analyze::statistics(vec![ring], &Options::default()).unwrap();
    assert_eq!(stats.lost.damaged_lanes, 2);
    assert_eq!(stats.operations.iter().map(|row| row.count).sum::<u64>(), 2);
}

#[test]
fn directories_stand_for_their_rings() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    for name in [
        "gocc-2.ring",
        "gocc-1.ring",
        "gocc-1.ring.tmp",
        "other.ring",
    ] {
        std::fs::write(place.join(name), b"").unwrap();
    }
    let given = [
        place.join("other.ring"),
        place.to_owned(),
        place.join("gocc-1.ring"),
    ];
    let names: Vec<_> = ring_files(&given)
        .unwrap()
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["other.ring", "gocc-1.ring", "gocc-2.ring"]);
}

/// Every field and every record is hit with rubbish: whatever a file says, reading ends, in bounded
/// memory, without a panic.
#[test]
fn rubbish_is_survived() {
    let whole = conflict(
        layout::EVIDENCE_FLAG_AT_ENTRY,
        0,
        [side(1, 1, 5, &[TEXT_START]), side(2, 2, 6, &[])],
    );
    let mut builder = RingBuilder::new(2);
    builder.write_conflicts(&[whole; 4]);
    builder.write_lane(0, &numbered(3 * RECORDS_PER_LANE));
    builder.write_lane(1, &numbered(5));
    let good = builder.finish();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gocc-fuzz.ring");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut opened = 0;
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(8) {
            let (at, value) = (
                random.interesting_offset(bytes.len()),
                random.interesting_byte(),
            );
            bytes[at] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        opened += usize::from(read_everything(&path));
    }
    assert!(opened > 80, "most of the time something is read: {opened}");
}

/// Gives back whether it could be opened.
fn read_everything(path: &std::path::Path) -> bool {
    let Ok(ring) = Ring::open(path) else {
        return false;
    };
    let _ = (
        ring.exe_path(),
        ring.build_id(),
        ring.read_full_pc(0),
        ring.marks().unwrap(),
    );
    let stats = analyze::statistics(vec![ring], &Options::default()).unwrap();
    let records: u64 = stats.operations.iter().map(|row| row.count).sum();
    assert!(records <= 2 * RECORDS_PER_LANE);
    let analysis = analyze::analyze(vec![Ring::open(path).unwrap()], &Options::default()).unwrap();
    assert!(analysis.findings.len() <= layout::CONFLICT_COUNT);
    let mut out = Vec::new();
    for format in [gocc::report::Format::Text, gocc::report::Format::Json] {
        gocc::report::write(&analysis, format, &Default::default(), &mut out).unwrap();
    }
    true
}

/// xorshift64: the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Mostly where the structure is, sometimes anywhere.
    fn interesting_offset(&mut self, len: usize) -> usize {
        let spans = [
            (0, 256),
            (layout::CONTROL_OFFSET, 256),
            (layout::LANE_HEADERS_OFFSET, 256),
            (layout::CONFLICTS_OFFSET, 4096),
            (layout::FRONT_SIZE, 2 * LANE_SIZE as usize),
            (0, len),
        ];
        let (start, size) = spans[self.below(spans.len() as u64) as usize];
        start + self.below(size as u64) as usize
    }

    fn interesting_byte(&mut self) -> u8 {
        let bytes = [0, 1, 0x7f, 0x80, 0xff, 64];
        if self.below(2) == 0 {
            bytes[self.below(6) as usize]
        } else {
            self.below(256) as u8
        }
    }
}
