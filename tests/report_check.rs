//! `gocc report --check`: a report fits its rings and executables, and whatever is changed in one of them is named.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::ensure;
use common::gocc::GOCC;
use common::{Outcome, Program, Rings, both};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn check(report: &Path, rings: &Path) -> anyhow::Result<Outcome> {
    Program::new(GOCC)
        .args(&["report", "--check"])
        .arg(report)
        .arg(rings)
        .run()
}

/// Changes one bit of a file, and gives back what undoes it.
fn flip(path: &Path, at: u64) -> anyhow::Result<impl Fn() -> std::io::Result<()>> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut old = [0];
    file.read_exact_at(&mut old, at)?;
    file.write_all_at(&[old[0] ^ 1], at)?;
    Ok(move || file.write_all_at(&old, at))
}

fn noticed(outcome: &Outcome, word: &str) -> anyhow::Result<()> {
    ensure!(
        outcome.ending() == "exit 1" && outcome.stderr.contains(word),
        "{word:?} is not noticed: {}",
        outcome.tail()
    );
    Ok(())
}

#[test]
fn tampering_is_noticed() -> anyhow::Result<()> {
    let Some(both) = both("pairs", "1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    Program::new(&both.patched)
        .arg("read-assign")
        .env("GOCC", rings.setting("trace"))
        .run()?;
    let ring = rings.files()?.remove(0);
    let place = tempfile::tempdir()?;
    let report = place.path().join("report.json");
    Program::new(GOCC)
        .args(&["report", "--format", "json", "--output"])
        .arg(&report)
        .arg(rings.path())
        .run()?;
    let fits = check(&report, rings.path())?;
    ensure!(
        fits.ending() == "exit 0" && fits.stdout.contains("rings: 1,"),
        "{}",
        fits.tail()
    );

    // The last byte of the ring is in a lane that this program does not fill.
    let undo = flip(&ring, fs::metadata(&ring)?.len() - 1)?;
    noticed(&check(&report, rings.path())?, "its SHA-256 is")?;
    undo()?;
    // A byte of Go's text.
    let undo = flip(&both.patched, 0x1000)?;
    noticed(
        &check(&report, rings.path())?,
        "the SHA-256 of its executable is",
    )?;
    undo()?;

    let text = fs::read_to_string(&report)?;
    let edited = place.path().join("edited.json");
    fs::write(&edited, text.replacen("\"line\": ", "\"line\": 1", 1))?;
    ensure!(fs::read_to_string(&edited)? != text, "nothing was edited");
    noticed(&check(&edited, rings.path())?, "the findings of the report")?;
    let mut document: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(
        !document["findings"].as_array().unwrap().is_empty(),
        "no finding to leave out"
    );
    document["findings"] = serde_json::json!([]);
    fs::write(&edited, document.to_string())?;
    noticed(&check(&edited, rings.path())?, "the findings of the report")?;
    document["rings"] = serde_json::json!([]);
    fs::write(&edited, document.to_string())?;
    noticed(&check(&edited, rings.path())?, "was not made of")?;
    ensure!(
        check(&report, rings.path())?.ending() == "exit 0",
        "undone, it fits again"
    );
    Ok(())
}
