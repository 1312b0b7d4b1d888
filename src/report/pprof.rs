//! The report as a profile for `go tool pprof`: operations and conflicts by stack.
//!
//! The messages are those of github.com/google/pprof/proto/profile.proto; the fields that gocc does
//! not use are left out, which the encoding allows. Text lies in a table and is referred to by index.

use super::ReportOptions;
use crate::analyze::model::{Analysis, Finding, StackFrame};
use crate::ring::Operation;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Write};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    /// The inlined calls first, the function that they were inlined into last.
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Writes the profile, gzipped.
pub fn write(analysis: &Analysis, options: &ReportOptions, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&profile(analysis, options).encode_to_vec())?;
    gzip.finish().map(|_| ())
}

fn profile(analysis: &Analysis, options: &ReportOptions) -> Profile {
    let mut builder = Builder {
        all_frames: options.all_frames,
        ..Builder::default()
    };
    // Index 0 is always the empty text.
    builder.text("");
    builder.describe(analysis);
    for recorded in &analysis.operations {
        let labels = [("operation", recorded.operation.name().to_owned())];
        builder.sample(&recorded.stack, [recorded.count, 0], &labels);
    }
    for (at, finding) in analysis.findings.iter().enumerate() {
        builder.conflict(at + 1, finding);
    }
    builder.profile
}

/// A profile being put together: everything is stored once.
#[derive(Default)]
struct Builder {
    profile: Profile,
    all_frames: bool,
    texts: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<Vec<Line>, u64>,
}

impl Builder {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.texts.get(text) {
            return index;
        }
        let index = signed(self.profile.string_table.len() as u64);
        self.texts.insert(text.to_owned(), index);
        self.profile.string_table.push(text.to_owned());
        index
    }

    fn describe(&mut self, analysis: &Analysis) {
        let count = self.text("count");
        for name in ["operations", "conflicts"] {
            let r#type = self.text(name);
            self.profile.sample_type.push(ValueType {
                r#type,
                unit: count,
            });
        }
        let shown = if analysis.findings.is_empty() {
            "operations"
        } else {
            "conflicts"
        };
        self.profile.default_sample_type = self.text(shown);
        let comment = self.text("conflicts: each of the two sides counts once");
        self.profile.comment.push(comment);
        let Some(ring) = analysis.rings.first() else {
            return;
        };
        self.profile.time_nanos = signed(ring.started_unix_ns);
        // Without a mapping, pprof would look for an executable to take names from.
        let mapping = Mapping {
            id: 1,
            filename: self.text(&ring.executable.to_string_lossy()),
            build_id: self.text(&ring.build_id),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        };
        self.profile.mapping.push(mapping);
    }

    fn conflict(&mut self, number: usize, finding: &Finding) {
        for side in &finding.sides {
            let operation = side.operation.map_or("unknown", Operation::name);
            let grade = super::wording::grade_name(finding.grade);
            let labels = [
                ("operation", operation.to_owned()),
                ("finding", number.to_string()),
                ("grade", grade.to_owned()),
            ];
            self.sample(&side.stack, [0, finding.count], &labels);
        }
    }

    fn sample(&mut self, stack: &[StackFrame], values: [u64; 2], labels: &[(&str, String)]) {
        let label = labels
            .iter()
            .map(|(key, value)| Label {
                key: self.text(key),
                str: self.text(value),
            })
            .collect();
        // A physical call is the calls that were inlined into it, and the function itself.
        let location_id = stack
            .split_inclusive(|frame| !frame.inlined)
            .filter_map(|frames| self.location(frames))
            .collect();
        self.profile.sample.push(Sample {
            location_id,
            value: values.into_iter().map(signed).collect(),
            label,
        });
    }

    /// Without the runtime's frames, so that the user's function is the innermost one: `None` when
    /// nothing else is there.
    fn location(&mut self, frames: &[StackFrame]) -> Option<u64> {
        let all_frames = self.all_frames;
        let line: Vec<Line> = frames
            .iter()
            .filter(|frame| all_frames || !frame.runtime)
            .map(|frame| Line {
                function_id: self.function(frame),
                line: i64::from(frame.line),
            })
            .collect();
        if line.is_empty() {
            return None;
        }
        if let Some(&id) = self.locations.get(&line) {
            return Some(id);
        }
        let id = self.profile.location.len() as u64 + 1;
        self.locations.insert(line.clone(), id);
        self.profile.location.push(Location {
            id,
            mapping_id: self.profile.mapping.len() as u64,
            line,
        });
        Some(id)
    }

    fn function(&mut self, frame: &StackFrame) -> u64 {
        let (name, filename) = (self.text(&frame.function), self.text(&frame.file));
        if let Some(&id) = self.functions.get(&(name, filename)) {
            return id;
        }
        let id = self.profile.function.len() as u64 + 1;
        self.functions.insert((name, filename), id);
        self.profile.function.push(Function {
            id,
            name,
            system_name: name,
            filename,
        });
        id
    }
}

/// The format's numbers are signed.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
