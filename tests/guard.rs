//! Guard: programs that Go's own check kills live to their end, and the report names who would have
//! collided.
//!
//! A sample; `scripts/hunt guarded` runs every program on several Go versions and numbers of CPUs.

mod common;

use anyhow::{Context, ensure};
use common::{Ends, Program, Report, Rings, fixture, patch, sample_versions};
use std::path::Path;
use std::time::Duration;

/// Several times as long as the slowest of these programs takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// One run in mode guard, which must end well.
fn guard(patched: &Path, procs: &str) -> anyhow::Result<Report> {
    let rings = Rings::new()?;
    let outcome = Program::new(patched)
        .limit(LIMIT)
        .env("GOCC", rings.setting("guard"))
        .env("GOMAXPROCS", procs)
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    ensure!(outcome.stdout == "survived\n", "{}", outcome.tail());
    rings.report().with_context(|| outcome.tail())
}

/// Runs on two Ps until operations have collided. Where both threads share one CPU, as they may on a busy machine,
/// that is seldom: about every second run of `many` passes without.
const RUNS: usize = 20;

/// Guarded, the program survives on one P and on two, every time; on two, operations collide, and the findings
/// name both sides.
fn survives(name: &str) -> anyhow::Result<()> {
    for version in sample_versions(&["1.27"]) {
        let Some(fixture) = fixture(&format!("guarded/{name}"), &version, "static")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        guard(&patched, "1").with_context(|| format!("{name}, Go {version}, GOMAXPROCS=1"))?;
        let mut seen = Vec::new();
        let is_named = |report: &Report| {
            report.findings.iter().any(|finding| {
                finding.grade == "confirmed" && finding.names(&fixture.sides, None) == Ends::Both
            })
        };
        let what = || format!("{name}, Go {version}, GOMAXPROCS=2");
        while !seen.last().is_some_and(is_named) {
            ensure!(
                seen.len() < RUNS,
                "{}: both sides not named: {:#?}",
                what(),
                seen.iter()
                    .map(|report| &report.findings)
                    .collect::<Vec<_>>()
            );
            seen.push(guard(&patched, "2").with_context(what)?);
        }
        println!("{}: named in run {}", what(), seen.len());
    }
    Ok(())
}

#[test]
fn ten_writers_and_five_rangers() -> anyhow::Result<()> {
    survives("writers")
}

#[test]
fn operations_that_panic_halfway() -> anyhow::Result<()> {
    survives("panics")
}

#[test]
fn operations_parked_by_the_garbage_collector() -> anyhow::Result<()> {
    survives("collector")
}

#[test]
fn a_hundred_thousand_goroutines() -> anyhow::Result<()> {
    survives("many")
}

#[test]
fn operations_within_operations() -> anyhow::Result<()> {
    survives("nested")
}
