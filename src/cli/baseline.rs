use super::config::ConfigArgs;
use super::merge::merge;
use super::output;
use super::progress::Progress;
use crate::config::{Baseline, Subject};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write down known findings, so that only new ones fail
///
/// The file is named by `baseline` in gocc.toml and kept beside the source. Findings are known again by function, file
/// name and operation of both sides and the map's type, not by lines or directories.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc baseline --output gocc-baseline.json report.json")]
pub struct BaselineArgs {
    /// JSON reports, ring files, or directories of either
    #[arg(required = true, value_name = "REPORT|RING|DIR")]
    paths: Vec<PathBuf>,
    /// The file (default: the one that gocc.toml names)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep what the file knows already
    #[arg(long)]
    add: bool,
    /// Suspects too
    #[arg(long)]
    suspects: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: BaselineArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let path = match (&args.output, config.baseline) {
        (Some(path), _) => path.clone(),
        (None, Some(setting)) => setting.value,
        (None, None) => anyhow::bail!(
            "no file to write to (name one with --output, or with baseline = \"FILE\" in gocc.toml)"
        ),
    };
    let analysis = {
        let _progress = Progress::start("reading reports and rings");
        merge(&args.paths)?
    };
    let mut baseline = if args.add && path.exists() {
        Baseline::read(&path)?
    } else {
        Baseline::default()
    };
    let suspects = analysis.suspects.iter().filter(|_| args.suspects);
    let all = analysis.findings.iter().chain(suspects);
    let new = all
        .filter(|finding| baseline.add(&Subject::from(*finding)))
        .count();
    let text = baseline.to_text().context("cannot format the baseline")?;
    output::to_file_as_is(&path, text.as_bytes())?;
    output::note_line(&format!(
        "{}: {} known, {new} of them new",
        path.display(),
        baseline.len()
    ));
    Ok(ExitCode::SUCCESS)
}
