//! The report as JSON.
//!
//! One object, `"schema": "gocc-report/1"`; its fields are described in `docs/report-json.md`. Fields
//! are only ever added under that name; whoever removes one or changes its meaning takes the next
//! number.

use crate::analyze::model::Analysis;
use serde::Serialize;
use std::io::{self, Write};

/// Name and version of the schema.
pub const SCHEMA: &str = "gocc-report/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    analysis: &'a Analysis,
}

/// Writes the report, indented, with a newline at the end.
///
/// # Errors
/// Those of `out`.
pub fn write(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(
        &mut *out,
        &Document {
            schema: SCHEMA,
            analysis,
        },
    )?;
    writeln!(out)
}
