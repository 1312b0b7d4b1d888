//! Differential disassembly: iced, with which gocc decodes what it patches, and capstone agree on where the
//! instructions of every hooked function are, and on what they are called where both have a name for it.
//!
//! `GOCC_CORPUS` names a directory of executables to go through as well, such as the one that scripts/corpus unpacks into.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use anyhow::ensure;
use capstone::prelude::*;
use common::fixture;
use gocc::golang::GoBinary;
use gocc::image::Image;
use gocc::probe;
use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What was compared.
#[derive(Default)]
struct Tally {
    programs: usize,
    functions: usize,
    instructions: usize,
}

/// Compares one executable's hooked functions. Files that are no Go programs are passed over.
fn compare(path: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let Ok(image) = Image::open(path) else {
        return Ok(());
    };
    let Ok(go) = GoBinary::parse(&image) else {
        return Ok(());
    };
    let capstone = Capstone::new()
        .x86()
        .mode(arch::x86::ArchMode::Mode64)
        .build()?;
    tally.programs += 1;
    for site in probe::resolve(&go) {
        let Some(function) = site.function else {
            continue;
        };
        let size = function.end.0 - function.entry.0;
        let bytes = image
            .bytes_at(function.entry, size)
            .expect("code is in the file");
        let iced: Vec<Instruction> =
            Decoder::with_ip(64, bytes, function.entry.0, DecoderOptions::NONE)
                .into_iter()
                .collect();
        let other = capstone.disasm_all(bytes, function.entry.0)?;
        let ours: BTreeMap<u64, usize> = iced.iter().map(|i| (i.ip(), i.len())).collect();
        let theirs: BTreeMap<u64, usize> = other
            .iter()
            .map(|i| (i.address(), i.bytes().len()))
            .collect();
        ensure!(
            ours == theirs,
            "{}: {} is taken apart differently: {:x?}",
            path.display(),
            function.name,
            ours.iter().zip(&theirs).find(|(a, b)| a != b)
        );
        tally.functions += 1;
        tally.instructions += ours.len();
    }
    Ok(())
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files(&entry.path(), found)?;
        } else if kind.is_file() && entry.metadata()?.len() > 500_000 {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[test]
fn two_disassemblers_agree() -> anyhow::Result<()> {
    let mut paths = Vec::new();
    for version in ["1.18", "1.23", "1.27"] {
        if let Some(built) = fixture("ops", version, "static")? {
            paths.push(built.path);
        }
    }
    if let Some(directory) = std::env::var_os("GOCC_CORPUS") {
        files(Path::new(&directory), &mut paths)?;
    }
    let mut tally = Tally::default();
    for path in &paths {
        compare(path, &mut tally)?;
    }
    println!(
        "{} programs, {} functions, {} instructions",
        tally.programs, tally.functions, tally.instructions
    );
    ensure!(
        tally.programs == 0 || tally.instructions > 1000,
        "nothing was compared"
    );
    Ok(())
}
