//! Loading, planning, symbolising and writing the demo's executable, and reading what it records when it runs:
//! `cargo bench`.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use gocc::analyze::{Options, analyze, statistics};
use gocc::golang::GoBinary;
use gocc::image::Image;
use gocc::patch::plan::PatchPlan;
use gocc::patch::planner::{self, PlanOptions};
use gocc::patch::write::{WriteOptions, write};
use gocc::ring::{Ring, ring_files};
use std::fmt::Display;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A ring that the patched demo has filled in mode trace.
fn traced(place: &Path) -> PathBuf {
    let (input, output) = (place.join("demo"), place.join("demo.instr"));
    must(std::fs::write(&input, demo()));
    // The output may be executed by whom the input may.
    must(std::fs::set_permissions(
        &input,
        Permissions::from_mode(0o700),
    ));
    let image = must(Image::open(&input));
    let go = must(GoBinary::parse(&image));
    must(write(&image, &plan(&go), &output, &WriteOptions::default()));
    // It may die of its own race, which is nothing to a bench.
    let _ = must(
        Command::new(&output)
            .env(
                "GOCC",
                format!("mode=trace ring=16M dir={}", place.display()),
            )
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status(),
    );
    let rings = must(ring_files(&[place.to_path_buf()]));
    rings
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("no ring"))
}

fn operations(ring: &Path) -> u64 {
    let stats = must(statistics(
        vec![must(Ring::open(ring))],
        &Options::default(),
    ));
    stats.operations.iter().map(|function| function.count).sum()
}

/// Reads such a ring again and again.
fn read<T>(bencher: Bencher, reading: impl Fn(Vec<Ring>) -> T + Sync) {
    let place = must(tempfile::tempdir());
    let ring = traced(place.path());
    bencher
        .counter(ItemsCount::new(operations(&ring)))
        .with_inputs(|| vec![must(Ring::open(&ring))])
        .bench_values(reading);
}

#[divan::bench(sample_count = 20)]
fn ingest(bencher: Bencher) {
    read(bencher, |rings| must(analyze(rings, &Options::default())));
}

#[divan::bench(sample_count = 20)]
fn count(bencher: Bencher) {
    read(bencher, |rings| {
        must(statistics(rings, &Options::default()))
    });
}
