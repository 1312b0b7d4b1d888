//! Findings and their text, on rings that a process of the real demo program could have written: its
//! code, its return addresses, its lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::demo::{Demo, gocc};
use common::rings::record;
use gocc::ring::layout::{self, Conflict};
use std::path::Path;
use zerocopy::FromZeros;

/// What it wrote to stdout, with the paths of this run replaced.
fn stdout_of(output: &std::process::Output, demo: &Demo) -> String {
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .replace(&demo.path().display().to_string(), "DIR")
}

/// The text report of one conflict.
fn text_of(demo: &Demo, conflict: Conflict) -> String {
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[conflict]);
    let output = gocc(&[&"report", &ring.save(demo.path(), "gocc-1.ring")]);
    let text = stdout_of(&output, demo);
    // Only what is proven sets the exit code.
    let expected = if text.contains("(confirmed: ") { 66 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{output:?}");
    text
}

#[test]
fn caught_in_the_act() {
    let demo = Demo::unpack();
    let conflict = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    insta::assert_snapshot!(text_of(&demo, conflict));
}

#[test]
fn stopped_by_the_runtime() {
    let demo = Demo::unpack();
    for (name, certainty) in [
        ("inside", layout::SIDE_INSIDE),
        ("latest", layout::SIDE_LATEST),
    ] {
        let conflict = demo.conflict(layout::EVIDENCE_RUNTIME_FATAL, certainty);
        insta::assert_snapshot!(
            format!("stopped_by_the_runtime_{name}"),
            text_of(&demo, conflict)
        );
    }
}

#[test]
fn stopped_by_the_runtime_other_side_unknown() {
    let demo = Demo::unpack();
    let mut conflict = demo.conflict(layout::EVIDENCE_RUNTIME_FATAL, 0);
    conflict.sides[1] = layout::Side::new_zeroed();
    (conflict.map, conflict.map_type) = (0, 0);
    insta::assert_snapshot!(text_of(&demo, conflict));
}

#[test]
fn the_flag_proves_a_writer() {
    let demo = Demo::unpack();
    let latest = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_LATEST);
    insta::assert_snapshot!(text_of(&demo, latest));
    // One that reads is not the writer.
    let mut reader = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    reader.sides[1].op = layout::OP_READ;
    let text = text_of(&demo, reader);
    assert!(
        text.contains("nothing was recorded about the writer"),
        "{text}"
    );
    assert!(!text.contains("caught in the act"), "{text}");
}

#[test]
fn what_proves_nothing_is_a_suspicion() {
    let demo = Demo::unpack();
    let mut alone = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    alone.sides[1].goid = alone.sides[0].goid;
    let mut nobody = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    nobody.sides[0].goid = 0;
    let mut nothing = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_LATEST);
    nothing.sides[0].op = 99;
    let mut unheard_of = demo.conflict(99, layout::SIDE_INSIDE);
    unheard_of.sides[1].certainty = 77;
    for conflict in [alone, nobody, nothing, unheard_of] {
        let text = text_of(&demo, conflict);
        assert!(
            text.contains("WARNING: CONCURRENT MAP ACCESS (suspect: "),
            "{text}"
        );
    }
}

#[test]
fn runtime_frames_are_shown_when_asked_for() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let folded = stdout_of(&gocc(&[&"report", &path]), &demo);
    let whole = stdout_of(&gocc(&[&"report", &"--all-frames", &path]), &demo);
    assert!(!folded.contains("  runtime."), "{folded}");
    for function in ["runtime.mapIterNext()", "runtime.goexit()"] {
        assert!(
            whole.contains(&format!("  {function}\n")),
            "{function} is in\n{whole}"
        );
    }
}

#[test]
fn json() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_RUNTIME_FATAL, layout::SIDE_LATEST)]);
    ring.control.dropped_no_p = 3;
    let output = gocc(&[
        &"report",
        &"--format",
        &"json",
        &ring.save(demo.path(), "gocc-1.ring"),
    ]);
    assert_eq!(output.status.code(), Some(66));
    let mut report: serde_json::Value = serde_json::from_str(&stdout_of(&output, &demo)).unwrap();
    assert_eq!(report["schema"], "gocc-report/1");
    // The ring names a temporary directory, so its digest is another one each time: tests/report_check.rs.
    assert_eq!(
        report["rings"][0]["ring_sha256"]
            .take()
            .as_str()
            .unwrap()
            .len(),
        64
    );
    insta::assert_json_snapshot!(report);
}

/// A PIE's addresses lie anywhere; the report is the same.
#[test]
fn the_load_bias_is_taken_off() {
    let demo = Demo::unpack();
    let expected = text_of(
        &demo,
        demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE),
    );
    let bias = 0x7f12_f000_0000;
    let mut ring = demo.ring(bias);
    let mut moved = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    moved.map_type += bias;
    for side in &mut moved.sides {
        side.created_at += bias;
        side.start_fn = side.start_fn.checked_add(bias).unwrap();
        side.pcs
            .iter_mut()
            .take(side.depth as usize)
            .for_each(|pc| *pc = pc.wrapping_add(bias as u32));
    }
    ring.write_conflicts(&[moved]);
    let output = gocc(&[&"report", &ring.save(demo.path(), "gocc-2.ring")]);
    assert_eq!(stdout_of(&output, &demo), expected);
}

/// Conflicts at one pair of places are one finding, whichever side noticed, in whichever process.
#[test]
fn repeated_conflicts_are_one_finding() {
    let demo = Demo::unpack();
    let first = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_LATEST);
    let mut better = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    better.repeats = 9;
    better.last_tsc = 1_000_000 + 3 * 40_000_000;
    let mut turned = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    turned.sides.swap(0, 1);
    turned.sides[0].certainty = layout::SIDE_SELF;
    turned.sides[1].certainty = layout::SIDE_INSIDE;
    turned.sides[0].goid = 8;
    turned.map += 0x100;
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[first, better, turned]);
    ring.save(demo.path(), "gocc-1.ring");
    ring.header.pid += 1;
    ring.write_conflicts(&[better]);
    ring.save(demo.path(), "gocc-2.ring");
    let output = gocc(&[&"report", &"--format=json", &demo.path()]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report:#}");
    let finding = &findings[0];
    assert_eq!(
        finding["grade"], "confirmed",
        "the best-proven conflict is shown"
    );
    // 1 + 10 + 1 in the first process, 10 in the second; there two goroutines more and a map more.
    let numbers = ["count", "instances", "goroutines"].map(|key| finding[key].as_u64().unwrap());
    assert_eq!(numbers, [22, 3, 5]);
    assert_eq!(finding["first"]["since_start_ns"], 12_345_678);
    assert_eq!(finding["last"]["since_start_ns"], 40_000_000);
    assert_eq!(report["rings"].as_array().unwrap().len(), 2);
}

/// Without the executable the addresses are still there, and the report says what is missing.
#[test]
fn without_the_executable() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.set_exe(Path::new("/nowhere/server"), "");
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let output = gocc(&[&"report", &path]);
    assert_eq!(output.status.code(), Some(66));
    let address = format!("  {:#x}()", demo.renewing()[0]);
    let text = stdout_of(&output, &demo);
    assert!(text.contains(&address), "{address} is in\n{text}");
    assert!(text.contains("Note: no symbols: "), "{text}");
    // Named by hand, it will do.
    let output = gocc(&[&"report", &path, &"--exe", &demo.program]);
    assert!(stdout_of(&output, &demo).contains("  main.(*Server).Renew()\n"));
}

#[test]
fn another_programs_symbols_are_refused() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.set_exe(&demo.program, "another/build/id");
    let path = ring.save(demo.path(), "gocc-1.ring");
    let output = gocc(&[&"report", &path]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout_of(&output, &demo).contains("is not the program that wrote"));
    let output = gocc(&[&"report", &path, &"--exe", &demo.program]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), stderr.lines().count()),
        (Some(1), 1),
        "{stderr}"
    );
    assert!(
        stderr.starts_with("gocc: error: ") && stderr.contains("is not the program that wrote"),
        "{stderr}"
    );
}

#[test]
fn losses_are_told() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    let mut torn = demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE);
    torn.state = layout::CONFLICT_WRITING;
    ring.write_conflicts(&[torn]);
    ring.control.dropped_no_lane = 5;
    ring.set_head(1, 64 * (common::rings::RECORDS_PER_LANE + 2));
    let output = gocc(&[&"report", &ring.save(demo.path(), "gocc-1.ring")]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(stdout_of(&output, &demo));
}

#[test]
fn stats_count_by_the_users_function() {
    let demo = Demo::unpack();
    let (renewing, sweeping) = (demo.renewing(), demo.sweeping());
    // A stack that has nothing but the runtime counts for its innermost function.
    let machinery = demo.entry("runtime.mapassign_faststr") + 1;
    let mut ring = demo.ring(0);
    let mut records = vec![record(layout::OP_ASSIGN, 7, &renewing); 5];
    records.extend(vec![record(layout::OP_ITERATE, 6, &sweeping); 3]);
    records.push(record(layout::OP_READ, 6, &[machinery]));
    records.push(record(99, 6, &sweeping));
    ring.write_lane(0, &records);
    ring.write_lane(1, &[record(layout::OP_READ, 8, &renewing); 2]);
    ring.control.dropped_no_p = 1;
    let output = gocc(&[&"stats", &"--json", &ring.save(demo.path(), "gocc-1.ring")]);
    assert_eq!(output.status.code(), Some(0));
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    insta::assert_json_snapshot!(stats);
}

#[test]
fn wrong_usage_and_errors_have_their_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let usage = gocc(&[&"report"]);
    assert_eq!(usage.status.code(), Some(2));
    let absent = gocc(&[&"report", &directory.path().join("absent")]);
    let stderr = String::from_utf8(absent.stderr).unwrap();
    assert_eq!(
        (absent.status.code(), stderr.lines().count()),
        (Some(1), 1),
        "{stderr}"
    );
    assert!(
        stderr.contains("absent: No such file or directory (name a ring file, or"),
        "{stderr}"
    );
    let empty = gocc(&[&"report", &directory.path()]);
    let stderr = String::from_utf8(empty.stderr).unwrap();
    assert_eq!(
        (empty.status.code(), stderr.lines().count()),
        (Some(1), 1),
        "{stderr}"
    );
    assert!(stderr.contains("no gocc-*.ring in"), "{stderr}");
}

#[test]
fn output_goes_to_a_file() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let file = demo.path().join("report.txt");
    let output = gocc(&[&"report", &path, &"--output", &file]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(66), 0));
    assert_eq!(
        std::fs::read(&file).unwrap(),
        gocc(&[&"report", &path]).stdout
    );
}

/// Clients and the janitor use the map in turns, nobody collides: that is no finding.
#[test]
fn near_misses_are_suspects_and_no_findings() {
    let demo = Demo::unpack();
    let at = |op, goid, pcs: &[u64], clock| {
        let mut record = record(op, goid, pcs);
        record.clock = clock;
        record
    };
    let (renewing, sweeping) = (demo.renewing(), demo.sweeping());
    let mut ring = demo.ring(0);
    // Two lanes, merged by their clocks: 7 and 6 alternate three times.
    let writes = [2_000_000, 2_100_000].map(|clock| at(layout::OP_ASSIGN, 7, &renewing, clock));
    let steps = [2_050_000, 2_150_000].map(|clock| at(layout::OP_ITERATE, 6, &sweeping, clock));
    ring.write_lane(0, &writes);
    ring.write_lane(1, &steps);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let hidden = gocc(&[&"report", &path]);
    assert_eq!(hidden.status.code(), Some(0));
    insta::assert_snapshot!("suspects_hidden", stdout_of(&hidden, &demo));
    let listed = gocc(&[&"report", &"--suspects", &"--fail-on-suspects", &path]);
    assert_eq!(listed.status.code(), Some(66));
    let text = stdout_of(&listed, &demo);
    for expected in [
        "(suspect: shortly after each other, nothing proven)",
        "teration by goroutine 6:\n  main.(*Server).Janitor()",
        "rite by goroutine 7:\n  main.(*Server).Renew()",
        "took turns 3 times, 0% of the functions in common.",
    ] {
        assert!(text.contains(expected), "{expected} is in\n{text}");
    }
    let narrow = gocc(&[&"report", &"--window=0", &path]);
    assert!(!stdout_of(&narrow, &demo).contains("suspect"));
    let json = gocc(&[&"report", &"--format=json", &path]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
    assert_eq!(json["suspects"][0]["evidence"]["kind"], "near_miss");
    assert_eq!(json["suspects"][0]["suspicion"]["alternations"], 3);
}

/// The same operations at two more grains: by map, and one after the other.
#[test]
fn stats_by_map_and_in_their_order() {
    let demo = Demo::unpack();
    let (renewing, sweeping) = (demo.renewing(), demo.sweeping());
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    let mut other = record(layout::OP_READ, 9, &renewing);
    other.map += 0x40;
    let mut records = vec![record(layout::OP_ITERATE, 6, &sweeping); 4];
    records.extend(vec![record(layout::OP_ASSIGN, 7, &renewing); 3]);
    records.push(record(layout::OP_ITERATE, 6, &sweeping));
    records.push(other);
    ring.write_lane(0, &records);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let json = |grain: &str| -> serde_json::Value {
        let output = gocc(&[&"stats", &"--json", &"--by", &grain, &path]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let maps = json("instances")["maps"].clone();
    let number = |at: usize, name: &str| maps[at][name].as_u64().unwrap();
    assert_eq!(
        ["goroutines", "reads", "writes"].map(|name| number(0, name)),
        [2, 5, 3]
    );
    assert_eq!(
        ["goroutines", "reads", "writes"].map(|name| number(1, name)),
        [1, 1, 0]
    );
    let chains = json("chains")["chains"].clone();
    assert_eq!(chains.as_array().unwrap().len(), 1, "{chains:#}");
    assert_eq!(chains[0]["type"], "map[string]*main.Session");
    let links: Vec<_> = chains[0]["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| {
            (
                link["goroutine"].as_u64().unwrap(),
                link["count"].as_u64().unwrap(),
            )
        })
        .collect();
    // Four steps, three assignments, one step; then the conflict.
    assert_eq!(links, [(6, 4), (7, 3), (6, 1), (6, 1)]);
    assert_eq!(chains[0]["links"][3]["conflict"], true);
}

/// What collided is not suspected as well.
#[test]
fn a_finding_is_no_suspect() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    ring.write_lane(0, &[record(layout::OP_ASSIGN, 7, &demo.renewing())]);
    ring.write_lane(1, &[record(layout::OP_ITERATE, 6, &demo.sweeping())]);
    let output = gocc(&[&"report", &ring.save(demo.path(), "gocc-1.ring")]);
    assert_eq!(output.status.code(), Some(66));
    assert!(!stdout_of(&output, &demo).contains("suspect"));
}
