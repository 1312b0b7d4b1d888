//! Limits that kill: a memory control group, a seccomp filter, a ring cut off under a running program.
//! `tests/faults.md` lists them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::{Context, ensure};
use common::fixture::skip;
use common::limits::{DEADLY, MemoryGroup, filter, first_ring};
use common::{Both, Outcome, Program, Rings, both, sample_versions};
use gocc::ring::Ring;
use gocc::ring::layout::{CONTROL_OFFSET, FRONT_SIZE};
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

/// How much of a ring of so many bytes is left.
type Cut = fn(u64) -> u64;

const CUTS: [(&str, Cut); 4] = [
    ("to nothing", |_| 0),
    ("to a page", |_| 4096),
    ("to its middle", |size| size / 2),
    ("in its first lane", |_| FRONT_SIZE as u64 + 4096),
];

/// Where a ring says in which mode the hooks are.
const MODE_OFFSET: u64 = CONTROL_OFFSET as u64;

/// What the shim says when it finds its ring cut off.
const FOUND: &str = "was cut off while it was in use; hooks stay dormant from now on";

/// A ring that is cut off while it is written: loads and stores behind its end are SIGBUS. The program goes on, without
/// its ring, and gocc says of the ring what happened to it.
#[test]
fn the_ring_is_cut_off() -> anyhow::Result<()> {
    let usual = sample_versions(&["1.18", "1.23", "1.27"]);
    let usual = usual.iter().map(|version| (version.as_str(), "static"));
    let others = [("1.27", "pie"), ("1.27", "cgo"), ("1.20", "cgopie")];
    for (version, variant) in usual.chain(others) {
        let Some(both) = both("faults", version, variant)? else {
            continue;
        };
        for mode in MODES {
            for (name, cut) in CUTS {
                let what = format!("Go {version} {variant}, {mode}, a ring cut {name}");
                cut_off(&both, mode, cut).context(what)?;
            }
        }
    }
    Ok(())
}

fn cut_off(both: &Both, mode: &str, cut: Cut) -> anyhow::Result<()> {
    let rings = Rings::new()?;
    let ends = tempfile::tempdir()?;
    let end = ends.path().join("end");
    let running = Program::new(&both.patched)
        .arg("until")
        .arg(&end)
        .env("GOCC", rings.setting(mode))
        .start()?;
    let ring = first_ring(rings.path())?;
    std::thread::sleep(Duration::from_millis(150));
    let file = std::fs::OpenOptions::new().write(true).open(&ring)?;
    let left = cut(file.metadata()?.len());
    file.set_len(left)?;
    std::thread::sleep(Duration::from_millis(150));
    std::fs::write(&end, "")?;
    let after = running.finish(LONG)?;
    let before = Program::new(&both.fixture.path)
        .arg("until")
        .arg(&end)
        .run()?;
    ensure!(
        after.ending() == before.ending() && after.stdout == before.stdout,
        "before {}\n\nafter {}",
        before.tail(),
        after.tail()
    );
    // Of what is left the hooks may not have used more meanwhile; without a gate there is no hook that would not notice.
    let told = after.stderr.lines().filter(|line| line.contains(FOUND));
    let (told, lines) = (told.count(), after.stderr.lines().count());
    let must_notice = left <= MODE_OFFSET;
    ensure!(
        told == lines && told <= 1 && (told == 1 || !must_notice),
        "{}",
        after.tail()
    );
    what_is_left(&ring, mode, left)
}

/// With its front, a ring can be read as far as it goes; without, gocc says why not.
fn what_is_left(ring: &Path, mode: &str, left: u64) -> anyhow::Result<()> {
    let ask = |command: &str| {
        let gocc = Program::new(common::gocc::GOCC);
        gocc.arg(command).arg(ring).run()
    };
    let report = ask("report")?;
    let has_front = left >= FRONT_SIZE as u64;
    let ending = if has_front { "exit 0" } else { "exit 1" };
    let told = if has_front {
        &report.stdout
    } else {
        &report.stderr
    };
    ensure!(
        report.ending() == ending && told.contains("was cut off"),
        "{}",
        report.tail()
    );
    if has_front {
        let gate = Ring::open(ring)?.control()?.gate;
        let mode: gocc::patch::Mode = mode.parse().map_err(anyhow::Error::msg)?;
        ensure!(gate == mode.gate(), "the gate is {gate}");
    }
    Ok(())
}

/// Bus errors that are the program's own, and a signal that only looks like one, end it as before.
#[test]
fn bus_errors_of_the_program_itself() -> anyhow::Result<()> {
    let usual = sample_versions(&["1.18", "1.23", "1.27"]);
    let usual = usual.iter().map(|version| (version.as_str(), "static"));
    let others = [("1.27", "pie"), ("1.27", "cgo"), ("1.20", "cgopie")];
    for (version, variant) in usual.chain(others) {
        let Some(both) = both("faults", version, variant)? else {
            continue;
        };
        for (way, mode) in ["mapped", "signal"]
            .into_iter()
            .flat_map(|way| [(way, "observe"), (way, "trace"), (way, "off")])
        {
            let rings = Rings::new()?;
            let before = Program::new(&both.fixture.path).arg(way).run()?;
            let after = Program::new(&both.patched)
                .arg(way)
                .env("GOCC", rings.setting(mode))
                .run()?;
            ensure!(
                before.ending() == "exit 2"
                    && before.stderr.contains("SIGBUS")
                    && after.ending() == before.ending()
                    && after.stdout == before.stdout
                    && after.stderr.contains("SIGBUS"),
                "Go {version} {variant}, {way}, {mode}: before {}\n\nafter {}",
                before.tail(),
                after.tail()
            );
        }
    }
    Ok(())
}
