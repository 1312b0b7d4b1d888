use super::runner::{self, RingDir, Run};
use super::{EXIT_FINDINGS, cache, output, signals};
use crate::analyze::model::Analysis;
use crate::analyze::{self, Options};
use crate::patch::Mode;
use crate::report::{self, Format, ReportOptions};
use crate::ring::Ring;
use anyhow::{Context, bail};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

/// Run a Go program, instrumented, and report at the end
///
/// The program is patched first when it needs to be, into a cache; signals, input, output and exit
/// status pass through. Exit code: 66 when there are findings (or `exitcode` in GOCC), else the
/// program's.
#[derive(clap::Args)]
pub struct ExecArgs {
    /// off, observe or trace (default: what GOCC says, else observe)
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Keep the rings in this directory (default: a private one that is removed)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the report to this file, not to stderr
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to write the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM ARGS")]
    command: Vec<OsString>,
}

pub fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = args.command.first() else {
        bail!("no program named")
    };
    let program = resolve(name)?;
    let executable = cache::patched(&program)?;
    let dir = args.dir.clone().or_else(runner::dir_of_environment);
    let rings = RingDir::new(dir.as_deref())?;
    let argv = &args.command;
    let run = Run {
        executable: &executable,
        argv,
        mode: args.mode,
        rings: &rings,
        output: None,
    };
    let status = run.to_end()?;
    let (analysis, exit_code) = analyze_run(&rings)?;
    let text = render(&analysis, args.format)?;
    match &args.report {
        Some(path) => super::report::deliver(&text, args.format, Some(path))?,
        None if analysis.findings.is_empty() => output::note_lines(&text),
        None => output::to_stderr(&text)?,
    }
    // The directory of the rings is removed before this process may end by a signal.
    drop(rings);
    Ok(if analysis.findings.is_empty() {
        exit_as(status)
    } else {
        ExitCode::from(exit_code)
    })
}

/// What the rings of a run prove, and the exit code for it. A ring that cannot be read is a remark:
/// the program has run, and its status matters more.
pub fn analyze_run(rings: &RingDir) -> anyhow::Result<(Analysis, u8)> {
    let mut open = Vec::new();
    for path in rings.new_rings()? {
        match Ring::open(&path) {
            Ok(ring) => open.push(ring),
            Err(error) => output::note_line(&format!("left out: {error}")),
        }
    }
    if open.is_empty() {
        output::note_line(
            "no ring was written: the program's hooks were dormant, nothing is known about this run",
        );
    }
    let chosen = open.iter().find_map(|ring| {
        u8::try_from(ring.header().exit_code)
            .ok()
            .filter(|&code| code != 0)
    });
    let analysis = analyze::analyze(open, &Options::default())?;
    Ok((analysis, chosen.unwrap_or(EXIT_FINDINGS)))
}

/// A report as bytes, styled.
pub fn render(analysis: &Analysis, format: Format) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    report::write(analysis, format, &ReportOptions::default(), &mut text)
        .context("cannot format the report")?;
    Ok(text)
}

/// Ends like the program did.
fn exit_as(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        // Exit codes have eight bits.
        (Some(code), _) => ExitCode::from(code as u8),
        (None, Some(signal)) => signals::die_of(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

/// Finds a program as a shell does: a name without a slash is looked up in PATH.
fn resolve(name: &OsStr) -> anyhow::Result<PathBuf> {
    let path = Path::new(name);
    if name.as_encoded_bytes().contains(&b'/') {
        return Ok(path.to_owned());
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|file| cache::is_executable(file));
    found.with_context(|| {
        format!(
            "no program {} in PATH (write ./{0} for one in this directory)",
            path.display()
        )
    })
}
