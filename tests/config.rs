//! `gocc.toml`: what is in force, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::gocc::GOCC;
use std::path::Path;
use std::process::{Command, Output};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn gocc(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(GOCC);
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("GOCC")
        .env("XDG_CACHE_HOME", directory.join(".cache"));
    command
}

/// The rows of `gocc config --json`: name, value and where it comes from.
fn rows(output: &Output) -> Vec<(String, String, String)> {
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = shown["settings"].as_array().unwrap().iter();
    let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.map(|row| (field(row, "name"), field(row, "value"), field(row, "from")))
        .collect()
}

#[test]
fn what_is_in_force_is_shown_with_its_source() {
    let place = tempfile::tempdir().unwrap();
    let below = place.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let file = "[run]\nmode = \"hunt\"\nhold = \"3ms\"\n\n[decide]\nsuspect = \"fail\"\n";
    std::fs::write(place.path().join("gocc.toml"), file).unwrap();
    let show = |directory: &Path, options: &str| {
        let mut command = gocc(directory, &["config", "--json"]);
        let output = command.env("GOCC", options).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        rows(&output)
    };
    let has = |rows: &[(String, String, String)], name: &str, value: &str, from: &str| {
        let found = rows.iter().find(|row| row.0 == name).unwrap();
        assert_eq!(found.1, value, "{name}");
        assert!(found.2.ends_with(from), "{found:?}");
    };
    let here = show(place.path(), "");
    has(&here, "run.mode", "hunt", "gocc.toml:2");
    has(&here, "run.hold", "3ms", "gocc.toml:3");
    has(&here, "run.sample", "1024", "default");
    has(&here, "decide.suspect", "fail", "gocc.toml:6");
    has(&here, "decide.confirmed", "fail", "default");
    // The variable goes before the file; the file of a directory above is in force below it.
    let further_down = show(&below, "mode=guard");
    has(&further_down, "run.mode", "guard", "GOCC");
    let above = format!(
        "{}/gocc.toml:3",
        place.path().canonicalize().unwrap().display()
    );
    has(&further_down, "run.hold", "3ms", &above);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let cases = [
        ("[run", ":1: "),
        ("\nmodes = 1", ":2: unknown field `modes`"),
        ("[run]\nmode = \"hunted\"", ":2: \"hunted\" is not a mode"),
        (
            "[run]\nhold = \"3\"",
            ":2: it must be a whole number with its unit",
        ),
        ("[run]\nwait = \"1000s\"", ":2: it must be at most 10s"),
        ("[run]\nsample = 0", ":2: it must be at least 1"),
        ("[decide]\nsource = \"stop\"", ":2: only what is confirmed"),
        (
            "[[suppress]]\nreason = \"x\"",
            ":1: a suppression must name",
        ),
        ("[[suppress]]\nfile = \"x\"", ":1: missing field `reason`"),
        (
            "[[suppress]]\nfile = \"x\"\nreason = \" \"",
            ":1: a suppression must have a reason",
        ),
        (
            "[[suppress]]\nplace = \"x\"\nreason = \"y\"",
            ":1: \"x\" is no place",
        ),
        (
            "[[suppress]]\nfile = \"x\"\nreason = \"y\"\nexpires = \"soon\"",
            ":4: \"soon\" is no day",
        ),
        ("baseline = \"none.json\"", "cannot read the baseline "),
    ];
    for (file, says) in cases {
        std::fs::write(place.path().join("gocc.toml"), file).unwrap();
        for command in [
            ["config"].as_slice(),
            &["report", "."],
            &["exec", "--", "true"],
        ] {
            let output = gocc(place.path(), command).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{file}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{file}: {stderr}");
            assert!(stderr.contains(says), "{file}: {stderr}");
        }
    }
}
