//! The report as JSON.
//!
//! One object, `"schema": "gocc-report/1"`. Fields are only ever added under that name; whoever
//! removes one or changes its meaning takes the next number. Addresses and seeds are strings in
//! hexadecimal (`"0xc000012340"`), times are nanoseconds, what is not known is `null`.
//!
//! ```json
//! { "schema": "gocc-report/1",
//!   "findings": [
//!     { "grade": "confirmed",               // or "suspect"
//!       "evidence": { "kind": "caught_in_the_act",   // runtime_fatal, writing_flag, unknown
//!                     "summary": "...", "statement": "..." },
//!       "map": { "address": "0xc000012340", "instance": "0x1d2c3b4a", "type": "map[string]int" },
//!       "sides": [                          // always two: who noticed, and whom it found there
//!         { "operation": "assign",          // read, assign, delete, clear, iterate, clone, null
//!           "certainty": "noticed",         // inside, latest, unknown
//!           "goroutine": { "id": 34, "parent": 1,
//!                          "created_by": [ /* frames */ ], "start": "main.worker" },
//!           "stack": [ { "function": "main.(*Cache).Put", "file": "/app/cache.go", "line": 41,
//!                        "inlined": false, "runtime": false } ],
//!           "truncated": false } ],
//!       "pid": 4711, "count": 12, "instances": 1, "goroutines": 5,
//!       "first": { "unix_ns": 0, "since_start_ns": 0 }, "last": { /* the same */ } } ],
//!   "rings": [ { "path": "...", "pid": 4711, "running": false, "started_unix_ns": 0,
//!                "executable": "...", "build_id": "...", "symbols": "...", "problems": [],
//!                "lost": { /* as below */ } } ],
//!   "lost": { "conflicts_torn": 0, "conflicts_dropped": 0, "overwritten": 0, "dropped_no_lane": 0,
//!             "dropped_no_p": 0, "damaged_lanes": 0, "damaged_records": 0 } }
//! ```

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
