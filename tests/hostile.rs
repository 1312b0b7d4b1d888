//! Hostile input: the deterministic share of the fuzzing. Thousands of damaged executables, rings and
//! reports, made from real ones by seeded random edits, get errors or answers: no panic, no endless loop.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz TARGET`, with the seeds' directory in `GOCC_FUZZ_SEEDS`, runs the same
//! functions under libFuzzer. `GOCC_HOSTILE_SEED` and `GOCC_HOSTILE_ROUNDS` make other and longer sequences. A case that once went wrong lies in
//! `tests/fuzz/regressions/TARGET-*` and is run here too.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;
#[path = "fuzz/harness/mod.rs"]
mod harness;

use anyhow::ensure;
use common::fixture::repository;
use common::gocc::GOCC;
use common::random::Random;
use common::{Program, Rings, fixture, patch};
use harness::{Part, Seeds};
use std::path::Path;
use std::time::Duration;

/// Longer than any case may take of the CPU: on a busy machine, the clock on the wall says little.
const SLOW: Duration = Duration::from_secs(10);

/// A case with one to eight edits.
fn case(random: &mut Random) -> Vec<u8> {
    let size = 1 + 13 * (1 + random.next() as usize % 8);
    (0..size).map(|_| (random.next() >> 24) as u8).collect()
}

/// A number from the environment, for long runs with other sequences.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// What this thread has used of the CPU.
fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// The cases that once went wrong for a target.
fn regressions(target: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(repository().join("tests/fuzz/regressions"))? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{target}-"))
        {
            cases.push(std::fs::read(entry.path())?);
        }
    }
    Ok(cases)
}

/// Runs a target on its regressions and on `count` random cases. Some must be accepted and some refused: else
/// the damage is too great or too small to test anything.
fn attack(
    target: &str,
    count: usize,
    run: impl Fn(&[u8]) -> bool + std::panic::RefUnwindSafe,
) -> anyhow::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ number("GOCC_HOSTILE_SEED", 0));
    let mut cases = regressions(target)?;
    let count = count * number("GOCC_HOSTILE_ROUNDS", 1) as usize;
    cases.extend((0..count).map(|_| case(&mut random)));
    let (mut accepted, mut refused) = (0, 0);
    for case in &cases {
        let start = cpu_time();
        let outcome = std::panic::catch_unwind(|| run(case));
        ensure!(outcome.is_ok(), "{target} panics on the case {case:?}");
        let took = cpu_time().saturating_sub(start);
        ensure!(took < SLOW, "{target} takes {took:?} for {case:?}");
        if outcome.unwrap_or_default() {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    println!("{target}: {accepted} accepted, {refused} refused");
    ensure!(
        accepted > 0 && refused > 0,
        "{target}: {accepted} accepted, {refused} refused"
    );
    Ok(())
}

/// Executables of several kinds, patched ones, and the rings and the report of their runs.
fn make_seeds(place: &Path) -> anyhow::Result<bool> {
    let mut made = 0;
    for (version, variant) in [("1.18", "static"), ("1.27", "static"), ("1.23", "pie")] {
        let Some(built) = fixture("pairs", version, variant)? else {
            continue;
        };
        let name = format!("{version}-{variant}");
        std::fs::copy(&built.path, place.join(format!("{name}.elf")))?;
        let patched_in = tempfile::tempdir()?;
        let patched = patch(&built, patched_in.path())?;
        std::fs::copy(&patched, place.join(format!("{name}.patched")))?;
        made += 1;
        for mode in ["trace", "observe"] {
            let rings = Rings::new()?;
            Program::new(&patched)
                .arg("read-assign")
                .env("GOCC", rings.setting(&format!("{mode} ring=4096")))
                .run()?;
            for ring in rings.files()? {
                std::fs::copy(ring, place.join(format!("{name}-{mode}.ring")))?;
            }
            let report = Program::new(GOCC)
                .args(&["report", "--suspects", "--format", "json"])
                .arg(rings.path())
                .run()?;
            std::fs::write(place.join(format!("{name}-{mode}.json")), report.stdout)?;
        }
    }
    Ok(made > 0)
}

fn with_seeds(body: impl FnOnce(&Seeds) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    if !make_seeds(place.path())? {
        return Ok(());
    }
    body(&Seeds::load(place.path()))
}

#[test]
fn damaged_executables() -> anyhow::Result<()> {
    with_seeds(|seeds| {
        for (target, part, count) in [
            ("headers", Part::Headers, 120),
            ("functions", Part::Functions, 60),
            ("moduledata", Part::Moduledata, 100),
            ("build_info", Part::BuildInfo, 60),
            ("dwarf", Part::Dwarf, 40),
        ] {
            attack(target, count, |case| harness::program(seeds, part, case))?;
        }
        Ok(())
    })
}

#[test]
fn damaged_code_is_planned_or_refused() -> anyhow::Result<()> {
    with_seeds(|seeds| {
        attack("plan", 60, |case| harness::plan(seeds, case))?;
        attack("note", 100, |case| harness::note(seeds, case))
    })
}

#[test]
fn damaged_rings_and_reports() -> anyhow::Result<()> {
    with_seeds(|seeds| {
        attack("ring", 1000, |case| harness::ring(seeds, case))?;
        attack("ring_report", 150, |case| harness::ring_report(seeds, case))?;
        attack("report_file", 800, |case| harness::report_file(seeds, case))
    })
}

/// Writes the seeds into the directory that the fuzz targets read them from.
#[test]
#[ignore = "for fuzzing: writes the seeds into the directory GOCC_FUZZ_SEEDS"]
fn seeds_for_the_fuzzer() -> anyhow::Result<()> {
    let place = std::env::var_os("GOCC_FUZZ_SEEDS").expect("GOCC_FUZZ_SEEDS names a directory");
    std::fs::create_dir_all(&place)?;
    ensure!(make_seeds(Path::new(&place))?, "no seeds");
    Ok(())
}
