//! The report as a profile for `go tool pprof`: operations and conflicts by stack.

use super::ReportOptions;
use crate::analyze::model::{Analysis, Finding, StackFrame};
use crate::profile::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use crate::ring::Operation;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Write};

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
