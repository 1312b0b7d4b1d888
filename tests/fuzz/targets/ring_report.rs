#![no_main]

#[path = "../harness/mod.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|case: &[u8]| {
    harness::ring_report(seeds(), case);
});

fn seeds() -> &'static harness::Seeds {
    harness::Seeds::shared()
}
