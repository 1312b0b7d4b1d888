#![no_main]

#[path = "../harness/mod.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|case: &[u8]| {
    harness::program(seeds(), harness::Part::BuildInfo, case);
});

fn seeds() -> &'static harness::Seeds {
    harness::Seeds::shared()
}
