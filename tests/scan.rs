//! The scanner on the programs of other tests, whose behaviour is known: each of those was built and
//! run, with the race detector, hunt or guard.

use std::path::{Path, PathBuf};

use gocc::analyze::model::{Confidence, Finding};
use gocc::scan::{ScanOptions, Scanned, scan};

fn testdata(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(below)
}

fn scanned(path: PathBuf) -> Scanned {
    let options = ScanOptions {
        paths: vec![path],
        tags: Vec::new(),
        tests: true,
        vendored: false,
        generated: false,
        confidence: Confidence::Medium,
        disabled: Vec::new(),
    };
    scan(&options).unwrap_or_else(|error| panic!("{error}"))
}

fn programs(below: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(testdata(below)).unwrap_or_else(|error| panic!("{below}: {error}"));
    let mut programs: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    programs.sort();
    assert!(!programs.is_empty());
    programs
}

fn places(findings: &[Finding]) -> Vec<String> {
    let place = |finding: &Finding| {
        let frame = finding.sides.first().and_then(|side| side.stack.first());
        frame.map(|frame| format!("{}:{}", frame.file, frame.line))
    };
    findings.iter().filter_map(place).collect()
}

#[test]
fn latent_and_guarded_races_are_found() {
    for kind in ["latent", "guarded"] {
        for program in programs(kind) {
            assert!(
                !scanned(program.clone()).findings.is_empty(),
                "{} has a race",
                program.display()
            );
        }
    }
}

#[test]
fn ordered_programs_are_silent() {
    for program in programs("ordered") {
        let found = places(&scanned(program.clone()).findings);
        assert!(
            found.is_empty(),
            "{} is right, but: {found:?}",
            program.display()
        );
    }
}
