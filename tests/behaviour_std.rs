//! Real programs: test binaries of Go's standard library give the same verdict for every test, and a
//! patched Go compiler builds the same archives. A sample; `scripts/std-tests VERSION` and
//! `scripts/compile-std VERSION` do all of it.

mod common;

use anyhow::ensure;
use common::fixture::repository;
use common::gocc::GOCC_PATCH;
use common::{Program, toolchain};
use std::time::Duration;

fn script(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let outcome = Program::new(repository().join("scripts").join(name))
        .args(&["--gocc-patch", GOCC_PATCH])
        .args(arguments)
        .limit(Duration::from_secs(1200))
        .run()?;
    println!("{}", outcome.stdout);
    ensure!(outcome.ending() == "exit 0", "{name}: {}", outcome.tail());
    Ok(())
}

#[test]
fn verdicts_of_std_tests_newest() -> anyhow::Result<()> {
    if toolchain("1.27")?.is_none() {
        return Ok(());
    }
    script(
        "std-tests",
        &["1.27", "maps", "internal/runtime/maps", "sync", "context"],
    )
}

#[test]
fn verdicts_of_std_tests_oldest() -> anyhow::Result<()> {
    if toolchain("1.18")?.is_none() {
        return Ok(());
    }
    script("std-tests", &["1.18", "context", "encoding/json"])
}

#[test]
fn a_patched_compiler_builds_the_same() -> anyhow::Result<()> {
    if toolchain("1.27")?.is_none() {
        return Ok(());
    }
    script("compile-std", &["1.27", "strconv", "sort", "unicode/utf8"])
}
