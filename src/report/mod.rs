//! Findings for people (text, HTML) and for tools, all from one model.

mod columns;
mod flame;
mod html;
pub mod json;
mod otlp;
mod parquet;
mod pprof;
pub mod push;
mod sarif;
mod source_text;
mod text;
pub mod wording;

pub use parquet::Events;

use crate::analyze::model::Analysis;
use std::io::{self, Write};
use std::path::PathBuf;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: the layout of Go's race detector.
    #[default]
    Text,
    /// For tools: one object, its form documented in `src/report/json-schema.md`.
    Json,
    /// For people: one file to look at in a browser, to search and to send around.
    Html,
    /// For code hosts' scanning pages: SARIF 2.1.0.
    Sarif,
    /// For `go tool pprof`: operations and conflicts by stack, gzipped.
    Pprof,
    /// For flame graph tools: one stack and its count in a line.
    Folded,
    /// A flame graph.
    Svg,
    /// OpenTelemetry logs as OTLP JSON: one export request in a line.
    Otlp,
    /// OpenTelemetry logs as an OTLP protobuf export request.
    OtlpProto,
    /// For DuckDB, Spark and the like: a Parquet table of findings.
    Parquet,
    /// A Parquet table of all recorded operations.
    ParquetEvents,
}

impl Format {
    /// Only text has styles; what is written to a terminal or a file has them removed where they are
    /// not wanted. The other formats are written as they are.
    pub fn is_styled(self) -> bool {
        self == Format::Text
    }

    /// Bytes that a terminal cannot show.
    pub fn is_binary(self) -> bool {
        matches!(
            self,
            Format::Pprof | Format::OtlpProto | Format::Parquet | Format::ParquetEvents
        )
    }
}

/// What flame graphs and folded stacks count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Counting {
    /// Recorded map operations.
    Operations,
    /// Both sides of every conflict.
    Conflicts,
    /// The profile that was laid over the findings.
    Profile,
}

/// What a report shows.
#[derive(Clone, Debug, Default)]
pub struct ReportOptions {
    /// The runtime's own frames too.
    pub all_frames: bool,
    /// What nothing proves: suspects. JSON and HTML always have them.
    pub suspects: bool,
    /// What flame graphs count; unless said otherwise a profile that was laid over, else operations if any
    /// were recorded.
    pub counting: Option<Counting>,
    /// Where the sources lie. SARIF names files below it relative to it, HTML takes lines from there.
    pub source_root: Option<PathBuf>,
}

/// Writes a report. A styled one ([`Format::is_styled`]) holds ANSI styles: write it through
/// [`anstream`], which removes them where they are not wanted.
///
/// # Errors
/// Those of `out`.
pub fn write(
    analysis: &Analysis,
    format: Format,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Text => text::write(analysis, options, out),
        Format::Json => json::write(analysis, out),
        Format::Html => html::write(analysis, options, out),
        Format::Sarif => sarif::write(analysis, options, out),
        Format::Pprof => pprof::write(analysis, options, out),
        Format::Folded => flame::write_folded(analysis, options, out),
        Format::Svg => flame::write_svg(analysis, options, out),
        Format::Otlp => otlp::write_json(analysis, options, out),
        Format::OtlpProto => otlp::write_protobuf(analysis, options, out),
        Format::Parquet => parquet::write(analysis, options, out),
        Format::ParquetEvents => Err(io::Error::other(
            "recorded operations are in rings only (gocc report --format parquet-events RING)",
        )),
    }
}
