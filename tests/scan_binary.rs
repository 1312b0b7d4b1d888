//! `gocc scan` of executables: who comes to the maps of programs whose sources are known, and with which locks.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::demo::Demo;
use common::{fixture, sample_versions};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const VERSIONS: [&str; 6] = ["1.18", "1.21", "1.23", "1.24", "1.25", "1.27"];

fn gocc_scan(path: &Path, format: &str) -> anyhow::Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--format", format])
        .arg(path)
        .output()?)
}

fn scan(path: &Path) -> anyhow::Result<Value> {
    let output = gocc_scan(path, "json")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A goroutine at a map operation: where it begins, what it does in which function, where its locks were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    goroutine: String,
    operation: String,
    function: String,
    locks: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn seen(scanned: &Value) -> Vec<Seen> {
    let mut all = Vec::new();
    for map in scanned["maps"].as_array().unwrap() {
        for goroutine in map["uses"].as_array().unwrap() {
            for touch in goroutine["touches"].as_array().unwrap() {
                let place =
                    &map["places"][usize::try_from(touch["place"].as_u64().unwrap()).unwrap()];
                let locks = touch["locks"].as_array().unwrap().iter();
                all.push(Seen {
                    goroutine: text(&goroutine["function"]),
                    operation: text(&place["operation"]),
                    function: text(&place["frames"][0]["function"]),
                    locks: locks
                        .map(|lock| format!("{} {}", text(&lock["mode"]), text(&lock["function"])))
                        .collect(),
                });
            }
        }
    }
    all
}

/// What a fixture shows in a variant, for each version that has it.
fn each(
    name: &str,
    variant: &str,
    check: impl Fn(&str, &[Seen]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for version in sample_versions(&VERSIONS) {
        if let Some(built) = fixture(name, &version, variant)? {
            let found = seen(&scan(&built.path)?);
            check(&format!("{name} {version} {variant}: {found:#?}"), &found)?;
        }
    }
    Ok(())
}

fn is_in(goroutine: &str) -> impl Fn(&&Seen) -> bool + '_ {
    move |seen| seen.goroutine.starts_with(goroutine)
}

/// Each of the four operations is under the mutex, in the workers and in the main goroutine; Lock and Unlock are
/// inlined and deferred.
#[test]
fn a_mutex_is_seen_at_every_use() -> anyhow::Result<()> {
    for variant in ["static", "stripped"] {
        each("ordered/mutex", variant, |context, found| {
            let workers: Vec<&Seen> = found.iter().filter(is_in("main.main.func")).collect();
            for (operation, function) in [
                ("assign", "main.(*table).put"),
                ("read", "main.(*table).get"),
                ("delete", "main.(*table).drop"),
                ("iterate", "main.(*table).sum"),
            ] {
                let locks = vec![format!("exclusive {function}")];
                assert!(
                    workers.iter().any(|seen| seen.operation == operation
                        && seen.function == function
                        && seen.locks == locks),
                    "{operation}: {context}"
                );
            }
            assert!(found.iter().all(|seen| !seen.locks.is_empty()), "{context}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn read_locks_are_told_from_write_locks() -> anyhow::Result<()> {
    each("ordered/rwmutex", "static", |context, found| {
        assert!(!found.is_empty(), "{context}");
        for seen in found.iter().filter(|seen| seen.goroutine != "main.main") {
            let mode = match seen.operation.as_str() {
                "read" | "iterate" => "shared",
                _ => "exclusive",
            };
            assert!(
                seen.locks.iter().any(|lock| lock.starts_with(mode)),
                "{context}"
            );
        }
        Ok(())
    })
}

/// Two goroutines write without a lock; a stripped executable says the same.
#[test]
fn racy_places_are_listed_with_their_goroutines_and_without_a_lock() -> anyhow::Result<()> {
    for name in [
        "latent/twowriters",
        "latent/readassign",
        "latent/iteratedelete",
    ] {
        for variant in ["static", "stripped"] {
            each(name, variant, |context, found| {
                let started = found.iter().filter(|seen| seen.goroutine != "main.main");
                let open: Vec<&Seen> = started.filter(|seen| seen.locks.is_empty()).collect();
                let mut goroutines: Vec<&str> =
                    open.iter().map(|seen| seen.goroutine.as_str()).collect();
                goroutines.dedup();
                assert!(goroutines.len() >= 2, "{context}");
                assert!(
                    open.iter()
                        .any(|seen| ["assign", "delete"].contains(&seen.operation.as_str())),
                    "{context}"
                );
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// errgroup has its own goroutine call what it is given.
#[test]
fn functions_that_a_helper_starts_are_beginnings() -> anyhow::Result<()> {
    each("ordered/errgroup", "static", |context, found| {
        assert!(
            found
                .iter()
                .any(|seen| seen.goroutine.starts_with("main.") && seen.goroutine != "main.main"),
            "{context}"
        );
        Ok(())
    })
}

/// The demo's mistake: clients renew sessions without the lock that everybody else takes. Goroutines have the
/// names and places of their `go` statements; the text says what kind of view it is.
#[test]
fn the_demo_program_tells_its_goroutines() -> anyhow::Result<()> {
    let demo = Demo::unpack();
    let found = seen(&scan(&demo.program)?);
    let locks = |goroutine: &str, operation: &str, function: &str| {
        let is_it = |seen: &&Seen| {
            seen.goroutine == goroutine && seen.operation == operation && seen.function == function
        };
        let seen = found.iter().find(is_it);
        seen.unwrap_or_else(|| panic!("{goroutine} {operation} {function}: {found:#?}"))
            .locks
            .clone()
    };
    assert!(locks("main.client", "assign", "main.(*Server).Renew").is_empty());
    assert_eq!(
        locks("main.client", "assign", "main.(*Server).Login"),
        ["exclusive main.(*Server).Login"]
    );
    assert_eq!(
        locks(
            "main.(*Server).Janitor",
            "iterate",
            "main.(*Server).Janitor"
        ),
        ["exclusive main.(*Server).Janitor"]
    );
    let output = gocc_scan(&demo.program, "text")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("this is a weaker view"), "{text}");
    assert!(
        text.contains("map[string]*main.Session") && text.contains("main.client, started at"),
        "{text}"
    );
    Ok(())
}

/// A patched executable is scanned as the original: nothing of it moves.
#[test]
fn a_patched_executable_says_the_same() -> anyhow::Result<()> {
    let demo = Demo::unpack();
    let patched = demo.path().join("demo.instr");
    let status = Command::new(env!("CARGO_BIN_EXE_gocc-patch"))
        .arg(&demo.program)
        .arg("-o")
        .arg(&patched)
        .status()?;
    assert!(status.success());
    assert_eq!(seen(&scan(&patched)?), seen(&scan(&demo.program)?));
    Ok(())
}

#[test]
fn formats_for_findings_are_refused() -> anyhow::Result<()> {
    let demo = Demo::unpack();
    let output = gocc_scan(&demo.program, "sarif")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("as text or json"), "{complaint}");
    Ok(())
}
