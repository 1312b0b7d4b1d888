//! The first law: an instrumented program behaves as the original, whatever it does and wherever it
//! runs.

mod common;

use anyhow::{Context, ensure};
use common::fixture::skip;
use common::process::may_mount;
use common::{Both, Outcome, Program, Rings, both, fixture, sample_versions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const VERSIONS: &[&str] = &["1.18", "1.23", "1.27"];

/// The ways in which testdata/exits can end, but for those that are tested apart.
const WAYS: &[&str] = &[
    "zero",
    "seven",
    "panic",
    "nilmap",
    "nilstruct",
    "hash",
    "deadlock",
    "goexit",
    "term",
    "segv",
    "recover",
    "signal",
    "echo",
    "args",
    "env",
    "child",
];

/// Hexadecimal numbers, thread and goroutine states that differ between any two runs, made equal.
/// The names of functions, files and lines stay.
fn without_addresses(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        // Registers at a fatal signal, and which thread it hit.
        let is_register = line.len() > 7
            && line[..7].trim_end().len() <= 6
            && line[7..].trim_start().starts_with("0x");
        if is_register || line.starts_with("PC=") || line.contains(" m=") {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("0x") {
            plain.push_str(&rest[..at + 2]);
            let after = &rest[at + 2..];
            let end = after
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(after.len());
            rest = &after[end..];
            // Whether an argument's value is known for sure depends on the moment.
            rest = rest.strip_prefix('?').unwrap_or(rest);
        }
        plain.push_str(rest);
        plain.push('\n');
    }
    plain
}

/// What people look at in a traceback: the message, and the user's frames of the goroutine that ran,
/// with file and line. The rest depends on the moment (which threads were idle, for example).
fn essence(stderr: &str) -> Vec<String> {
    let plain = without_addresses(stderr);
    let mut blocks = plain.split("\n\n");
    let mut kept = vec![blocks.next().unwrap_or_default().to_owned()];
    let first_stack: Vec<&str> = blocks.next().unwrap_or_default().lines().collect();
    for call in first_stack.windows(2) {
        if call[0].starts_with("main.") {
            kept.extend(call.iter().map(|&line| line.to_owned()));
        }
    }
    kept
}

fn same(way: &str, before: &Outcome, after: &Outcome) -> anyhow::Result<()> {
    let same = before.ending() == after.ending()
        && before.stdout == after.stdout
        && essence(&before.stderr) == essence(&after.stderr);
    ensure!(
        same,
        "{way}: before {}\n\nafter {}",
        before.tail(),
        after.tail()
    );
    Ok(())
}

fn exits(version: &str, variant: &str) -> anyhow::Result<()> {
    let Some(both) = both("exits", version, variant)? else {
        return Ok(());
    };
    for way in WAYS {
        // With cgo the runtime does not look for deadlocks (runtime/proc.go, checkdead): these hang.
        if variant == "cgo" && ["deadlock", "goexit"].contains(way) {
            continue;
        }
        for mode in ["observe", "trace ring=1048576"] {
            let rings = Rings::new()?;
            let run = |path: &Path| {
                Program::new(path)
                    .arg(way)
                    .input("one\ntwo\n")
                    .limit(Duration::from_secs(30))
            };
            let before = run(&both.fixture.path).run()?;
            let after = run(&both.patched).env("GOCC", rings.setting(mode)).run()?;
            same(
                &format!("Go {version} {variant}, {way}, {mode}"),
                &before,
                &after,
            )?;
            let rings_wanted = if *way == "child" { 3 } else { 1 };
            let files = rings.files()?;
            ensure!(files.len() == rings_wanted, "{way}: rings {files:?}");
        }
    }
    Ok(())
}

#[test]
fn ends_as_before_static() -> anyhow::Result<()> {
    for version in sample_versions(VERSIONS) {
        exits(&version, "static")?;
    }
    Ok(())
}

#[test]
fn ends_as_before_pie_and_cgo() -> anyhow::Result<()> {
    for version in sample_versions(&["1.18", "1.27"]) {
        exits(&version, "pie")?;
        exits(&version, "cgo")?;
    }
    Ok(())
}

/// A stack overflow goes through every frame there is.
#[test]
fn overflows_as_before() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let before = Program::new(&both.fixture.path).arg("overflow").run()?;
    let after = Program::new(&both.patched)
        .arg("overflow")
        .env("GOCC", rings.setting("observe"))
        .run()?;
    ensure!(before.ending() == after.ending(), "{}", after.tail());
    ensure!(after.stderr.contains("stack overflow"), "{}", after.tail());
    Ok(())
}

#[test]
fn a_server_serves_as_before() -> anyhow::Result<()> {
    for version in sample_versions(&["1.18", "1.27"]) {
        for variant in ["static", "cgo"] {
            let Some(both) = both("server", &version, variant)? else {
                continue;
            };
            let rings = Rings::new()?;
            let before = Program::new(&both.fixture.path).arg("2000").run()?;
            let after = Program::new(&both.patched)
                .arg("2000")
                .env("GOCC", rings.setting("observe"))
                .run()?;
            same("server", &before, &after)?;
        }
    }
    Ok(())
}

/// Without `GOCC` in the environment the program runs as well, and says nothing.
#[test]
fn needs_no_settings() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let after = Program::new(&both.patched)
        .arg("zero")
        .directory(place.path())
        .run()?;
    ensure!(
        after.ending() == "exit 0" && after.stderr.is_empty(),
        "{}",
        after.tail()
    );
    Ok(())
}

#[test]
fn names_unknown_settings_and_goes_on() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let setting = rings.setting("observe,frobnicate=7 ");
    let after = Program::new(&both.patched)
        .arg("zero")
        .env("GOCC", setting)
        .run()?;
    ensure!(after.ending() == "exit 0", "{}", after.tail());
    ensure!(
        after.stderr.contains("frobnicate"),
        "not named: {}",
        after.tail()
    );
    ensure!(rings.files()?.len() == 1, "no ring");
    Ok(())
}

/// Runs a patched program in a place where no ring can be made: it says so in one line, and runs.
fn dormant(both: &Both, what: &str, program: Program) -> anyhow::Result<()> {
    let before = Program::new(&both.fixture.path).arg("zero").run()?;
    let after = program.run()?;
    ensure!(
        before.ending() == after.ending() && before.stdout == after.stdout,
        "{what}: {}",
        after.tail()
    );
    let lines: Vec<&str> = after.stderr.lines().collect();
    ensure!(
        lines.len() == 1 && lines[0].starts_with("gocc:"),
        "{what}: wanted one line, gocc: ..., on stderr: {}",
        after.tail()
    );
    Ok(())
}

#[test]
fn without_a_ring_the_program_runs() -> anyhow::Result<()> {
    for (version, variant) in [
        ("1.18", "static"),
        ("1.27", "static"),
        ("1.27", "pie"),
        ("1.27", "cgo"),
    ] {
        let Some(both) = both("exits", version, variant)? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let file = place.path().join("file");
        std::fs::write(&file, "not a directory")?;
        let long = format!("/{}", "x".repeat(5000));
        let missing = place.path().join("missing");
        let directories: [(&str, &str); 6] = [
            (
                "a directory that is not there",
                &missing.display().to_string(),
            ),
            ("a file", &file.display().to_string()),
            ("procfs", "/proc"),
            ("below a device", "/dev/null/x"),
            ("a name too long", &long),
            ("a relative one that is not there", "no/such/place"),
        ];
        for (what, directory) in directories {
            let setting = format!("dir={directory} mode=observe");
            dormant(
                &both,
                what,
                Program::new(&both.patched).arg("zero").env("GOCC", setting),
            )?;
        }
        ensure!(
            std::fs::read_dir(place.path())?.count() == 1,
            "something was left behind"
        );
    }
    Ok(())
}

/// A full file system must be noticed at start: later it would be a SIGBUS.
#[test]
fn without_space_the_program_runs() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let script = format!(
        "mount -t tmpfs -o size=256k none {0} && exec env 'GOCC=dir={0} mode=observe ring=1048576' {1} zero",
        place.path().display(),
        both.patched.display()
    );
    if !may_mount(place.path()) {
        return skip("a full tmpfs: this user may not mount one (unshare -rm)");
    }
    dormant(
        &both,
        "a full tmpfs",
        Program::new("unshare").args(&["-rm", "sh", "-c", &script]),
    )
}

/// A limit on the size of files makes fallocate raise SIGXFSZ, which would kill the program before
/// Go's runtime is there to handle it.
#[test]
fn with_a_file_size_limit_the_program_runs() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let script = format!("ulimit -f 64; exec {} zero", both.patched.display());
    let program = Program::new("sh").args(&["-c", &script]);
    dormant(
        &both,
        "ulimit -f",
        program.env("GOCC", rings.setting("observe")),
    )
}

/// Little address space: mmap fails.
#[test]
fn with_little_address_space_the_program_runs() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.18", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let script = format!("ulimit -v 2000000; exec {} zero", both.patched.display());
    let program = Program::new("sh").args(&["-c", &script]);
    let setting = rings.setting("trace ring=1073741824");
    let after = program.env("GOCC", setting).run()?;
    ensure!(after.ending() == "exit 0", "{}", after.tail());
    Ok(())
}

/// A program with more rights than its caller takes no settings from the environment.
#[test]
fn a_setuid_program_stays_dormant() -> anyhow::Result<()> {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return skip("a setuid program: only root can make one for another user");
    }
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let nobody = 65534;
    std::os::unix::fs::chown(&both.patched, Some(nobody), None)?;
    std::fs::set_permissions(&both.patched, std::fs::Permissions::from_mode(0o4755))?;
    let rings = Rings::new()?;
    std::fs::set_permissions(rings.path(), std::fs::Permissions::from_mode(0o777))?;
    let setting = rings.setting("observe");
    dormant(
        &both,
        "setuid",
        Program::new(&both.patched).arg("zero").env("GOCC", setting),
    )?;
    ensure!(rings.files()?.is_empty(), "a ring from a setuid program");
    Ok(())
}

/// The ring file is the user's own, is never an existing file, and no link is followed.
#[test]
fn the_ring_is_private() -> anyhow::Result<()> {
    let Some(both) = both("exits", "1.27", "static")? else {
        return Ok(());
    };
    let rings = Rings::new()?;
    let script = format!("umask 0; exec {} zero", both.patched.display());
    let program = Program::new("sh").args(&["-c", &script]);
    let after = program.env("GOCC", rings.setting("observe")).run()?;
    ensure!(after.ending() == "exit 0", "{}", after.tail());
    let files = rings.files()?;
    ensure!(files.len() == 1, "{files:?}");
    let mode = std::fs::metadata(&files[0])?.permissions().mode() & 0o7777;
    ensure!(mode == 0o600, "mode {mode:o}");
    let name = files[0]
        .file_name()
        .context("no name")?
        .to_string_lossy()
        .into_owned();
    ensure!(
        name.starts_with("gocc-") && name.contains(&after.pid.to_string()),
        "{name}"
    );
    Ok(())
}

/// The collector at every allocation, with the runtime's own checks on.
#[test]
fn survives_the_runtimes_checks() -> anyhow::Result<()> {
    for version in sample_versions(VERSIONS) {
        let Some(both) = both("stress", &version, "static")? else {
            continue;
        };
        let before = Program::new(&both.fixture.path).arg("2000").run()?;
        for (gogc, godebug) in [
            ("1", ""),
            ("100", "gccheckmark=1"),
            ("20", "clobberfree=1"),
            ("20", "gcstoptheworld=1"),
            ("20", "asyncpreemptoff=1"),
            ("20", "gcshrinkstackoff=1"),
        ] {
            let rings = Rings::new()?;
            let run = |path: &Path| {
                let program = Program::new(path)
                    .arg("2000")
                    .env("GOGC", gogc)
                    .env("GODEBUG", godebug);
                program.limit(Duration::from_secs(300))
            };
            let setting = rings.setting("observe");
            let after = run(&both.patched).env("GOCC", setting).run()?;
            let what = format!("Go {version}, GOGC={gogc} GODEBUG={godebug}");
            ensure!(
                after.ending() == "exit 0" && before.stdout == after.stdout,
                "{what}: {}",
                after.tail()
            );
        }
    }
    Ok(())
}

/// 20,000 goroutines, map operations at every stack depth, the collector without pause, 1000 Hz of
/// profiling, all stacks dumped over and over: in each mode, on one CPU and on all.
#[test]
fn survives_stress() -> anyhow::Result<()> {
    for version in sample_versions(VERSIONS) {
        for variant in ["static", "pie"] {
            let Some(both) = both("stress", &version, variant)? else {
                continue;
            };
            let before = Program::new(&both.fixture.path).run()?;
            ensure!(
                before.ending() == "exit 0",
                "the fixture itself: {}",
                before.tail()
            );
            for (mode, cpus) in [
                ("observe", ""),
                ("trace ring=1048576", ""),
                ("observe", "1"),
            ] {
                let rings = Rings::new()?;
                let mut program = Program::new(&both.patched).env("GOCC", rings.setting(mode));
                if !cpus.is_empty() {
                    program = program.env("GOMAXPROCS", cpus);
                }
                let after = program.limit(Duration::from_secs(300)).run()?;
                ensure!(
                    after.ending() == "exit 0" && before.stdout == after.stdout,
                    "Go {version} {variant} {mode} GOMAXPROCS={cpus}: {}",
                    after.tail()
                );
            }
        }
    }
    Ok(())
}

/// The same where operations yield: held at the door, or waiting for their turn.
#[test]
fn survives_stress_while_it_yields() -> anyhow::Result<()> {
    for version in sample_versions(&["1.27"]) {
        let Some(both) = both("stress", &version, "static")? else {
            continue;
        };
        let before = Program::new(&both.fixture.path).run()?;
        for mode in ["hunt", "guard"] {
            for cpus in ["1", "2"] {
                let rings = Rings::new()?;
                let program = Program::new(&both.patched)
                    .env("GOCC", rings.setting(mode))
                    .env("GOMAXPROCS", cpus);
                let after = program.limit(Duration::from_secs(300)).run()?;
                let what = || format!("Go {version} {mode} GOMAXPROCS={cpus}: {}", after.tail());
                ensure!(
                    after.ending() == "exit 0" && before.stdout == after.stdout,
                    "{}",
                    what()
                );
                let findings = rings.report()?.findings;
                ensure!(findings.is_empty(), "{}: {findings:#?}", what());
            }
        }
    }
    Ok(())
}

/// SIGQUIT in mid-load: the dump shows goroutines with their callers, also those inside a hook. With
/// GOTRACEBACK=crash every thread dumps what it is just doing, and the end is a SIGABRT. The fixture
/// says why it does not dump stacks of its own meanwhile.
#[test]
fn dumps_on_sigquit() -> anyhow::Result<()> {
    for version in sample_versions(VERSIONS) {
        for variant in ["static", "pie"] {
            let Some(both) = both("stress", &version, variant)? else {
                continue;
            };
            let mut with_callers = 0;
            for attempt in 0..6 {
                let level = if attempt % 2 == 0 { "all" } else { "crash" };
                let after = quit(
                    &both.patched,
                    level,
                    Duration::from_millis(300 + 70 * attempt),
                )?;
                let what = format!("Go {version} {variant}: {}", after.tail());
                let expected = if level == "all" { "exit 2" } else { "signal 6" };
                ensure!(
                    after.ending() == expected && after.stderr.contains("SIGQUIT"),
                    "{what}"
                );
                for bad in [
                    "unknown pc",
                    "unexpected return pc",
                    "traceback stuck",
                    "fatal error",
                ] {
                    ensure!(!after.stderr.contains(bad), "{bad}. {what}");
                }
                with_callers += usize::from(after.stderr.contains("main.descend"));
            }
            ensure!(
                with_callers >= 2,
                "Go {version} {variant}: callers in {with_callers} of 6 dumps"
            );
        }
    }
    Ok(())
}

fn quit(patched: &Path, traceback: &str, after: Duration) -> anyhow::Result<Outcome> {
    let rings = Rings::new()?;
    let script = format!("ulimit -c 0; exec {} 300 0", patched.display());
    let program = Program::new("sh").args(&["-c", &script]);
    let setting = rings.setting("trace ring=1048576");
    let running = program
        .env("GOCC", setting)
        .env("GOTRACEBACK", traceback)
        .start()?;
    std::thread::sleep(after);
    running.signal(libc::SIGQUIT)?;
    running.finish(Duration::from_secs(60))
}

/// SIGKILL in mid-load: every operation that the program said it had made is in the ring.
#[test]
fn loses_nothing_to_sigkill() -> anyhow::Result<()> {
    for version in sample_versions(VERSIONS) {
        let Some(both) = both("counter", &version, "static")? else {
            continue;
        };
        let mut killed_at_work = 0;
        for attempt in 0..6 {
            if killed_at_work == 3 {
                break;
            }
            let delay = Duration::from_millis(300 + 97 * attempt);
            if let Some((said, made, lost)) = kill(&both.patched, delay)? {
                killed_at_work += 1;
                let what = format!("Go {version}: said {said}, recorded {made}, lost {lost}");
                // It may have been killed after some of the next thousand.
                ensure!((said..=said + 1000).contains(&made), "{what}");
            }
        }
        ensure!(
            killed_at_work == 3,
            "Go {version}: at work only {killed_at_work} times of 6"
        );
    }
    Ok(())
}

/// Kills the counting program: what it said it had done, what is in its ring, what that says is lost.
/// `None` when it had not said anything yet.
fn kill(patched: &Path, delay: Duration) -> anyhow::Result<Option<(u64, u64, u64)>> {
    let rings = Rings::new()?;
    // A million records in each lane: more than the program makes in a second.
    let setting = rings.setting("trace ring=67108864");
    let running = Program::new(patched).env("GOCC", setting).start()?;
    std::thread::sleep(delay);
    running.signal(libc::SIGKILL)?;
    let after = running.finish(Duration::from_secs(10))?;
    ensure!(after.ending() == "signal 9", "{}", after.tail());
    let Some(said) = last_number(&after.stdout) else {
        return Ok(None);
    };
    let stats = rings.stats()?;
    let counted = |row: &&common::gocc::Operations| {
        row.function == "main.opCount" && row.operation == "assign"
    };
    let made = stats
        .operations
        .iter()
        .filter(counted)
        .map(|row| row.count)
        .sum();
    Ok(Some((said, made, stats.losses())))
}

fn last_number(text: &str) -> Option<u64> {
    // The last line may be cut off.
    let whole = &text[..=text.rfind('\n')?];
    whole.lines().last()?.parse().ok()
}

/// The demo inside gocc is built from its source, bit for bit.
#[test]
fn the_demo_is_built_from_its_source() -> anyhow::Result<()> {
    if common::toolchain("1.27.3")?.is_none() {
        return Ok(());
    }
    let script = common::fixture::repository().join("scripts/build-demo");
    let outcome = Program::new(script)
        .arg("--check")
        .limit(Duration::from_secs(600))
        .run()?;
    ensure!(outcome.ending() == "exit 0", "{}", outcome.tail());
    Ok(())
}

/// It is over in two seconds, also on one CPU, where Go itself never notices the race.
#[test]
fn the_demo_is_short() -> anyhow::Result<()> {
    let Some(fixture) = fixture("demo", "1.27", "stripped")? else {
        return Ok(());
    };
    for cpus in ["1", "2"] {
        let started = Instant::now();
        let outcome = Program::new(&fixture.path).env("GOMAXPROCS", cpus).run()?;
        let died = outcome.stderr.contains("fatal error: concurrent map");
        ensure!(outcome.ending() == "exit 0" || died, "{}", outcome.tail());
        ensure!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
    }
    Ok(())
}
