//! A *profile* is a pprof file (github.com/google/pprof/proto/profile.proto): stacks with values. gocc
//! writes its own findings as one, and reads a CPU or goroutine profile of the same program to lay it over
//! them.
//!
//! The fields that gocc does not use are left out of the messages, which the encoding allows. Text lies in a
//! table and is referred to by index.

use flate2::read::MultiGzDecoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

/// The largest profile that is read, unpacked, in bytes.
const LARGEST: u64 = 1 << 30;
/// Frames of a stack that are looked at.
const DEEPEST: usize = 1 << 10;

/// The whole file.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What each sample's values are.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The stacks.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// The executable.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// The calls.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// The functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All text; the first one is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it begins, nanoseconds since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// Remarks.
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// The value that is shown first.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// What a value is: `cpu` in `nanoseconds`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueType {
    /// `cpu`
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// `nanoseconds`
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack and its values.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// As in `Profile::sample_type`.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// Labels.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A label of a sample.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its value.
    #[prost(int64, tag = "2")]
    pub str: i64,
}

/// An executable.
#[derive(Clone, PartialEq, Message)]
pub struct Mapping {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where it is.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// What identifies it.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Its functions are named here.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// Its files are named here.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// Its lines are given here.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// Inlined calls are given here.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The executable's number.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// The inlined calls first, the function that they were inlined into last.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A place in a function.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Line {
    /// The function's number.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// The line.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, PartialEq, Message)]
pub struct Function {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name as the linker knows it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file.
    #[error("cannot read the profile: {0}")]
    Io(#[from] io::Error),
    /// It is something else, or damaged.
    #[error("it is no pprof profile: {0}")]
    Form(#[from] prost::DecodeError),
    /// It is too large.
    #[error("the profile has more than {LARGEST} bytes")]
    TooLarge,
    /// There is nothing in it.
    #[error(
        "the profile has no samples with functions (is it a CPU or goroutine profile of the program?)"
    )]
    Empty,
}

/// The stacks of a profile by name, each with one value.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// What the values are: `cpu`, `goroutine`.
    pub kind: String,
    /// Their unit: `nanoseconds`, `count`.
    pub unit: String,
    /// Sum of all values.
    pub total: u64,
    /// Stacks, innermost call first.
    pub stacks: Vec<(Vec<Call>, u64)>,
}

/// A function and a line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `main.(*Cache).Put`
    pub function: std::rc::Rc<str>,
    /// The line.
    pub line: i64,
}

impl Overlay {
    /// Reads a profile, gzipped or not.
    ///
    /// # Errors
    /// When the file cannot be read, is no profile, or has nothing in it.
    pub fn read(path: &Path) -> Result<Overlay, ProfileError> {
        let file = io::BufReader::new(std::fs::File::open(path)?);
        let profile = Profile::decode(unpacked(file)?.as_slice())?;
        let overlay = Overlay::of(&profile);
        if overlay.total == 0 {
            return Err(ProfileError::Empty);
        }
        Ok(overlay)
    }

    /// The value that the profile shows by default: the one that it names, else the last one.
    fn of(profile: &Profile) -> Overlay {
        let types = &profile.sample_type;
        let wanted = profile.default_sample_type;
        let named = types
            .iter()
            .position(|of| wanted != 0 && of.r#type == wanted);
        let shown = named.unwrap_or(types.len().saturating_sub(1));
        let text = |index: i64| profile.text(index).to_owned();
        let names = Names::of(profile);
        let mut overlay = Overlay {
            kind: types
                .get(shown)
                .map_or_else(String::new, |of| text(of.r#type)),
            unit: types
                .get(shown)
                .map_or_else(String::new, |of| text(of.unit)),
            ..Overlay::default()
        };
        for sample in &profile.sample {
            let value = sample.value.get(shown).copied().unwrap_or(0);
            let Ok(value @ 1..) = u64::try_from(value) else {
                continue;
            };
            let stack = names.stack(sample);
            if !stack.is_empty() {
                overlay.total = overlay.total.saturating_add(value);
                overlay.stacks.push((stack, value));
            }
        }
        overlay
    }

    /// The share of the profile, from 0 to 1, whose stacks have a call that this is true of.
    pub fn share(&self, is_it: impl Fn(&Call) -> bool) -> f64 {
        let through = self
            .stacks
            .iter()
            .filter(|(stack, _)| stack.iter().any(&is_it));
        let sum = through.fold(0u64, |sum, (_, value)| sum.saturating_add(*value));
        sum as f64 / self.total.max(1) as f64
    }
}

fn unpacked(mut file: impl Read) -> Result<Vec<u8>, ProfileError> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start)?;
    let is_gzip = start == GZIP;
    let whole = io::Cursor::new(start).chain(file);
    let mut bytes = Vec::new();
    if is_gzip {
        MultiGzDecoder::new(whole)
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)?;
    } else {
        whole.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(ProfileError::TooLarge);
    }
    Ok(bytes)
}

impl Profile {
    fn text(&self, index: i64) -> &str {
        let index = usize::try_from(index).ok();
        index
            .and_then(|index| self.string_table.get(index))
            .map_or("", String::as_str)
    }
}

/// The calls of each location.
struct Names(HashMap<u64, Vec<Call>>);

impl Names {
    fn of(profile: &Profile) -> Names {
        let functions: HashMap<u64, std::rc::Rc<str>> = profile
            .function
            .iter()
            .map(|function| (function.id, profile.text(function.name).into()))
            .collect();
        let calls = |location: &Location| {
            let known = |line: &Line| {
                let function = functions.get(&line.function_id)?;
                Some(Call {
                    function: function.clone(),
                    line: line.line,
                })
            };
            location.line.iter().filter_map(known).collect()
        };
        let locations = profile.location.iter();
        Names(
            locations
                .map(|location| (location.id, calls(location)))
                .collect(),
        )
    }

    fn stack(&self, sample: &Sample) -> Vec<Call> {
        let known = sample.location_id.iter().filter_map(|id| self.0.get(id));
        known.flatten().take(DEEPEST).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_profile_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("p");
        let refusals: [(&[u8], &str); 4] = [
            (b"hello, world", "no pprof profile"),
            (b"", "no samples"),
            (b"\x1f\x8bnonsense", "cannot read"),
            (b"\x32\x00", "no samples"),
        ];
        for (bytes, why) in refusals {
            std::fs::write(&path, bytes)?;
            let error = Overlay::read(&path)
                .map(|_| ())
                .map_err(|error| error.to_string());
            assert!(
                error.as_ref().is_err_and(|text| text.contains(why)),
                "{error:?}"
            );
        }
        Ok(())
    }
}
