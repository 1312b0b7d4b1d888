//! Fixtures: Go programs under testdata/, built by scripts/build-fixtures into the cache.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Exit code of the scripts when a toolchain cannot be had.
const NO_TOOLCHAIN: i32 = 4;

/// The versions that gocc supports.
pub const VERSIONS: [&str; 10] = [
    "1.18", "1.19", "1.20", "1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27",
];

/// A built Go program, and what its source says about it.
#[derive(Clone, Debug, Deserialize)]
pub struct Fixture {
    /// Its directory under testdata/.
    pub fixture: String,
    /// The Go version, in full.
    pub version: String,
    /// How it was built.
    pub variant: String,
    /// The executable.
    pub path: PathBuf,
    /// `//gocc:expect` lines, in words.
    pub expect: Vec<Vec<String>>,
    /// `//gocc:case` lines that this Go version has.
    pub cases: Vec<Case>,
    /// `//gocc:side` lines.
    pub sides: Vec<MarkedLine>,
}

/// Two operations that a program makes collide when it is given the case's name.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The argument.
    pub name: String,
    /// The operations.
    pub operations: Vec<String>,
}

/// A line that a report may name for one of its sides.
#[derive(Clone, Debug, Deserialize)]
pub struct MarkedLine {
    /// The file's last name.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// What is done there.
    pub operation: String,
    /// In these cases; empty for programs without cases.
    pub cases: Vec<String>,
}

impl Fixture {
    /// The conflicts that `//gocc:expect conflict` allows, as pairs of operations.
    pub fn conflicts(&self) -> Vec<(String, String)> {
        let pairs = self.expect.iter().filter(|words| words[0] == "conflict");
        pairs
            .flat_map(|words| &words[1..])
            .filter_map(|pair| pair.split_once('/'))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn strict() -> bool {
    std::env::var_os("GOCC_REQUIRE_TOOLCHAINS").is_some_and(|value| value == "1")
}

/// Says why something is not tested; fails where nothing may be skipped.
///
/// # Errors
/// With `GOCC_REQUIRE_TOOLCHAINS=1`.
pub fn skip(reason: &str) -> anyhow::Result<()> {
    if strict() {
        bail!("{reason} (and GOCC_REQUIRE_TOOLCHAINS=1)");
    }
    eprintln!("skipped: {reason}");
    Ok(())
}

/// Builds a fixture. `None` when it is not for this version and variant, or the toolchain is missing;
/// stderr has the reason.
///
/// # Errors
/// When it does not build, or the toolchain is missing where it must not.
pub fn fixture(name: &str, version: &str, variant: &str) -> anyhow::Result<Option<Fixture>> {
    let script = repository().join("scripts/build-fixtures");
    let output = Command::new(&script)
        .args(["--fixture", name, version, variant])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) if output.stdout.is_empty() => {
            eprintln!("{complaint}");
            Ok(None)
        }
        Some(0) => Ok(Some(serde_json::from_slice(&output.stdout)?)),
        Some(NO_TOOLCHAIN) => skip(&complaint).map(|()| None),
        _ => bail!("{complaint}"),
    }
}

/// GOROOT of a toolchain, or `None` when it cannot be had.
///
/// # Errors
/// When the toolchain is missing where it must not.
pub fn toolchain(version: &str) -> anyhow::Result<Option<PathBuf>> {
    let output = Command::new(repository().join("scripts/toolchains"))
        .arg(version)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().split_once(' ') {
        Some((_, root)) => Ok(Some(PathBuf::from(root))),
        None => skip(String::from_utf8_lossy(&output.stderr).trim()).map(|()| None),
    }
}

/// The Go versions a test goes through: those of `GOCC_GO` (as "1.23 1.27"), else the given ones.
pub fn sample_versions(usual: &[&str]) -> Vec<String> {
    match std::env::var("GOCC_GO") {
        Ok(list) if !list.trim().is_empty() => list.split_whitespace().map(str::to_owned).collect(),
        _ => usual.iter().map(|&version| version.to_owned()).collect(),
    }
}
