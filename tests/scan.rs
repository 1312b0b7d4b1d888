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

/// At the confidence that is shown by default.
fn scan_of(path: PathBuf, tests: bool) -> Scanned {
    let options = ScanOptions {
        tests,
        generated: false,
        remember: false,
        ..ScanOptions::of_tree(&path, Confidence::Medium)
    };
    scan(&options).unwrap_or_else(|error| panic!("{error}"))
}

fn scanned(path: PathBuf) -> Scanned {
    scan_of(path, true)
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

/// A labelled piece of a set: from its comment to the next one.
struct Case {
    file: String,
    first: u32,
    last: u32,
    racy: bool,
    name: String,
}

fn cases(set: &str) -> Vec<Case> {
    let packages = programs(set).into_iter().filter(|path| path.is_dir());
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

/// Recall and precision on a labelled set, of which each case that is judged wrongly is printed.
///
/// scripts/scan-labelled shows that the labels are right. The functions that drive the cases are in test
/// files, which are left out here: what the scanner knows, it knows from the cases alone.
fn measured(set: &str, at_least: usize) -> (f64, f64) {
    let found = scan_of(testdata(set), false).findings;
    let cases = cases(set);
    let reported = |case: &&Case| found.iter().any(|finding| is_in(finding, case));
    let (racy, correct): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.racy);
    assert!(racy.len() >= at_least && correct.len() >= at_least);
    let hits = racy.iter().copied().filter(reported).count();
    let alarms = correct.iter().copied().filter(reported).count();
    let recall = hits as f64 / racy.len() as f64;
    let precision = hits as f64 / (hits + alarms) as f64;
    println!(
        "testdata/{set}: {hits} of {} racy cases found, recall {recall:.3}; {alarms} of {} correct ones reported, \
         precision {precision:.3}",
        racy.len(),
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
    (recall, precision)
}

#[test]
fn recall_and_precision_on_the_labelled_set() {
    let (recall, precision) = measured("scan", 60);
    assert!(
        recall >= 0.85 && precision >= 0.95,
        "recall {recall:.3}, precision {precision:.3}"
    );
}

/// Cases that were written from the list of rules alone, before anybody looked at how the rules work. When the scanner
/// errs on one, mend what is wrong in general, or leave it.
#[test]
fn recall_and_precision_on_the_held_out_set() {
    let (recall, precision) = measured("heldout", 20);
    assert!(
        recall >= 0.85 && precision >= 0.95,
        "recall {recall:.3}, precision {precision:.3}"
    );
}
