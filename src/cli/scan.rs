use super::cache::ScanCache;
use super::config::{ConfigArgs, exit_code_of};
use super::report::deliver;
use super::{output, scanned};
use crate::analyze::model::Confidence;
use crate::report::{self, Format, ReportOptions};
use crate::scan::fix::Preference;
use crate::scan::rules::{RULES, Rule};
use crate::scan::{self, ScanOptions, Scanned};
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Find concurrent map misuse in Go source
///
/// Exit code: 66 when there are findings that gocc.toml does not allow, 0 when there are none.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc scan --format sarif --output scan.sarif ./...")]
pub struct ScanArgs {
    /// Files and directories, with everything below them; or one executable
    ///
    /// `./...` means the same as `.`. Of an executable, goroutines that come to maps of one type are listed, with
    /// the locks that they hold there, from its code and function table alone. Nothing is proved by that, so the
    /// exit code is 0.
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// How to write it: text, json or sarif
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write to this file, not to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show what is only a hint, too
    #[arg(long)]
    pub all: bool,
    /// Build tags that hold
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Leave test files out
    #[arg(long)]
    pub no_tests: bool,
    /// Look at vendored packages, too
    #[arg(long)]
    pub vendored: bool,
    /// Report findings in generated files, too
    #[arg(hide_short_help = true, long)]
    pub generated: bool,
    /// Leave out the findings of this rule
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub disable: Vec<String>,
    /// List the rules with their reasons and examples
    #[arg(long)]
    pub rules: bool,
    /// Print patches for what is found
    ///
    /// Each is complete, and built and tested in a copy with the Go toolchain; or there is none.
    #[arg(long, group = "patches")]
    pub diff: bool,
    /// Apply these patches
    #[arg(long, group = "patches")]
    pub fix: bool,
    /// Of several ways to fix a map, take this one where it is right
    ///
    /// Without it: a lock; and what is right without one where a lock is not.
    #[arg(
        hide_short_help = true,
        long,
        value_enum,
        value_name = "KIND",
        value_delimiter = ',',
        requires = "patches"
    )]
    pub prefer: Vec<Preference>,
    /// Parse everything, and keep nothing for the next scan
    #[arg(hide_short_help = true, long)]
    pub no_cache: bool,
    /// Where the sources lie: SARIF names files relative to it
    #[arg(hide_short_help = true, long, value_name = "DIR")]
    pub source_root: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

pub fn run(args: ScanArgs) -> anyhow::Result<ExitCode> {
    if args.rules {
        output::to_stdout(rules_text().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = args
        .disable
        .iter()
        .find(|id| scan::rules::rule(id).is_none())
    {
        bail!("there is no rule {unknown} (gocc scan --rules lists them)");
    }
    if let [path] = &args.paths[..]
        && super::scan_binary::is_executable(path)
    {
        if args.diff || args.fix {
            bail!(
                "{} is an executable: only source can be fixed",
                path.display()
            );
        }
        return super::scan_binary::run(path, args.format, args.output.as_deref());
    }
    if args.diff || args.fix {
        return super::fix::run(&options(&args), args.fix, &args.prefer);
    }
    let policy = args.config.load()?.policy()?;
    let cache = (!args.no_cache).then(ScanCache::open).flatten();
    let scanned = scanned::scan(options(&args), cache)?;
    let remark = remark(&scanned);
    let mut analysis = scanned.into_analysis();
    let verdict = policy.judge(&mut analysis);
    let options = ReportOptions {
        suspects: true,
        source_root: args.source_root,
        ..ReportOptions::default()
    };
    let mut report = Vec::new();
    report::write(&analysis, args.format, &options, &mut report)
        .context("cannot format the report")?;
    deliver(&report, args.format, args.output.as_deref())?;
    output::note_line(&remark);
    Ok(exit_code_of(&verdict))
}

fn options(args: &ScanArgs) -> ScanOptions {
    ScanOptions {
        paths: args.paths.clone(),
        tags: args.tags.clone(),
        tests: !args.no_tests,
        vendored: args.vendored,
        generated: args.generated,
        confidence: if args.all {
            Confidence::Low
        } else {
            Confidence::Medium
        },
        disabled: args.disable.clone(),
        remember: false,
        cache: None,
    }
}

/// What was looked at, in a sentence.
fn remark(scanned: &Scanned) -> String {
    let mut text = format!(
        "scanned {} lines in {} files, {} entries",
        scanned.lines, scanned.files, scanned.entries
    );
    let parts = [
        (
            scanned.incomplete,
            "entries too large to be followed to their end",
        ),
        (scanned.broken, "files with syntax errors"),
        (scanned.unchanged, "files as at an earlier scan"),
        (scanned.hidden, "hints that --all shows"),
        (scanned.ignored.len(), "findings silenced by //gocc:ignore"),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, "; {count} {what}");
    }
    text
}

fn rules_text() -> String {
    RULES.iter().map(|rule| rule_text(rule)).collect()
}

fn rule_text(rule: &Rule) -> String {
    let indented = |code: &str| {
        code.lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    format!(
        "{} ({:?}, confidence up to {:?})\n  {}.\n  {}\n  Wrong:\n{}  Right:\n{}\n",
        rule.id,
        rule.severity,
        rule.confidence,
        rule.title,
        rule.rationale,
        indented(rule.bad),
        indented(rule.good)
    )
}
