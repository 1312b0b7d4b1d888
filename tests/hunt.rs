//! Hunt: races that do not happen natively are caught in the act, and correct programs are left in
//! peace.
//!
//! A sample of programs that need no file of suspects: main's own access to the map, earlier and in
//! order, is a near miss already. `scripts/hunt` runs every program on several Go versions and numbers
//! of CPUs.

mod common;

use anyhow::{Context, ensure};
use common::{Ends, Fixture, Program, Report, Rings, fixture, patch, sample_versions};
use std::path::Path;
use std::time::Duration;

/// Runs after which a latent race must have been caught.
const HUNTS: u32 = 5;
/// Far longer than any of these programs takes.
const LIMIT: Duration = Duration::from_secs(60);

/// One run in mode hunt: the program must end as it does natively.
fn hunt(patched: &Path, procs: &str, seed: u32) -> anyhow::Result<Report> {
    let rings = Rings::new()?;
    let outcome = Program::new(patched)
        .limit(LIMIT)
        .env("GOCC", rings.setting(&format!("hunt seed={seed}")))
        .env("GOMAXPROCS", procs)
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    ensure!(outcome.stderr.is_empty(), "{}", outcome.tail());
    rings.report().with_context(|| outcome.tail())
}

/// In which run a confirmed finding named both marked lines. Other confirmed findings are false.
fn caught_in(fixture: &Fixture, patched: &Path, procs: &str) -> anyhow::Result<Option<u32>> {
    for run in 1..=HUNTS {
        let report = hunt(patched, procs, run)?;
        let confirmed = || {
            let findings = report.findings.iter();
            findings.filter(|finding| finding.grade == "confirmed")
        };
        let other = confirmed().find(|finding| finding.names(&fixture.sides, None) != Ends::Both);
        ensure!(other.is_none(), "not the marked lines: {other:#?}");
        if confirmed().next().is_some() {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

fn catches(name: &str) -> anyhow::Result<()> {
    for version in sample_versions(&["1.27"]) {
        let Some(fixture) = fixture(name, &version, "stripped")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        for procs in ["1", "2"] {
            let what = || format!("{name}, Go {version}, GOMAXPROCS={procs}");
            let caught = caught_in(&fixture, &patched, procs).with_context(what)?;
            ensure!(caught.is_some(), "{}: not caught in {HUNTS} runs", what());
        }
    }
    Ok(())
}

#[test]
fn catches_a_read_and_an_assignment() -> anyhow::Result<()> {
    catches("latent/readassign")
}

#[test]
fn catches_operations_through_reflect() -> anyhow::Result<()> {
    catches("latent/reflection")
}

#[test]
fn catches_an_iteration_and_a_delete() -> anyhow::Result<()> {
    catches("latent/iteratedelete")
}

#[test]
fn catches_goroutines_that_live_for_one_operation() -> anyhow::Result<()> {
    catches("latent/shortlived")
}

#[test]
fn catches_operations_on_struct_keys() -> anyhow::Result<()> {
    catches("latent/structkeys")
}

/// Zero means zero.
#[test]
fn nothing_is_confirmed_where_operations_are_ordered() -> anyhow::Result<()> {
    const RUNS: u32 = 3;
    for version in sample_versions(&["1.27"]) {
        for name in [
            "rwmutex",
            "channel",
            "owner",
            "pool",
            "recovered",
            "waitgroup",
        ] {
            let Some(fixture) = fixture(&format!("ordered/{name}"), &version, "static")? else {
                continue;
            };
            let place = tempfile::tempdir()?;
            let patched = patch(&fixture, place.path())?;
            for (run, procs) in (1..=RUNS).zip(["1", "2", "8"].iter().cycle()) {
                let report = hunt(&patched, procs, run)
                    .with_context(|| format!("{name}, Go {version}, GOMAXPROCS={procs}"))?;
                let confirmed = report
                    .findings
                    .iter()
                    .find(|finding| finding.grade == "confirmed");
                ensure!(
                    confirmed.is_none(),
                    "{name}, Go {version}, GOMAXPROCS={procs}: {confirmed:#?}"
                );
            }
        }
    }
    Ok(())
}
