//! Real Go executables, rewritten with a plan that changes nothing, must still be whole, normal
//! executables.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod writer_common;

use gocc::image::Image;
use gocc::patch::note;
use gocc::patch::write::{WriteOptions, write};
use std::path::Path;
use std::process::Command;
use writer_common::{FLAVOURS, build, harmless_plan, output_of, run, scratch, toolchains};

fn rewrite(input: &Path, output: &Path) {
    let image = Image::open(input).unwrap();
    let plan = harmless_plan(&image);
    write(&image, &plan, output, &WriteOptions::default()).unwrap();
}

#[test]
fn rewritten_programs_run_and_print_the_same_also_after_strip() {
    let dir = scratch();
    for toolchain in toolchains() {
        for flavour in FLAVOURS {
            let input = build(&toolchain, flavour);
            let output = dir.path().join(format!("{toolchain}-{}", flavour.name));
            rewrite(&input, &output);
            let expected = output_of(&input);
            assert_eq!(output_of(&output), expected, "{toolchain} {flavour:?}");
            for strip in ["strip", "llvm-strip"] {
                let stripped = output.with_extension(strip);
                // LLVM 14 refuses what GNU ld links statically, patched or not.
                if strip == "llvm-strip" && flavour.name == "cgo-static" {
                    continue;
                }
                let done = run(Command::new(strip).arg("-o").arg(&stripped).arg(&output));
                assert_eq!(
                    String::from_utf8_lossy(&done.stderr),
                    "",
                    "{strip} {toolchain} {flavour:?}"
                );
                assert_eq!(
                    output_of(&stripped),
                    expected,
                    "after {strip}: {toolchain} {flavour:?}"
                );
                let image = Image::open(&stripped).unwrap();
                assert!(
                    note::find(&image).unwrap().is_some(),
                    "after {strip}: {toolchain} {flavour:?}"
                );
            }
        }
    }
}
