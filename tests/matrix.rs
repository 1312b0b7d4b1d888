//! Go versions times ways to build: a program that does every kind of map operation behaves the same
//! patched and unpatched, and in trace mode its ring holds exactly the operations it made.
//!
//! A sample runs by default. `scripts/matrix` runs all versions and variants and prints a table; with
//! `GOCC_GO="1.23 1.27"` and `GOCC_VARIANTS="static race"` a part of it.

mod common;

use anyhow::{Context, bail, ensure};
use common::{Fixture, Outcome, Program, Rings, fixture, patch};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How the sample is built. The oldest and the newest version are built in more ways.
const SAMPLE: &[&str] = &["static", "pie", "cgo", "stripped"];
/// Every way to build; those that a version does not have are named and left out.
const ALL: &[&str] = &[
    "static",
    "pie",
    "cgo",
    "cgopie",
    "cgointernal",
    "cgostatic",
    "stripped",
    "strippedpie",
    "strip",
    "noopt",
    "race",
    "v3",
    "noswissmap",
    "fips",
    "trimpath",
];
/// Bytes per lane: room for all that the program does.
const LANE: u32 = 32 << 20;

/// Operations that the runtime makes while it starts, on a thread without a P.
const MOST_EARLY: u64 = 2;

/// What the fixture prints of itself.
#[derive(Deserialize)]
struct Expected {
    operations: Vec<common::gocc::Operations>,
}

type Counts = BTreeMap<(String, String), u64>;

/// `main.(*registry[...]).opGenericMethod` and `main.opClosure.func1` to the names that the fixture
/// uses: without type arguments and without what the compiler appends.
fn plain(function: &str) -> String {
    let mut depth = 0;
    let without_types: String = function
        .chars()
        .filter(|&c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0 && c != ']'
        })
        .collect();
    let rest = without_types.strip_prefix("main.").unwrap_or_default();
    let (receiver, method) = match rest.split_once(").") {
        Some((receiver, method)) => (format!("{receiver})."), method),
        None => match rest.split_once(".op") {
            Some((receiver, _)) if receiver.chars().all(char::is_alphanumeric) => {
                (format!("{receiver}."), &rest[receiver.len() + 1..])
            }
            _ => (String::new(), rest),
        },
    };
    let end = method
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(method.len());
    format!("main.{receiver}{}", &method[..end])
}

fn expected(outcome: &Outcome) -> anyhow::Result<Counts> {
    let expected: Expected =
        serde_json::from_str(&outcome.stdout).with_context(|| outcome.tail())?;
    let mut counts = Counts::new();
    // An operation on a nil map touches no map, and leaves no event.
    for row in expected.operations.into_iter().filter(|row| !row.nil) {
        *counts.entry((row.function, row.operation)).or_default() += row.count;
    }
    counts.retain(|_, count| *count > 0);
    Ok(counts)
}

fn recorded(rings: &Rings) -> anyhow::Result<Counts> {
    let mut stats = rings.stats()?;
    // The runtime reads its GODEBUG settings into a map before the first thread has a P (1.27,
    // runtime/runtime1.go parsegodebug). Nothing of the program's own runs without one.
    let early = stats.lost.remove("dropped_no_p").unwrap_or(0);
    ensure!(early <= MOST_EARLY, "{early} operations without a P");
    ensure!(stats.losses() == 0, "lost: {:?}", stats.lost);
    let mut counts = Counts::new();
    for row in stats.operations {
        if row.function.starts_with("main.") {
            *counts
                .entry((plain(&row.function), row.operation))
                .or_default() += row.count;
        }
    }
    Ok(counts)
}

/// The differences, one a line; empty when there are none.
fn differences(expected: &Counts, recorded: &Counts) -> String {
    let mut text = String::new();
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(recorded.keys()).collect();
    for key in keys {
        let (want, have) = (
            expected.get(key).unwrap_or(&0),
            recorded.get(key).unwrap_or(&0),
        );
        if want != have {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {} {}: made {want}, recorded {have}", key.0, key.1);
        }
    }
    text
}

fn same_behaviour(before: &Outcome, after: &Outcome) -> anyhow::Result<()> {
    ensure!(
        before.ending() == after.ending()
            && before.stdout == after.stdout
            && before.stderr == after.stderr,
        "behaves differently.\nBefore: {}\nAfter: {}",
        before.tail(),
        after.tail()
    );
    Ok(())
}

/// One cell of the matrix.
fn check(fixture: &Fixture) -> anyhow::Result<u64> {
    let place = tempfile::tempdir()?;
    let patched = patch(fixture, place.path())?;
    let before = Program::new(&fixture.path).run()?;
    ensure!(
        before.status.success(),
        "the fixture itself: {}",
        before.tail()
    );
    let observed = Rings::new()?;
    let setting = observed.setting("observe");
    let after = Program::new(&patched).env("GOCC", setting).run()?;
    same_behaviour(&before, &after).context("in observe mode")?;
    ensure!(
        observed.files()?.len() == 1,
        "no ring, or several: {:?}",
        observed.files()?
    );
    ensure!(
        observed.report()?.findings.is_empty(),
        "a finding in a program without a race"
    );
    let traced = Rings::new()?;
    let setting = traced.setting(&format!("trace ring={LANE}"));
    let after = Program::new(&patched).env("GOCC", setting).run()?;
    same_behaviour(&before, &after).context("in trace mode")?;
    let (want, have) = (expected(&before)?, recorded(&traced)?);
    let wrong = differences(&want, &have);
    ensure!(wrong.is_empty(), "operations differ:\n{wrong}");
    Ok(have.values().sum())
}

/// A version's row. Every cell is tried before the row fails.
fn row(version: &str, usual: &[&str]) -> anyhow::Result<()> {
    let chosen = std::env::var("GOCC_VARIANTS").unwrap_or_default();
    let variants: Vec<&str> = match chosen.trim() {
        "" => usual.to_vec(),
        "all" => ALL.to_vec(),
        list => list.split_whitespace().collect(),
    };
    let mut failures = String::new();
    for variant in variants {
        let cell = match fixture("ops", version, variant)? {
            None => "not built".to_owned(),
            Some(fixture) => match check(&fixture) {
                Ok(operations) => format!("ok, {operations} operations"),
                Err(error) => {
                    let _ = writeln!(failures, "Go {version} {variant}: {error:#}");
                    "FAILED".to_owned()
                }
            },
        };
        println!("matrix: {version:<5} {variant:<12} {cell}");
    }
    if !failures.is_empty() {
        bail!("{failures}");
    }
    Ok(())
}

macro_rules! rows {
    ($($(#[$attribute:meta])* $name:ident $version:literal $variants:expr;)*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() -> anyhow::Result<()> {
                row($version, $variants)
            }
        )*
    };
}

rows! {
    go_1_18 "1.18" &["static", "pie", "cgo", "stripped", "noopt"];
    #[ignore = "not in the sample: scripts/matrix"] go_1_19 "1.19" SAMPLE;
    #[ignore = "not in the sample: scripts/matrix"] go_1_20 "1.20" SAMPLE;
    go_1_21 "1.21" SAMPLE;
    #[ignore = "not in the sample: scripts/matrix"] go_1_22 "1.22" SAMPLE;
    go_1_23 "1.23" SAMPLE;
    go_1_24 "1.24" &["static", "pie", "cgo", "stripped", "noswissmap"];
    #[ignore = "not in the sample: scripts/matrix"] go_1_25 "1.25" SAMPLE;
    #[ignore = "not in the sample: scripts/matrix"] go_1_26 "1.26" SAMPLE;
    go_1_27 "1.27" &["static", "pie", "cgo", "stripped", "strip", "noopt"];
}

#[test]
fn names_without_types_and_suffixes() {
    for (name, plain_name) in [
        ("main.opRead32", "main.opRead32"),
        ("main.opGenericSum[...]", "main.opGenericSum"),
        (
            "main.opGenericSum[go.shape.struct { main.a [3]int },int]",
            "main.opGenericSum",
        ),
        (
            "main.(*registry[...]).opGenericMethod",
            "main.(*registry).opGenericMethod",
        ),
        ("main.cache.opInlinedPut", "main.cache.opInlinedPut"),
        ("main.opClosure.func1", "main.opClosure"),
        ("main.opDeferDelete.deferwrap1", "main.opDeferDelete"),
        ("main.opIterKeys.Keys[...].func1", "main.opIterKeys"),
        ("main.opIterKeys-range1", "main.opIterKeys"),
        ("main.opReadUnhashable.func1.1", "main.opReadUnhashable"),
    ] {
        assert_eq!(plain(name), plain_name);
    }
}
