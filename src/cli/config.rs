use super::{EXIT_FINDINGS, output, runner};
use crate::config::{Config, Decision, Decisions, NAME, Policy, Setting, Verdict};
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What programs do that are told nothing: `[run]` of `gocc.toml`, as the shim (stubs/shim/env.rs) has it.
const DEFAULTS: [(&str, &str); 8] = [
    ("mode", "observe"),
    ("runs", "1"),
    ("sample", "1024"),
    ("hold", "2ms"),
    ("window", "100ms"),
    ("wait", "10ms"),
    ("budget", "30"),
    ("seed", "1"),
];

/// Which configuration.
#[derive(clap::Args, Default)]
pub struct ConfigArgs {
    /// Use this file, not the nearest gocc.toml
    ///
    /// The nearest one is that of this directory, or of the first above it that has one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigArgs {
    /// What is in force here.
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(match &self.config {
            Some(path) => Config::read(path)?,
            None => {
                // By its plain name, which is what messages call it.
                let nearest = Path::new(NAME);
                if nearest.is_file() {
                    return Ok(Config::read(nearest)?);
                }
                let here = std::env::current_dir().context("cannot tell the current directory")?;
                Config::of_directory(&here)?
            }
        })
    }
}

/// The exit code for a verdict; what has expired is said.
pub fn exit_code_of(verdict: &Verdict) -> ExitCode {
    tell_expired(verdict);
    if verdict.fails() {
        ExitCode::from(EXIT_FINDINGS)
    } else {
        ExitCode::SUCCESS
    }
}

/// Names the suppressions whose time is over.
pub fn tell_expired(verdict: &Verdict) {
    for expired in &verdict.expired {
        output::note_line(&expired.to_string());
    }
}

/// Show what is in force here, and where each value comes from
///
/// The nearest gocc.toml, GOCC and defaults.///
/// Exit code: 66 when a suppression has expired, which fails every verdict, else 0.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc config --json")]
pub struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that is in force.
#[derive(Serialize)]
struct InForce {
    file: Option<PathBuf>,
    settings: Vec<Row>,
    suppressions: Vec<SuppressionRow>,
}

/// A value and where it comes from.
#[derive(Serialize)]
struct Row {
    name: String,
    value: String,
    from: String,
}

#[derive(Serialize)]
struct SuppressionRow {
    what: String,
    reason: String,
    expires: Option<String>,
    expired: bool,
    from: String,
}

pub fn run(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let policy = config.policy()?;
    let shown = in_force(&config, &policy);
    let text = if args.json {
        serde_json::to_string_pretty(&shown)? + "\n"
    } else {
        table(&shown)
    };
    output::to_stdout(text.as_bytes())?;
    let verdict = Verdict {
        expired: policy.expired(),
        ..Verdict::default()
    };
    Ok(exit_code_of(&verdict))
}

fn in_force(config: &Config, policy: &Policy) -> InForce {
    let name = config.name();
    let mut settings: Vec<Row> = DEFAULTS
        .iter()
        .map(|(key, default)| run_row(config, key, default))
        .collect();
    settings.extend(decisions(&config.decide, &name));
    settings.push(match (&config.baseline, &policy.baseline) {
        (Some(file), Some((path, baseline))) => Row {
            name: "baseline".into(),
            value: format!("{path} ({} known)", baseline.len()),
            from: from(&name, file.line),
        },
        _ => Row {
            name: "baseline".into(),
            value: "none".into(),
            from: "default".into(),
        },
    });
    let suppressions = config
        .suppressions
        .iter()
        .map(|suppression| SuppressionRow {
            what: suppression.what(),
            reason: suppression.reason.clone(),
            expires: suppression.expires.map(|day| day.to_string()),
            expired: suppression.is_expired(policy.today),
            from: format!("{name}:{}", suppression.at),
        });
    InForce {
        file: config.path.clone(),
        settings,
        suppressions: suppressions.collect(),
    }
}

fn from(file: &str, line: Option<u32>) -> String {
    line.map_or_else(|| "default".to_owned(), |line| format!("{file}:{line}"))
}

/// `GOCC` goes before the file.
fn run_row(config: &Config, key: &str, default: &str) -> Row {
    let row = |value: String, from: String| Row {
        name: format!("run.{key}"),
        value,
        from,
    };
    if let Some(value) = runner::of_environment(key) {
        return row(value, "GOCC".to_owned());
    }
    let name = config.name();
    if let ("mode", None, Decision::Stop) = (key, config.run.mode, config.decide.confirmed.value) {
        let why = from(&name, config.decide.confirmed.line);
        return row(
            config.stopping_mode().to_string(),
            format!("{why} (confirmed = \"stop\")"),
        );
    }
    let given = match key {
        "mode" => config
            .run
            .mode
            .map(|mode| (mode.value.to_string(), mode.line)),
        "runs" => config
            .run
            .runs
            .map(|runs| (runs.value.to_string(), runs.line)),
        _ => {
            let mut pairs = config.run.pairs.iter();
            let pair = pairs.find(|(name, _)| *name == key);
            pair.map(|(_, setting)| (setting.value.clone(), setting.line))
        }
    };
    match given {
        Some((value, line)) => row(value, from(&name, line)),
        None => row(default.to_owned(), "default".to_owned()),
    }
}

fn decisions(decide: &Decisions, file: &str) -> [Row; 4] {
    let row = |name: &str, decision: Setting<Decision>| Row {
        name: format!("decide.{name}"),
        value: decision.value.name().to_owned(),
        from: from(file, decision.line),
    };
    [
        row("source", decide.source),
        row("confirmed", decide.confirmed),
        row("suspect", decide.suspect),
        Row {
            name: "decide.allowed".to_owned(),
            value: "log".to_owned(),
            from: "always".to_owned(),
        },
    ]
}

fn table(shown: &InForce) -> String {
    let file = shown.file.as_ref();
    let file = file.map_or("none".to_owned(), |path| path.display().to_string());
    let mut text = format!("{:<18}{file}\n\n", "file");
    for Row { name, value, from } in &shown.settings {
        text.push_str(&format!("{name:<18}{value:<10}  {from}\n"));
    }
    for suppression in &shown.suppressions {
        let SuppressionRow {
            what,
            reason,
            expires,
            expired,
            from,
        } = suppression;
        let until = match (expires, expired) {
            (Some(day), true) => format!("EXPIRED on {day}"),
            (Some(day), false) => format!("until {day}"),
            (None, _) => "for good".to_owned(),
        };
        text.push_str(&format!(
            "\nsuppress          {what}\n{:18}{until}: {reason}\n{:18}{from}\n",
            "", ""
        ));
    }
    text
}
