//! Finding and reading `gocc.toml`.

use super::baseline::{Baseline, BaselineError};
use super::pattern::Pattern;
use super::policy::{Decision, Decisions, Policy};
use super::run::{RunSettings, RunTable, Setting, settle};
use super::suppress::Suppression;
use crate::patch::Mode;
use jiff::civil::Date;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The file's name.
pub const NAME: &str = "gocc.toml";
/// A larger file is a mistake, in bytes.
const MOST: u64 = 1 << 20;

/// What is in force: the file's word, and defaults for what it does not say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file; `None` when there is none.
    pub path: Option<PathBuf>,
    /// How programs run.
    pub run: RunSettings,
    /// What becomes of findings.
    pub decide: Decisions,
    /// The baseline's file.
    pub baseline: Option<Setting<PathBuf>>,
    /// What is allowed.
    pub suppressions: Vec<Suppression>,
    /// What `gocc scan` is told, in its own words.
    pub scan: toml::Table,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot read {path}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What it says.
    #[error("{path}:{line}: {reason}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// The baseline that it names.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Document {
    baseline: Option<Spanned<PathBuf>>,
    run: RunTable,
    decide: DecideTable,
    suppress: Vec<Spanned<SuppressTable>>,
    scan: toml::Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DecideTable {
    source: Option<Spanned<Decision>>,
    confirmed: Option<Spanned<Decision>>,
    suspect: Option<Spanned<Decision>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressTable {
    function: Option<String>,
    caller: Option<String>,
    file: Option<String>,
    place: Option<String>,
    map: Option<String>,
    reason: String,
    expires: Option<Day>,
}

/// `2027-03-31`, with or without quotes.
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Day, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Date(toml::value::Datetime),
            Text(String),
        }
        let text = match Written::deserialize(from)? {
            Written::Date(date) => date.to_string(),
            Written::Text(text) => text,
        };
        let wrong = |_| serde::de::Error::custom(format!("{text:?} is no day (as in 2027-03-31)"));
        text.parse().map(Day).map_err(wrong)
    }
}

impl Config {
    /// The configuration that is in force in a directory: that of the nearest file in it or above it.
    ///
    /// # Errors
    /// When that file cannot be read, or says what gocc does not understand.
    pub fn of_directory(directory: &Path) -> Result<Config, ConfigError> {
        let candidates = directory.ancestors().map(|above| above.join(NAME));
        match candidates.into_iter().find(|path| path.is_file()) {
            Some(path) => Config::read(&path),
            None => Ok(Config::default()),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or says what gocc does not understand.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MOST {
            let reason = format!("it has {size} bytes, more than anybody writes");
            return Err(wrong(path, 1, reason));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        parse(&text, path)
    }

    /// What bears on verdicts today; the baseline is read.
    ///
    /// # Errors
    /// When the baseline cannot be read.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        let baseline = match &self.baseline {
            Some(file) => Some((
                file.value.display().to_string(),
                Baseline::read(&file.value)?,
            )),
            None => None,
        };
        Ok(Policy {
            decisions: self.decide,
            suppressions: self.suppressions.clone(),
            baseline,
            file: self.name(),
            today: jiff::tz::TimeZone::UTC
                .to_datetime(jiff::Timestamp::now())
                .date(),
        })
    }

    /// The mode of programs that are to be stopped at a conflict and are told no other. Block stops at every one;
    /// where some are allowed, guard keeps the program sound until each was looked at.
    pub fn stopping_mode(&self) -> Mode {
        if self.suppressions.is_empty() && self.baseline.is_none() {
            Mode::Block
        } else {
            Mode::Guard
        }
    }

    /// What the file is called in messages.
    pub fn name(&self) -> String {
        let path = self.path.as_deref().unwrap_or(Path::new(NAME));
        path.display().to_string()
    }
}

fn wrong(path: &Path, line: u32, reason: String) -> ConfigError {
    ConfigError::Wrong {
        path: path.to_owned(),
        line,
        reason,
    }
}

/// Lines count from 1.
fn line_at(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let newlines = memchr::memchr_iter(b'\n', before).count();
    u32::try_from(newlines)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let line_of = |at: usize| line_at(text, at);
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        wrong(path, line, error.message().replace('\n', " "))
    })?;
    let Document {
        baseline,
        run,
        decide,
        suppress,
        scan,
    } = document;
    let run = run.settle(&line_of);
    let decide = decide.settle(path, &line_of)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let suppressions = suppress.into_iter().map(|table| {
        let line = line_of(table.span().start);
        let settled = table.into_inner().settle(line);
        settled.map_err(|reason| wrong(path, line, reason))
    });
    Ok(Config {
        run,
        decide,
        baseline: baseline.map(|file| {
            let Setting { value, line } = settle(file, &line_of);
            let value = directory.join(value);
            Setting { value, line }
        }),
        suppressions: suppressions.collect::<Result<_, _>>()?,
        scan,
        path: Some(path.to_owned()),
    })
}

impl DecideTable {
    fn settle(self, path: &Path, line_of: &dyn Fn(usize) -> u32) -> Result<Decisions, ConfigError> {
        let mut decisions = Decisions::default();
        for (given, into, may_stop) in [
            (self.source, &mut decisions.source, false),
            (self.confirmed, &mut decisions.confirmed, true),
            (self.suspect, &mut decisions.suspect, false),
        ] {
            let Some(given) = given else { continue };
            *into = settle(given, line_of);
            if into.value == Decision::Stop && !may_stop {
                let reason =
                    "only what is confirmed while a program runs can stop it (fail or log)";
                return Err(wrong(path, into.line.unwrap_or(1), reason.to_owned()));
            }
        }
        Ok(decisions)
    }
}

impl SuppressTable {
    fn settle(self, line: u32) -> Result<Suppression, String> {
        let (file, file_line) = match (self.file, self.place) {
            (Some(_), Some(_)) => {
                return Err("a place names its file: remove one of place and file".into());
            }
            (file, None) => (file, None),
            (None, Some(place)) => file_and_line(&place)?,
        };
        let suppression = Suppression {
            function: self.function.map(Pattern::new),
            caller: self.caller.map(Pattern::new),
            file: file.map(Pattern::new),
            line: file_line,
            map: self.map.map(Pattern::new),
            reason: self.reason,
            expires: self.expires.map(|Day(day)| day),
            at: line,
        };
        if suppression.what().is_empty() {
            return Err("a suppression must name a function, caller, file, place or map".into());
        }
        if suppression.reason.trim().is_empty() {
            return Err("a suppression must have a reason".into());
        }
        Ok(suppression)
    }
}

fn file_and_line(place: &str) -> Result<(Option<String>, Option<u32>), String> {
    let parts = place.rsplit_once(':');
    let split = parts.and_then(|(file, line)| Some((file, line.parse::<u32>().ok()?)));
    match split {
        Some((file, line)) => Ok((Some(file.to_owned()), Some(line))),
        None => Err(format!("{place:?} is no place (as in \"cache.go:41\")")),
    }
}
