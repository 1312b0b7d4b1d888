//! Reports and rings of many processes, made one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::demo::{Demo, gocc};
use gocc::ring::layout;
use serde_json::Value;
use std::path::PathBuf;

/// The ring of a process that saw the conflict `repeats` times more.
fn ring(demo: &Demo, pid: u32, repeats: u32, certainty: u8) -> PathBuf {
    let mut conflict = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, certainty);
    conflict.repeats = repeats;
    let mut ring = demo.ring(0);
    ring.header.pid = pid;
    ring.write_conflicts(&[conflict]);
    ring.save(demo.path(), &format!("gocc-{pid}.ring"))
}

fn report_of(demo: &Demo, rings: &[&PathBuf], name: &str) -> PathBuf {
    let path = demo.path().join(name);
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
        vec![&"report", &"--format=json", &"--output", &path];
    rings.iter().for_each(|ring| arguments.push(ring));
    assert_eq!(gocc(&arguments).status.code(), Some(66));
    path
}

#[test]
fn processes_are_merged_by_place_and_count_once() {
    let demo = Demo::unpack();
    let first = ring(&demo, 1, 4, layout::SIDE_LATEST);
    let second = ring(&demo, 2, 9, layout::SIDE_INSIDE);
    let report = report_of(&demo, &[&first], "first.json");
    // The first process is in the report, and its ring is there as well.
    let output = gocc(&[&"merge", &report, &demo.path()]);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    let remarks = String::from_utf8(output.stderr).unwrap();
    assert!(remarks.contains("gocc-1.ring (known already)"), "{remarks}");
    let merged: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = merged["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{merged:#}");
    assert_eq!(findings[0]["count"], 5 + 10);
    assert_eq!(findings[0]["instances"], 2);
    assert_eq!(
        findings[0]["evidence"]["kind"], "caught_in_the_act",
        "the best-proven one is shown"
    );
    assert_eq!(merged["rings"].as_array().unwrap().len(), 2);

    // What was merged can be merged again; the sources of another build lay elsewhere.
    let whole = demo.path().join("whole.json");
    std::fs::write(&whole, &output.stdout).unwrap();
    let text = std::fs::read_to_string(report_of(&demo, &[&second], "second.json")).unwrap();
    let elsewhere = demo.path().join("elsewhere.json");
    let text = text.replace("demo/main.go", "/build/demo/main.go");
    let text = text.replace("\"pid\": 2", "\"pid\": 3");
    std::fs::write(&elsewhere, text).unwrap();
    let again = gocc(&[&"merge", &"--format=text", &whole, &elsewhere]);
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(text.contains("Seen 25 times"), "{text}");
    assert!(text.contains("in 3 processes: all confirmed"), "{text}");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let demo = Demo::unpack();
    let first = ring(&demo, 1, 0, layout::SIDE_INSIDE);
    let second = ring(&demo, 2, 0, layout::SIDE_INSIDE);
    let one = report_of(&demo, &[&first], "one.json");
    let both = report_of(&demo, &[&first, &second], "both.json");
    let other_schema = demo.path().join("other.json");
    std::fs::write(&other_schema, r#"{"schema": "gocc-report/99"}"#).unwrap();
    let damaged = demo.path().join("damaged.json");
    std::fs::write(&damaged, "{").unwrap();
    for (arguments, why) in [
        ([&one, &both], "process 1 ("),
        ([&one, &other_schema], "\"gocc-report/99\""),
        ([&one, &damaged], "no JSON report of gocc"),
    ] {
        let output = gocc(&[&"merge", arguments[0], arguments[1]]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(why), "{why} is in {error}");
    }
}
