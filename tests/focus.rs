//! `gocc exec --focus`: what the scanner suspects is hunted from the first run on.
//!
//! The program's four races are one operation of two goroutines each, 400 microseconds apart: by the time that a
//! hunt has seen two of them near each other, there is nothing left to hold. Alone it catches those that meet by
//! themselves, which a busy machine makes likelier.

mod common;

use anyhow::ensure;
use common::gocc::GOCC;
use common::{Ends, Fixture, Program, Rings, fixture};
use std::path::{Path, PathBuf};
use std::time::Duration;

const RACES: [&str; 4] = ["global", "field", "captured", "passed"];
const RUNS: u32 = 5;
const LIMIT: Duration = Duration::from_secs(60);

fn source() -> PathBuf {
    common::fixture::repository().join("testdata/focused")
}

/// The races that one run catches in the act.
fn caught(fixture: &Fixture, options: &[&str], seed: u32) -> anyhow::Result<usize> {
    let rings = Rings::new()?;
    let outcome = Program::new(GOCC)
        .args(&["exec", "--brief", "--seed", &seed.to_string(), "--dir"])
        .arg(rings.path())
        .args(options)
        .arg("--")
        .arg(&fixture.path)
        .limit(LIMIT)
        .run()?;
    ensure!(
        matches!(outcome.status.code(), Some(0 | 66)) && outcome.stdout == "done\n",
        "{}",
        outcome.tail()
    );
    let mut report = rings.report()?;
    report
        .findings
        .retain(|finding| finding.grade == "confirmed");
    let all = &report.findings;
    let other = all
        .iter()
        .find(|finding| finding.names(&fixture.sides, None) != Ends::Both);
    ensure!(other.is_none(), "not the marked lines: {other:#?}");
    let is_caught = |race: &&&str| report.names(&fixture.sides, Some(race)) == Ends::Both;
    Ok(RACES.iter().filter(is_caught).count())
}

fn caught_in_first_runs(fixture: &Fixture, options: &[&str]) -> anyhow::Result<usize> {
    (1..=RUNS).map(|seed| caught(fixture, options, seed)).sum()
}

fn scan_report(into: &Path) -> anyhow::Result<()> {
    let outcome = Program::new(GOCC)
        .args(&["scan", "--all", "--format", "json", "--output"])
        .arg(into)
        .arg(source())
        .run()?;
    ensure!(outcome.status.code() == Some(66), "{}", outcome.tail());
    Ok(())
}

#[test]
fn latent_races_are_caught_in_the_first_run() -> anyhow::Result<()> {
    let Some(fixture) = fixture("focused", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let report = place.path().join("scan.json");
    scan_report(&report)?;
    let all = RACES.len() * RUNS as usize;
    let without = caught_in_first_runs(&fixture, &["--mode", "hunt"])?;
    println!("hunt alone: {without} of {all} caught in first runs");
    for from in [&source(), &report] {
        let focus = format!("--focus={}", from.display());
        let with = caught_in_first_runs(&fixture, &[&focus])?;
        println!("hunt with {focus}: {with} of {all}");
        ensure!(
            with * 10 >= all * 9 && with > without,
            "{with} of {all} caught with {focus}, {without} without"
        );
    }
    Ok(())
}

/// What `gocc report` writes of nothing.
fn empty_report() -> anyhow::Result<String> {
    let mut text = Vec::new();
    gocc::report::json::write(&gocc::analyze::model::Analysis::default(), &mut text)?;
    Ok(String::from_utf8(text)?)
}

#[test]
fn what_is_no_scan_is_refused() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let other = place.path().join("other.json");
    let refused = |focus: &Path, more: &[&str]| {
        Program::new(GOCC)
            .arg("exec")
            .arg(format!("--focus={}", focus.display()))
            .args(more)
            .args(&["--", "true"])
            .run()
    };
    for (contents, says) in [
        ("{}", "it is no JSON report of gocc"),
        (&empty_report()?, "it says nothing of source"),
    ] {
        std::fs::write(&other, contents)?;
        let outcome = refused(&other, &[])?;
        ensure!(
            outcome.status.code() == Some(1) && outcome.stderr.contains(says),
            "{}",
            outcome.tail()
        );
        ensure!(outcome.stderr.lines().count() == 1, "{}", outcome.tail());
    }
    let outcome = refused(&source(), &["--mode", "guard"])?;
    ensure!(
        outcome.stderr.contains("--focus is for mode hunt"),
        "{}",
        outcome.tail()
    );
    Ok(())
}
