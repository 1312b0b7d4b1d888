//! The report as JSON.
//!
//! One object, `"schema": "gocc-report/1"`; its fields are described in `src/report/json-schema.md`. Fields
//! are only ever added under that name; whoever removes one or changes its meaning takes the next
//! number.

use crate::analyze::model::Analysis;
use serde::{Deserialize, Serialize};
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

/// Why a report cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no report, or a damaged one.
    #[error("it is no JSON report of gocc: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by another version.
    #[error("its schema is {found:?}, this gocc reads {SCHEMA:?}")]
    Schema {
        /// What it says it is.
        found: String,
    },
}

/// Reads a report back.
///
/// # Errors
/// When it is no report, or one of another schema.
pub fn read(bytes: &[u8]) -> Result<Analysis, ReadError> {
    #[derive(Deserialize)]
    struct Start {
        schema: String,
    }
    let Start { schema } = serde_json::from_slice(bytes)?;
    if schema != SCHEMA {
        return Err(ReadError::Schema { found: schema });
    }
    Ok(serde_json::from_slice(bytes)?)
}
