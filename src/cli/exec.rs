use super::config::{ConfigArgs, tell_expired};
use super::focus::{Focus, FocusArgs};
use super::runner::{self, RingDir, Run, Settings};
use super::suspects::Suspects;
use super::{EXIT_FINDINGS, cache, output, signals, stop};
use crate::analyze::model::{Analysis, Grade};
use crate::analyze::{self, Options};
use crate::config::{Config, Decision, Policy};
use crate::patch::Mode;
use crate::report::wording;
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
/// status pass through. What gocc.toml says is in force. Exit code: 66 when there are confirmed findings that
/// nothing allows (or `exitcode` in GOCC), else the program's; of several runs, that of the first one that failed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gocc exec -- ./server --port 8080
  gocc exec --mode hunt --runs 5 -- ./pkg.test -test.run TestCache
  go test -exec 'gocc exec --' ./...      (or: gocc test ./...)")]
pub struct ExecArgs {
    /// off, observe (default), trace, hunt, guard or block
    ///
    /// Without it, what GOCC says is in force, else gocc.toml, else what was chosen when the program was patched.
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Run until the first confirmed finding, at most so often
    ///
    /// Each run has another seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Do all of --runs, also after a confirmed finding
    #[arg(long, hide_short_help = true)]
    all_runs: bool,
    /// Hunt: learn from this file, and add to it
    ///
    /// It holds the places that came close to a conflict in earlier runs. They outlive rebuilds.
    #[arg(long, value_name = "FILE")]
    suspects: Option<PathBuf>,
    #[command(flatten)]
    focus: FocusArgs,
    /// Hunt: the same number makes the same choices
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Hunt: share of the time for holding operations, %
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    budget: Option<u32>,
    /// Keep the rings in this directory
    ///
    /// Without it they are in a private one, which is removed.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the report to this file, not to stderr
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to write it: text, json, html, sarif and more
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    format: Format,
    /// Leave a JSON report here too, for gocc merge
    ///
    /// Each gocc exec writes a file of its own. Whoever merges them gives the verdict on expired suppressions.
    #[arg(long, value_name = "DIR")]
    reports: Option<PathBuf>,
    /// Tell each finding in one line
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// The program and its arguments
    ///
    /// The -- before it may be left out; what follows the program's name is the program's own.
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM ARGS",
        hide_short_help = true
    )]
    command: Vec<OsString>,
}

pub fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = args.command.first() else {
        bail!("no program named")
    };
    let config = args.config.load()?;
    let policy = config.policy()?;
    if let Some(directory) = &args.reports {
        // Better to fail now than when the program has run.
        make_directory(directory)?;
    }
    let plan = Plan::new(&args, &config)?;
    let focus = args.focus.focus.as_deref().map(Focus::of).transpose()?;
    let program = resolve(name)?;
    let executable = cache::patched(&program)?;
    let dir = args.dir.clone();
    let dir = dir.or_else(|| runner::of_environment("dir").map(PathBuf::from));
    let rings = RingDir::new(dir.as_deref())?;
    let private = tempfile::TempDir::with_prefix("gocc-suspects-")
        .context("cannot make a directory for suspects")?;
    let suspects = plan
        .suspects_file(&args, private.path())
        .map(|path| Suspects::prepare(&path, &executable))
        .transpose()?;
    if let (Some(focus), Some(suspects)) = (&focus, &suspects) {
        focus.hand_to(suspects)?;
    }
    let hunt = Series {
        args: &args,
        plan: &plan,
        policy: &policy,
        executable: &executable,
        rings: &rings,
        suspects: suspects.as_ref(),
    };
    let status = hunt.to_end()?;
    let (mut analysis, exit_code) = analyze_run(&rings)?;
    let verdict = policy.judge(&mut analysis);
    args.deliver(&analysis)?;
    // Whoever collects reports judges them all, and tells once what has expired.
    let is_part = args.reports.is_some();
    if !is_part {
        tell_expired(&verdict);
    }
    let fails = verdict.failing > 0 || !is_part && verdict.fails();
    // What is private is removed before this process may end by a signal.
    drop(rings);
    drop(private);
    Ok(if fails {
        ExitCode::from(exit_code)
    } else {
        exit_as(status)
    })
}

impl ExecArgs {
    /// Writes the reports to where they were asked for.
    fn deliver(&self, analysis: &Analysis) -> anyhow::Result<()> {
        if let Some(directory) = &self.reports {
            leave_report(directory, analysis)?;
        }
        if let Some(path) = &self.report {
            let text = render(analysis, self.format)?;
            return super::report::deliver(&text, self.format, Some(path));
        }
        if self.brief {
            tell_briefly(analysis);
            return Ok(());
        }
        let text = render(analysis, self.format)?;
        if analysis.findings.is_empty() {
            output::note_lines(&text);
            return Ok(());
        }
        output::to_stderr(&text)
    }
}

/// A report of its own for each gocc exec, so that many can run at the same time.
fn leave_report(directory: &Path, analysis: &Analysis) -> anyhow::Result<()> {
    make_directory(directory)?;
    let cannot = || format!("cannot leave a report in {}", directory.display());
    let mut file = tempfile::Builder::new()
        .prefix("gocc-")
        .suffix(".json")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .with_context(cannot)?;
    report::json::write(analysis, &mut file).with_context(cannot)?;
    file.keep().with_context(cannot)?;
    Ok(())
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot leave a report in {}", path.display());
    std::fs::create_dir_all(path).with_context(cannot)
}

fn tell_briefly(analysis: &Analysis) {
    for finding in &analysis.findings {
        let grade = wording::grade_name(finding.grade);
        let allowed = if finding.allowed.is_some() {
            ", allowed"
        } else {
            ""
        };
        output::note_line(&format!(
            "{} ({grade}{allowed})",
            wording::sentence(finding)
        ));
    }
}

/// What the command line, `GOCC` and `gocc.toml` say together.
struct Plan {
    mode: Option<Mode>,
    /// What the mode is, if not the executable's own.
    hunts: bool,
    /// Somebody must stop the program, since its mode does not.
    must_stop: bool,
    runs: u32,
    /// There are suspects before the first run.
    focused: bool,
    /// What goes into `GOCC` unless that says something else.
    defaults: Vec<(&'static str, String)>,
}

impl Plan {
    fn new(args: &ExecArgs, config: &Config) -> anyhow::Result<Plan> {
        let of_environment = runner::of_environment("mode");
        let of_file = config.run.mode.map(|mode| mode.value);
        let stops = config.decide.confirmed.value == Decision::Stop;
        let of_file = of_file.or(stops.then_some(config.stopping_mode()));
        // The variable goes before the file, and gets through to the program by itself.
        let of_file = of_file.filter(|_| of_environment.is_none());
        args.focus.check(args.mode)?;
        let focused = args.focus.focus.is_some();
        let mode = args.mode.or(focused.then_some(Mode::Hunt)).or(of_file);
        let hunts = match mode {
            Some(mode) => mode == Mode::Hunt,
            None => of_environment.as_deref() == Some(Mode::Hunt.name()),
        };
        let is_block = match mode {
            Some(mode) => mode == Mode::Block,
            None => of_environment.as_deref() == Some(Mode::Block.name()),
        };
        let runs = args.runs.or(config.run.runs.map(|runs| runs.value));
        let pairs = config.run.pairs.iter();
        Ok(Plan {
            mode,
            hunts,
            must_stop: stops && !is_block,
            runs: runs.unwrap_or(1),
            defaults: pairs
                .map(|(key, setting)| (*key, setting.value.clone()))
                .collect(),
            focused,
        })
    }

    /// The user's file of suspects. Without one, several hunts share a private one.
    fn suspects_file(&self, args: &ExecArgs, private: &Path) -> Option<PathBuf> {
        let chosen = args.suspects.clone();
        chosen
            .or_else(|| runner::of_environment("suspects").map(PathBuf::from))
            .or_else(|| {
                let is_wanted = self.focused || self.hunts && self.runs > 1;
                is_wanted.then(|| private.join("suspects"))
            })
    }

    /// Of several runs each has a seed of its own.
    fn seed_of(&self, args: &ExecArgs, run: u32) -> Option<u32> {
        let default = || {
            let of_file = self.defaults.iter().find(|(key, _)| *key == "seed");
            let seed = runner::of_environment("seed").or(of_file.map(|(_, seed)| seed.clone()));
            seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
        };
        let first = match args.seed {
            Some(seed) => seed,
            None if self.runs == 1 => return None,
            None => default(),
        };
        Some(first.wrapping_add(run))
    }
}

/// Runs of one program, each of which may profit from what the ones before have learned.
struct Series<'a> {
    args: &'a ExecArgs,
    plan: &'a Plan,
    policy: &'a Policy,
    executable: &'a Path,
    rings: &'a RingDir,
    suspects: Option<&'a Suspects>,
}

impl Series<'_> {
    /// Runs until the first confirmed finding, unless all runs are wanted, or until somebody wants an end. The
    /// status is that of the first run that failed, else that of the last.
    fn to_end(&self) -> anyhow::Result<ExitStatus> {
        let end_wanted = (self.plan.runs > 1).then(signals::end_wanted).transpose();
        let end_wanted = end_wanted.context("cannot listen to signals")?;
        let is_over = || {
            end_wanted
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed))
        };
        let (mut status, mut rings) = self.once(0)?;
        for run in 1..self.plan.runs {
            if is_over() || status.signal().is_some() {
                break;
            }
            if !self.args.all_runs && has_confirmed(rings)? {
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
                mode: self.plan.mode,
                seed: self.plan.seed_of(self.args, number),
                budget_percent: self.args.budget,
                suspects: self.suspects.map(|suspects| suspects.path().to_owned()),
                defaults: self.plan.defaults.clone(),
            },
            rings: self.rings,
            output: None,
        };
        let before: HashSet<PathBuf> = self.rings.new_rings()?.into_iter().collect();
        let status = if self.plan.must_stop {
            stop::at_the_first(self.policy, self.rings, || run.to_end())?
        } else {
            run.to_end()?
        };
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
pub fn exit_as(status: ExitStatus) -> ExitCode {
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
