//! How programs run that do not say otherwise.

use super::time;
use crate::patch::Mode;
use serde::{Deserialize, Deserializer};
use std::time::Duration;
use toml::Spanned;

/// A value, and the line of `gocc.toml` that it comes from; `None` for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its line.
    pub line: Option<u32>,
}

/// The table `[run]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// What the hooks do.
    pub mode: Option<Setting<Mode>>,
    /// Runs until the first confirmed finding.
    pub runs: Option<Setting<u32>>,
    /// What else goes into `GOCC`, each as its key and value.
    pub pairs: Vec<(&'static str, Setting<String>)>,
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunTable {
    #[serde(deserialize_with = "mode")]
    mode: Option<Spanned<Mode>>,
    #[serde(deserialize_with = "positive")]
    runs: Option<Spanned<u32>>,
    #[serde(deserialize_with = "positive")]
    sample: Option<Spanned<u32>>,
    #[serde(deserialize_with = "delay")]
    hold: Option<Spanned<String>>,
    #[serde(deserialize_with = "duration")]
    window: Option<Spanned<String>>,
    #[serde(deserialize_with = "delay")]
    wait: Option<Spanned<String>>,
    budget: Option<Spanned<u32>>,
    seed: Option<Spanned<u32>>,
}

impl RunTable {
    pub(super) fn settle(self, line_of: &dyn Fn(usize) -> u32) -> RunSettings {
        let number = |key, value: Option<Spanned<u32>>| {
            value.map(|value| (key, settle(value, line_of).map(|number| number.to_string())))
        };
        let text =
            |key, value: Option<Spanned<String>>| value.map(|value| (key, settle(value, line_of)));
        let pairs = [
            number("sample", self.sample),
            text("hold", self.hold),
            text("window", self.window),
            text("wait", self.wait),
            number("budget", self.budget),
            number("seed", self.seed),
        ];
        RunSettings {
            mode: self.mode.map(|mode| settle(mode, line_of)),
            runs: self.runs.map(|runs| settle(runs, line_of)),
            pairs: pairs.into_iter().flatten().collect(),
        }
    }
}

impl<T> Setting<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting {
            value: change(self.value),
            line: self.line,
        }
    }
}

pub(super) fn settle<T>(value: Spanned<T>, line_of: &dyn Fn(usize) -> u32) -> Setting<T> {
    let line = Some(line_of(value.span().start));
    Setting {
        value: value.into_inner(),
        line,
    }
}

fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Spanned<Mode>>, D::Error> {
    let text = Spanned::<String>::deserialize(from)?;
    let span = text.span();
    let mode = text
        .into_inner()
        .parse()
        .map_err(serde::de::Error::custom)?;
    Ok(Some(Spanned::new(span, mode)))
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Spanned<u32>>, D::Error> {
    let number = Spanned::<u32>::deserialize(from)?;
    if *number.get_ref() == 0 {
        return Err(serde::de::Error::custom("it must be at least 1"));
    }
    Ok(Some(number))
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Spanned<String>>, D::Error> {
    time_for(from, time::duration)
}

fn delay<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Spanned<String>>, D::Error> {
    time_for(from, time::delay)
}

fn time_for<'de, D: Deserializer<'de>>(
    from: D,
    parse: fn(&str) -> Result<Duration, String>,
) -> Result<Option<Spanned<String>>, D::Error> {
    let text = Spanned::<String>::deserialize(from)?;
    match parse(text.get_ref()) {
        Ok(_) => Ok(Some(text)),
        Err(wanted) => Err(serde::de::Error::custom(format!("it must be {wanted}"))),
    }
}
