//! Loading, planning, symbolising and writing, on the demo's executable: `cargo bench --bench patching`.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use gocc::golang::GoBinary;
use gocc::image::Image;
use gocc::patch::plan::PatchPlan;
use gocc::patch::planner::{self, PlanOptions};
use gocc::patch::write::{WriteOptions, write};
use std::fmt::Display;
use std::io::Read;

const DEMO: &[u8] = include_bytes!("../testdata/demo/demo.bin.gz");

fn main() {
    divan::main();
}

/// A bench has nobody to hand an error to.
fn must<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The demo's executable, unpacked.
fn demo() -> Vec<u8> {
    let mut bytes = Vec::new();
    must(flate2::read::GzDecoder::new(DEMO).read_to_end(&mut bytes));
    bytes
}

fn plan(go: &GoBinary<'_>) -> PatchPlan {
    must(planner::plan(go, &PlanOptions::default()))
}

#[divan::bench]
fn load(bencher: Bencher) {
    let bytes = demo();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| bytes.clone())
        .bench_values(|bytes| {
            let image = must(Image::from_bytes(bytes));
            must(GoBinary::parse(&image)).text_start
        });
}

#[divan::bench]
fn decode_and_plan(bencher: Bencher) {
    let image = must(Image::from_bytes(demo()));
    let go = must(GoBinary::parse(&image));
    bencher.bench(|| plan(&go));
}

#[divan::bench]
fn symbolise(bencher: Bencher) {
    let image = must(Image::from_bytes(demo()));
    let go = must(GoBinary::parse(&image));
    let entries: Vec<_> = go.functions().map(|function| function.entry).collect();
    bencher.counter(ItemsCount::new(entries.len())).bench(|| {
        entries
            .iter()
            .map(|entry| go.frames_at(*entry).len())
            .sum::<usize>()
    });
}

#[divan::bench]
fn write_output(bencher: Bencher) {
    let place = must(tempfile::tempdir());
    let input = place.path().join("demo");
    must(std::fs::write(&input, demo()));
    let image = must(Image::open(&input));
    let go = must(GoBinary::parse(&image));
    let plan = plan(&go);
    let output = place.path().join("demo.instr");
    bencher
        .counter(BytesCount::new(image.data().len()))
        .bench(|| must(write(&image, &plan, &output, &WriteOptions::default())));
}
