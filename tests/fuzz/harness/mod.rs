//! What gocc is fed with when it is fuzzed, and what is asked of it then.
//!
//! A *case* is a few bytes that libFuzzer or a seeded generator makes up. It chooses a *seed* (a real
//! executable, ring or report) and says how to damage it: a list of edits, each aimed at a region of the seed
//! that its parser reads. Whatever comes out, gocc must answer with an error or a result: no panic, no endless
//! loop, no memory beyond what the input justifies.
//!
//! The fuzz targets (`tests/fuzz/targets`, `scripts/fuzz`) and the short deterministic share in `cargo test`
//! (`tests/hostile.rs`) call the same functions.
#![allow(dead_code, reason = "each target uses a part of it")]

mod code;
mod edits;
mod programs;
mod rings;
mod seeds;
mod texts;

pub use seeds::Seeds;

/// Runs one case. True if what it made was accepted.
pub type Target = fn(&Seeds, &[u8]) -> bool;

/// Every target, with the number of cases that `cargo test` runs.
pub const TARGETS: [(&str, Target, usize); 15] = [
    ("headers", programs::headers, 120),
    ("functions", programs::functions, 60),
    ("moduledata", programs::moduledata, 100),
    ("build_info", programs::build_info, 60),
    ("dwarf", programs::dwarf, 40),
    ("plan", programs::plan, 60),
    ("note", programs::note, 100),
    ("relocation", code::relocation, 20_000),
    ("ring", rings::ring, 1000),
    ("ring_report", rings::ring_report, 150),
    ("report_file", rings::report_file, 800),
    ("profile", texts::profile, 800),
    ("settings", texts::settings, 800),
    ("suspects", texts::suspects, 400),
    ("go_source", texts::go_source, 150),
];
