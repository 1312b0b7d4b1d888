//! Patches for what the scanner finds: on a package of the labelled set, built, tested and scanned again.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::{fixture, toolchain};
use std::path::Path;
use std::process::{Command, Output};

fn copy(package: &str, to: &Path) -> anyhow::Result<()> {
    let from = fixture::repository().join("testdata/scan");
    std::fs::copy(from.join("go.mod"), to.join("go.mod"))?;
    std::fs::create_dir(to.join(package))?;
    for entry in std::fs::read_dir(from.join(package))? {
        let path = entry?.path();
        std::fs::copy(&path, to.join(package).join(path.file_name().unwrap()))?;
    }
    Ok(())
}

fn scan(module: &Path, goroot: &Path, option: &str) -> anyhow::Result<Output> {
    let path = format!(
        "{}:{}",
        goroot.join("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    Ok(Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--no-tests", option, "."])
        .current_dir(module)
        .env("PATH", path)
        .env("GOROOT", goroot)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-buildvcs=false")
        .output()?)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_maps_of_a_package_are_fixed_once_and_for_all() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("captured", module.path())?;
    let file = module.path().join("captured/captured.go");
    let before = std::fs::read_to_string(&file)?;

    let proposed = scan(module.path(), &goroot, "--diff")?;
    assert_eq!(proposed.status.code(), Some(66), "{}", stderr(&proposed));
    let diff = String::from_utf8_lossy(&proposed.stdout).into_owned();
    assert!(
        diff.contains("+\tvar seenMu sync.RWMutex // guards seen"),
        "{diff}"
    );
    assert_eq!(
        std::fs::read_to_string(&file)?,
        before,
        "--diff touches nothing"
    );

    let fixed = scan(module.path(), &goroot, "--fix")?;
    assert!(
        stderr(&fixed).contains("8 of 8 maps fixed"),
        "{}",
        stderr(&fixed)
    );
    assert_eq!(fixed.status.code(), Some(0), "{}", stderr(&fixed));
    assert_ne!(std::fs::read_to_string(&file)?, before);

    let after = std::fs::read_to_string(&file)?;
    let again = scan(module.path(), &goroot, "--fix")?;
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(
        std::fs::read_to_string(&file)?,
        after,
        "nothing is left to do"
    );
    Ok(())
}

#[test]
fn what_leaves_sight_is_refused_with_a_reason() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("syncmaps", module.path())?;
    let output = scan(module.path(), &goroot, "--diff")?;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(66), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
    assert!(
        text.contains("no fix for own") && text.contains("it is passed to shared.Store"),
        "{text}"
    );
    assert!(text.contains("the map comes from somewhere else"), "{text}");
    Ok(())
}

/// Without a toolchain nothing can be proved, so nothing is proposed.
#[test]
fn without_go_nothing_is_proposed() -> anyhow::Result<()> {
    let module = tempfile::tempdir()?;
    copy("captured", module.path())?;
    let output = Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--no-tests", "--diff", "."])
        .current_dir(module.path())
        .env("PATH", module.path())
        .output()?;
    let text = stderr(&output);
    assert!(output.stdout.is_empty(), "{text}");
    assert!(
        text.contains("there is no Go toolchain to check a patch with"),
        "{text}"
    );
    Ok(())
}
