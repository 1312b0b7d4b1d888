//! A net/http server under load whose handlers run with labels as OpenTelemetry's instrumentation sets
//! them: each side of a finding carries the trace and span id of its own request, and the finding says where
//! the map was made.

mod common;

use anyhow::{Context, ensure};
use common::gocc::GOCC;
use common::{Fixture, Program, Rings, fixture, patch, sample_versions};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Runs in which labels of both sides must have been seen.
const RUNS: u32 = 5;

/// The findings of one run.
fn serve(patched: &Path, mode: &str) -> anyhow::Result<Vec<Value>> {
    let rings = Rings::new()?;
    let outcome = Program::new(patched)
        .limit(Duration::from_secs(60))
        .env("GOCC", rings.setting(mode))
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    let report = Program::new(GOCC)
        .args(&["report", "--format", "json"])
        .arg(rings.path())
        .run()?;
    let report: Value = serde_json::from_str(&report.stdout).with_context(|| report.tail())?;
    let findings = report["findings"].as_array().context("no findings")?;
    Ok(findings.clone())
}

/// The request of a side, from its labels: `None` when it has none. What the labels say must fit each
/// other and the handler: the program gives /login odd digits.
fn check_side(side: &Value) -> anyhow::Result<bool> {
    let labels = &side["goroutine"]["labels"];
    if labels.is_null() {
        // Labels are recorded only while it is certain that they are those of the operation.
        ensure!(side["certainty"] != "noticed", "no labels: {side:#}");
        return Ok(false);
    }
    let text = |key: &str| {
        labels[key]
            .as_str()
            .with_context(|| format!("no {key}: {side:#}"))
    };
    let (trace, span, route) = (text("trace_id")?, text("span_id")?, text("http.route")?);
    ensure!((trace.len(), span.len()) == (32, 16), "cut off: {labels}");
    let repeated = trace == format!("{span}{span}");
    ensure!(repeated, "of two requests: {labels}");
    let digits = if route == "/login" {
        "13579bdf"
    } else {
        "02468ace"
    };
    ensure!(
        trace.chars().all(|digit| digits.contains(digit)),
        "{labels}"
    );
    let handler = format!("main.{}", route.trim_start_matches('/'));
    let frames = side["stack"].as_array().context("no stack")?;
    let functions: Vec<&str> = frames
        .iter()
        .filter_map(|frame| frame["function"].as_str())
        .collect();
    ensure!(
        functions.contains(&handler.as_str()),
        "{route} is not {functions:?}"
    );
    Ok(true)
}

/// In how many findings both sides have labels.
fn labelled(findings: &[Value]) -> anyhow::Result<usize> {
    let mut both = 0;
    for finding in findings {
        let [a, b] = [0, 1].map(|side| check_side(&finding["sides"][side]));
        both += usize::from(a? && b?);
        let made = &finding["map"]["made"]["stack"][0];
        if !made.is_null() {
            ensure!(made["function"] == "main.init", "made in {made}");
        }
    }
    Ok(both)
}

fn check(fixture: &Fixture, patched: &Path) -> anyhow::Result<()> {
    let (mut both, mut made) = (0, 0);
    for run in 0..RUNS {
        let findings = serve(patched, ["hunt", "guard"][run as usize % 2])?;
        both += labelled(&findings)?;
        let known = |finding: &&Value| !finding["map"]["made"].is_null();
        made += findings.iter().filter(known).count();
        if both > 0 && made > 0 {
            return Ok(());
        }
    }
    anyhow::bail!(
        "Go {}: {both} findings with labels, {made} with the map's making",
        fixture.version
    )
}

#[test]
fn findings_carry_the_trace_ids_of_their_requests() -> anyhow::Result<()> {
    for version in sample_versions(&["1.18", "1.23", "1.24", "1.27"]) {
        let variant = if version == "1.27" {
            "static"
        } else {
            "stripped"
        };
        let Some(fixture) = fixture("labels", &version, variant)? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        check(&fixture, &patched).with_context(|| format!("Go {version}, {variant}"))?;
    }
    Ok(())
}
