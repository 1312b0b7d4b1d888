//! All rings of a set, one after the other.

use super::chains::{Chains, Followed};
use super::clock::Clock;
use super::conflicts::Collector;
use super::executable::{
    AnalyzeError, Hunted, Options, Source, by_executable, is_running, with_symbols,
};
use super::hunted::HuntedPlaces;
use super::model::{Analysis, Losses, OperationStack, RingSummary};
use super::near::NearMisses;
use super::stacks::{Counted, Stacks};
use super::stream::Stream;
use super::suspects::{Naming, Suspects};
use super::symbols::Symbolizer;
use crate::identity::hex;
use crate::profile::Overlay;
use crate::ring::layout::Conflict;
use crate::ring::{Conflicts, Ring, RingError};
use std::path::PathBuf;

/// Finds what the rings prove.
///
/// # Errors
/// When the options name an executable that does not fit. Damage in a ring is no error, but listed
/// among that ring's problems.
pub fn analyze(rings: Vec<Ring>, options: &Options) -> Result<Analysis, AnalyzeError> {
    let mut reading = Reading {
        window_ns: u64::try_from(options.window.as_nanos()).unwrap_or(u64::MAX),
        collector: Collector::default(),
        suspects: Suspects::default(),
        operations: Vec::new(),
        chains: Chains::default(),
        hunted: &options.hunted,
        goroutines: options.goroutines,
    };
    let mut summaries = Vec::new();
    for group in by_executable(rings) {
        let Some(first) = group.first() else { continue };
        let of_group = with_symbols(first, options, |symbols, source| {
            group
                .iter()
                .map(|ring| reading.ring(ring, symbols, source))
                .collect::<Vec<_>>()
        })?;
        summaries.extend(of_group);
    }
    summaries.sort_by(|a, b| (a.started_unix_ns, &a.path).cmp(&(b.started_unix_ns, &b.path)));
    let mut lost = Losses::default();
    summaries.iter().for_each(|ring| lost.add(&ring.lost));
    let findings = reading.collector.finish();
    let (suspects, suspects_unlisted) = reading.suspects.finish(&findings, options.similarity);
    Ok(Analysis {
        findings,
        suspects,
        source: None,
        suspects_unlisted,
        rings: summaries,
        lost,
        operations: reading.operations,
        chains: reading.chains.chains,
        profile: None,
        overlay: Overlay::default(),
    })
}

/// What the rings that were read so far say together.
struct Reading<'o> {
    window_ns: u64,
    collector: Collector,
    suspects: Suspects,
    operations: Vec<OperationStack>,
    chains: Chains,
    hunted: &'o [Hunted],
    goroutines: bool,
}

impl Reading<'_> {
    fn ring(&mut self, ring: &Ring, symbols: &mut Symbolizer<'_>, source: &Source) -> RingSummary {
        let mut summary = summary_of(ring, source);
        let conflicts = ring.conflicts().unwrap_or_else(|error| {
            summary.problems.push(error.to_string());
            Conflicts::default()
        });
        summary.lost.conflicts_torn = conflicts.torn.into();
        summary.lost.conflicts_dropped = conflicts.dropped.into();
        let clock = Clock::new(ring.header(), &conflicts.committed);
        for conflict in conflicts.committed.iter().zip(&conflicts.contexts) {
            self.collector.add(ring, symbols, &clock, conflict);
        }
        count_drops(ring, &mut summary);
        self.lanes(ring, symbols, (&clock, &conflicts.committed), &mut summary);
        summary
    }

    /// One pass over all recorded operations.
    fn lanes(
        &mut self,
        ring: &Ring,
        symbols: &mut Symbolizer<'_>,
        (clock, conflicts): (&Clock, &[Conflict]),
        summary: &mut RingSummary,
    ) {
        let mut stacks = Stacks::new(self.goroutines);
        let mut near = NearMisses::new(clock.ticks_of_ns(self.window_ns));
        let mut followed = Followed::of(conflicts);
        let ended =
            Stream::open(ring).for_each(|record| match stacks.count(record, ring, symbols) {
                Counted::Operation(stack, operation) => {
                    near.add(record, stack, operation);
                    followed.add(record, stack, operation, &stacks);
                }
                Counted::Damaged => summary.lost.damaged_records += 1,
                Counted::Aside => {}
            });
        summary.lost.overwritten = ended.overwritten;
        for error in &ended.errors {
            damaged_lane(&mut summary.lost, &mut summary.problems, error);
        }
        if stacks.beyond() > 0 {
            let beyond = stacks.beyond();
            let problem = format!("{beyond} operations have stacks too many to be told apart");
            summary.problems.push(problem);
        }
        followed.finish((ring, clock, &stacks), symbols, conflicts, &mut self.chains);
        // That it cannot be read was told already: so could the lanes not be.
        let made = ring.made().unwrap_or_default();
        let mut naming = Naming {
            ring,
            symbols,
            clock,
            stacks: &stacks,
            made: &made,
            hunted: &HuntedPlaces::of(ring, self.hunted),
        };
        let incomplete = self.suspects.add(near, &mut naming);
        summary.problems.extend(incomplete);
        self.operations.extend(stacks.named(ring, symbols));
    }
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
        input_sha256: hex(&header.input_sha256),
        ring_sha256: None,
        symbols_sha256: None,
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
    match ring.left_out() {
        Ok(left_out) => summary.lost.left_out = left_out,
        Err(error) => summary.problems.push(error.to_string()),
    }
}

/// Notes a lane that cannot be read; the first one of a ring in words.
pub fn damaged_lane(lost: &mut Losses, problems: &mut Vec<String>, error: &RingError) {
    if lost.damaged_lanes == 0 {
        problems.push(error.to_string());
    }
    lost.damaged_lanes += 1;
}
