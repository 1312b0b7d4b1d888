use super::config::{ConfigArgs, exit_code_of};
use super::output;
use super::progress::Progress;
use super::push::PushArgs;
use super::report::{deliver, open_rings};
use crate::analyze::model::Analysis;
use crate::analyze::{self, Merger, Options};
use crate::report::json::{ReadError, read};
use crate::report::{self, Format, ReportOptions};
use crate::ring::{Ring, ring_files};
use anyhow::{Context, bail};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make one report of many reports and rings
///
/// They can be of many processes, hosts and builds. Findings at the same places are one. A process that is in several inputs counts once. Exit code: 66
/// when there are confirmed findings, 0 when there are none.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc merge --format text node1.json node2.json rings/")]
pub struct MergeArgs {
    /// JSON reports, ring files, directories of them
    #[arg(required = true, value_name = "REPORT|RING|DIR")]
    paths: Vec<PathBuf>,
    /// How to write it: json, text, html, sarif and more
    #[arg(long, value_enum, default_value = "json", hide_default_value = true)]
    format: Format,
    /// Write to this file, not to stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// List suspects too
    #[arg(long)]
    suspects: bool,
    /// Where the sources lie, for SARIF and HTML
    #[arg(long, value_name = "DIR")]
    source_root: Option<PathBuf>,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: MergeArgs) -> anyhow::Result<ExitCode> {
    let policy = args.config.load()?.policy()?;
    let collector = args.push.collector()?;
    let mut merged = {
        let _progress = Progress::start("reading reports and rings");
        merge(&args.paths)?
    };
    let verdict = policy.judge(&mut merged);
    let options = ReportOptions {
        suspects: args.suspects,
        source_root: args.source_root,
        ..ReportOptions::default()
    };
    let mut text = Vec::new();
    report::write(&merged, args.format, &options, &mut text).context("cannot format the report")?;
    deliver(&text, args.format, args.output.as_deref())?;
    if let Some(collector) = collector {
        super::push::push(&merged, &options, &collector)?;
    }
    Ok(exit_code_of(&verdict))
}

/// Everything that reports, rings and directories of either say.
pub fn merge(paths: &[PathBuf]) -> anyhow::Result<Analysis> {
    let (reports, others) = reports_and_rings(paths)?;
    let mut merger = Merger::default();
    for path in &reports {
        let analysis =
            read_report(path).with_context(|| format!("cannot read {}", path.display()))?;
        let is_new = merger
            .add(analysis)
            .with_context(|| format!("cannot merge {}", path.display()))?;
        if !is_new {
            output::note_line(&format!("left out: {} (known already)", path.display()));
        }
    }
    for ring in rings(&others)? {
        let path = ring.path().to_owned();
        let analysis = analyze::analyze(vec![ring], &Options::default())?;
        if !merger.add(analysis)? {
            output::note_line(&format!("left out: {} (known already)", path.display()));
        }
    }
    Ok(merger.finish())
}

/// A directory stands for the reports in it and, unless there are only reports, for its rings.
fn reports_and_rings(paths: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut reports, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        if is_report(path) {
            reports.push(path.clone());
            continue;
        }
        let inside = reports_in(path)?;
        if inside.is_empty() || !ring_files(std::slice::from_ref(path))?.is_empty() {
            others.push(path.clone());
        }
        reports.extend(inside);
    }
    Ok((reports, others))
}

fn reports_in(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let cannot = || format!("cannot read {}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot)? {
        let entry = entry.with_context(cannot)?.path();
        let is_json = entry
            .extension()
            .is_some_and(|extension| extension == "json");
        if is_json && is_report(&entry) {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn rings(paths: &[PathBuf]) -> anyhow::Result<Vec<Ring>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let files = ring_files(paths)?;
    if files.is_empty() {
        let places: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        bail!(
            "no report (*.json) and no gocc-*.ring in {}",
            places.join(", ")
        );
    }
    open_rings(files, paths)
}

/// A report is a JSON object; a ring begins otherwise.
fn is_report(path: &Path) -> bool {
    let mut first = [0];
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let read = |mut file: std::fs::File| file.read_exact(&mut first);
    is_file && std::fs::File::open(path).and_then(read).is_ok() && first == *b"{"
}

fn read_report(path: &Path) -> Result<Analysis, ReadError> {
    read(&std::fs::read(path)?)
}
