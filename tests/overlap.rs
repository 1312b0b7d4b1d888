//! Exact overlap in trace mode: an operation that begins while another one is under way is a confirmed
//! conflict, without flag and without hold. In observe mode, where reads leave no marks, nothing of the kind
//! is claimed; nor in trace mode where operations are in order.

mod common;

use anyhow::{Context, ensure};
use common::{Ends, Program, Report, Rings, fixture, patch, sample_versions};
use std::path::Path;
use std::time::Duration;

/// Runs in which the two operations must have met at least once.
const RUNS: u32 = 10;
/// Far longer than any of these programs takes.
const LIMIT: Duration = Duration::from_secs(100);

fn run(patched: &Path, mode: &str, procs: &str) -> anyhow::Result<Report> {
    let rings = Rings::new()?;
    let outcome = Program::new(patched)
        .limit(LIMIT)
        .env("GOCC", rings.setting(mode))
        .env("GOMAXPROCS", procs)
        .run()?;
    ensure!(
        outcome.status.success() && outcome.stderr.is_empty(),
        "{}",
        outcome.tail()
    );
    rings.report().with_context(|| outcome.tail())
}

#[test]
fn operations_that_overlap_are_confirmed_in_trace_mode() -> anyhow::Result<()> {
    for version in sample_versions(&["1.21", "1.24", "1.27"]) {
        let Some(fixture) = fixture("overlap", &version, "stripped")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        let mut confirmed = 0;
        for _ in 0..RUNS {
            let report = run(&patched, "trace", "2")?;
            for finding in &report.findings {
                ensure!(
                    finding.names(&fixture.sides, None) == Ends::Both
                        && finding.evidence["kind"] == "caught_in_the_act",
                    "Go {version}: {finding:#?}"
                );
                confirmed += u32::from(finding.grade == "confirmed");
            }
            let observed = run(&patched, "observe", "2")?;
            ensure!(
                observed.findings.is_empty(),
                "claimed in observe: {:#?}",
                observed.findings
            );
            if confirmed > 0 {
                break;
            }
        }
        ensure!(
            confirmed > 0,
            "Go {version}: nothing confirmed in {RUNS} runs"
        );
    }
    Ok(())
}

/// Zero means zero. Many of these programs have operations of one goroutine right after another one's.
#[test]
fn nothing_overlaps_where_operations_are_ordered() -> anyhow::Result<()> {
    const ORDERED: [&str; 13] = [
        "atomicflag",
        "channel",
        "cond",
        "copyonwrite",
        "errgroup",
        "mutex",
        "once",
        "owner",
        "pool",
        "recovered",
        "rwmutex",
        "syncmap",
        "waitgroup",
    ];
    for version in sample_versions(&["1.23", "1.27"]) {
        for name in ORDERED {
            let Some(fixture) = fixture(&format!("ordered/{name}"), &version, "static")? else {
                continue;
            };
            let place = tempfile::tempdir()?;
            let patched = patch(&fixture, place.path())?;
            for procs in ["1", "2", "8"] {
                let report = run(&patched, "trace", procs)
                    .with_context(|| format!("{name}, Go {version}, GOMAXPROCS={procs}"))?;
                ensure!(
                    report.findings.is_empty(),
                    "{name}, Go {version}, GOMAXPROCS={procs}: {:#?}",
                    report.findings
                );
            }
        }
    }
    Ok(())
}
