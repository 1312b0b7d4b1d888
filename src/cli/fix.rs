//! `gocc scan --diff` and `gocc scan --fix`.

use super::progress::Progress;
use super::{EXIT_FINDINGS, output};
use crate::scan::ScanOptions;
use crate::scan::fix::{self, Fixes, Outcome, Patched, Preference};
use anyhow::{Context, bail};
use similar::TextDiff;
use std::path::Path;
use std::process::ExitCode;

/// Proposes patches on stdout, or applies them; what is not fixed makes the exit code 66.
pub fn run(
    options: &ScanOptions,
    apply: bool,
    preferred: &[Preference],
) -> anyhow::Result<ExitCode> {
    let fixes = {
        let _progress = Progress::start("looking for patches");
        fix::propose(options, preferred)?
    };
    if apply {
        fixes.files.iter().try_for_each(write)?;
    } else {
        let diffs: String = fixes.files.iter().map(diff).collect();
        output::to_stdout_as_is(diffs.as_bytes())?;
    }
    fixes
        .outcomes
        .iter()
        .for_each(|outcome| output::note_line(&line(outcome, apply)));
    output::note_line(&total(&fixes, apply));
    let is_clean = fixes
        .outcomes
        .iter()
        .all(|outcome| apply && outcome.result.is_ok());
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FINDINGS)
    })
}

fn line(outcome: &Outcome, apply: bool) -> String {
    let Outcome { map, place, result } = outcome;
    match result {
        Ok(fixed) => format!(
            "{} {map} ({place}): {}, {} in {} places{}",
            if apply { "fixed" } else { "can fix" },
            fixed.kind.text(),
            fixed.name,
            fixed.places,
            fixed
                .instead
                .as_ref()
                .map_or_else(String::new, |why| format!(" ({why})"))
        ),
        Err(why) => format!("no fix for {map} ({place}): {why}"),
    }
}

fn total(fixes: &Fixes, apply: bool) -> String {
    let fixed = fixes
        .outcomes
        .iter()
        .filter(|outcome| outcome.result.is_ok())
        .count();
    let verb = if apply { "fixed" } else { "can be fixed" };
    format!(
        "{fixed} of {} maps {verb}, {} files",
        fixes.outcomes.len(),
        fixes.files.len()
    )
}

fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn diff(file: &Patched) -> String {
    let path = shown(&file.path);
    let path = path.trim_start_matches('/');
    TextDiff::from_lines(&file.before, &file.after)
        .unified_diff()
        .header(&format!("a/{path}"), &format!("b/{path}"))
        .to_string()
}

/// A file that changed while its patch was checked is not touched.
fn write(file: &Patched) -> anyhow::Result<()> {
    let path = file.path.display();
    let now = std::fs::read_to_string(&file.path).with_context(|| path.to_string())?;
    if now != file.before {
        bail!("{path} changed while the patch was checked: run again");
    }
    let directory = file.path.parent().unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("cannot write beside {path}"))?;
    std::io::Write::write_all(&mut fresh, file.after.as_bytes())?;
    let permissions = std::fs::metadata(&file.path)?.permissions();
    std::fs::set_permissions(fresh.path(), permissions)?;
    fresh
        .persist(&file.path)
        .with_context(|| format!("cannot replace {path}"))?;
    Ok(())
}
