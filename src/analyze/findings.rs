//! All rings of a set, one after the other.

use super::clock::Clock;
use super::conflicts::Collector;
use super::executable::{AnalyzeError, Options, Source, by_executable, is_running, with_symbols};
use super::model::{Analysis, Losses, OperationStack, RingSummary};
use super::stacks::{Counted, Stacks};
use super::stream::Stream;
use super::symbols::Symbolizer;
use crate::ring::{Ring, RingError};
use std::path::PathBuf;

/// Finds what the rings prove.
///
/// # Errors
/// When the options name an executable that does not fit. Damage in a ring is no error, but listed
/// among that ring's problems.
pub fn analyze(rings: Vec<Ring>, options: &Options) -> Result<Analysis, AnalyzeError> {
    let mut collector = Collector::default();
    let mut operations = Vec::new();
    let mut summaries = Vec::new();
    for group in by_executable(rings) {
        let Some(first) = group.first() else { continue };
        let of_group = with_symbols(first, options, |symbols, source| {
            group
                .iter()
                .map(|ring| read_ring(ring, symbols, source, &mut collector, &mut operations))
                .collect::<Vec<_>>()
        })?;
        summaries.extend(of_group);
    }
    summaries.sort_by(|a, b| (a.started_unix_ns, &a.path).cmp(&(b.started_unix_ns, &b.path)));
    let mut lost = Losses::default();
    summaries.iter().for_each(|ring| lost.add(&ring.lost));
    Ok(Analysis {
        findings: collector.finish(),
        rings: summaries,
        lost,
        operations,
    })
}

fn read_ring(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    source: &Source,
    collector: &mut Collector,
    operations: &mut Vec<OperationStack>,
) -> RingSummary {
    let mut summary = summary_of(ring, source);
    let clock = Clock::new(ring.header());
    match ring.conflicts() {
        Ok(conflicts) => {
            summary.lost.conflicts_torn = conflicts.torn.into();
            summary.lost.conflicts_dropped = conflicts.dropped.into();
            conflicts
                .committed
                .iter()
                .for_each(|conflict| collector.add(ring, symbols, &clock, conflict));
        }
        Err(error) => summary.problems.push(error.to_string()),
    }
    count_drops(ring, &mut summary);
    operations.extend(read_lanes(ring, symbols, &mut summary));
    summary
}

fn summary_of(ring: &Ring, source: &Source) -> RingSummary {
    let header = ring.header();
    let (symbols, problems): (Option<PathBuf>, Vec<String>) = match source {
        Source::Executable(path) => (Some(path.clone()), Vec::new()),
        Source::Missing(reason) => (None, vec![reason.clone()]),
    };
    RingSummary {
        path: ring.path().to_owned(),
        pid: header.pid,
        running: is_running(ring),
        started_unix_ns: header.realtime_ns,
        executable: ring.exe_path(),
        build_id: ring.build_id(),
        symbols,
        problems,
        lost: Losses::default(),
    }
}

/// What the hooks counted because they could not record it.
fn count_drops(ring: &Ring, summary: &mut RingSummary) {
    match ring.control() {
        Ok(control) => {
            summary.lost.dropped_no_lane = control.dropped_no_lane;
            summary.lost.dropped_no_p = control.dropped_no_p;
        }
        Err(error) => summary.problems.push(error.to_string()),
    }
}

/// One pass over all recorded operations.
fn read_lanes(
    ring: &Ring,
    symbols: &mut Symbolizer<'_>,
    summary: &mut RingSummary,
) -> Vec<OperationStack> {
    let mut stacks = Stacks::default();
    let mut damaged = 0;
    let ended = Stream::open(ring).for_each(|record| {
        if let Counted::Damaged = stacks.count(record, ring, symbols) {
            damaged += 1;
        }
    });
    summary.lost.damaged_records = damaged;
    summary.lost.overwritten = ended.overwritten;
    for error in &ended.errors {
        damaged_lane(&mut summary.lost, &mut summary.problems, error);
    }
    if stacks.beyond() > 0 {
        let beyond = stacks.beyond();
        let problem = format!("{beyond} operations have stacks too many to be told apart");
        summary.problems.push(problem);
    }
    stacks.named(ring, symbols)
}

/// Notes a lane that cannot be read; the first one of a ring in words.
pub fn damaged_lane(lost: &mut Losses, problems: &mut Vec<String>, error: &RingError) {
    if lost.damaged_lanes == 0 {
        problems.push(error.to_string());
    }
    lost.damaged_lanes += 1;
}
