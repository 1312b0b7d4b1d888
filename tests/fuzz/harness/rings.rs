//! Damaged rings and reports: read whole, analysed, written in every format.

use super::edits::damaged;
use super::seeds::Seeds;
use clap::ValueEnum;
use gocc::analyze::model::Analysis;
use gocc::analyze::{self, Merger, Options};
use gocc::report::{self, Events, Format, ReportOptions};
use gocc::ring::{Ring, Tail, layout};
use std::ops::Range;
use std::path::PathBuf;

/// The parts of a ring, so that an edit hits each as often as the others, whatever their size.
fn regions(size: usize) -> Vec<Range<usize>> {
    vec![
        0..256,
        0..layout::CONTROL_OFFSET,
        layout::CONTROL_OFFSET..layout::CONTROL_OFFSET + 512,
        layout::LANE_HEADERS_OFFSET..layout::LANE_HEADERS_OFFSET + 1024,
        layout::MARKS_OFFSET..layout::CONFLICTS_OFFSET,
        layout::CONFLICTS_OFFSET..layout::CONFLICTS_OFFSET + 8192,
        layout::OCCUPANCY_OFFSET..layout::TRAPS_OFFSET,
        layout::TRAPS_OFFSET..layout::FRONT_SIZE,
        layout::FRONT_SIZE..size,
    ]
}

/// Makes the damaged ring of a case, under a name that the reader takes.
fn make(seeds: &Seeds, case: &[u8]) -> Option<(tempfile::TempDir, PathBuf)> {
    let (choice, case) = case.split_first()?;
    let seed = &seeds.rings[*choice as usize % seeds.rings.len()];
    let mut bytes = damaged(seed, &regions(seed.len()), case);
    if *choice & 0xf0 == 0xe0 && case.len() >= 4 {
        let length = u32::from_le_bytes([case[0], case[1], case[2], case[3]]);
        bytes.truncate(length as usize % seed.len());
    }
    let place = tempfile::Builder::new()
        .prefix("gocc-fuzz-")
        .tempdir()
        .ok()?;
    let path = place.path().join("gocc-1.ring");
    std::fs::write(&path, bytes).ok()?;
    Some((place, path))
}

/// A case for the reader: everything is read. True if the ring was accepted.
pub fn ring(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((_place, path)) = make(seeds, case) else {
        return false;
    };
    let Ok(ring) = Ring::open(&path) else {
        return false;
    };
    ring.exe_path();
    ring.build_id();
    let _ = ring.control();
    let most = ring.header().file_size / size_of::<layout::Record>() as u64;
    let mut records = 0;
    for mut lane in ring.lanes().flatten() {
        while let Ok(Some(block)) = lane.next_block() {
            records += block.len() as u64;
            for record in block {
                for pc in record.pcs {
                    ring.link_time_pc(pc);
                }
            }
            assert!(records <= most, "more records than the file has room for");
        }
    }
    let _ = ring.conflicts();
    let _ = ring.marks();
    let _ = ring.suspects();
    let _ = ring.ordered_pairs();
    follow(&ring, most);
    true
}

/// Looks at a ring twice, as those do who follow a running process: nothing has been added meanwhile.
fn follow(ring: &Ring, most: u64) {
    let mut tail = Tail::default();
    let mut given = 0;
    let first = tail.advance(ring, |_| given += 1);
    assert!(given <= most, "more records than the file has room for");
    assert!(given <= first.new, "{given} records of {first:?}");
    let again = tail.advance(ring, |_| given += 1);
    assert_eq!(again.new, 0, "{first:?}, then {again:?}");
}

/// A case for everything behind the reader: findings, suspects, statistics, every format.
pub fn ring_report(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((_place, path)) = make(seeds, case) else {
        return false;
    };
    let open = || Ring::open(&path);
    let (Ok(first), Ok(second), Ok(third)) = (open(), open(), open()) else {
        return false;
    };
    let options = Options::default();
    let _ = analyze::statistics(vec![second], &options);
    write_events(third, &options);
    match analyze::analyze(vec![first], &options) {
        Ok(analysis) => write_all(&analysis),
        Err(_) => return false,
    }
    true
}

/// A case for reports that are read back: JSON, merged and written again. True if it was accepted.
pub fn report_file(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((choice, case)) = case.split_first() else {
        return false;
    };
    let bytes = if *choice == 0xff {
        case.to_vec()
    } else {
        let seed = &seeds.reports[*choice as usize % seeds.reports.len()];
        damaged(seed, &[0..seed.len(), 0..400], case)
    };
    let Ok(analysis) = report::json::read(&bytes) else {
        return false;
    };
    write_all(&analysis);
    let mut merger = Merger::default();
    let again = merger.add(analysis.clone()).is_ok() && merger.add(analysis).is_ok();
    write_all(&merger.finish());
    again
}

fn write_all(analysis: &Analysis) {
    let options = ReportOptions {
        all_frames: true,
        suspects: true,
        ..ReportOptions::default()
    };
    // Recorded operations are not in a report: `write_events` does those.
    let formats = Format::value_variants().iter();
    for format in formats.filter(|format| **format != Format::ParquetEvents) {
        let mut out = Vec::new();
        report::write(analysis, *format, &options, &mut out).expect("memory takes what is written");
    }
}

fn write_events(ring: Ring, options: &Options) {
    let mut events = Events::new(Vec::new()).expect("memory takes what is written");
    if let Ok(written) = analyze::events(vec![ring], options, &mut events) {
        written.expect("memory takes what is written");
        events.finish().expect("memory takes what is written");
    }
}
