//! Block: the first conflict ends the program, before the map comes to harm, with a defined exit code or a
//! core dump, and standard error has both sides.

mod common;

use anyhow::{Context, ensure};
use common::{Ends, Outcome, Program, Rings, fixture, patch, sample_versions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

/// Runs until the two goroutines have met.
const RUNS: u32 = 10;

fn block(patched: &Path, rings: &Rings, more: &str) -> anyhow::Result<Outcome> {
    Program::new("sh")
        .args(&["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\""])
        .arg(patched)
        .directory(rings.path())
        .env("GOCC", rings.setting(&format!("block {more}")))
        .env("GOMAXPROCS", "2")
        .run()
}

/// The first run that was ended.
fn ended(patched: &Path, more: &str) -> anyhow::Result<(Outcome, Rings)> {
    for _ in 0..RUNS {
        let rings = Rings::new()?;
        let outcome = block(patched, &rings, more)?;
        if outcome.stderr.contains("CONCURRENT MAP ACCESS") {
            return Ok((outcome, rings));
        }
        // One at a time: nothing to end.
        ensure!(outcome.stdout == "survived\n", "{}", outcome.tail());
    }
    anyhow::bail!("not ended in {RUNS} runs")
}

#[test]
fn the_first_conflict_ends_the_program_and_both_sides_are_told() -> anyhow::Result<()> {
    for (version, variant) in sample_versions(&["1.18", "1.21", "1.27"])
        .into_iter()
        .flat_map(|version| [(version.clone(), "stripped"), (version, "static")])
    {
        let Some(fixture) = fixture("guarded/writers", &version, variant)? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        let (outcome, rings) = ended(&patched, "exitcode=77")?;
        let what = || format!("Go {version} {variant}: {}", outcome.tail());
        ensure!(outcome.status.code() == Some(77), "{}", what());
        ensure!(!outcome.stderr.contains("fatal error"), "{}", what());
        // Functions, files and lines of both sides and of who created them.
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        let at = |start: &str| lines.iter().position(|line| line.starts_with(start));
        let previous = at("Previous ").with_context(what)?;
        let created = at("Goroutine ").with_context(what)?;
        let marked = |lines: &[&str]| {
            lines.iter().any(|line| {
                fixture
                    .sides
                    .iter()
                    .any(|side| line.ends_with(&format!("/{}:{}", side.file, side.line)))
            })
        };
        ensure!(marked(&lines[..previous]), "the first side. {}", what());
        ensure!(
            marked(&lines[previous..created]),
            "the second side. {}",
            what()
        );
        ensure!(
            lines[created..].contains(&"  main.main()"),
            "who created them. {}",
            what()
        );
        let ring = rings.files()?.pop().with_context(what)?;
        ensure!(
            outcome
                .stderr
                .contains(&format!("full report: gocc report {}", ring.display())),
            "{}",
            what()
        );
        let report = rings.report()?;
        ensure!(report.findings.len() == 1, "{:#?}", report.findings);
        ensure!(
            report.names(&fixture.sides, None) == Ends::Both
                && report.findings[0].grade == "confirmed",
            "{:#?}",
            report.findings
        );
    }
    Ok(())
}

#[test]
fn a_core_dump_when_asked_for() -> anyhow::Result<()> {
    let Some(fixture) = fixture("guarded/writers", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let (outcome, rings) = ended(&patched, "core=1")?;
    let what = || outcome.tail();
    ensure!(outcome.status.signal() == Some(libc::SIGABRT), "{}", what());
    ensure!(outcome.stderr.contains("with a core dump"), "{}", what());
    // Where dumps go is the machine's choice; a plain name means beside the program's rings.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    if !pattern.starts_with('|') && !pattern.contains('/') {
        let mut files = std::fs::read_dir(rings.path())?;
        let is_core = |name: std::ffi::OsString| name.to_string_lossy().starts_with("core");
        let found = files.any(|file| file.is_ok_and(|file| is_core(file.file_name())));
        ensure!(
            !pattern.starts_with("core") || found,
            "no core dump. {}",
            what()
        );
    }
    ensure!(rings.report()?.findings.len() == 1, "{}", what());
    Ok(())
}
