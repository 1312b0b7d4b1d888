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

/// A labelled piece of testdata/scan: from its comment to the next one.
struct Case {
    file: String,
    first: u32,
    last: u32,
    racy: bool,
    name: String,
}

fn cases() -> Vec<Case> {
    let packages = programs("scan").into_iter().filter(|path| path.is_dir());
    packages.flat_map(cases_of).collect()
}

fn cases_of(package: PathBuf) -> Vec<Case> {
    let name = package.file_name().and_then(|name| name.to_str());
    let file = package.join(format!("{}.go", name.unwrap_or_default()));
    let text = std::fs::read_to_string(&file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in (1u32..).zip(text.lines()) {
        let label = line.strip_prefix("//gocc:");
        let Some((kind, rest)) = label.and_then(|label| label.split_once(' ')) else {
            continue;
        };
        if let Some(before) = cases.last_mut() {
            before.last = number - 1;
        }
        cases.push(Case {
            file: file.display().to_string(),
            first: number,
            last: u32::MAX,
            racy: kind == "racy",
            name: rest.split(':').next().unwrap_or_default().to_owned(),
        });
    }
    cases
}

fn is_in(finding: &Finding, case: &Case) -> bool {
    let place = finding.sides.first().and_then(|side| side.stack.first());
    place.is_some_and(|frame| {
        frame.file == case.file && (case.first..=case.last).contains(&frame.line)
    })
}

/// scripts/scan-labelled shows that the labels are right. The functions that drive the cases are in test
/// files, which are left out here: what the scanner knows, it knows from the cases alone.
#[test]
fn recall_and_precision_on_the_labelled_set() {
    let options = ScanOptions {
        paths: vec![testdata("scan")],
        tags: Vec::new(),
        tests: false,
        vendored: false,
        generated: false,
        confidence: Confidence::Medium,
        disabled: Vec::new(),
    };
    let scanned = scan(&options).unwrap_or_else(|error| panic!("{error}"));
    let found = scanned.findings;
    let cases = cases();
    let reported = |case: &&Case| found.iter().any(|finding| is_in(finding, case));
    let (racy, correct): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.racy);
    assert!(racy.len() >= 60 && correct.len() >= 60);
    let hits = racy.iter().copied().filter(reported).count();
    let alarms = correct.iter().copied().filter(reported).count();
    let recall = hits as f64 / racy.len() as f64;
    let precision = hits as f64 / (hits + alarms) as f64;
    println!("racy {}: {hits} found, recall {recall:.3}", racy.len());
    println!(
        "correct {}: {alarms} reported, precision {precision:.3}",
        correct.len()
    );
    for case in racy.iter().copied().filter(|case| !reported(case)) {
        println!("missed: {} in {}", case.name, case.file);
    }
    for case in correct.iter().copied().filter(reported) {
        println!("false: {} in {}", case.name, case.file);
    }
    let is_somewhere = |finding: &Finding| cases.iter().any(|case| is_in(finding, case));
    assert!(found.iter().all(is_somewhere), "{:?}", places(&found));
    assert!(
        recall >= 0.85 && precision >= 0.95,
        "recall {recall:.3}, precision {precision:.3}"
    );
}
