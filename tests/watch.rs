//! `gocc watch` in a real terminal (tmux), beside a program that does what it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::fixture::skip;
use common::gocc::GOCC;
use common::{Rings, fixture, patch};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that does what it is told.
struct Told {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Told {
    fn start(program: &Path, setting: &str) -> Told {
        let mut command = Command::new(program);
        command.env("GOCC", setting);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut told = Told { child, answers };
        told.expect("ready");
        told
    }

    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), answer);
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.expect("done");
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal of 100 columns and 30 lines, on a tmux server of its own.
struct Terminal {
    socket: std::path::PathBuf,
}

impl Terminal {
    fn run(place: &Path, command: &str) -> Terminal {
        let terminal = Terminal {
            socket: place.join("tmux"),
        };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            command,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments);
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the screen shows something.
    fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(started.elapsed() < PATIENCE, "{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server ends with its last session, so it may be gone.
        let mut command = Command::new("tmux");
        let _ = command
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}

fn gocc(arguments: &[&str], rings: &Rings) -> String {
    let mut command = Command::new(GOCC);
    let output = command.args(arguments).arg(rings.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What the ring holds and has held, as `gocc stats` counts it.
fn recorded(rings: &Rings) -> u64 {
    let stats: serde_json::Value =
        serde_json::from_str(&gocc(&["stats", "--json"], rings)).unwrap();
    let rows = stats["operations"].as_array().unwrap().iter();
    let counted: u64 = rows.map(|row| row["count"].as_u64().unwrap()).sum();
    let internal = stats["internal"].as_u64().unwrap();
    counted + internal + stats["lost"]["overwritten"].as_u64().unwrap()
}

/// Findings and how often they were seen, as `gocc report` counts them.
fn conflicts(rings: &Rings) -> (usize, u64) {
    let report = gocc(&["report", "--format", "json"], rings);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let counts = findings
        .iter()
        .map(|finding| finding["count"].as_u64().unwrap());
    (findings.len(), counts.sum())
}

/// The number behind a name on the screen.
fn number_of(screen: &str, name: &str) -> Option<u64> {
    let (_, rest) = screen.split_once(name)?;
    let digits = rest.trim_start().split([' ', '│']).next()?;
    digits.replace(',', "").parse().ok()
}

/// A program to watch, and the command that watches it.
struct Watched {
    place: tempfile::TempDir,
    rings: Rings,
    told: Told,
    pid: u32,
    command: String,
}

impl Watched {
    /// Nothing, and a word about it, where something for it is missing.
    fn start(mode: &str) -> Option<Watched> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("there is no tmux").unwrap();
            return None;
        }
        let built = fixture("onrequest", "1.27", "static").unwrap()?;
        let place = tempfile::tempdir().unwrap();
        let rings = Rings::new().unwrap();
        let program = patch(&built, place.path()).unwrap();
        let told = Told::start(&program, &rings.setting(mode));
        let pid = told.child.id();
        let dir = rings.path().display();
        let command = format!("exec {GOCC} watch {pid} --dir {dir} --every 200");
        Some(Watched {
            place,
            rings,
            told,
            pid,
            command,
        })
    }
}

/// Waits until a process is no more.
fn ends(pid: &str) {
    let started = Instant::now();
    while Path::new("/proc").join(pid).exists() {
        assert!(started.elapsed() < PATIENCE, "{pid} lives on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_ends_with_its_terminal_and_when_told_to() {
    let Some(watched) = Watched::start("observe") else {
        return;
    };
    for ending in ["close", "TERM", "INT", "HUP"] {
        let terminal = Terminal::run(watched.place.path(), &watched.command);
        terminal.until(|screen| screen.contains("mode observe"));
        let pid = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
        if ending == "close" {
            terminal.tmux(&["kill-server"]);
        } else {
            let signal = format!("-{ending}");
            let kill = Command::new("kill").args([&signal, pid.trim()]).status();
            assert!(kill.unwrap().success());
        }
        ends(pid.trim());
    }
}

#[test]
fn the_view_agrees_with_the_report_and_changes_the_mode() {
    let Some(watched) = Watched::start("trace") else {
        return;
    };
    let (rings, pid, mut told) = (watched.rings, watched.pid, watched.told);
    let dir = rings.path().display().to_string();
    let terminal = Terminal::run(watched.place.path(), &watched.command);
    terminal.until(|screen| screen.contains("mode trace"));

    told.tell("load 50000");
    let expected = recorded(&rings);
    assert!(expected > 200_000, "{expected}");
    let screen = terminal.until(|screen| number_of(screen, "recorded") == Some(expected));
    assert!(screen.contains("main.(*table).add"), "{screen}");
    assert!(screen.contains(" map[int]int"), "{screen}");

    terminal.press("o");
    terminal.until(|screen| screen.contains("mode observe, 1 in 1024 recorded"));
    terminal.press("+");
    terminal.until(|screen| screen.contains("mode observe, 1 in 512 recorded"));
    let ctl = || {
        let mut command = Command::new(GOCC);
        command.args(["ctl", &pid.to_string(), "--dir", &dir]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let table = ctl();
    assert!(
        table.contains("observe\n") && table.contains("1 in 512\n"),
        "{table}"
    );

    terminal.press("g");
    terminal.until(|screen| screen.contains("mode guard"));
    assert!(ctl().contains("guard\n"), "{}", ctl());
    // What is there to be seen varies: until the two have met.
    for _ in 0..50 {
        told.tell("race 20000");
        if conflicts(&rings).0 > 0 {
            break;
        }
    }
    let (findings, times) = conflicts(&rings);
    assert!(findings > 0);
    let title = format!("conflicts: {findings} findings, seen {times} times");
    let screen = terminal.until(|screen| screen.contains(&title));
    assert!(
        screen.contains(" s  ") && screen.contains("assign main.go:"),
        "{screen}"
    );

    told.child.kill().unwrap();
    terminal.until(|screen| screen.contains("ENDED"));
    let view = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    terminal.press("q");
    ends(view.trim());
}

#[test]
fn without_a_terminal_it_says_so() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(GOCC);
    command.args(["watch", "1", "--dir"]).arg(place.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.starts_with("gocc: error: no ring of process 1 in "),
        "{stderr}"
    );
}
