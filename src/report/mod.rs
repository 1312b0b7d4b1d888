//! Findings for people (text) and for tools (JSON), all from one model.

pub mod json;
mod text;

use crate::analyze::model::Analysis;
use std::io::{self, Write};

pub use text::TextOptions;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: the layout of Go's race detector.
    #[default]
    Text,
    /// For tools: one object, its form documented in `docs/report-json.md`.
    Json,
}

/// Writes a report. The text holds ANSI styles: write it through [`anstream`], which removes them
/// where they are not wanted.
///
/// # Errors
/// Those of `out`.
pub fn write(
    analysis: &Analysis,
    format: Format,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Text => text::write(analysis, options, out),
        Format::Json => json::write(analysis, out),
    }
}
