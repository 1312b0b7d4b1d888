//! What gocc is fed with when it is fuzzed, and what is asked of it then.
//!
//! A *case* is a few bytes that libFuzzer or a seeded generator makes up. It chooses a *seed* (a real
//! executable, ring or report) and says how to damage it: a list of edits, each aimed at a region of the seed
//! that its parser reads. Whatever comes out, gocc must answer with an error or a result: no panic, no endless
//! loop, no memory beyond what the input justifies.
//!
//! The fuzz targets (`tests/fuzz/targets`) and the short deterministic share in `cargo test`
//! (`tests/hostile.rs`) call the same functions.
#![allow(dead_code, reason = "each target uses a part of it")]

mod edits;
mod programs;
mod rings;
mod seeds;

pub use programs::{Part, note, plan, program};
pub use rings::{report_file, ring, ring_report};
pub use seeds::Seeds;
