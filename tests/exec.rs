//! `gocc exec` and `gocc demo`, on real programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::place::{Place, source, text};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs until there is a finding: a race need not show itself every time.
fn run_until_found(mut run: impl FnMut() -> Output) -> Output {
    let mut last = run();
    for _ in 0..5 {
        if last.status.code() == Some(66) {
            break;
        }
        last = run();
    }
    assert_eq!(last.status.code(), Some(66), "{}", text(&last.stderr));
    last
}

#[test]
fn the_programs_end_is_its_own() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    for code in [0, 3, 255] {
        let output = place
            .exec(&[], &["exit", &code.to_string()])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV] {
        let output = place
            .exec(&[], &["kill", &signal.to_string()])
            .output()
            .unwrap();
        // Go makes a panic of a SIGSEGV.
        let ends = (output.status.signal(), output.status.code());
        let expected = if signal == libc::SIGSEGV {
            (None, Some(2))
        } else {
            (Some(signal), None)
        };
        assert_eq!(ends, expected, "{}", text(&output.stderr));
    }
}

#[test]
fn arguments_and_input_pass_through() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    let output = place
        .exec(&[], &["args", "--mode", "a b", ""])
        .output()
        .unwrap();
    let expected = format!(
        "[{:?} \"args\" \"--mode\" \"a b\" \"\"]\n",
        place.program.display().to_string()
    );
    assert_eq!(text(&output.stdout), expected);

    let mut child = place
        .exec(&[], &["copy"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");

    // Without the two dashes what follows the program is its own as well.
    let mut plain = place.gocc();
    plain
        .arg("exec")
        .args(["--mode", "trace"])
        .arg(&place.program);
    plain.args(["args", "--mode", "a b", ""]);
    assert_eq!(text(&plain.output().unwrap().stdout), expected);

    // By name, as a shell finds it.
    let mut by_name = place.gocc();
    by_name
        .args(["exec", "--", "passthrough", "args"])
        .env("PATH", place.path());
    assert_eq!(
        text(&by_name.output().unwrap().stdout),
        "[\"passthrough\" \"args\"]\n"
    );
}

#[test]
fn a_signal_reaches_the_program_once() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    for signal in [
        rustix::process::Signal::USR1,
        rustix::process::Signal::TERM,
        rustix::process::Signal::INT,
    ] {
        // What is ignored stays ignored; a shell that runs the tests in the background ignores SIGINT.
        let exec = place.exec(&[], &["wait"]);
        let mut fresh = Command::new("env");
        fresh.arg("--default-signal").arg(exec.get_program());
        let set = exec
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut child = fresh
            .args(exec.get_args())
            .env_remove("GOCC")
            .envs(set)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(41), "{signal:?}");
    }
}

#[test]
fn a_patched_program_runs_as_it_is() {
    let Some(mut place) = Place::with_built("passthrough") else {
        return;
    };
    let patched = place.path().join("passthrough.instr");
    let made = place
        .gocc()
        .arg("patch")
        .arg(&place.program)
        .arg("-o")
        .arg(&patched)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    place.program = patched;
    let rings = place.path().join("rings");
    let output = place
        .exec(&["--dir", rings.to_str().unwrap()], &["exit", "5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(!place.path().join("cache").exists());
    assert_eq!(std::fs::read_dir(rings).unwrap().count(), 1);
}

#[test]
fn findings_of_a_child_are_reported() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    let report = place.path().join("report.json");
    let options = ["--report", report.to_str().unwrap(), "--format", "json"];
    run_until_found(|| place.exec(&options, &["parent"]).output().unwrap());
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["rings"].as_array().unwrap().len(), 2);
    let confirmed = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["grade"] == "confirmed");
    let finding = confirmed.expect("the child's conflict is confirmed");
    for side in finding["sides"].as_array().unwrap() {
        assert_eq!(side["operation"], "assign", "{finding:#}");
        let user = side["stack"]
            .as_array()
            .unwrap()
            .iter()
            .find(|frame| frame["runtime"] == false)
            .unwrap();
        assert_eq!(user["function"], "main.race.func1", "{finding:#}");
        assert!(
            user["file"]
                .as_str()
                .unwrap()
                .ends_with("testdata/passthrough/main.go"),
            "{finding:#}"
        );
    }
}

#[test]
fn the_demos_bug_is_reported_on_stderr() {
    let place = Place::with_demo();
    let output = run_until_found(|| place.exec(&[], &[]).output().unwrap());
    assert_eq!(text(&output.stdout), "demo server: 6 clients, 64 users\n");
    let stderr = text(&output.stderr);
    for part in [
        "WARNING: CONCURRENT MAP ACCESS (confirmed: ",
        "  main.(*Server).",
        "map[string]*main.Session",
    ] {
        assert!(stderr.contains(part), "{part} is in\n{stderr}");
    }
}

#[test]
fn rings_are_kept_where_the_user_says() {
    let place = Place::with_demo();
    let rings = place.path().join("rings");
    let options = ["--dir", rings.to_str().unwrap(), "--mode", "trace"];
    let output = run_until_found(|| place.exec(&options, &[]).output().unwrap());
    // Only this run's ring is reported, all of them are kept.
    assert!(
        text(&output.stderr).contains(" in 1 process"),
        "{}",
        text(&output.stderr)
    );
    let report = place.gocc().arg("report").arg(&rings).output().unwrap();
    assert_eq!(report.status.code(), Some(66));
    let stats = place
        .gocc()
        .args(["stats", "--json"])
        .arg(&rings)
        .output()
        .unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    let functions = stats["operations"].as_array().unwrap();
    assert!(
        functions
            .iter()
            .any(|row| row["function"] == "main.(*Server).Renew"),
        "{stats:#}"
    );
}

#[test]
fn what_cannot_be_run_is_refused_on_one_line() {
    let place = Place::with_demo();
    let cases: [(&str, &str); 3] = [
        ("/bin/sh", "gocc: error: "),
        (
            "/no/such/program",
            "gocc: error: cannot read /no/such/program: No such file or directory",
        ),
        (
            "no-such-program",
            "gocc: error: no program no-such-program in PATH",
        ),
    ];
    for (program, expected) in cases {
        let output = place.gocc().args(["exec", "--", program]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(
            (output.status.code(), stderr.lines().count()),
            (Some(1), 1),
            "{stderr}"
        );
        assert!(stderr.starts_with(expected), "{stderr}");
    }
    let usage = place
        .gocc()
        .args(["exec", "--mode", "hunted", "--", "x"])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn the_demo_needs_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gocc"));
    command.arg("demo").env_clear().env("TMPDIR", empty.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("WARNING: CONCURRENT MAP ACCESS (confirmed: "),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

/// A program that was patched anew from another input does not explain the old rings.
#[test]
fn symbols_of_another_input_are_refused() {
    let place = Place::with_demo();
    let (patched, rings) = (place.path().join("demo.instr"), place.path().join("rings"));
    let patch = || {
        let made = place
            .gocc()
            .arg("patch")
            .arg(&place.program)
            .arg("-o")
            .arg(&patched)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    };
    patch();
    std::fs::create_dir(&rings).unwrap();
    let options = format!("dir={}", rings.display());
    Command::new(&patched)
        .env("GOCC", options)
        .output()
        .unwrap();
    let report = || {
        text(
            &place
                .gocc()
                .arg("report")
                .arg(&rings)
                .output()
                .unwrap()
                .stdout,
        )
    };
    assert!(!report().contains("Note: "), "{}", report());

    let mut program = std::fs::OpenOptions::new()
        .append(true)
        .open(&place.program)
        .unwrap();
    program.write_all(&[0; 16]).unwrap();
    drop(program);
    std::fs::remove_file(&patched).unwrap();
    patch();
    assert!(report().contains("its input's SHA-256 is"), "{}", report());
}

/// A race that natively nobody notices.
const LATENT: &str = "latent/readassign";

/// The lines of its source where the two goroutines touch the map, as `main.go:18`.
fn latent_lines() -> Vec<String> {
    let text = std::fs::read_to_string(source(LATENT)).unwrap();
    let lines = text.lines().enumerate();
    let marked: Vec<String> = lines
        .filter(|(_, line)| line.contains("//gocc:side"))
        .map(|(index, _)| format!("/main.go:{}", index + 1))
        .collect();
    assert_eq!(marked.len(), 2);
    marked
}

/// A suspects file's heading, and its suspects: addresses, then functions and places.
fn suspects(file: &Path) -> (String, Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(file).unwrap();
    let (heading, rest) = text.split_once('\n').unwrap();
    let lines = rest.lines().filter(|line| !line.starts_with('#'));
    // Pairs that were seen in order, which a busy machine may show, have two addresses and a number.
    let (ordered, places): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("ordered "));
    let cut = |line: &str, word: usize| line.splitn(word + 1, ' ').last().unwrap().to_owned();
    let addresses = places
        .iter()
        .map(|line| line.split_once(' ').unwrap().0.to_owned());
    let pairs = ordered.iter().map(|line| cut(line, 3));
    let sources = places.iter().map(|line| cut(line, 2)).chain(pairs);
    let mut sources: Vec<String> = sources.collect();
    sources.sort();
    sources.dedup();
    (heading.to_owned(), addresses.collect(), sources)
}

#[test]
fn suspects_outlive_the_run_and_the_build() {
    let Some(place) = Place::with_built(LATENT) else {
        return;
    };
    let file = place.path().join("suspects");
    let named = file.to_str().unwrap();
    let hunt = ["--mode", "hunt", "--runs", "5", "--suspects", named];
    let output = place.exec(&hunt, &[]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(66), "{stderr}");
    assert!(
        stderr.contains("(confirmed: caught in the act)"),
        "{stderr}"
    );
    let (heading, addresses, sources) = suspects(&file);
    assert_eq!(heading.len(), "# gocc suspects of ".len() + 64);
    for line in latent_lines() {
        let named =
            |source: &String| source.starts_with("main.(*config).") && source.ends_with(&line);
        assert!(sources.iter().any(named), "{line} is in {sources:?}");
    }

    // Built anew with a place less, as far as the file knows.
    let mut contents = std::fs::read_to_string(&file).unwrap();
    contents.push_str("401000 512 main.gone /app/gone.go:3\n");
    std::fs::write(&file, contents).unwrap();
    std::fs::remove_file(&place.program).unwrap();
    assert!(place.build(LATENT, &["-gcflags=all=-N -l", "-ldflags=-s"]));
    let observe = ["--mode", "observe", "--suspects", named];
    let output = place.exec(&observe, &[]).output().unwrap();
    assert!(
        !text(&output.stderr).contains("ignored"),
        "{}",
        text(&output.stderr)
    );
    let rebuilt = suspects(&file);
    assert_ne!((&rebuilt.0, &rebuilt.1), (&heading, &addresses));
    assert_eq!(rebuilt.2, sources);
    let contents = std::fs::read_to_string(&file).unwrap();
    let kept = "\n# elsewhere 512 main.gone /app/gone.go:3\n";
    assert!(contents.contains(kept), "{contents}");

    // What is certain to be held is found in the first run.
    let addresses = rebuilt.1.iter();
    let certain: Vec<String> = addresses
        .map(|address| format!("{address} 1024 main.any /any.go:1\n"))
        .collect();
    std::fs::write(&file, format!("{}\n{}", rebuilt.0, certain.concat())).unwrap();
    let once = ["--mode", "hunt", "--suspects", named];
    run_until_found(|| place.exec(&once, &[]).output().unwrap());
}

#[test]
fn runs_have_seeds_of_their_own_and_end_with_the_first_catch() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    let rings = place.path().join("rings");
    let options = [
        "--mode", "hunt", "--runs", "3", "--seed", "7", "--budget", "12",
    ];
    let mut run = place.exec(&options, &["exit", "4"]);
    let output = run
        .args(["--and", "more"])
        .env(
            "GOCC",
            format!("mode=trace,exitcode=9 dir={}", rings.display()),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let files = gocc::ring::ring_files(&[rings]).unwrap();
    let mut told = Vec::new();
    for file in files {
        let ring = gocc::ring::Ring::open(&file).unwrap();
        let control = ring.control().unwrap();
        assert_eq!(ring.header().exit_code, 9);
        assert_eq!(control.gate, gocc::ring::layout::GATE_HUNT);
        told.push((control.seed, control.budget_percent));
    }
    told.sort_unstable();
    assert_eq!(told, [(7, 12), (8, 12), (9, 12)]);

    let Some(place) = Place::with_built(LATENT) else {
        return;
    };
    let rings = place.path().join("rings");
    let options = [
        "--mode",
        "hunt",
        "--runs",
        "40",
        "--dir",
        rings.to_str().unwrap(),
    ];
    let output = place.exec(&options, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(66), "{}", text(&output.stderr));
    let count = gocc::ring::ring_files(&[rings]).unwrap().len();
    assert!(count < 40, "{count} runs");

    // All of them are done when that is what the user wants.
    let rings = place.path().join("all-rings");
    let named = rings.to_str().unwrap();
    let options = [
        "--mode",
        "hunt",
        "--runs",
        "12",
        "--all-runs",
        "--dir",
        named,
    ];
    let output = place.exec(&options, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(66), "{}", text(&output.stderr));
    let count = gocc::ring::ring_files(&[rings]).unwrap().len();
    assert_eq!(count, 12);
}

#[test]
fn a_file_that_is_no_suspects_file_is_left_alone() {
    let place = Place::with_demo();
    let file = place.path().join("notes");
    std::fs::write(&file, "my notes\n").unwrap();
    let options = ["--suspects", file.to_str().unwrap()];
    let output = place.exec(&options, &[]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("so it is something else"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "my notes\n");
}

/// Ends a program that would not end by itself.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// How many operations the rings of a directory hold.
fn recorded(place: &Place, rings: &Path) -> u64 {
    let output = place.gocc().args(["stats", "--json"]).arg(rings).output();
    let stats: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let rows = stats["operations"].as_array().unwrap().iter();
    rows.map(|row| row["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_running_program_does_what_ctl_says() {
    let Some(place) = Place::with_built("counter") else {
        return;
    };
    let (patched, rings) = (place.path().join("instr"), place.path().join("rings"));
    std::fs::create_dir(&rings).unwrap();
    let mut patch = place.gocc();
    patch
        .arg("patch")
        .arg(&place.program)
        .arg("-o")
        .arg(&patched);
    assert!(patch.output().unwrap().status.success());
    let options = format!("mode=observe sample=1000000000 dir={}", rings.display());
    let mut command = Command::new(&patched);
    command.env("GOCC", options).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    // From its first line on it counts.
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    let ctl = |options: &[&str]| {
        let mut ctl = place.gocc();
        ctl.arg("ctl").arg(child.0.id().to_string()).args(options);
        ctl.arg("--dir").arg(&rings).output().unwrap()
    };
    let shown = text(&ctl(&[]).stdout);
    assert!(shown.contains("observe\n"), "{shown}");
    assert!(shown.contains("1 in 1000000000\n"), "{shown}");
    let before = recorded(&place, &rings);

    let changes = [
        "--mode", "trace", "--sample", "7", "--hold", "3ms", "--window", "50ms",
    ];
    let output = ctl(&[&changes[..], &["--budget", "5"]].concat());
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for row in [
        "trace\n",
        "1 in 7\n",
        " 3.000 ms\n",
        " 50.000 ms\n",
        " 5 %\n",
    ] {
        assert!(shown.contains(row), "{row} is in\n{shown}");
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let after = recorded(&place, &rings);
    assert!(before < 100 && after > 1000, "{before}, then {after}");

    for mode in ["guard", "hunt", "block"] {
        assert!(ctl(&["--mode", mode]).status.success(), "{mode}");
    }
    let back = ctl(&["--mode", "observe", "--rate", "500", "--wait", "7ms"]);
    let shown = text(&back.stdout);
    for row in ["observe\n", " 500 a second\n", " 7.000 ms\n"] {
        assert!(shown.contains(row), "{row} is in\n{shown}");
    }
    let refused = ctl(&["--hold", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    let mut nobody = place.gocc();
    nobody.args(["ctl", "1", "--dir"]).arg(&rings);
    let stderr = text(&nobody.output().unwrap().stderr);
    assert!(
        stderr.starts_with("gocc: error: no ring of process 1 in "),
        "{stderr}"
    );

    // A ring that others may write is not to be trusted with changes.
    let ring = gocc::ring::ring_files(std::slice::from_ref(&rings))
        .unwrap()
        .remove(0);
    make_writable_by_all(&ring);
    let refused = ctl(&["--mode", "off"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
}

fn make_writable_by_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
}
