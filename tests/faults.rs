//! Faults while a program runs: what happens to it and to its ring, patched and unpatched. `tests/faults.md` lists them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::{Context, ensure};
use common::fixture::skip;
use common::limits::{REFUSED, filter, first_ring};
use common::{Both, Outcome, Program, Rings, both};
use gocc::ring::layout;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MODES: [&str; 2] = ["observe", "trace"];
const LONG: Duration = Duration::from_secs(240);

fn faults(version: &str, variant: &str) -> anyhow::Result<Option<Both>> {
    both("faults", version, variant)
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Both programs through a shell line in which `PROGRAM` stands for them: same ending, same stdout.
fn same_by_shell(both: &Both, script: &str) -> anyhow::Result<Vec<(Outcome, Outcome)>> {
    let run = |program: &Path, setting: &str| {
        let script = script.replace("PROGRAM", &program.display().to_string());
        Program::new("sh")
            .args(&["-c", &script])
            .env("GOCC", setting)
            .limit(LONG)
            .run()
    };
    let mut outcomes = Vec::new();
    for mode in MODES {
        let rings = Rings::new()?;
        let before = run(&both.fixture.path, "")?;
        let after = run(&both.patched, &rings.setting(mode))?;
        ensure!(
            before.ending() == after.ending() && before.stdout == after.stdout,
            "{script}, {mode}: before {}\n\nafter {}",
            before.tail(),
            after.tail()
        );
        ensure!(!before.timed_out && !after.timed_out, "{script}: timed out");
        outcomes.push((before, after));
    }
    Ok(outcomes)
}

fn ways(version: &str, variant: &str, scripts: &[&str]) -> anyhow::Result<()> {
    let Some(both) = faults(version, variant)? else {
        return Ok(());
    };
    for script in scripts {
        same_by_shell(&both, script)?;
    }
    Ok(())
}

#[test]
fn faults_of_the_program_itself() -> anyhow::Result<()> {
    for version in ["1.18", "1.27"] {
        ways(
            version,
            "static",
            &[
                "exec PROGRAM execself 20",
                "exec PROGRAM nilread",
                "exec PROGRAM unequal",
                "exec PROGRAM vfork",
                "exec PROGRAM deep",
                "ulimit -n 64; exec PROGRAM files",
            ],
        )?;
    }
    Ok(())
}

#[test]
fn ten_thousand_threads() -> anyhow::Result<()> {
    ways(
        "1.27",
        "static",
        &["ulimit -u unlimited; exec PROGRAM threads 10000"],
    )
}

#[test]
fn forks_and_crashes_in_c() -> anyhow::Result<()> {
    ways(
        "1.27",
        "cgo",
        &[
            "exec PROGRAM cfork",
            "ulimit -c 0; exec PROGRAM ccrash",
            "exec PROGRAM vfork",
        ],
    )
}

/// Out of memory: the runtime dies of it with the same words, whatever the limit is.
#[test]
fn out_of_memory() -> anyhow::Result<()> {
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    for (before, after) in same_by_shell(&both, "ulimit -v 3000000; exec PROGRAM memory")? {
        for outcome in [before, after] {
            ensure!(outcome.ending() == "exit 2", "{}", outcome.tail());
            ensure!(
                outcome.stderr.contains("out of memory"),
                "{}",
                outcome.tail()
            );
        }
    }
    Ok(())
}

/// What another process may do to a ring that is being written, and to its directory.
#[test]
fn the_ring_is_taken_away() -> anyhow::Result<()> {
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    type Deed = fn(&Path, &Path) -> std::io::Result<()>;
    let deeds: [(&str, Deed); 11] = [
        ("deleted", |ring, _| fs::remove_file(ring)),
        ("renamed", |ring, place| {
            fs::rename(ring, place.join("other"))
        }),
        ("read-only", |ring, _| {
            fs::set_permissions(ring, fs::Permissions::from_mode(0o400))
        }),
        ("filled with rubbish", |ring, _| rubbish(ring)),
        ("filled with rubbish again and again", |ring, _| {
            (0..20).try_for_each(|_| rubbish(ring))
        }),
        ("filled with rubbish in its mode", |ring, _| {
            rubbish_in_this_mode(ring)
        }),
        ("filled with zeros", |ring, _| {
            overwrite(ring, 0..u64::MAX, || 0)
        }),
        ("filled with the highest numbers", |ring, _| {
            highest_numbers(ring)
        }),
        ("locked for ever", |ring, _| lock_entries(ring)),
        ("made longer", |ring, _| {
            fs::OpenOptions::new()
                .append(true)
                .open(ring)?
                .write_all(&[0x5a; 100_000])
        }),
        ("without its directory", |ring, place| {
            fs::remove_file(ring)?;
            fs::remove_dir_all(place)
        }),
    ];
    for (what, deed) in deeds {
        for mode in ["observe", "trace", "hunt", "guard"] {
            let rings = Rings::new()?;
            let place = rings.path().join("rings");
            fs::create_dir(&place)?;
            let end = rings.path().join("end");
            let running = Program::new(&both.patched)
                .arg("until")
                .arg(&end)
                .env("GOCC", format!("dir={} mode={mode}", place.display()))
                .start()?;
            let ring = first_ring(&place)?;
            std::thread::sleep(Duration::from_millis(150));
            deed(&ring, &place).with_context(|| format!("{what}: {}", ring.display()))?;
            std::thread::sleep(Duration::from_millis(150));
            fs::write(&end, "")?;
            let after = running.finish(BOUNDED)?;
            ensure!(
                after.ending() == "exit 0" && after.stdout.starts_with("working\ndone "),
                "a ring {what}, {mode}: {}",
                after.tail()
            );
        }
    }
    Ok(())
}

/// An operation waits a second for what somebody else wrote into the ring, on each of a few maps.
const BOUNDED: Duration = Duration::from_secs(60);

/// The entries of all maps look as if somebody was about to change them.
fn lock_entries(ring: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(ring)?;
    (0..layout::OCCUPANCY_COUNT).try_for_each(|index| {
        let entry = layout::OCCUPANCY_OFFSET + index * size_of::<layout::Occupancy>();
        let lock = entry + std::mem::offset_of!(layout::Occupancy, lock);
        file.write_all_at(&layout::ENTRY_LOCKED.to_le_bytes(), lock as u64)
    })
}

/// Where the mode stands, with its epoch.
const MODE: std::ops::Range<u64> = {
    let gate = (layout::CONTROL_OFFSET + std::mem::offset_of!(layout::Control, gate)) as u64;
    gate..gate + 8
};

/// All of it is overwritten while the program uses it: nothing that hooks take for an address or a size is there.
fn rubbish(ring: &Path) -> std::io::Result<()> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    overwrite(ring, 0..u64::MAX, || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word
    })
}

/// The same, but the mode stays what it was, again and again.
fn rubbish_in_this_mode(ring: &Path) -> std::io::Result<()> {
    let mut word = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..5 {
        for part in [0..MODE.start, MODE.end..u64::MAX] {
            overwrite(ring, part, || {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word
            })?;
        }
    }
    Ok(())
}

/// The highest numbers everywhere, but the mode stays what it was.
fn highest_numbers(ring: &Path) -> std::io::Result<()> {
    overwrite(ring, 0..MODE.start, || u64::MAX)?;
    overwrite(ring, MODE.end..u64::MAX, || u64::MAX)
}

/// A part of a ring, at most up to its end.
fn overwrite(
    ring: &Path,
    part: std::ops::Range<u64>,
    mut with: impl FnMut() -> u64,
) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(ring)?;
    let end = part.end.min(file.metadata()?.len());
    let mut at = part.start;
    while at < end {
        let words = (end - at).min(4096) / 8;
        let block: Vec<u8> = (0..words).flat_map(|_| with().to_le_bytes()).collect();
        file.write_all_at(&block, at)?;
        at += block.len() as u64;
    }
    Ok(())
}

/// A system call that hooks need fails with EPERM, as in a container: dormant, one line, and the program runs.
#[test]
fn without_system_calls() -> anyhow::Result<()> {
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    for (what, number) in [
        ("fallocate", libc::SYS_fallocate),
        ("ftruncate", libc::SYS_ftruncate),
    ] {
        let rings = Rings::new()?;
        let run = |path: &Path| {
            let mut command = Command::new(path);
            command
                .arg("execself")
                .arg("2")
                .env("GOCC", rings.setting("trace"));
            // SAFETY: only async-signal-safe system calls between fork and exec.
            unsafe { command.pre_exec(move || filter(number as u32, REFUSED)) };
            command.output()
        };
        let (before, after) = (run(&both.fixture.path)?, run(&both.patched)?);
        let said = String::from_utf8_lossy(&after.stderr);
        ensure!(
            before.status == after.status && before.stdout == after.stdout,
            "without {what}: {said}"
        );
        ensure!(
            said.lines().all(|line| line.starts_with("gocc:")),
            "without {what}: {said}"
        );
    }
    Ok(())
}

/// No /proc, no /dev: a chroot with nothing but the program. With a directory there is a ring, without one the
/// hooks stay dormant.
#[test]
fn in_a_chroot_without_proc() -> anyhow::Result<()> {
    if !is_root() {
        return skip("a chroot: only root may make one");
    }
    for (version, variant) in [("1.18", "static"), ("1.27", "static")] {
        let Some(both) = faults(version, variant)? else {
            continue;
        };
        let root = both.place.path().join("root");
        fs::create_dir(&root)?;
        let run = |from: &Path, setting: &str| {
            fs::copy(from, root.join("program"))?;
            Program::new("chroot")
                .arg(&root)
                .args(&["/program", "unequal"])
                .env("GOCC", setting)
                .run()
        };
        let before = run(&both.fixture.path, "")?;
        for (setting, rings) in [("mode=trace", 0), ("mode=trace dir=/", 1)] {
            let after = run(&both.patched, setting)?;
            ensure!(
                before.ending() == after.ending() && before.stdout == after.stdout,
                "{version} {setting}: {}",
                after.tail()
            );
            let found = fs::read_dir(&root)?.flatten();
            let found: Vec<PathBuf> = found
                .map(|entry| entry.path())
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "ring")
                })
                .collect();
            ensure!(found.len() == rings, "{version} {setting}: {found:?}");
            for ring in found {
                gocc::ring::Ring::open(&ring)?;
                fs::remove_file(ring)?;
            }
        }
    }
    Ok(())
}

/// File capabilities make a program privileged as setuid does: dormant, whatever the environment says.
#[test]
fn with_file_capabilities() -> anyhow::Result<()> {
    if !is_root() {
        return skip("file capabilities: only root may set them");
    }
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    let set = Program::new("setcap")
        .args(&["cap_net_raw+ep"])
        .arg(&both.patched)
        .run();
    if !set.is_ok_and(|outcome| outcome.status.success()) {
        return skip("file capabilities: setcap is missing or the file system has none");
    }
    let rings = Rings::new()?;
    for path in [rings.path(), both.place.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    // Root has the capabilities anyway; for somebody else they are new ones.
    let after = Command::new(&both.patched)
        .arg("unequal")
        .env("GOCC", rings.setting("trace"))
        .uid(65534)
        .gid(65534)
        .output()?;
    let before = Command::new(&both.fixture.path).arg("unequal").output()?;
    let said = String::from_utf8_lossy(&after.stderr);
    ensure!(
        before.stdout == after.stdout && before.status == after.status,
        "{said}"
    );
    ensure!(said.contains("gocc: privileged program"), "{said}");
    ensure!(
        rings.files()?.is_empty(),
        "a ring from a privileged program"
    );
    Ok(())
}

/// kill -9 at random moments under load: the ring can be read, and what was being written is counted, not
/// believed. `GOCC_KILLS` says how often.
#[test]
fn killed_at_any_moment() -> anyhow::Result<()> {
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    let kills: u32 = std::env::var("GOCC_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(12);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut records, mut torn) = (0, 0);
    for attempt in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let rings = Rings::new()?;
        let mode = ["observe", "trace", "hunt", "guard"][attempt as usize % 4];
        let mut child = Command::new(&both.patched)
            .args(["until", "/nonexistent"])
            .env("GOCC", rings.setting(&format!("{mode} ring=65536")))
            .stdout(std::process::Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_micros(random % 60_000));
        child.kill()?;
        ensure!(child.wait()?.signal() == Some(9), "not killed");
        for file in rings.files()? {
            let ring = match gocc::ring::Ring::open(&file) {
                Ok(ring) => ring,
                Err(gocc::ring::RingError::NotReady { .. }) => continue,
                Err(error) => return Err(error).with_context(|| format!("kill {attempt}")),
            };
            for lane in ring.lanes() {
                let mut lane = lane?;
                while let Some(block) = lane.next_block()? {
                    for record in block {
                        let operation = gocc::ring::operation_of(record);
                        ensure!(
                            operation.is_some() && record.map != 0,
                            "kill {attempt}: a committed record is damaged: {record:?}"
                        );
                        records += 1;
                    }
                }
            }
            torn += ring.conflicts()?.torn;
        }
    }
    println!("{kills} kills: {records} committed records read, {torn} torn conflicts counted");
    ensure!(records > 0, "killed too early to test anything");
    Ok(())
}

/// gdb attaches to a running patched program, sees Go's frames, and lets it go on; a core dump shows them too.
#[test]
fn gdb_attaches_and_reads_a_core() -> anyhow::Result<()> {
    if Program::new("gdb").arg("--version").run().is_err() {
        return skip("gdb is not installed");
    }
    let Some(both) = faults("1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let end = rings.path().join("end");
    let running = Program::new(&both.patched)
        .arg("where")
        .arg(&end)
        .env("GOCC", rings.setting("trace"))
        .start()?;
    first_ring(rings.path())?;
    std::thread::sleep(Duration::from_millis(300));
    let core = rings.path().join("core");
    let attached = Program::new("gdb")
        .args(&["-nx", "-batch", "-p", &running.child.id().to_string()])
        .args(&["-ex", "thread apply all bt"])
        .args(&[
            "-ex",
            &format!("generate-core-file {}", core.display()),
            "-ex",
            "detach",
        ])
        .limit(LONG)
        .run()?;
    fs::write(&end, "")?;
    let after = running.finish(LONG)?;
    ensure!(
        after.ending() == "exit 0" && after.stdout.ends_with("done\n"),
        "{}",
        after.tail()
    );
    ensure!(
        attached.stdout.contains("main.where"),
        "{}",
        attached.tail()
    );
    let read = Program::new("gdb")
        .args(&["-nx", "-batch"])
        .arg(&both.patched)
        .arg(&core)
        .args(&["-ex", "thread apply all bt"])
        .limit(LONG)
        .run()?;
    ensure!(read.stdout.contains("main.where"), "{}", read.tail());
    Ok(())
}
