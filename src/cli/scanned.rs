//! What the scanner says, for commands that lay it beside what runs: of a tree, or from a report that it wrote.

use super::cache::ScanCache;
use super::output;
use super::progress::Progress;
use crate::analyze::model::{Analysis, Confidence};
use crate::report::json;
use crate::scan::tree::Tree;
use crate::scan::{self, ScanError, ScanOptions, Scanned};
use anyhow::{Context, bail};
use std::path::Path;

/// Scans a tree, hints too, or takes the findings of a JSON report (`gocc scan --all --format json`). What was seen
/// where in a tree ([`Scanned::tree`]) is remembered only when it is wanted: that cannot come from the cache.
///
/// # Errors
/// When it can be neither scanned nor read.
pub fn of(path: &Path, remember: bool) -> anyhow::Result<Scanned> {
    if is_source(path) {
        return of_tree(path, remember);
    }
    of_report(path)
        .with_context(|| format!("cannot take {} for what gocc scan found", path.display()))
}

fn of_tree(path: &Path, remember: bool) -> anyhow::Result<Scanned> {
    // A hint that was seen to be true is none any more.
    let options = ScanOptions {
        remember,
        ..ScanOptions::of_tree(path, Confidence::Low)
    };
    Ok(scan(options, ScanCache::open())?)
}

/// Scans with the help of what earlier scans have learned, if that is kept anywhere.
///
/// # Errors
/// As [`scan::scan`].
pub fn scan(options: ScanOptions, cache: Option<ScanCache>) -> Result<Scanned, ScanError> {
    let options = ScanOptions {
        cache: cache.as_ref().map(|cache| cache.root().to_owned()),
        ..options
    };
    let scanned = {
        let _progress = Progress::start("scanning");
        scan::scan(&options)?
    };
    if let Some(cache) = cache {
        cache.close();
    }
    Ok(scanned)
}

fn is_source(path: &Path) -> bool {
    path.is_dir() || path.ends_with("...") || path.extension() == Some("go".as_ref())
}

fn of_report(path: &Path) -> anyhow::Result<Scanned> {
    let Analysis {
        findings, source, ..
    } = json::read(&std::fs::read(path)?)?;
    let Some(source) = source else {
        bail!("it says nothing of source (gocc scan --all --format json writes such a report)");
    };
    let mut findings = findings;
    findings.retain(|finding| finding.is_of_source());
    Ok(Scanned {
        tree: Tree::of_frames(findings.iter().flat_map(|finding| finding.places())),
        findings,
        files: usize::try_from(source.files).unwrap_or(usize::MAX),
        lines: source.lines,
        ..Scanned::default()
    })
}

/// Leaves what is found in a file, which [`of`] takes.
///
/// # Errors
/// When the file cannot be written.
pub fn leave(scanned: Scanned, file: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    json::write(&scanned.into_analysis(), &mut text)?;
    output::to_file_as_is(file, &text)
}
