use super::config::{ConfigArgs, exit_code_of};
use super::exec::{exit_as, render};
use super::focus::FocusArgs;
use super::merge::merge;
use super::signals::Forwarder;
use super::{output, scanned};
use crate::analyze::model::Analysis;
use crate::patch::Mode;
use crate::report::{self, Format, ReportOptions};
use anyhow::{Context, bail};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// Run go test, instrumented, and report once at the end
///
/// It is `go test -exec 'gocc exec --reports DIR --brief --' ARGS` and `gocc merge DIR`: each package's output has its
/// findings in a line each, the report at the end has each finding once, with both stacks. Exit code: 66 when there are
/// confirmed findings that gocc.toml does not allow or when a suppression has expired, else that of go test.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gocc test ./...
  gocc test --mode hunt --report gocc.sarif --format sarif ./... -run Cache")]
pub struct TestArgs {
    /// off, observe (default), trace, hunt, guard or block
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Run each until its first finding, at most so often
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    #[command(flatten)]
    focus: FocusArgs,
    /// Write the report to this file too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to write it: text, json, html, sarif and more
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    format: Format,
    /// Where the sources lie, for SARIF and HTML [default: .]
    #[arg(long, value_name = "DIR")]
    source_root: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// What go test is to be told: packages and flags
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "GO TEST ARGS"
    )]
    arguments: Vec<OsString>,
}

pub fn run(args: TestArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    let policy = args.config.load()?.policy()?;
    let place = Place::new()?;
    if let Some(path) = &args.focus.focus {
        scanned::leave(scanned::of(path, false)?, &place.findings)?;
    }
    let status = go_test(&args, &place)?;
    let mut analysis = match std::fs::read_dir(&place.reports)?.next() {
        Some(_) => merge(std::slice::from_ref(&place.reports))?,
        None => Analysis::default(),
    };
    let verdict = policy.judge(&mut analysis);
    args.deliver(&analysis)?;
    // What is private is removed before this process may end by a signal.
    drop(place);
    if verdict.fails() {
        return Ok(exit_code_of(&verdict));
    }
    Ok(exit_as(status))
}

/// A directory for what several gocc exec leave and share.
struct Place {
    /// Their reports.
    reports: PathBuf,
    /// What the scanner found, if it was asked.
    findings: PathBuf,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> anyhow::Result<Place> {
        let cannot = "cannot make a directory for reports";
        let directory = tempfile::TempDir::with_prefix("gocc-test-").context(cannot)?;
        let reports = directory.path().join("reports");
        std::fs::create_dir(&reports).context(cannot)?;
        Ok(Place {
            reports,
            findings: directory.path().join("findings.json"),
            _directory: directory,
        })
    }
}

impl TestArgs {
    fn check(&self) -> anyhow::Result<()> {
        let named = |argument: &OsString, name: &str| {
            let text = argument.to_string_lossy();
            let text = text.trim_start_matches('-');
            text == name || text.starts_with(&format!("{name}="))
        };
        let mut flags = self
            .arguments
            .iter()
            .take_while(|argument| *argument != "-args" && *argument != "--args")
            .filter(|argument| argument.as_encoded_bytes().starts_with(b"-"));
        if flags.clone().any(|argument| named(argument, "exec")) {
            bail!(
                "gocc test gives go test an -exec of its own (use go test -exec with gocc exec in it)"
            );
        }
        self.focus.check(self.mode)?;
        if flags.any(|argument| *argument == "-c" || *argument == "--c") {
            bail!("with -c nothing is run (use go test -c, then gocc exec -- ./PACKAGE.test)");
        }
        Ok(())
    }

    fn deliver(&self, analysis: &Analysis) -> anyhow::Result<()> {
        if let Some(path) = &self.report {
            let root = self.source_root.as_deref().unwrap_or(Path::new("."));
            let root = root.canonicalize();
            let root = root.with_context(|| "cannot use the directory of --source-root")?;
            let options = ReportOptions {
                source_root: Some(root),
                ..ReportOptions::default()
            };
            let mut text = Vec::new();
            report::write(analysis, self.format, &options, &mut text)
                .context("cannot format the report")?;
            super::report::deliver(&text, self.format, Some(path))?;
        }
        if analysis.rings.is_empty() {
            output::note_line("no test binary left a ring: nothing is known");
            return Ok(());
        }
        let text = render(analysis, Format::Text)?;
        if analysis.findings.is_empty() {
            output::note_lines(&text);
            return Ok(());
        }
        output::to_stderr(&text)
    }

    /// The words of `-exec`.
    fn exec(&self, place: &Place) -> anyhow::Result<String> {
        let own = std::env::current_exe().context("cannot tell where gocc is")?;
        let mut words: Vec<OsString> = vec![own.into(), "exec".into(), "--brief".into()];
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                words.extend([OsString::from(name), value]);
            }
        };
        option("--reports", Some(place.reports.as_os_str().to_owned()));
        option("--mode", self.mode.map(|mode| mode.name().into()));
        option("--runs", self.runs.map(|runs| runs.to_string().into()));
        // Test binaries run in the directories of their packages.
        let config = self.config.config.as_deref().map(std::path::absolute);
        option("--config", config.transpose()?.map(PathBuf::into_os_string));
        if self.focus.focus.is_some() {
            let mut word = OsString::from("--focus=");
            word.push(&place.findings);
            words.push(word);
        }
        words.push("--".into());
        let quoted: Option<Vec<String>> = words.iter().map(|word| quoted(word)).collect();
        let words =
            quoted.context("go test cannot be told a path that has both kinds of quotes")?;
        Ok(words.join(" "))
    }
}

/// A word as go's `-exec` takes it (cmd/internal/quoted): in quotes when it has blanks; nothing is escaped.
fn quoted(word: &OsStr) -> Option<String> {
    let text = word.to_str()?;
    match (text.contains('\''), text.contains('"')) {
        _ if !text.contains(|c: char| c.is_whitespace() || c == '\'' || c == '"') => {
            Some(text.to_owned())
        }
        (false, _) => Some(format!("'{text}'")),
        (true, false) => Some(format!("\"{text}\"")),
        (true, true) => None,
    }
}

fn go_test(args: &TestArgs, place: &Place) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new("go");
    command.arg("test").arg("-exec").arg(args.exec(place)?);
    command.args(&args.arguments);
    let forwarder = Forwarder::install().context("cannot pass signals on")?;
    let mut child = command.spawn().context(
        "cannot run go (gocc test needs it in PATH; a test binary alone: gocc exec -- ./PACKAGE.test)",
    )?;
    forwarder
        .wait(&mut child)
        .context("cannot wait for go test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_go_reads_them() {
        let cases = [
            ("/usr/bin/gocc", Some("/usr/bin/gocc")),
            ("/a b/gocc", Some("'/a b/gocc'")),
            ("/it's/gocc", Some("\"/it's/gocc\"")),
            ("/it's \"so\"", None),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(OsStr::new(word)).as_deref(), expected);
        }
    }
}
