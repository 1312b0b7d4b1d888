//! What is made from the command line's definition: help, completions, man pages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::fixture::skip;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GOCC: &str = env!("CARGO_BIN_EXE_gocc");
const LINES: usize = 24;
const COLUMNS: usize = 80;

fn gocc(arguments: &[&str]) -> Output {
    let mut command = Command::new(GOCC);
    command.args(arguments).env("COLUMNS", COLUMNS.to_string());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands that `gocc --help` lists.
fn commands() -> Vec<String> {
    let help = text(&gocc(&["--help"]).stdout);
    let listed = help.lines().filter_map(|line| line.strip_prefix("  "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 12, "{help}");
    names
}

fn assert_fits(help: &str, what: &str) {
    let lines = help.lines().count();
    assert!(lines <= LINES, "{what} has {lines} lines:\n{help}");
    for line in help.lines() {
        assert!(line.chars().count() <= COLUMNS, "{what}: {line}");
    }
    assert!(help.contains("Example"), "{what} has no example:\n{help}");
    assert!(help.contains("gocc"), "{what}");
}

#[test]
fn help_of_every_command_fits_a_screen_and_has_an_example() {
    assert_fits(&text(&gocc(&["--help"]).stdout), "gocc --help");
    for command in commands().iter().filter(|name| *name != "help") {
        for flag in ["-h", "--help"] {
            let output = gocc(&[command, flag]);
            assert_eq!(output.status.code(), Some(0));
            assert_fits(&text(&output.stdout), &format!("gocc {command} {flag}"));
        }
        let all = text(&gocc(&["help", command]).stdout);
        let short = text(&gocc(&[command, "-h"]).stdout);
        assert!(all.len() >= short.len(), "gocc help {command} tells all");
    }
    let patch = Command::new(env!("CARGO_BIN_EXE_gocc-patch"))
        .arg("--help")
        .env("COLUMNS", COLUMNS.to_string())
        .output();
    assert_fits(&text(&patch.unwrap().stdout), "gocc-patch --help");
}

#[test]
fn what_a_user_gets_wrong_is_said_with_exit_code_2() {
    for command in commands().iter().filter(|name| *name != "help") {
        let output = gocc(&[command, "--no-such-option"]);
        // go test has options that gocc does not know.
        if command == "test" {
            continue;
        }
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {stderr}");
        assert!(stderr.contains("--no-such-option"), "{command}: {stderr}");
    }
    assert_eq!(gocc(&[]).status.code(), Some(2));
}

/// Whether a tool is there; where it must be, its absence fails.
fn have(tool: &str) -> bool {
    let there = Command::new(tool)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok();
    if !there {
        skip(&format!("there is no {tool}")).unwrap();
    }
    there
}

fn completions(shell: &str, directory: &Path, of: &str, file: &str) {
    let output = gocc(&["completions", shell, "--of", of]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    std::fs::write(directory.join(file), output.stdout).unwrap();
}

fn shell(program: &str, arguments: &[&str], script: &str, directory: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).arg("-c").arg(script);
    command.current_dir(directory).stdin(Stdio::null());
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    assert_eq!(stderr, "", "{program}");
    text(&output.stdout)
}

#[test]
fn completions_load_in_bash() {
    if !have("bash") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    completions("bash", place.path(), "gocc", "gocc.bash");
    completions("bash", place.path(), "gocc-patch", "gocc-patch.bash");
    let script = "
        . ./gocc.bash; . ./gocc-patch.bash
        complete -p gocc gocc-patch
        COMP_WORDS=(gocc exec --mo); COMP_CWORD=2
        _gocc gocc --mo exec; echo \"option ${COMPREPLY[*]}\"
        COMP_WORDS=(gocc exec --mode h); COMP_CWORD=3
        _gocc gocc h --mode; echo \"value ${COMPREPLY[*]}\"
        COMP_WORDS=(gocc ba); COMP_CWORD=1
        _gocc gocc ba gocc; echo \"command ${COMPREPLY[*]}\"";
    let said = shell("bash", &["--norc"], script, place.path());
    for line in ["option --mode", "value hunt", "command baseline"] {
        assert!(
            said.lines().any(|found| found == line),
            "{line} is in\n{said}"
        );
    }
}

#[test]
fn completions_load_in_zsh() {
    if !have("zsh") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    completions("zsh", place.path(), "gocc", "_gocc");
    completions("zsh", place.path(), "gocc-patch", "_gocc-patch");
    let script = "
        fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D
        print -l \"gocc $_comps[gocc]\" \"gocc-patch $_comps[gocc-patch]\"
        autoload +X -Uz _gocc _gocc-patch && print loaded
        zsh -n _gocc && zsh -n _gocc-patch && print sound";
    let said = shell("zsh", &["-f"], script, place.path());
    assert_eq!(said, "gocc _gocc\ngocc-patch _gocc-patch\nloaded\nsound\n");
}

#[test]
fn completions_load_in_fish() {
    if !have("fish") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    completions("fish", place.path(), "gocc", "gocc.fish");
    completions("fish", place.path(), "gocc-patch", "gocc-patch.fish");
    let script = "
        source gocc.fish; source gocc-patch.fish
        complete -C 'gocc exec --mo'; complete -C 'gocc exec --mode h'; complete -C 'gocc ba'
        complete -C 'gocc-patch --no-v'";
    let said = shell("fish", &["--no-config"], script, place.path());
    for word in ["--mode", "hunt", "baseline", "--no-verify"] {
        let begins = |line: &str| line.split('\t').next() == Some(word);
        assert!(said.lines().any(begins), "{word} is in\n{said}");
    }
}

#[test]
fn man_pages_render() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("man1");
    assert!(gocc(&["man", directory.to_str().unwrap()]).status.success());
    let mut names: Vec<String> = commands();
    names.retain(|name| name != "help");
    let mut pages: Vec<String> = names.iter().map(|name| format!("gocc-{name}.1")).collect();
    pages.push("gocc.1".to_owned());
    for page in &pages {
        assert!(directory.join(page).exists(), "{page}");
    }
    if !have("man") {
        return;
    }
    for page in &pages {
        let output = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(directory.join(page))
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let (said, complaints) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{page}: {complaints}");
        assert_eq!(complaints, "", "{page}");
        assert!(
            said.contains("NAME") && said.contains("SYNOPSIS"),
            "{page}: {said}"
        );
    }
}

/// Work that takes longer than half a second shows a sign of life on a terminal, and only there.
/// `script` (util-linux) makes the terminal.
#[test]
fn progress_is_for_terminals() {
    let place = tempfile::tempdir().unwrap();
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).mode(0o700);
    let large = options.open(place.path().join("large")).unwrap();
    // No processor hashes so much in half a second. It is no executable, so that is all.
    large.set_len(3 << 30).unwrap();
    let exec = format!("{GOCC} exec -- ./large");
    let run = |command: &str| {
        let mut script = Command::new("script");
        script.args(["-q", "-c", command, "/dev/null"]);
        script.env("XDG_CACHE_HOME", place.path().join("cache"));
        let output = script.current_dir(place.path()).output().unwrap();
        let _ = std::fs::remove_dir_all(place.path().join("cache"));
        text(&output.stdout)
    };
    let (message, refusal) = ("reading ./large", "not an ELF");
    let shown = run(&exec);
    assert!(
        shown.contains(message) && shown.contains(refusal),
        "{shown}"
    );
    let piped = run(&format!("{exec} 2>said; cat said"));
    assert!(
        !piped.contains(message) && piped.contains(refusal),
        "{piped}"
    );
}

/// The demo, run until its race shows: leaves its rings in `rings`.
fn demo_rings(place: &Path) {
    unpack_demo(&place.join("demo"));
    let ended = (0..20).find_map(|_| {
        let mut exec = Command::new(GOCC);
        exec.args(["exec", "--dir", "rings", "--", "./demo"]);
        exec.env("XDG_CACHE_HOME", place).current_dir(place);
        (exec.output().unwrap().status.code() == Some(66)).then_some(())
    });
    assert!(ended.is_some(), "the demo never raced");
}

fn unpack_demo(path: &Path) -> std::fs::File {
    let packed = include_bytes!("../testdata/demo/demo.bin.gz");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .mode(0o700)
        .open(path)
        .unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut file).unwrap();
    file
}

/// A reader who has seen enough is no error for anybody.
#[test]
fn a_broken_pipe_is_quiet() {
    let place = tempfile::tempdir().unwrap();
    demo_rings(place.path());
    std::fs::write(place.path().join("a.go"), "package a\n").unwrap();
    for (arguments, expected) in [
        (vec!["--help"], 0),
        (vec!["help", "exec"], 0),
        (vec!["completions", "zsh"], 0),
        (vec!["config"], 0),
        (vec!["demo"], 0),
        (vec!["demo", "--format", "html"], 0),
        (vec!["inspect", GOCC], 1),
        (vec!["report", "rings"], 66),
        (vec!["report", "rings", "--format", "folded"], 66),
        (vec!["stats", "rings"], 0),
        (vec!["merge", "rings"], 66),
        (vec!["scan", "--rules"], 0),
        (vec!["scan", "a.go"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(GOCC);
        command.args(&arguments).current_dir(place.path());
        let output = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert!(
            !stderr.to_lowercase().contains("broken pipe"),
            "{arguments:?}: {stderr}"
        );
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        let ended = output.status.code();
        assert_eq!(ended, Some(expected), "{arguments:?}: {stderr}");
    }
}
