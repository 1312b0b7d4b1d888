//! The formats that other tools read, made of one ring: each is read back by its owner's rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::demo::{Demo, gocc};
use common::rings::record;
use gocc::ring::layout;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Goroutines 7 and 6 collide; 5 assignments and 3 steps of an iteration were recorded.
fn ring(demo: &Demo) -> PathBuf {
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    ring.write_lane(0, &[record(layout::OP_ASSIGN, 7, &demo.renewing()); 5]);
    ring.write_lane(1, &[record(layout::OP_ITERATE, 6, &demo.sweeping()); 3]);
    ring.save(demo.path(), "gocc-1.ring")
}

/// The report in a format, as bytes.
fn report(demo: &Demo, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<u8> {
    let ring = ring(demo);
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"report", &ring];
    all.extend_from_slice(arguments);
    let output = gocc(&all);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    output.stdout
}

#[test]
fn folded_counts_operations_or_conflicts() {
    let demo = Demo::unpack();
    let operations = String::from_utf8(report(&demo, &[&"--format=folded"])).unwrap();
    assert_eq!(
        operations,
        "main.(*Server).Janitor;[iterate] 3\n\
         main.client;main.(*Server).Handle;main.(*Server).Renew;[assign] 5\n"
    );
    let conflicts = report(&demo, &[&"--format=folded", &"--count=conflicts"]);
    assert_eq!(
        String::from_utf8(conflicts).unwrap(),
        "main.(*Server).Janitor;[iterate] 1\n\
         main.client;main.(*Server).Handle;main.(*Server).Renew;[assign] 1\n"
    );
}

#[test]
fn svg_is_a_flame_graph_with_the_conflict_marked() {
    let demo = Demo::unpack();
    let svg = String::from_utf8(report(&demo, &[&"--format=svg"])).unwrap();
    for expected in [
        "<title>main.(*Server).Renew (5 operations, 62.50%)</title>",
        "rgb(225,60,50)",
        "rgb(150,190,215)",
    ] {
        assert!(svg.contains(expected), "{expected} is in\n{svg}");
    }
}

/// The schema wants a result to have a message; a viewer wants the places, and the same fingerprint in
/// every run.
#[test]
fn sarif_names_both_places() {
    let demo = Demo::unpack();
    let log: Value = serde_json::from_slice(&report(&demo, &[&"--format=sarif"])).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "concurrent-map-access");
    assert_eq!(result["level"], "error");
    for (side, function) in [
        ("locations", "main.(*Server).Janitor"),
        ("relatedLocations", "main.(*Server).Renew"),
    ] {
        let location = &result[side][0];
        assert_eq!(
            location["logicalLocations"][0]["fullyQualifiedName"],
            function
        );
        let physical = &location["physicalLocation"];
        assert!(physical["region"]["startLine"].as_u64().unwrap() > 0);
        assert!(
            physical["artifactLocation"]["uri"]
                .as_str()
                .unwrap()
                .ends_with(".go")
        );
    }
    let flows = result["codeFlows"][0]["threadFlows"].as_array().unwrap();
    assert_eq!(flows.len(), 2);
    let again: Value = serde_json::from_slice(&report(&demo, &[&"--format=sarif"])).unwrap();
    let fingerprint = |log: &Value| log["runs"][0]["results"][0]["partialFingerprints"].clone();
    assert_eq!(fingerprint(&log), fingerprint(&again));
    assert_eq!(
        fingerprint(&log)["goccPlaces/v1"].as_str().unwrap().len(),
        32
    );
}

/// Read by `go tool pprof` itself.
#[test]
fn pprof_opens_the_profile() {
    let demo = Demo::unpack();
    let file = demo.path().join("profile.pb.gz");
    std::fs::write(&file, report(&demo, &[&"--format=pprof"])).unwrap();
    let pprof = |arguments: &[&str]| {
        let output = Command::new("go")
            .args(["tool", "pprof"])
            .args(arguments)
            .arg(&file)
            .output()
            .expect("the tests need a Go toolchain");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let top = pprof(&["-top", "-lines", "-sample_index=operations"]);
    let has = |text: &str, words: &[&str]| {
        text.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        has(&top, &["5 62.50%", "main.(*Server).Renew", "main.go:"]),
        "{top}"
    );
    assert!(
        has(&top, &["3 37.50%", "main.(*Server).Janitor", "main.go:"]),
        "{top}"
    );
    let raw = pprof(&["-raw"]);
    assert!(
        raw.contains("operations/count conflicts/count[dflt]"),
        "{raw}"
    );
    for label in ["grade:[confirmed]", "finding:[1]", "operation:[assign]"] {
        assert!(raw.contains(label), "{label} is in\n{raw}");
    }
}

/// One file that asks nobody for anything, with both sides and the source of the place.
#[test]
fn html_is_one_file() {
    let demo = Demo::unpack();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo");
    let page = report(&demo, &[&"--format=html", &"--source-root", &sources]);
    let page = String::from_utf8(page).unwrap();
    for expected in [
        "1 concurrent map access",
        "<h3>Iteration by goroutine 6</h3>",
        "<h3>Write by goroutine 7</h3>",
        "Map operations by stack",
        "Conflicts by stack",
        "title=\"main.(*Server).Renew: 5 operations (62.5%)\"",
    ] {
        assert!(page.contains(expected), "{expected} is in\n{page}");
    }
    for (tag, address) in [
        ("src=", ""),
        ("href=", ""),
        ("url(", ""),
        ("@import", ""),
        ("http", "://"),
    ] {
        let foreign = format!("{tag}{address}");
        assert!(!page.contains(&foreign), "{foreign} is not in\n{page}");
    }
    let source = std::fs::read_to_string(format!("{sources}/main.go")).unwrap();
    let place = source
        .lines()
        .find(|line| line.contains("range s.sessions"))
        .unwrap();
    let here = page.split("class=\"here\"").nth(1).unwrap();
    assert!(here.contains(place.trim()), "{place} is in\n{here}");
}

/// 64-bit numbers are strings in OTLP JSON; the protobuf form says the same.
#[test]
fn otlp_logs() {
    let demo = Demo::unpack();
    let json = report(&demo, &[&"--format=otlp"]);
    assert_eq!(json.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let request: Value = serde_json::from_slice(&json).unwrap();
    let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1700000000012345678");
    assert_eq!(record["severityNumber"], 17);
    let body = record["body"]["stringValue"].as_str().unwrap();
    assert!(body.contains("main.(*Server).Janitor"), "{body}");
    let attribute = |key: &str| {
        let all = record["attributes"].as_array().unwrap();
        all.iter()
            .find(|attribute| attribute["key"] == key)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(attribute("gocc.count")["intValue"], "1");
    assert_eq!(attribute("gocc.fatal")["boolValue"], false);
    assert_eq!(
        attribute("gocc.map.type")["stringValue"],
        "map[string]*main.Session"
    );
    let protobuf = report(&demo, &[&"--format=otlp-proto"]);
    let found = protobuf.windows(body.len()).any(|at| at == body.as_bytes());
    assert!(found, "the body is in the protobuf form");
}
