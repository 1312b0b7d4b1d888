//! The table of decisions in README.md, row by row, on a program with a race that the scanner knows, too: what is
//! known in the source fails the build, what is confirmed while it runs stops it, what is allowed is logged.

mod common;

use anyhow::ensure;
use common::gocc::GOCC;
use common::{Fixture, Outcome, Program, fixture};
use std::path::Path;
use std::time::Duration;

/// What is asked of the program; it answers each line and says that it is ready.
const RACES: usize = 60;
const LIMIT: Duration = Duration::from_secs(120);

/// Allows what is raced for here, in the source and while it runs.
const ALLOWED: &str =
    "[[suppress]]\nfunction = \"main.(*table).*Unlocked\"\nreason = \"a fixture\"\n";
const ANOTHER_ALLOWED: &str = "[[suppress]]\nfunction = \"main.other\"\nreason = \"another one\"\n";
/// Guard keeps a program with conflicts alive, so that they alone decide how it ends.
const GUARDED: &str = "[run]\nmode = \"guard\"\n";

fn gocc(directory: &Path, configuration: &str, arguments: &[&str]) -> anyhow::Result<Program> {
    std::fs::write(directory.join("gocc.toml"), configuration)?;
    Ok(Program::new(GOCC)
        .args(arguments)
        .directory(directory)
        .env("XDG_CACHE_HOME", directory.join(".cache"))
        .limit(LIMIT))
}

#[test]
fn what_the_source_shows() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let tree = common::fixture::repository().join("testdata/onrequest");
    let tree = tree.display().to_string();
    for (decide, allowed, expected, says) in [
        ("", "", 66, "in the source: "),
        ("source = \"fail\"", "", 66, "in the source: "),
        ("source = \"log\"", "", 0, "in the source: "),
        ("source = \"fail\"", ALLOWED, 0, "Allowed: "),
        ("source = \"fail\"", ANOTHER_ALLOWED, 66, "in the source: "),
    ] {
        let configuration = format!("[decide]\n{decide}\n{allowed}");
        let outcome = gocc(place.path(), &configuration, &["scan", &tree])?.run()?;
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        ensure!(
            outcome.status.code() == Some(expected) && shown.contains(says),
            "{configuration}: {}",
            outcome.tail()
        );
    }
    Ok(())
}

/// Lets the program race until it ends or has raced long enough; how often it answered.
fn race(place: &Path, fixture: &Fixture, configuration: &str) -> anyhow::Result<(Outcome, usize)> {
    let outcome = gocc(place, configuration, &["exec", "--"])?
        .arg(&fixture.path)
        .input(&"race 20000\n".repeat(RACES))
        .run()?;
    let answers = outcome.stdout.lines().count();
    Ok((outcome, answers))
}

#[test]
fn what_is_confirmed_while_it_runs() -> anyhow::Result<()> {
    let Some(fixture) = fixture("onrequest", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let confirmed = "WARNING: CONCURRENT MAP ACCESS (confirmed";
    for (decide, more, expected, is_stopped, says) in [
        // Nothing is allowed: mode block.
        ("stop", "", 66, true, confirmed),
        // Something else is allowed: each conflict is looked at.
        (
            "stop",
            ANOTHER_ALLOWED,
            66,
            true,
            "stopped at a conflict that nothing allows",
        ),
        // This one is: it is logged, and the program goes on.
        ("stop", ALLOWED, 0, false, "Allowed: "),
        ("fail", GUARDED, 66, false, confirmed),
        ("log", GUARDED, 0, false, confirmed),
    ] {
        let configuration = format!("[decide]\nconfirmed = \"{decide}\"\n{more}");
        let (outcome, answers) = race(place.path(), &fixture, &configuration)?;
        ensure!(
            outcome.status.code() == Some(expected)
                && (answers <= RACES) == is_stopped
                && outcome.stderr.contains(says),
            "{configuration}: {answers} answers; {}",
            outcome.tail()
        );
    }
    Ok(())
}
