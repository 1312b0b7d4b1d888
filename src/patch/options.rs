//! What a user asks of the patcher.

use crate::ring::layout;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// One file to patch.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    /// The executable; never modified.
    pub input: PathBuf,
    /// The instrumented executable; appears whole or not at all.
    pub output: PathBuf,
    /// The mode it starts in when `GOCC` names none.
    pub mode: Mode,
    /// Where its rings go when `GOCC` names no directory.
    pub dir: Option<String>,
    /// Size of a lane in bytes when `GOCC` names none.
    pub ring_size: Option<u32>,
    /// Where to write the plan, as JSON.
    pub plan: Option<PathBuf>,
    /// Disassemble the result and check it against the plan.
    pub verify: bool,
}

/// What an instrumented program does with its hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    Off,
    /// Check every operation, record a share of them.
    #[default]
    Observe,
    /// Record every operation.
    Trace,
    /// Hold suspicious operations at the door until a conflicting one walks in.
    Hunt,
    /// Let conflicting operations on one map take turns.
    Guard,
    /// End the program at the first conflict.
    Block,
}

impl Mode {
    /// Every mode, in the order in which help texts name them.
    pub const ALL: [Mode; 6] = [
        Mode::Off,
        Mode::Observe,
        Mode::Trace,
        Mode::Hunt,
        Mode::Guard,
        Mode::Block,
    ];

    /// Its name in `GOCC` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Observe => "observe",
            Mode::Trace => "trace",
            Mode::Hunt => "hunt",
            Mode::Guard => "guard",
            Mode::Block => "block",
        }
    }

    /// The gate's value for it (`GATE_*` of the ring's layout).
    pub fn gate(self) -> u32 {
        match self {
            Mode::Off => layout::GATE_DORMANT,
            Mode::Observe => layout::GATE_OBSERVE,
            Mode::Trace => layout::GATE_TRACE,
            Mode::Hunt => layout::GATE_HUNT,
            Mode::Guard => layout::GATE_GUARD,
            Mode::Block => layout::GATE_BLOCK,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no mode's.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a mode (one of: off, observe, trace, hunt, guard, block)")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Mode, UnknownMode> {
        Mode::ALL
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse::<Mode>().ok(), Some(mode));
        }
        let error = "hunted".parse::<Mode>().map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "\"hunted\" is not a mode (one of: off, observe, trace, hunt, guard, block)"
                    .to_owned()
            )
        );
    }
}
