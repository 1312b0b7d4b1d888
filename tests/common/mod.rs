//! What the tests on real Go programs share: fixtures built by real toolchains, running a program
//! with a time limit, patching it, and reading what gocc says about its rings; and rings and plans made for
//! a test.

// Every test crate uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod demo;
pub mod fixture;
pub mod gocc;
pub mod limits;
pub mod place;
pub mod plan;
pub mod process;
pub mod random;
pub mod rings;

pub use fixture::{Fixture, VERSIONS, fixture, sample_versions, toolchain};
pub use gocc::{Both, Ends, Finding, Report, Rings, Stats, both, patch, patch_with};
pub use process::{Outcome, Program};
