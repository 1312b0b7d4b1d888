//! Patching a fixture, running it with a ring directory of its own, and what gocc says of the rings.

use super::fixture::{Fixture, MarkedLine, fixture};
use super::process::{Outcome, Program};
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The command line's executables, built by cargo for these tests.
pub const GOCC: &str = env!("CARGO_BIN_EXE_gocc");
/// The rewriter.
pub const GOCC_PATCH: &str = env!("CARGO_BIN_EXE_gocc-patch");

/// Patches a fixture into a directory.
///
/// # Errors
/// When gocc-patch fails or says anything.
pub fn patch(fixture: &Fixture, directory: &Path) -> anyhow::Result<PathBuf> {
    patch_with(&fixture.path, directory, &[])
}

/// Patches an executable into a directory, with more options.
///
/// # Errors
/// When gocc-patch fails.
pub fn patch_with(input: &Path, directory: &Path, options: &[&str]) -> anyhow::Result<PathBuf> {
    let name = input.file_name().context("a fixture has a name")?;
    let output = directory.join(name);
    let outcome = Program::new(GOCC_PATCH)
        .arg(input)
        .arg("-o")
        .arg(&output)
        .args(options)
        .run()?;
    let what = input.display();
    ensure!(
        outcome.status.success(),
        "gocc-patch {what}: {}",
        outcome.tail()
    );
    ensure!(
        output.exists(),
        "gocc-patch {what}: no output\n{}",
        outcome.tail()
    );
    Ok(output)
}

/// A fixture with its patched copy.
pub struct Both {
    /// The fixture.
    pub fixture: Fixture,
    /// The copy.
    pub patched: PathBuf,
    /// Where the copy lies.
    pub place: tempfile::TempDir,
}

/// A fixture, built and patched. `None` as for [`fixture`].
///
/// # Errors
/// When it does not build, or gocc-patch fails.
pub fn both(name: &str, version: &str, variant: &str) -> anyhow::Result<Option<Both>> {
    let Some(fixture) = fixture(name, version, variant)? else {
        return Ok(None);
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    Ok(Some(Both {
        fixture,
        patched,
        place,
    }))
}

/// A ring directory for one run.
pub struct Rings {
    place: tempfile::TempDir,
}

impl Rings {
    /// An empty one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> anyhow::Result<Rings> {
        let place = tempfile::Builder::new().prefix("gocc-test-").tempdir()?;
        Ok(Rings { place })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The value of `GOCC` for a run in this directory: `trace ring=16777216`, for example.
    pub fn setting(&self, mode_and_more: &str) -> String {
        format!("dir={} mode={mode_and_more}", self.path().display())
    }

    /// The rings in it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.path())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "ring")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// `gocc report --format json` on the directory.
    ///
    /// # Errors
    /// When gocc fails, or the report's schema is another one.
    pub fn report(&self) -> anyhow::Result<Report> {
        let outcome = Program::new(GOCC)
            .args(&["report", "--format", "json"])
            .arg(self.path())
            .run()?;
        ensure!(
            matches!(outcome.status.code(), Some(0 | 66)),
            "gocc report: {}",
            outcome.tail()
        );
        let report: Report = parse(&outcome)?;
        ensure!(report.schema == "gocc-report/1", "schema {}", report.schema);
        let says = outcome.status.code() == Some(66);
        ensure!(
            says != report.findings.is_empty(),
            "exit code and findings disagree"
        );
        Ok(report)
    }

    /// `gocc stats --json` on the directory.
    ///
    /// # Errors
    /// When gocc fails.
    pub fn stats(&self) -> anyhow::Result<Stats> {
        let outcome = Program::new(GOCC)
            .args(&["stats", "--json"])
            .arg(self.path())
            .run()?;
        ensure!(outcome.status.success(), "gocc stats: {}", outcome.tail());
        parse(&outcome)
    }
}

fn parse<T: DeserializeOwned>(outcome: &Outcome) -> anyhow::Result<T> {
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.tail())
}

/// How many operations of which kind functions made.
#[derive(Debug, Deserialize)]
pub struct Stats {
    /// By function and kind.
    pub operations: Vec<Operations>,
    /// What is missing, by reason.
    pub lost: BTreeMap<String, u64>,
}

/// The operations of one kind in one function; in rings, and in what the fixtures print.
#[derive(Debug, Deserialize)]
pub struct Operations {
    /// The user's function.
    pub function: String,
    /// The kind.
    pub operation: String,
    /// How many.
    pub count: u64,
    /// They were on nil maps (only fixtures say so).
    #[serde(default)]
    pub nil: bool,
}

impl Stats {
    /// How much is missing altogether.
    pub fn losses(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// A report.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Name and version of the format.
    pub schema: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Two goroutines on one map.
#[derive(Debug, Deserialize)]
pub struct Finding {
    /// `confirmed` or `suspect`.
    pub grade: String,
    /// Why.
    pub evidence: serde_json::Value,
    /// Which map.
    pub map: serde_json::Value,
    /// Who.
    pub sides: [SideOfFinding; 2],
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct SideOfFinding {
    /// What it did.
    pub operation: Option<String>,
    /// What is known about it.
    pub certainty: String,
    /// Which goroutine, when known.
    pub goroutine: Option<serde_json::Value>,
    /// Its calls, innermost first.
    pub stack: Vec<StackFrame>,
}

/// A call.
#[derive(Debug, Deserialize)]
pub struct StackFrame {
    /// The function.
    pub function: String,
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The call was inlined.
    pub inlined: bool,
}

/// How well a finding names what the fixture's source marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// Neither side.
    None,
    /// One side.
    One,
    /// Both sides, with operation, file and line.
    Both,
}

impl Report {
    /// The best of its findings.
    pub fn names(&self, sides: &[MarkedLine], case: Option<&str>) -> Ends {
        let of = |finding: &Finding| finding.names(sides, case);
        self.findings.iter().map(of).max().unwrap_or(Ends::None)
    }
}

impl Finding {
    /// Whether the sides name marked lines.
    pub fn names(&self, sides: &[MarkedLine], case: Option<&str>) -> Ends {
        let goroutine =
            |side: &SideOfFinding| side.goroutine.as_ref().map(|known| known["id"].clone());
        if goroutine(&self.sides[0]) == goroutine(&self.sides[1]) {
            return Ends::None;
        }
        match self
            .sides
            .iter()
            .filter(|side| side.is_marked(sides, case))
            .count()
        {
            0 => Ends::None,
            1 => Ends::One,
            _ => Ends::Both,
        }
    }
}

impl SideOfFinding {
    /// Whether its goroutine is known and its innermost frame in the fixture is a marked line of the
    /// same operation.
    fn is_marked(&self, sides: &[MarkedLine], case: Option<&str>) -> bool {
        let of_case = |marked: &&MarkedLine| match case {
            Some(case) => marked.cases.iter().any(|name| name == case),
            None => true,
        };
        let innermost = self.stack.iter().find(|frame| is_users(frame));
        self.goroutine.is_some()
            && innermost.is_some_and(|frame| {
                sides.iter().filter(of_case).any(|marked| {
                    marked.line == frame.line
                        && frame.file.ends_with(&format!("/{}", marked.file))
                        && self.operation.as_ref() == Some(&marked.operation)
                })
            })
    }
}

fn is_users(frame: &StackFrame) -> bool {
    // A test binary's functions carry the path of their package.
    frame.function.starts_with("main.") || frame.function.starts_with("gocc.test/fixtures/")
}
