//! Damaged texts of people and of other tools: profiles, settings, baselines, Go source.

use super::edits::damaged;
use super::seeds::Seeds;
use gocc::analyze::model::Confidence;
use gocc::cli::suspects::{self, Suspects};
use gocc::config::{Baseline, Config};
use gocc::profile::Overlay;
use gocc::scan::{ScanOptions, scan};
use std::path::PathBuf;

/// A seed of several, damaged; or the case itself, so that the fuzzer finds words of its own.
fn text(seeds: &[Vec<u8>], case: &[u8]) -> Option<Vec<u8>> {
    let (choice, case) = case.split_first()?;
    if *choice == 0xff {
        return Some(case.to_vec());
    }
    let seed = &seeds[*choice as usize % seeds.len()];
    let whole = 0..seed.len();
    Some(damaged(seed, &[whole.clone(), 0..400, whole], case))
}

fn file(name: &str, contents: &[u8]) -> Option<(tempfile::TempDir, PathBuf)> {
    let place = tempfile::Builder::new()
        .prefix("gocc-fuzz-")
        .tempdir()
        .ok()?;
    let path = place.path().join(name);
    std::fs::write(&path, contents).ok()?;
    Some((place, path))
}

/// A case for the reader of profiles that overlay a report. True if it was accepted.
pub fn profile(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((_place, path)) = text(&seeds.profiles, case).and_then(|bytes| file("cpu.pb", &bytes))
    else {
        return false;
    };
    let Ok(overlay) = Overlay::read(&path) else {
        return false;
    };
    let share = overlay.share(|call| call.line > 0);
    assert!((0.0..=1.0).contains(&share), "a share of {share}");
    true
}

/// A case for `gocc.toml` or, every second one, for a baseline. True if it was accepted.
pub fn settings(seeds: &Seeds, case: &[u8]) -> bool {
    let is_baseline = case.first().is_some_and(|choice| choice & 1 == 1);
    let (name, of) = if is_baseline {
        ("baseline.json", &seeds.baselines)
    } else {
        ("gocc.toml", &seeds.settings)
    };
    let Some((_place, path)) = text(of, case).and_then(|bytes| file(name, &bytes)) else {
        return false;
    };
    if is_baseline {
        return Baseline::read(&path).is_ok_and(|baseline| baseline.to_text().is_ok());
    }
    Config::read(&path).is_ok_and(|config| {
        let _ = config.policy();
        config.stopping_mode();
        true
    })
}

/// A case for a file of suspects: read for a report, and made ready for an executable that it may not be of. True if
/// it was accepted.
pub fn suspects(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((_place, path)) =
        text(&seeds.suspects, case).and_then(|bytes| file("gocc.suspects", &bytes))
    else {
        return false;
    };
    if suspects::hunted(&path).is_err() {
        return false;
    }
    Suspects::prepare(&path, &seeds.patched_files[0]).is_ok_and(|suspects| {
        let known = suspects.known().expect("what was written can be read");
        let is_chance = |(_, chance): &(_, u32)| *chance <= 1024;
        assert!(known.places.iter().all(is_chance), "a chance above 1");
        true
    })
}

/// A case for the scanner of Go source. True if the file has syntax that is no Go, and was scanned all the same.
pub fn go_source(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((place, _path)) = text(&seeds.sources, case).and_then(|bytes| file("main.go", &bytes))
    else {
        return false;
    };
    let options = ScanOptions {
        paths: vec![place.path().to_owned()],
        tags: vec!["linux".to_owned(), "amd64".to_owned()],
        tests: true,
        vendored: false,
        generated: true,
        confidence: Confidence::Low,
        disabled: Vec::new(),
        remember: true,
        cache: None,
    };
    scan(&options).is_ok_and(|scanned| scanned.broken > 0)
}
