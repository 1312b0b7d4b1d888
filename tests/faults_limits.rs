//! Limits that kill: a memory control group, a seccomp filter, a ring cut off under a running program.
//! `tests/faults.md` lists them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::ensure;
use common::fixture::skip;
use common::limits::{DEADLY, MemoryGroup, filter, first_ring};
use common::{Both, Outcome, Program, Rings, both};
use gocc::ring::Ring;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(240);
const MODES: [&str; 4] = ["observe", "trace", "hunt", "guard"];

/// Runs a program inside of a memory control group.
fn in_group(
    group: &MemoryGroup,
    program: &Path,
    way: &str,
    setting: &str,
) -> anyhow::Result<Outcome> {
    let script = r#"echo $$ > "$1" && exec "$2" "$3""#;
    Program::new("sh")
        .args(&["-c", script, "sh"])
        .arg(group.members())
        .arg(program)
        .arg(way)
        .env("GOCC", setting)
        .limit(LONG)
        .run()
}

/// The kernel kills a program that takes more memory than its group has, patched or not, and the ring can be read.
/// One that stays below the limit runs as before.
#[test]
fn memory_control_group() -> anyhow::Result<()> {
    let Some(both) = both("faults", "1.27", "static")? else {
        return Ok(());
    };
    for (way, megabytes, ending) in [("memory", 200, "signal 9"), ("unequal", 64, "exit 2")] {
        let Some(group) = MemoryGroup::new(megabytes << 20)? else {
            return skip("memory control groups: this process may not make one");
        };
        for mode in MODES {
            let rings = Rings::new()?;
            let before = in_group(&group, &both.fixture.path, way, "")?;
            let after = in_group(&group, &both.patched, way, &rings.setting(mode))?;
            ensure!(
                before.ending() == ending
                    && after.ending() == ending
                    && before.stdout == after.stdout,
                "{way}, {mode}: before {}\n\nafter {}",
                before.tail(),
                after.tail()
            );
            let files = rings.files()?;
            ensure!(files.len() == 1, "{way}, {mode}: {files:?}");
            Ring::open(&files[0])?;
        }
    }
    Ok(())
}

/// A filter that kills for a system call that only hooks make kills at once, before the program has done anything; with
/// `mode=off` no system call is made, and the program runs.
#[test]
fn a_filter_that_kills() -> anyhow::Result<()> {
    let Some(both) = both("faults", "1.27", "static")? else {
        return Ok(());
    };
    for number in [libc::SYS_fallocate, libc::SYS_ftruncate] {
        let rings = Rings::new()?;
        let before = filtered(&both.fixture.path, number, "")?;
        let off = filtered(&both.patched, number, &rings.setting("off"))?;
        ensure!(
            before.status == off.status
                && before.stdout == off.stdout
                && off.stderr == before.stderr,
            "call {number}: {off:?}"
        );
        for mode in MODES {
            let killed = filtered(&both.patched, number, &rings.setting(mode))?;
            ensure!(
                killed.status.signal() == Some(libc::SIGSYS) && killed.stdout.is_empty(),
                "call {number}, {mode}: {killed:?}"
            );
        }
    }
    Ok(())
}

fn filtered(program: &Path, number: i64, setting: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(program);
    command.args(["execself", "2"]).env("GOCC", setting);
    // SAFETY: only async-signal-safe system calls between fork and exec.
    unsafe { command.pre_exec(move || filter(number as u32, DEADLY)) };
    Ok(command.output()?)
}

/// A ring that is cut off while it is written: stores behind its end are SIGBUS. The program ends, at once and
/// in Go's own way, and gocc says of the ring what happened to it.
#[test]
fn the_ring_is_cut_off() -> anyhow::Result<()> {
    let Some(both) = both("faults", "1.27", "static")? else {
        return Ok(());
    };
    for mode in MODES {
        cut_off(&both, mode)?;
    }
    Ok(())
}

fn cut_off(both: &Both, mode: &str) -> anyhow::Result<()> {
    let rings = Rings::new()?;
    let running = Program::new(&both.patched)
        .args(&["until", "/nonexistent"])
        .env("GOCC", rings.setting(mode))
        .start()?;
    let ring = first_ring(rings.path())?;
    std::thread::sleep(Duration::from_millis(150));
    std::fs::OpenOptions::new()
        .write(true)
        .open(&ring)?
        .set_len(8192)?;
    let after = running.finish(LONG)?;
    ensure!(
        after.ending() == "exit 2" && after.stderr.contains("SIGBUS"),
        "{mode}: {}",
        after.tail()
    );
    let report = Program::new(common::gocc::GOCC)
        .arg("report")
        .arg(&ring)
        .run()?;
    ensure!(
        report.ending() == "exit 1" && report.stderr.contains("was cut off"),
        "{mode}: {}",
        report.tail()
    );
    Ok(())
}
