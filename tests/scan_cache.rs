//! `gocc scan` keeps what it has learned: a second scan parses only what has changed, and says the same.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::fixture::repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A copy of the labelled set, and a cache of its own.
struct Place {
    directory: tempfile::TempDir,
}

/// What a scan says, and what it says of itself.
struct Said {
    report: String,
    /// Files that were not parsed.
    unchanged: usize,
    files: usize,
    took: Duration,
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// The number before some words.
fn number(text: &str, words: &str) -> usize {
    let before = text
        .split(words)
        .next()
        .filter(|before| before.len() < text.len());
    before
        .and_then(|before| before.trim_end().rsplit(' ').next())
        .map_or(0, |number| number.parse().unwrap())
}

impl Place {
    fn new() -> std::io::Result<Place> {
        let directory = tempfile::tempdir()?;
        copy(
            &repository().join("testdata/scan"),
            &directory.path().join("module"),
        )?;
        Ok(Place { directory })
    }

    fn module(&self) -> PathBuf {
        self.directory.path().join("module")
    }

    fn packs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("cache/gocc/scan")).unwrap();
        entries
            .map(|entry| entry.unwrap().path().join("pack"))
            .filter(|path| path.is_file())
            .collect()
    }

    fn scan(&self, options: &[&str]) -> Said {
        let begin = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_gocc"))
            .args(["scan", "--format", "json"])
            .args(options)
            .arg(self.module())
            .env("XDG_CACHE_HOME", self.directory.path().join("cache"))
            .output()
            .unwrap();
        let took = begin.elapsed();
        let remark = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(66), "{remark}");
        Said {
            report: String::from_utf8(output.stdout).unwrap(),
            unchanged: number(&remark, " files as at an earlier scan"),
            files: number(&remark, " files,"),
            took,
        }
    }
}

#[test]
fn a_second_scan_parses_nothing_and_says_the_same() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.scan(&[]);
    let second = place.scan(&[]);
    println!(
        "{} files: {} ms, then {} ms",
        first.files,
        first.took.as_millis(),
        second.took.as_millis()
    );
    assert!(first.files > 15 && first.unchanged == 0);
    assert_eq!(second.unchanged, second.files);
    assert_eq!(first.report, second.report);
    assert!(second.took < first.took);
    Ok(())
}

#[test]
fn only_the_file_that_changed_is_parsed_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.scan(&[]);
    let file = place.module().join("captured/captured.go");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, format!("{text}\nfunc added() {{}}\n"))?;
    let changed = place.scan(&[]);
    assert_eq!(changed.unchanged, changed.files - 1);
    assert_eq!(changed.report, place.scan(&["--no-cache"]).report);
    fs::write(&file, text)?;
    assert_eq!(place.scan(&[]).report, first.report);
    Ok(())
}

/// What changes the result is part of what it is known by; parsed files do not depend on it.
#[test]
fn other_options_have_other_results() -> anyhow::Result<()> {
    let place = Place::new()?;
    let shown = place.scan(&[]);
    let all = place.scan(&["--all"]);
    assert_ne!(shown.report, all.report);
    assert_eq!(all.unchanged, all.files);
    assert_eq!(all.report, place.scan(&["--all", "--no-cache"]).report);
    assert_eq!(shown.report, place.scan(&[]).report);
    Ok(())
}

#[test]
fn a_damaged_cache_is_as_good_as_none() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.scan(&[]);
    let packs = place.packs();
    assert_eq!(packs.len(), 1);
    let whole = fs::read(&packs[0])?;
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &whole[..middle], &[]] {
        fs::write(&packs[0], damaged)?;
        let again = place.scan(&[]);
        assert_eq!(again.unchanged, 0);
        assert_eq!(again.report, first.report);
        assert_eq!(place.scan(&[]).unchanged, first.files, "it is made anew");
    }
    Ok(())
}

/// A cache that cannot be written is no reason to fail.
#[test]
fn without_a_place_for_a_cache_everything_is_parsed() -> anyhow::Result<()> {
    let place = Place::new()?;
    fs::write(place.directory.path().join("cache"), "in the way")?;
    let first = place.scan(&[]);
    let second = place.scan(&[]);
    assert_eq!((first.unchanged, second.unchanged), (0, 0));
    assert_eq!(first.report, second.report);
    Ok(())
}
