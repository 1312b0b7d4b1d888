use super::config::ConfigArgs;
use super::progress::Progress;
use super::push::PushArgs;
use super::{output, suspects};
use crate::analyze::model::{Analysis, Confidence};
use crate::analyze::{self, Options};
use crate::profile::Overlay;
use crate::report::{self, Counting, Events, Format, ReportOptions};
use crate::ring::{Ring, RingError, ring_files};
use crate::scan;
use anyhow::{Context, anyhow, bail};
use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Tell what the rings of running, ended or killed programs prove
///
/// Exit code: 66 when there are confirmed findings that gocc.toml does not allow, 0 when there are none.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gocc report /dev/shm
  gocc report --scan=. --format html -o report.html rings/")]
pub struct ReportArgs {
    #[command(flatten)]
    pub rings: RingArgs,
    /// How to write it: text, json, html, sarif and more
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: Format,
    /// Write to this file, not to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show the frames of Go's runtime too
    #[arg(long, hide_short_help = true)]
    pub all_frames: bool,
    /// List suspects too, of which nothing is proven
    ///
    /// They are near misses among the recorded operations.
    #[arg(long)]
    pub suspects: bool,
    /// Exit with 66 also when there are only suspects
    #[arg(long, hide_short_help = true)]
    pub fail_on_suspects: bool,
    /// Flame graphs: what to count
    ///
    /// Without it, operations if any were recorded, else conflicts.
    #[arg(long, value_enum, value_name = "WHAT", hide_short_help = true)]
    pub count: Option<Counting>,
    /// Where the sources lie
    ///
    /// SARIF names files relative to it, HTML takes lines from there.
    #[arg(long, value_name = "DIR")]
    pub source_root: Option<PathBuf>,
    /// Join with what gocc scan finds
    ///
    /// In this tree (default: .), or in the JSON report that it wrote. What both find is confirmed; what only one
    /// finds says what the other knows of it.
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "."
    )]
    pub scan: Option<PathBuf>,
    /// Lay a CPU or goroutine profile over the findings
    ///
    /// A file that runtime/pprof or net/http/pprof wrote for the same program.
    #[arg(long, value_name = "FILE")]
    pub pprof: Option<PathBuf>,
    /// Compare a JSON report with its rings and executables
    ///
    /// Says in what it differs: rings or executables that were changed, findings that the rings do not prove. Exit
    /// code: 0 when it does not, 1 when it does.
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["format", "output", "pprof"])]
    pub check: Option<PathBuf>,
    #[command(flatten)]
    pub push: PushArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Which rings, and what explains them.
#[derive(clap::Args)]
pub struct RingArgs {
    /// Ring files, or directories of them
    #[arg(required = true, value_name = "RING|DIR")]
    pub paths: Vec<PathBuf>,
    /// Take names from this executable
    ///
    /// Without it, from the one that the ring names.
    #[arg(long, value_name = "FILE")]
    pub exe: Option<PathBuf>,
    /// Near misses are at most this far apart
    #[arg(long, value_name = "MS", default_value_t = 10, hide_short_help = true)]
    pub window: u32,
    /// Near misses are one when their stacks share this
    ///
    /// The share of user functions that both stacks have (Jaccard), from 0 to 1.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.6,
        hide_short_help = true
    )]
    pub similarity: f64,
    /// What hunting has learned (gocc exec --suspects)
    ///
    /// Near misses at places where operations were held in vain become less likely.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub hunted: Option<PathBuf>,
}

impl RingArgs {
    /// How to analyse them.
    pub fn options(&self) -> anyhow::Result<Options> {
        if !(0.0..=1.0).contains(&self.similarity) {
            bail!("--similarity {} is not from 0 to 1", self.similarity);
        }
        let hunted = self.hunted.as_deref().map(suspects::hunted).transpose()?;
        Ok(Options {
            exe: self.exe.clone(),
            window: Duration::from_millis(self.window.into()),
            similarity: self.similarity,
            hunted: hunted.unwrap_or_default(),
            goroutines: false,
        })
    }

    /// Opens all rings. One that was named must be readable; one that merely lies in a directory is
    /// left out with a remark, as long as another can be read.
    pub fn open(&self) -> anyhow::Result<Vec<Ring>> {
        let files = ring_files(&self.paths).map_err(with_hint)?;
        if files.is_empty() {
            let place = self
                .paths
                .first()
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            bail!("no gocc-*.ring in {place} (run a patched program with GOCC=dir={place} first)");
        }
        open_rings(files, &self.paths)
    }
}

/// Opens ring files. One that was named must be readable; one that merely lies in a directory is left
/// out with a remark, as long as another can be read.
pub fn open_rings(files: Vec<PathBuf>, named: &[PathBuf]) -> anyhow::Result<Vec<Ring>> {
    let mut rings = Vec::new();
    let mut skipped = Vec::new();
    for file in files {
        match Ring::open(&file) {
            Ok(ring) => rings.push(ring),
            Err(error) if named.contains(&file) => return Err(with_hint(error)),
            Err(error) => skipped.push(error),
        }
    }
    if rings.is_empty() {
        return Err(skipped
            .into_iter()
            .next()
            .map_or_else(|| anyhow!("no ring to read"), with_hint));
    }
    skipped
        .iter()
        .for_each(|error| output::note_line(&format!("left out: {error}")));
    Ok(rings)
}

/// Says what to do about the commonest errors.
fn with_hint(error: RingError) -> anyhow::Error {
    let hint = match &error {
        RingError::Unreadable { source, .. } => match source.kind() {
            ErrorKind::NotFound => {
                "name a ring file, or the directory that the program had as dir= in GOCC"
            }
            ErrorKind::PermissionDenied => {
                "rings belong to the user who ran the program: be that user"
            }
            _ => return error.into(),
        },
        RingError::WrongMagic { .. } => {
            "rings are the files gocc-*.ring in the directory given as dir= in GOCC"
        }
        _ => return error.into(),
    };
    anyhow!("{error} ({hint})")
}

pub fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    if args.output.is_none() && args.format.is_binary() && std::io::stdout().is_terminal() {
        bail!("this format is not for a terminal (name a file with --output)");
    }
    if let Some(report) = &args.check {
        return check(report, &args);
    }
    let policy = args.config.load()?.policy()?;
    let collector = args.push.collector()?;
    let overlay = args.pprof.as_deref().map(read_profile).transpose()?;
    let rings = args.rings.open()?;
    let mut analysis_options = args.rings.options()?;
    analysis_options.goroutines = args.scan.is_some();
    if args.format == Format::ParquetEvents {
        return write_events(rings, &analysis_options, args.output.as_deref());
    }
    let mut analysis = {
        let _progress = Progress::start("reading rings");
        analyze::analyze(rings, &analysis_options)?
    };
    if let Some(path) = &args.scan {
        join(&mut analysis, path, args.suspects)?;
    }
    if matches!(args.format, Format::Json) {
        analyze::add_digests(&mut analysis);
    }
    if let (Some(overlay), Some(path)) = (overlay, &args.pprof) {
        analyze::lay_over(&mut analysis, overlay, &path.display().to_string());
    }
    let mut verdict = policy.judge(&mut analysis);
    if args.fail_on_suspects {
        verdict.fail_on_suspects(&analysis);
    }
    let options = ReportOptions {
        all_frames: args.all_frames,
        suspects: args.suspects,
        counting: args.count,
        source_root: args.source_root,
    };
    let mut report = Vec::new();
    report::write(&analysis, args.format, &options, &mut report)
        .context("cannot format the report")?;
    deliver(&report, args.format, args.output.as_deref())?;
    if let Some(collector) = collector {
        super::push::push(&analysis, &options, &collector)?;
    }
    Ok(super::config::exit_code_of(&verdict))
}

/// Lays what ran over what the source says; hints too when suspects are wanted.
fn join(analysis: &mut Analysis, path: &Path, hints: bool) -> anyhow::Result<()> {
    let least = if hints {
        Confidence::Low
    } else {
        Confidence::Medium
    };
    scan::join(analysis, super::scanned::of(path, true)?, least);
    Ok(())
}

/// Whether a report still is what its rings and executables say.
fn check(report: &Path, args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let reported = std::fs::read(report).map_err(report::json::ReadError::from);
    let reported = reported
        .and_then(|bytes| report::json::read(&bytes))
        .with_context(|| format!("cannot check {}", report.display()))?;
    let mut now = analyze::analyze(args.rings.open()?, &args.rings.options()?)?;
    if let Some(path) = &args.scan {
        join(&mut now, path, args.suspects)?;
    }
    analyze::add_digests(&mut now);
    // Numbers as they are once they went through a report.
    let mut text = Vec::new();
    report::json::write(&now, &mut text)?;
    let now = report::json::read(&text)?;
    let differences = analyze::differences(&reported, &now);
    if differences.is_empty() {
        let (rings, findings) = (now.rings.len(), now.findings.len());
        let summary = format!(
            "{}: rings: {rings}, findings: {findings}, all as reported\n",
            report.display()
        );
        output::to_stdout(summary.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    for difference in &differences {
        output::note_line(&difference.to_string());
    }
    bail!(
        "{} is not what its rings and executables say: see the remarks above ({} of them)",
        report.display(),
        differences.len()
    )
}

fn read_profile(path: &Path) -> anyhow::Result<Overlay> {
    Overlay::read(path).with_context(|| format!("cannot lay {} over", path.display()))
}

/// Recorded operations are too many to be in memory: they go straight to the file.
fn write_events(
    rings: Vec<Ring>,
    options: &Options,
    output: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let Some(path) = output else {
        bail!("recorded operations are many (name a file with --output)");
    };
    let problems = output::to_file_in_parts(path, |file| {
        let _progress = Progress::start("writing operations");
        let mut events = Events::new(file)?;
        let problems = analyze::events(rings, options, &mut events)??;
        events.finish()?;
        Ok(problems)
    })?;
    problems
        .iter()
        .for_each(|problem| output::note_line(problem));
    Ok(ExitCode::SUCCESS)
}

/// Writes a report to a file, or to stdout.
pub fn deliver(report: &[u8], format: Format, to: Option<&Path>) -> anyhow::Result<()> {
    match (to, format.is_styled()) {
        (Some(path), true) => output::to_file(path, report),
        (Some(path), false) => output::to_file_as_is(path, report),
        (None, true) => output::to_stdout(report),
        (None, false) => output::to_stdout_as_is(report),
    }
}
