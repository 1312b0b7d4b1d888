//! One libFuzzer executable for all targets: `GOCC_FUZZ_TARGET` says which, `GOCC_FUZZ_SEEDS` where the seeds are.
//! See `scripts/fuzz`.
#![no_main]

#[path = "../harness/mod.rs"]
mod harness;

use harness::{Seeds, Target};
use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|case: &[u8]| {
    target()(Seeds::shared(), case);
});

fn target() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("GOCC_FUZZ_TARGET").expect("GOCC_FUZZ_TARGET");
        let found = harness::TARGETS.iter().find(|target| target.0 == name);
        found.expect("a target of tests/fuzz/harness/mod.rs").1
    })
}
