//! Patched programs under the tools of their trade: perf and delve. `tests/faults.md` lists them; gdb is in
//! `tests/faults.rs`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::ensure;
use common::fixture::skip;
use common::{Outcome, Program, Rings, both, toolchain};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(240);
/// A delve for Go 1.27.
const DELVE: &str = "github.com/go-delve/delve/cmd/dlv@v1.27.0";

/// perf samples the program, which ends as before, and sees Go's functions by their names with their callers.
#[test]
fn perf_record() -> anyhow::Result<()> {
    let tried = Program::new("perf")
        .args(&["record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true"])
        .run();
    if !tried.is_ok_and(|outcome| outcome.status.success()) {
        return skip("perf is not installed, or may not be used");
    }
    let Some(both) = both("faults", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let data = place.path().join("perf.data");
    let record = |program: &Path, setting: &str| {
        Program::new("perf")
            .args(&["record", "-q", "-e", "cpu-clock", "-F", "2000", "-g", "-o"])
            .arg(&data)
            .arg("--")
            .arg(program)
            .arg("vfork")
            .env("GOCC", setting)
            .limit(LONG)
            .run()
    };
    let before = record(&both.fixture.path, "")?;
    for mode in ["observe", "trace", "hunt"] {
        let rings = Rings::new()?;
        let after = record(&both.patched, &rings.setting(mode))?;
        ensure!(
            before.ending() == after.ending() && before.stdout == after.stdout,
            "{mode}: before {}\n\nafter {}",
            before.tail(),
            after.tail()
        );
        let script = Program::new("perf")
            .args(&["script", "-i"])
            .arg(&data)
            .args(&["-F", "ip,sym"])
            .limit(LONG)
            .run()?;
        ensure!(
            script.stdout.contains("main.work") && script.stdout.contains("runtime.mapassign"),
            "{mode}: {}",
            script.tail()
        );
    }
    Ok(())
}

/// delve, built into the cache.
fn delve() -> anyhow::Result<Option<PathBuf>> {
    let Some(root) = toolchain("1.27")? else {
        return Ok(None);
    };
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let place = cache.join("gocc").join("delve");
    let dlv = place.join("dlv");
    if dlv.exists() {
        return Ok(Some(dlv));
    }
    std::fs::create_dir_all(&place)?;
    let built = Program::new(root.join("bin/go"))
        .args(&["install", DELVE])
        .env("GOBIN", &place)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .directory(&place)
        .limit(LONG * 4)
        .run()?;
    if built.status.success() {
        return Ok(Some(dlv));
    }
    skip(&format!("{DELVE} cannot be had: {}", built.stderr.trim())).map(|()| None)
}

/// What delve is told: a breakpoint of the user's and one in a hooked function, stacks there, steps, and on.
const SESSION: &str = "\
break main.work
continue
stack
break runtime.mapassign_faststr
continue
stack
next
step
stepout
clearall
continue
";

/// Under delve a patched program stops where the unpatched one does, with the same stacks, and ends as it does.
#[test]
fn under_delve() -> anyhow::Result<()> {
    let Some(dlv) = delve()? else {
        return Ok(());
    };
    let Some(both) = both("faults", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let script = place.path().join("script");
    std::fs::write(&script, SESSION)?;
    let debug = |program: &Path, setting: &str| {
        Program::new(&dlv)
            .args(&["exec", "--allow-non-terminal-interactive=true", "--init"])
            .arg(&script)
            .arg(program)
            .args(&["--", "nilread"])
            .env("GOCC", setting)
            .env("HOME", place.path())
            .input("exit\n")
            .limit(LONG)
            .run()
    };
    let before = debug(&both.fixture.path, "")?;
    for function in ["main.work()", "mapassign_faststr()"] {
        ensure!(
            stops(&before)
                .iter()
                .any(|line| line.starts_with("> ") && line.contains(function)),
            "delve does not stop in {function}: {}",
            before.tail()
        );
    }
    for mode in ["observe", "trace", "hunt"] {
        let rings = Rings::new()?;
        let after = debug(&both.patched, &rings.setting(mode))?;
        ensure!(
            stops(&before) == stops(&after) && before.ending() == after.ending(),
            "{mode}: before {}\n\nafter {}",
            before.tail(),
            after.tail()
        );
    }
    Ok(())
}

/// The lines that say where it stopped and how it came there.
fn stops(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stdout.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("> ") || line.contains(" in ") || line.contains("exited"))
        .map(|line| line.to_owned())
        .collect()
}
