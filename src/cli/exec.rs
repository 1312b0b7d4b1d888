use super::runner::{self, RingDir, Run, Settings};
use super::suspects::Suspects;
use super::{EXIT_FINDINGS, cache, output, signals};
use crate::analyze::model::{Analysis, Finding, Grade};
use crate::analyze::{self, Options};
use crate::patch::Mode;
use crate::report::{self, Format, ReportOptions};
use crate::ring::Ring;
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::atomic::Ordering;

/// Run a Go program, instrumented, and report at the end
///
/// The program is patched first when it needs to be, into a cache; signals, input, output and exit
/// status pass through. Exit code: 66 when there are findings (or `exitcode` in GOCC), else the
/// program's; of several runs, that of the first one that failed.
#[derive(clap::Args)]
pub struct ExecArgs {
    /// off, observe, trace, hunt, guard or block (default: what GOCC says, else observe)
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Hunt: read suspects from this file and add what is learned (they outlive rebuilds)
    #[arg(long, value_name = "FILE")]
    suspects: Option<PathBuf>,
    /// Hunt: where the sequence of choices starts; the same number, the same choices
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Hunt: share of the time that operations may be held, per cent
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    budget: Option<u32>,
    /// Run until the first confirmed finding, at most so often, each time with another seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
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
    let dir = args.dir.clone();
    let dir = dir.or_else(|| runner::of_environment("dir").map(PathBuf::from));
    let rings = RingDir::new(dir.as_deref())?;
    let private = tempfile::TempDir::with_prefix("gocc-suspects-")
        .context("cannot make a directory for suspects")?;
    let suspects = args
        .suspects_file(private.path())
        .map(|path| Suspects::prepare(&path, &executable))
        .transpose()?;
    let hunt = Series {
        args: &args,
        executable: &executable,
        rings: &rings,
        suspects: suspects.as_ref(),
    };
    let status = hunt.to_end()?;
    let (analysis, exit_code) = analyze_run(&rings)?;
    let text = render(&analysis, args.format)?;
    match &args.report {
        Some(path) => super::report::deliver(&text, args.format, Some(path))?,
        None if analysis.findings.is_empty() => output::note_lines(&text),
        None => output::to_stderr(&text)?,
    }
    // What is private is removed before this process may end by a signal.
    drop(rings);
    drop(private);
    let is_proven = |finding: &Finding| finding.grade == Grade::Confirmed;
    Ok(if !analysis.findings.iter().any(is_proven) {
        exit_as(status)
    } else {
        ExitCode::from(exit_code)
    })
}

impl ExecArgs {
    /// The user's file of suspects. Without one, several hunts share a private one.
    fn suspects_file(&self, private: &Path) -> Option<PathBuf> {
        let hunts = match self.mode {
            Some(mode) => mode == Mode::Hunt,
            None => runner::of_environment("mode").as_deref() == Some(Mode::Hunt.name()),
        };
        let chosen = self.suspects.clone();
        chosen
            .or_else(|| runner::of_environment("suspects").map(PathBuf::from))
            .or_else(|| (hunts && self.runs > 1).then(|| private.join("suspects")))
    }

    /// Of several runs each has a seed of its own.
    fn seed_of(&self, run: u32) -> Option<u32> {
        let first = match self.seed {
            Some(seed) => seed,
            None if self.runs == 1 => return None,
            None => {
                let users = runner::of_environment("seed");
                users.and_then(|seed| seed.parse().ok()).unwrap_or(1)
            }
        };
        Some(first.wrapping_add(run))
    }
}

/// Runs of one program, each of which may profit from what the ones before have learned.
struct Series<'a> {
    args: &'a ExecArgs,
    executable: &'a Path,
    rings: &'a RingDir,
    suspects: Option<&'a Suspects>,
}

impl Series<'_> {
    /// Runs until the first confirmed finding, or until somebody wants an end. The status is that of
    /// the first run that failed, else that of the last.
    fn to_end(&self) -> anyhow::Result<ExitStatus> {
        let end_wanted = (self.args.runs > 1).then(signals::end_wanted).transpose();
        let end_wanted = end_wanted.context("cannot listen to signals")?;
        let is_over = || {
            end_wanted
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed))
        };
        let (mut status, mut rings) = self.once(0)?;
        for run in 1..self.args.runs {
            if is_over() || status.signal().is_some() || has_confirmed(rings)? {
                break;
            }
            let next;
            (next, rings) = self.once(run)?;
            if status.success() {
                status = next;
            }
        }
        Ok(status)
    }

    /// One run; gives back its rings, without those that cannot be read: the report names them.
    fn once(&self, number: u32) -> anyhow::Result<(ExitStatus, Vec<Ring>)> {
        let run = Run {
            executable: self.executable,
            argv: &self.args.command,
            settings: Settings {
                mode: self.args.mode,
                seed: self.args.seed_of(number),
                budget_percent: self.args.budget,
                suspects: self.suspects.map(|suspects| suspects.path().to_owned()),
            },
            rings: self.rings,
            output: None,
        };
        let before: HashSet<PathBuf> = self.rings.new_rings()?.into_iter().collect();
        let status = run.to_end()?;
        let mut paths = self.rings.new_rings()?;
        paths.retain(|path| !before.contains(path));
        let rings: Vec<Ring> = paths
            .iter()
            .filter_map(|path| Ring::open(path).ok())
            .collect();
        if let Some(suspects) = self.suspects {
            // The program has run, and its status matters more.
            if let Err(error) = suspects.learn(&rings) {
                let reason = output::one_line(&error);
                output::note_line(&format!("suspects were not kept: {reason}"));
            }
        }
        Ok((status, rings))
    }
}

fn has_confirmed(rings: Vec<Ring>) -> anyhow::Result<bool> {
    let analysis = analyze::analyze(rings, &Options::default())?;
    let mut findings = analysis.findings.iter();
    Ok(findings.any(|finding| finding.grade == Grade::Confirmed))
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
