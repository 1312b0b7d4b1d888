//! Hostile input: the deterministic share of the fuzzing. Thousands of damaged executables, rings and
//! reports, made from real ones by seeded random edits, get errors or answers: no panic, no endless loop.
//!
//! `scripts/fuzz` runs the same functions under libFuzzer. `GOCC_HOSTILE_SEED` and `GOCC_HOSTILE_ROUNDS` make other and longer sequences. A case that once went wrong lies in
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
use harness::{Seeds, TARGETS};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// Longer than any case may take of the CPU: on a busy machine, the clock on the wall says little.
const SLOW: Duration = Duration::from_secs(10);

/// Settings of every kind.
const SETTINGS: &str = r#"
baseline = "known.json"
[run]
mode = "hunt"
[decide]
source = "fail"
confirmed = "stop"
suspect = "log"
[[suppress]]
function = "main.(*Cache).*"
reason = "single-threaded until start() returns"
expires = 2027-03-31
"#;

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
            if mode == "observe" {
                make_text_seeds(rings.path(), &name, place)?;
            }
        }
    }
    copy_sources(place)?;
    Ok(made > 0 && make_guarded_seeds(place)?)
}

/// What hunt and guard leave behind: rings with traps, occupied maps and conflicts, and a file of suspects.
fn make_guarded_seeds(place: &Path) -> anyhow::Result<bool> {
    for (mode, program) in [("hunt", "latent/locks"), ("guard", "guarded/writers")] {
        let Some(built) = fixture(program, "1.27", "static")? else {
            return Ok(false);
        };
        let patched_in = tempfile::tempdir()?;
        let patched = patch(&built, patched_in.path())?;
        let rings = Rings::new()?;
        let command = if mode == "hunt" {
            Program::new(GOCC)
                .args(&["exec", "--mode", "hunt", "--suspects"])
                .arg(place.join("locks.suspects"))
                .arg(&patched)
        } else {
            Program::new(&patched)
        };
        let run = command
            .env("GOCC", rings.setting(&format!("{mode} ring=4096")))
            .run()?;
        let made = rings.files()?;
        ensure!(!made.is_empty(), "{mode}: no ring: {}", run.tail());
        for (number, ring) in made.iter().enumerate() {
            std::fs::copy(ring, place.join(format!("{mode}-{number}.ring")))?;
        }
    }
    ensure!(place.join("locks.suspects").exists(), "no suspects");
    Ok(true)
}

/// A profile and a baseline of the run whose rings these are.
fn make_text_seeds(rings: &Path, name: &str, place: &Path) -> anyhow::Result<()> {
    let packed = place.join("profile.gz");
    let report = ["report", "--suspects", "--format", "pprof", "--output"];
    Program::new(GOCC)
        .args(&report)
        .arg(&packed)
        .arg(rings)
        .run()?;
    let mut profile = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(&packed)?).read_to_end(&mut profile)?;
    std::fs::write(place.join(format!("{name}.pb")), profile)?;
    let baseline = place.join(format!("{name}.baseline"));
    let written = Program::new(GOCC)
        .args(&["baseline", "--output"])
        .arg(&baseline)
        .arg(rings)
        .run()?;
    ensure!(written.status.success(), "{}", written.tail());
    Ok(())
}

/// Real Go programs, and settings with everything that may be set.
fn copy_sources(place: &Path) -> anyhow::Result<()> {
    for program in ["ops", "server", "faults", "labels", "overlap"] {
        let source = repository().join("testdata").join(program).join("main.go");
        std::fs::copy(source, place.join(format!("{program}.go")))?;
    }
    Ok(std::fs::write(place.join("all.toml"), SETTINGS)?)
}

fn with_seeds(body: impl FnOnce(&Seeds) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    if !make_seeds(place.path())? {
        return Ok(());
    }
    body(&Seeds::load(place.path()))
}

/// The targets with these names.
fn attack_all(names: &[&str]) -> anyhow::Result<()> {
    with_seeds(|seeds| {
        for (target, run, count) in TARGETS {
            if names.contains(&target) {
                attack(target, count, |case| run(seeds, case))?;
            }
        }
        Ok(())
    })
}

#[test]
fn damaged_executables() -> anyhow::Result<()> {
    attack_all(&["headers", "functions", "moduledata", "build_info", "dwarf"])
}

#[test]
fn damaged_code_is_planned_or_refused() -> anyhow::Result<()> {
    attack_all(&["plan", "note", "relocation"])
}

#[test]
fn damaged_rings_and_reports() -> anyhow::Result<()> {
    attack_all(&["ring", "ring_report", "report_file"])
}

#[test]
fn damaged_texts() -> anyhow::Result<()> {
    attack_all(&["profile", "settings", "suspects", "go_source"])
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
