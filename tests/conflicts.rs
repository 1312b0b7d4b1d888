//! Programs with map races, run until they die: the report names both goroutines, with the user's
//! file and a line that the fixture's source marks.
//!
//! A few deaths by default; `scripts/deaths` sets `GOCC_DEATHS=100` and `GOCC_GO="1.23 1.25 1.27"`.

mod common;

use anyhow::{Context, bail, ensure};
use common::{Ends, Fixture, Outcome, Program, Rings, fixture, patch, sample_versions};
use std::path::Path;
use std::time::Duration;

/// Longer than the fixtures wait before they give up.
const LIMIT: Duration = Duration::from_secs(90);

fn deaths_wanted() -> usize {
    let value = std::env::var("GOCC_DEATHS").ok();
    value.and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// How the deaths of one program were reported.
#[derive(Default)]
struct Tally {
    deaths: usize,
    both: usize,
    confirmed: usize,
    /// Runs that ended otherwise: a corrupted map can crash before Go's check sees it.
    other_endings: Vec<String>,
    first_miss: Option<String>,
}

impl Tally {
    fn line(&self) -> String {
        format!(
            "{} of {} deaths with both sides named, {} confirmed, {} other endings",
            self.both,
            self.deaths,
            self.confirmed,
            self.other_endings.len()
        )
    }
}

/// Runs a patched program once, and reads its ring.
fn die(
    patched: &Path,
    fixture: &Fixture,
    case: Option<&str>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let rings = Rings::new()?;
    let mut program = Program::new(patched)
        .limit(LIMIT)
        .env("GOCC", rings.setting("observe"));
    if let Some(case) = case {
        program = program.arg(case);
    }
    let outcome = program.run()?;
    if !is_map_death(&outcome) {
        tally.other_endings.push(outcome.tail());
        return Ok(());
    }
    tally.deaths += 1;
    let report = rings.report().with_context(|| outcome.tail())?;
    if report.names(&fixture.sides, case) == Ends::Both {
        tally.both += 1;
    } else if tally.first_miss.is_none() {
        tally.first_miss = Some(format!("{report:#?}\n{}", outcome.tail()));
    }
    let confirmed = |finding: &common::Finding| {
        finding.grade == "confirmed" && finding.names(&fixture.sides, case) == Ends::Both
    };
    tally.confirmed += usize::from(report.findings.iter().any(confirmed));
    Ok(())
}

fn is_map_death(outcome: &Outcome) -> bool {
    outcome.status.code() == Some(2) && outcome.stderr.contains("fatal error: concurrent map")
}

/// Lets a program die `wanted` times; runs that end otherwise are repeated, up to a limit.
fn deaths(fixture: &Fixture, case: Option<&str>, wanted: usize) -> anyhow::Result<Tally> {
    let place = tempfile::tempdir()?;
    let patched = patch(fixture, place.path())?;
    let mut tally = Tally::default();
    while tally.deaths < wanted {
        die(&patched, fixture, case, &mut tally)?;
        ensure!(
            tally.other_endings.len() <= 2 + wanted / 2,
            "too many runs ended otherwise: {}",
            tally.other_endings.join("\n=====\n")
        );
    }
    println!(
        "deaths: {} {} {} {}: {}",
        fixture.version,
        fixture.variant,
        fixture.fixture,
        case.unwrap_or("-"),
        tally.line()
    );
    Ok(tally)
}

fn require(tally: &Tally, least: usize, what: &str) -> anyhow::Result<()> {
    if tally.both < least {
        bail!(
            "{what}: {}; wanted {least}. The first miss: {}",
            tally.line(),
            tally.first_miss.as_deref().unwrap_or("-")
        );
    }
    Ok(())
}

/// All deaths must be named: ten goroutines assign to one map and five range over it.
#[test]
fn crash() -> anyhow::Result<()> {
    for version in sample_versions(&["1.18", "1.23", "1.25", "1.27"]) {
        for variant in ["static", "stripped"] {
            if let Some(fixture) = fixture("crash", &version, variant)? {
                let tally = deaths(&fixture, None, deaths_wanted())?;
                require(
                    &tally,
                    tally.deaths,
                    &format!("crash, Go {version}, {variant}"),
                )?;
            }
        }
    }
    Ok(())
}

/// At least 95 of 100: the goroutines live for one operation each.
#[test]
fn oneshot() -> anyhow::Result<()> {
    for version in sample_versions(&["1.23", "1.27"]) {
        if let Some(fixture) = fixture("oneshot", &version, "static")? {
            let tally = deaths(&fixture, None, deaths_wanted())?;
            require(
                &tally,
                (tally.deaths * 95).div_ceil(100).min(tally.deaths),
                "oneshot",
            )?;
        }
    }
    Ok(())
}

/// Every case of testdata/pairs: the ways in which map operations occur in programs.
fn pairs(version: &str, variant: &str) -> anyhow::Result<()> {
    let Some(fixture) = fixture("pairs", version, variant)? else {
        return Ok(());
    };
    let wanted = deaths_wanted().div_ceil(5);
    let mut missed = Vec::new();
    for case in &fixture.cases {
        match deaths(&fixture, Some(&case.name), wanted) {
            Ok(tally) => {
                if let Err(error) = require(&tally, wanted, &case.name) {
                    missed.push(format!("{error:#}"));
                }
            }
            Err(error) => missed.push(format!("{}: {error:#}", case.name)),
        }
    }
    ensure!(
        missed.is_empty(),
        "Go {version}, {variant}: {} of {} cases: {}",
        missed.len(),
        fixture.cases.len(),
        missed.join("\n=====\n")
    );
    Ok(())
}

#[test]
fn pairs_oldest() -> anyhow::Result<()> {
    pairs("1.18", "static")
}

#[test]
fn pairs_last_hmap() -> anyhow::Result<()> {
    pairs("1.23", "noopt")
}

#[test]
fn pairs_first_swiss() -> anyhow::Result<()> {
    pairs("1.24", "pie")
}

#[test]
fn pairs_newest() -> anyhow::Result<()> {
    pairs("1.27", "stripped")
}

/// No finding, ever, in programs without a race.
#[test]
fn clean_programs_have_no_findings() -> anyhow::Result<()> {
    for version in sample_versions(&["1.18", "1.27"]) {
        for name in ["server", "stress"] {
            let Some(fixture) = fixture(name, &version, "static")? else {
                continue;
            };
            let place = tempfile::tempdir()?;
            let patched = patch(&fixture, place.path())?;
            let rings = Rings::new()?;
            let outcome = Program::new(&patched)
                .env("GOCC", rings.setting("observe"))
                .run()?;
            ensure!(outcome.status.success(), "{name}: {}", outcome.tail());
            let report = rings.report()?;
            ensure!(
                report.findings.is_empty(),
                "{name}, Go {version}: {report:#?}"
            );
        }
    }
    Ok(())
}
