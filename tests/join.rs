//! `gocc report --scan` and `gocc exec --focus`: what ran, laid over what the source says.

mod common;

use anyhow::{Context, ensure};
use common::gocc::GOCC;
use common::{Fixture, Program, Rings, fixture, sample_versions};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(100);

fn source(of: &str) -> PathBuf {
    common::fixture::repository().join("testdata").join(of)
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// A hunt that begins at the scanner's suspects, then a run in which everything is recorded.
fn run_both(fixture: &Fixture, focus: &Path) -> anyhow::Result<Rings> {
    let rings = Rings::new()?;
    let exec = |options: &[&str], what: &str| {
        let mut program = Program::new(GOCC);
        program = program
            .args(&["exec", "--brief", "--dir"])
            .arg(rings.path());
        program = program.args(options).arg("--").arg(&fixture.path).arg(what);
        program.limit(LIMIT).run()
    };
    let hunted = exec(&[&option("focus", focus), "--runs", "5"], "racy")?;
    ensure!(hunted.status.code() == Some(66), "{}", hunted.tail());
    ensure!(
        hunted.stderr.contains("hunting at 3 of 3 places"),
        "{}",
        hunted.tail()
    );
    let traced = exec(&["--mode", "trace"], "ordered")?;
    ensure!(
        matches!(traced.status.code(), Some(0 | 66)),
        "{}",
        traced.tail()
    );
    Ok(rings)
}

fn joined(rings: &Rings, scan: &Path, more: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let outcome = Program::new(GOCC)
        .args(&["report", &option("scan", scan)])
        .args(more)
        .arg(rings.path())
        .run()?;
    Ok((outcome.status.code(), outcome.stdout))
}

fn json(rings: &Rings, scan: &Path) -> anyhow::Result<Vec<Value>> {
    let (_, text) = joined(rings, scan, &["--format", "json"])?;
    let report: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let findings = report["findings"].as_array().context("no findings")?;
    Ok(findings.clone())
}

/// The findings that name a line of this case first.
fn of_case<'f>(findings: &'f [Value], fixture: &Fixture, case: &str) -> Vec<&'f Value> {
    let sides = fixture.sides.iter();
    let lines: Vec<u32> = sides
        .filter(|side| side.cases.iter().any(|name| name == case))
        .map(|side| side.line)
        .collect();
    let is_there = |finding: &&Value| {
        let stack = finding["sides"][0]["stack"].as_array();
        let frames = stack.into_iter().flatten();
        let mut user = frames.filter(|frame| frame["runtime"] == false);
        user.next()
            .and_then(|frame| frame["line"].as_u64())
            .is_some_and(|line| lines.iter().any(|known| u64::from(*known) == line))
    };
    findings.iter().filter(is_there).collect()
}

/// What matters here of a finding, in a line.
fn said(finding: &Value) -> String {
    let frames = finding["sides"][0]["stack"].as_array();
    let function = frames.and_then(|stack| stack.iter().find(|frame| frame["runtime"] == false));
    let function = function.map(|frame| &frame["function"]);
    let (grade, joined) = (&finding["grade"], &finding["joined"]);
    format!(
        "{function:?} {grade} {} {joined}",
        finding["evidence"]["kind"]
    )
}

#[test]
fn each_mode_says_what_the_other_knows() -> anyhow::Result<()> {
    let tree = source("joined");
    for (version, variant) in [("1.21", "static"), ("1.27", "trimpath")] {
        for version in sample_versions(&[version]) {
            let Some(fixture) = fixture("joined", &version, variant)? else {
                continue;
            };
            let rings = run_both(&fixture, &tree)?;
            let findings = json(&rings, &tree)?;
            let said = findings.iter().map(said).collect::<Vec<_>>().join("\n");
            let what = format!("Go {version}:\n{said}");
            let [shown] = of_case(&findings, &fixture, "shown")[..] else {
                anyhow::bail!("one finding for what both found: {what}");
            };
            ensure!(shown["grade"] == "confirmed", "{what}");
            ensure!(shown["joined"]["found_by"] == "both", "{what}");
            ensure!(shown["scan"]["rule"] == "map-field", "{what}");
            let [hidden] = of_case(&findings, &fixture, "hidden")[..] else {
                anyhow::bail!("one finding for what only ran: {what}");
            };
            ensure!(hidden["grade"] == "confirmed", "{what}");
            ensure!(hidden["joined"]["found_by"] == "runtime", "{what}");
            ensure!(hidden["joined"]["reason"] == "not_paired", "{what}");
            let [ordered] = of_case(&findings, &fixture, "ordered")[..] else {
                anyhow::bail!("one finding for what only the source shows: {what}");
            };
            ensure!(ordered["joined"]["found_by"] == "source", "{what}");
            let ran = &ordered["joined"]["ran"];
            ensure!(
                ran["ranked_down"] == true && ran["operations"] == 400 && ran["goroutines"] == 2,
                "{what}"
            );
            ensure!(ordered["scan"]["confidence"] == "medium", "{what}");
            let last = findings.last().context("no findings")?;
            ensure!(last == ordered, "the least likely one comes last: {what}");
        }
    }
    Ok(())
}

#[test]
fn a_run_is_explained_when_the_source_is_another_one() -> anyhow::Result<()> {
    let Some(fixture) = fixture("joined", "1.27", "static")? else {
        return Ok(());
    };
    let rings = run_both(&fixture, &source("joined"))?;
    let findings = json(&rings, &source("latent/locks"))?;
    let reasons: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["joined"]["found_by"] == "runtime")
        .map(|finding| &finding["joined"]["reason"])
        .collect();
    ensure!(
        reasons.len() == 2 && reasons.iter().all(|reason| *reason == "outside_tree"),
        "{findings:#?}"
    );
    Ok(())
}

/// The scanner's report stands in for the tree, on a machine that has no source; reasons are then not known.
#[test]
fn a_report_of_the_scanner_can_be_joined() -> anyhow::Result<()> {
    let Some(fixture) = fixture("joined", "1.27", "trimpath")? else {
        return Ok(());
    };
    let rings = run_both(&fixture, &source("joined"))?;
    let place = tempfile::tempdir()?;
    let scan = place.path().join("scan.json");
    let outcome = Program::new(GOCC)
        .args(&["scan", "--format", "json", "--output"])
        .arg(&scan)
        .arg(source("joined"))
        .run()?;
    ensure!(outcome.status.code() == Some(66), "{}", outcome.tail());
    let findings = json(&rings, &scan)?;
    let found_by = |case: &str| -> Vec<String> {
        let of = of_case(&findings, &fixture, case);
        of.iter()
            .map(|finding| finding["joined"].to_string())
            .collect()
    };
    for (case, says) in [
        ("shown", r#""found_by":"both""#),
        ("hidden", r#""reason":"not_reported""#),
        ("ordered", r#""ranked_down":true"#),
    ] {
        let joined = found_by(case);
        ensure!(
            joined.len() == 1 && joined.iter().all(|one| one.contains(says)),
            "{case}: {joined:?}"
        );
    }
    Ok(())
}

#[test]
fn all_formats_come_from_the_joined_findings() -> anyhow::Result<()> {
    let Some(fixture) = fixture("joined", "1.27", "static")? else {
        return Ok(());
    };
    let tree = source("joined");
    let rings = run_both(&fixture, &tree)?;
    let (code, text) = joined(&rings, &tree, &[])?;
    ensure!(code == Some(66), "exit code {code:?}\n{text}");
    for sentence in [
        "The source shows it too: map-field (error, confidence high)",
        "The scanner does not show it: it knows both operations",
        "Recorded there while it ran: 400 operations by 2 goroutines, no two at once; it is ranked down.",
    ] {
        ensure!(text.contains(sentence), "{sentence:?} is not in:\n{text}");
    }
    let (_, sarif) = joined(&rings, &tree, &["--format", "sarif"])?;
    let sarif: Value = serde_json::from_str(&sarif)?;
    let results = &sarif["runs"][0]["results"];
    let rules: Vec<&str> = results
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|result| result["ruleId"].as_str())
        .collect();
    ensure!(
        rules
            == [
                "concurrent-map-access",
                "concurrent-map-access",
                "map-field"
            ],
        "{rules:?}"
    );
    let violet = "violet: functions that the scanner flagged";
    for (count, marks) in [
        ("operations", ["rgb(160,95,205)", violet]),
        ("conflicts", ["rgb(225,60,50)", violet]),
    ] {
        let (_, svg) = joined(&rings, &tree, &["--format", "svg", "--count", count])?;
        let is_marked = |mark: &&str| svg.contains(*mark);
        ensure!(marks.iter().all(is_marked), "{count}: not {marks:?}");
    }
    let (_, html) = joined(&rings, &tree, &["--format", "html"])?;
    ensure!(
        html.contains("no two at once; it is ranked down"),
        "not in the page"
    );
    Ok(())
}

/// The table of decisions: what fails is decided by what both modes say together.
#[test]
fn decisions_apply_to_what_was_joined() -> anyhow::Result<()> {
    let Some(fixture) = fixture("joined", "1.27", "static")? else {
        return Ok(());
    };
    let tree = source("joined");
    let rings = run_both(&fixture, &tree)?;
    let place = tempfile::tempdir()?;
    let config = place.path().join("gocc.toml");
    let everything = "[[suppress]]\nmap = \"*\"\nreason = \"known\"\n";
    for (source, confirmed, suppressions, expected) in [
        ("log", "log", "", 0),
        ("fail", "log", "", 66),
        ("log", "fail", "", 66),
        ("fail", "fail", everything, 0),
    ] {
        let decide = format!("[decide]\nsource = \"{source}\"\nconfirmed = \"{confirmed}\"\n");
        std::fs::write(&config, format!("{decide}{suppressions}"))?;
        let path = config.display().to_string();
        let (code, text) = joined(&rings, &tree, &["--config", &path])?;
        ensure!(
            code == Some(expected),
            "source {source}, confirmed {confirmed}, {suppressions:?}: {code:?}\n{text}"
        );
    }
    Ok(())
}
