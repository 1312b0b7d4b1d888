//! Hunt: races that do not happen natively are caught in the act, and correct programs are left in
//! peace.
//!
//! A sample of programs that need no file of suspects: main's own access to the map, earlier and in
//! order, is a near miss already. `scripts/hunt` runs every program on several Go versions and numbers
//! of CPUs.

mod common;

use anyhow::{Context, ensure};
use common::gocc::GOCC;
use common::{Ends, Fixture, Program, Report, Rings, fixture, patch, sample_versions};
use gocc::ring::Ring;
use gocc::ring::layout::ORDERED_AT;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Runs after which a latent race must have been caught.
const HUNTS: u32 = 5;
/// Far longer than any of these programs takes.
const LIMIT: Duration = Duration::from_secs(60);

/// One run in mode hunt: the program must end as it does natively.
fn hunt(patched: &Path, procs: &str, seed: u32) -> anyhow::Result<Report> {
    let rings = Rings::new()?;
    let outcome = Program::new(patched)
        .limit(LIMIT)
        .env("GOCC", rings.setting(&format!("hunt seed={seed}")))
        .env("GOMAXPROCS", procs)
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    ensure!(outcome.stderr.is_empty(), "{}", outcome.tail());
    rings.report().with_context(|| outcome.tail())
}

/// In which run a confirmed finding named both marked lines. Other confirmed findings are false.
fn caught_in(fixture: &Fixture, patched: &Path, procs: &str) -> anyhow::Result<Option<u32>> {
    for run in 1..=HUNTS {
        let report = hunt(patched, procs, run)?;
        let confirmed = || {
            let findings = report.findings.iter();
            findings.filter(|finding| finding.grade == "confirmed")
        };
        let other = confirmed().find(|finding| finding.names(&fixture.sides, None) != Ends::Both);
        ensure!(other.is_none(), "not the marked lines: {other:#?}");
        if confirmed().next().is_some() {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

fn catches(name: &str) -> anyhow::Result<()> {
    for version in sample_versions(&["1.27"]) {
        let Some(fixture) = fixture(name, &version, "stripped")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        for procs in ["1", "2"] {
            let what = || format!("{name}, Go {version}, GOMAXPROCS={procs}");
            let caught = caught_in(&fixture, &patched, procs).with_context(what)?;
            ensure!(caught.is_some(), "{}: not caught in {HUNTS} runs", what());
        }
    }
    Ok(())
}

#[test]
fn catches_a_read_and_an_assignment() -> anyhow::Result<()> {
    catches("latent/readassign")
}

#[test]
fn catches_operations_through_reflect() -> anyhow::Result<()> {
    catches("latent/reflection")
}

#[test]
fn catches_an_iteration_and_a_delete() -> anyhow::Result<()> {
    catches("latent/iteratedelete")
}

#[test]
fn catches_goroutines_that_live_for_one_operation() -> anyhow::Result<()> {
    catches("latent/shortlived")
}

#[test]
fn catches_operations_on_struct_keys() -> anyhow::Result<()> {
    catches("latent/structkeys")
}

/// A program that does little else than using maps: hunt leaves most of that out to keep its budget, and says how much,
/// but not what happens at places that are seldom visited.
#[test]
fn catches_what_is_seldom_done_among_much_that_is_left_out() -> anyhow::Result<()> {
    for version in sample_versions(&["1.23", "1.27"]) {
        let Some(fixture) = fixture("mapbound", &version, "static")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        for procs in ["1", "2"] {
            let what = || format!("Go {version}, GOMAXPROCS={procs}");
            let suspects = place.path().join(format!("suspects-{procs}"));
            let (mut caught, mut left_out) = (false, 0);
            // Where others have the CPUs, the program has too little time for hooks to be too dear in it.
            for _ in 0..HUNTS {
                let (report, so_many) = hunt_mapbound(&patched, procs, &suspects)?;
                left_out += so_many;
                let mut confirmed = report.findings.iter();
                if let Some(finding) = confirmed.find(|f| f.grade == "confirmed") {
                    let ends = finding.names(&fixture.sides, None);
                    ensure!(ends == Ends::Both, "not the marked lines: {finding:#?}");
                    caught = true;
                }
                if caught && left_out > 0 {
                    break;
                }
            }
            ensure!(left_out > 0, "{}: nothing left out", what());
            ensure!(caught, "{}: not caught", what());
        }
    }
    Ok(())
}

/// One hunted run, and how many operations hunt has left out.
fn hunt_mapbound(patched: &Path, procs: &str, suspects: &Path) -> anyhow::Result<(Report, u64)> {
    let rings = Rings::new()?;
    let outcome = Program::new(GOCC)
        .args(&["exec", "--mode=hunt", "--dir"])
        .arg(rings.path())
        .arg("--suspects")
        .arg(suspects)
        .arg("--")
        .arg(patched)
        .args(&["1500", "2", "0"])
        .limit(LIMIT)
        .env("GOMAXPROCS", procs)
        .run()?;
    let is_over = matches!(outcome.status.code(), Some(0 | 66));
    ensure!(is_over, "{}", outcome.tail());
    Ok((rings.report()?, left_out(&rings)?))
}

/// Operations that hunt did not look at, as gocc tells.
fn left_out(rings: &Rings) -> anyhow::Result<u64> {
    let stats = rings.stats()?;
    let left_out = stats.lost.get("left_out");
    left_out.copied().context("left_out is not told")
}

/// Where the budget allows it, every operation is looked at.
#[test]
fn nothing_is_left_out_while_the_budget_lasts() -> anyhow::Result<()> {
    let Some(fixture) = fixture("mapbound", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let rings = Rings::new()?;
    let outcome = Program::new(&patched)
        .args(&["1500", "1", "1000"])
        .limit(LIMIT)
        .env("GOCC", rings.setting("hunt"))
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    let operations = outcome.stdout.trim().rsplit(' ').next();
    let operations: u64 = operations.context("no number")?.parse()?;
    // Some hundred at each place, where a few would not count as busy.
    ensure!(operations > 1_500, "{operations} operations");
    let left_out = left_out(&rings)?;
    ensure!(left_out == 0, "{left_out} left out");
    Ok(())
}

/// The places of a run that explored, each with its operations and holds.
fn explored(patched: &Path, seed: u32) -> anyhow::Result<Vec<(u32, u32, u32)>> {
    let rings = Rings::new()?;
    // Without near misses nothing depends on the time, and there is enough of it.
    let setting = format!("hunt seed={seed} window=0us hold=10us budget=10000");
    let outcome = Program::new(patched)
        .args(&["places", "0"])
        .limit(LIMIT)
        .env("GOCC", rings.setting(&setting))
        .run()?;
    ensure!(outcome.status.success(), "{}", outcome.tail());
    let ring = rings.files()?.pop().context("no ring")?;
    let places = Ring::open(&ring)?.places()?;
    Ok(places
        .iter()
        .map(|place| (place.pc, place.visits, place.holds))
        .collect())
}

/// With the same seed the same operations are held, with another one others.
#[test]
fn what_is_held_can_be_had_again_with_its_seed() -> anyhow::Result<()> {
    let Some(fixture) = fixture("paced", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let mut seen = BTreeSet::new();
    for seed in 1..=4 {
        let first = explored(&patched, seed)?;
        let held: u32 = first.iter().map(|(_, _, holds)| holds).sum();
        ensure!(held != 0, "seed {seed} holds nothing: {first:?}");
        for _ in 0..3 {
            let again = explored(&patched, seed)?;
            ensure!(again == first, "seed {seed}: {first:?}, then {again:?}");
        }
        seen.insert(first);
    }
    ensure!(seen.len() == 4, "seeds choose alike: {seen:?}");
    Ok(())
}

/// What a lock or a channel orders is held a few times, and then left alone.
#[test]
fn what_synchronisation_orders_is_learned() -> anyhow::Result<()> {
    /// A place of which nothing is learned is held about that often until its chance has decayed.
    const DECAYED: u64 = 16;
    let Some(fixture) = fixture("paced", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    for what in ["locked", "handed"] {
        let rings = Rings::new()?;
        let outcome = Program::new(&patched)
            .args(&[what, "1500"])
            .limit(LIMIT)
            .env("GOCC", rings.setting("hunt budget=10000"))
            .run()?;
        ensure!(outcome.status.success(), "{}", outcome.tail());
        ensure!(rings.report()?.findings.is_empty(), "{what}");
        let ring = Ring::open(&rings.files()?.pop().context("no ring")?)?;
        let pairs = ring.ordered_pairs()?;
        let is_learned = pairs.iter().any(|pair| pair.ordered >= ORDERED_AT);
        ensure!(is_learned, "{what}: {pairs:?}");
        let suspects = ring.suspects()?;
        ensure!(!suspects.is_empty(), "{what}: no near misses");
        ensure!(
            suspects.iter().all(|suspect| suspect.chance == 0),
            "{what}: {suspects:?}"
        );
        let holds = ring.control()?.holds;
        ensure!((1..DECAYED).contains(&holds), "{what}: {holds} holds");
    }
    Ok(())
}

/// Zero means zero.
#[test]
fn nothing_is_confirmed_where_operations_are_ordered() -> anyhow::Result<()> {
    const RUNS: u32 = 3;
    for version in sample_versions(&["1.27"]) {
        for name in [
            "rwmutex",
            "channel",
            "owner",
            "pool",
            "recovered",
            "waitgroup",
        ] {
            let Some(fixture) = fixture(&format!("ordered/{name}"), &version, "static")? else {
                continue;
            };
            let place = tempfile::tempdir()?;
            let patched = patch(&fixture, place.path())?;
            for (run, procs) in (1..=RUNS).zip(["1", "2", "8"].iter().cycle()) {
                let report = hunt(&patched, procs, run)
                    .with_context(|| format!("{name}, Go {version}, GOMAXPROCS={procs}"))?;
                let confirmed = report
                    .findings
                    .iter()
                    .find(|finding| finding.grade == "confirmed");
                ensure!(
                    confirmed.is_none(),
                    "{name}, Go {version}, GOMAXPROCS={procs}: {confirmed:#?}"
                );
            }
        }
    }
    Ok(())
}
