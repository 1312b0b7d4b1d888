//! Real Go executables, rewritten with a plan that changes nothing they do, must still be whole,
//! normal executables; and every way to get that wrong must be refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::plan::{harmless_plan, jump, output_of, run, scratch};
use common::{fixture, sample_versions};
use gocc::golang::GoBinary;
use gocc::image::{FileOffset, Image, Vaddr};
use gocc::patch::note;
use gocc::patch::plan::{Edit, PatchPlan};
use gocc::patch::unpatch::{UnpatchError, unpatch};
use gocc::patch::verify::{VerifyError, verify, verify_image};
use gocc::patch::write::{
    FileError, InputHash, LayoutError, WriteError, WriteOptions, WriteReport, draft, write,
};
use sha2::{Digest, Sha256};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NEWEST: &str = "1.27";
const VARIANTS: [&str; 7] = [
    "static",
    "pie",
    "stripped",
    "cgo",
    "cgopie",
    "cgostatic",
    "cgostripped",
];

/// testdata/plain, where its toolchain can be had.
fn build(version: &str, variant: &str) -> Option<PathBuf> {
    fixture("plain", version, variant)
        .unwrap()
        .map(|fixture| fixture.path)
}

fn newest(variant: &str) -> PathBuf {
    build(NEWEST, variant).expect("the writer's tests need a Go toolchain")
}

fn rewrite(input: &Path, output: &Path) -> WriteReport {
    let image = Image::open(input).unwrap();
    let plan = harmless_plan(&image);
    let report = write(&image, &plan, output, &WriteOptions::default()).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    let verified = verify(&go, &plan, output).unwrap();
    assert_eq!(verified.edits, plan.edits.len());
    assert_eq!(verified.functions, 2);
    report
}

#[test]
fn rewritten_programs_run_and_print_the_same_also_after_strip() {
    let dir = scratch();
    for version in sample_versions(&[NEWEST]) {
        for variant in VARIANTS {
            let Some(input) = build(&version, variant) else {
                continue;
            };
            let output = dir.path().join(format!("{version}-{variant}"));
            rewrite(&input, &output);
            let expected = output_of(&input);
            assert!(expected.starts_with("ran 2000"), "{expected}");
            assert_eq!(output_of(&output), expected, "{version} {variant}");
            for strip in ["strip", "llvm-strip"] {
                // LLVM 14 refuses what GNU ld links statically, patched or not.
                if strip == "llvm-strip" && variant == "cgostatic" {
                    continue;
                }
                let stripped = output.with_extension(strip);
                let done = run(Command::new(strip).arg("-o").arg(&stripped).arg(&output));
                assert_eq!(
                    String::from_utf8_lossy(&done.stderr),
                    "",
                    "{strip} {version} {variant}"
                );
                assert_eq!(
                    output_of(&stripped),
                    expected,
                    "after {strip}: {version} {variant}"
                );
                let image = Image::open(&stripped).unwrap();
                assert!(
                    note::find(&image).unwrap().is_some(),
                    "after {strip}: {version} {variant}"
                );
                // Where there was nothing to strip the original may still be all there.
                let restored = dir.path().join("restored");
                match unpatch(&image, &restored) {
                    Ok(_) => assert!(fs::read(&restored).unwrap() == fs::read(&input).unwrap()),
                    Err(error) => {
                        assert!(matches!(error, UnpatchError::Changed { .. }), "{error}");
                        assert!(!restored.exists());
                    }
                }
                let _ = fs::remove_file(&restored);
            }
        }
    }
}

#[test]
fn unpatching_gives_back_the_input() {
    let dir = scratch();
    for version in sample_versions(&[NEWEST]) {
        for variant in VARIANTS {
            let Some(input) = build(&version, variant) else {
                continue;
            };
            let (patched, restored) = (dir.path().join("patched"), dir.path().join("restored"));
            let report = rewrite(&input, &patched);
            let note = unpatch(&Image::open(&patched).unwrap(), &restored).unwrap();
            let original = fs::read(&input).unwrap();
            assert!(
                original == fs::read(&restored).unwrap(),
                "{version} {variant}"
            );
            let digest: [u8; 32] = Sha256::digest(&original).into();
            assert_eq!((note.input_sha256, report.input_sha256), (digest, digest));
            assert_eq!(note.contents.provenance.options, ["mode=observe"]);
        }
    }
}

#[test]
fn same_input_same_output_and_the_mode_is_kept() {
    let dir = scratch();
    let input = dir.path().join("input");
    fs::copy(newest("cgo"), &input).unwrap();
    fs::set_permissions(&input, Permissions::from_mode(0o751)).unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    rewrite(&input, &one);
    rewrite(&input, &two);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    assert_eq!(
        fs::metadata(&one).unwrap().permissions().mode() & 0o7777,
        0o751
    );
    // The input's hash was put where the plan asked for it, and is the input's.
    let plan = harmless_plan(&Image::open(&input).unwrap());
    let output = Image::open(&one).unwrap();
    let stored = output.bytes_at(plan.input_sha256_at[0], 32).unwrap();
    assert_eq!(stored, &Sha256::digest(fs::read(&input).unwrap())[..]);
}

/// What `sstrip` leaves: no section headers, nothing behind the last segment's bytes.
fn without_sections(input: &Path, output: &Path) {
    let image = Image::open(input).unwrap();
    let end = image
        .segments()
        .iter()
        .map(|s| s.offset.0 + s.file_size)
        .max()
        .unwrap();
    let mut bytes = image.data()[..usize::try_from(end).unwrap()].to_vec();
    // e_shoff; e_shnum and e_shstrndx.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    fs::write(output, bytes).unwrap();
    fs::set_permissions(output, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_without_section_headers_stays_one() {
    let dir = scratch();
    for variant in ["static", "pie", "cgo"] {
        let (input, output, restored) = (
            dir.path().join("in"),
            dir.path().join("out"),
            dir.path().join("back"),
        );
        without_sections(&newest(variant), &input);
        let image = Image::open(&input).unwrap();
        let report = write(
            &image,
            &harmless_plan(&image),
            &output,
            &WriteOptions::default(),
        )
        .unwrap();
        assert!(report.program_headers_moved);
        assert_eq!(output_of(&output), output_of(&input), "{variant}");
        let output = Image::open(&output).unwrap();
        assert!(output.sections().is_empty());
        unpatch(&output, &restored).unwrap();
        assert!(fs::read(&restored).unwrap() == fs::read(&input).unwrap());
    }
}

#[test]
fn the_output_must_be_another_regular_file() {
    let dir = scratch();
    let input = dir.path().join("input");
    fs::copy(newest("static"), &input).unwrap();
    let image = Image::open(&input).unwrap();
    let plan = harmless_plan(&image);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&input, &link).unwrap();
    for same in [&input, &link] {
        let error = write(&image, &plan, same, &WriteOptions::default()).unwrap_err();
        assert!(
            matches!(error, WriteError::File(FileError::SameFile { .. })),
            "{error}"
        );
    }
    let error = write(&image, &plan, dir.path(), &WriteOptions::default()).unwrap_err();
    assert!(
        matches!(error, WriteError::File(FileError::NotRegular { .. })),
        "{error}"
    );
    let nowhere = dir.path().join("no/such/directory");
    let error = write(&image, &plan, &nowhere, &WriteOptions::default()).unwrap_err();
    assert!(
        matches!(error, WriteError::File(FileError::Output { .. })),
        "{error}"
    );
    assert_eq!(fs::read(&input).unwrap(), image.data());
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "something was left behind"
    );
}

#[test]
fn plans_that_do_not_fit_are_refused_and_leave_nothing_behind() {
    let dir = scratch();
    let input = newest("static");
    let image = Image::open(&input).unwrap();
    type Spoil = fn(&mut PatchPlan);
    let spoiled: [(&str, Spoil); 9] = [
        ("other bytes", |p| p.edits[0].old[0] ^= 1),
        ("changes the length", |p| p.edits[0].new.truncate(3)),
        ("is not mapped", |p| p.edits[0].at = Vaddr(0x10)),
        ("overlaps the one before", |p| {
            p.edits.push(p.edits[0].clone())
        }),
        ("writable and executable", |p| p.segments[0].flags = 7),
        ("does not start on a page", |p| p.segments[1].vaddr.0 += 8),
        ("overlaps what is below", |p| {
            p.segments[0].vaddr.0 = 0x401000
        }),
        ("place for the SHA-256", |p| p.input_sha256_at[0].0 += 0x100),
        ("symbol gocc.init", |p| p.symbols[0].vaddr.0 -= 0x10),
    ];
    for (expected, spoil) in spoiled {
        let mut plan = harmless_plan(&image);
        spoil(&mut plan);
        let error = write(
            &image,
            &plan,
            &dir.path().join("out"),
            &WriteOptions::default(),
        )
        .unwrap_err();
        let WriteError::Layout(error) = error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!matches!(error, LayoutError::Note(_)));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Writes with one plan, verifies with it after the output's bytes were spoiled.
fn verify_spoiled(spoil: impl Fn(&PatchPlan, &Image, &mut Vec<u8>)) -> VerifyError {
    let dir = scratch();
    let image = Image::open(&newest("static")).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    let plan = harmless_plan(&image);
    let output = dir.path().join("out");
    write(&image, &plan, &output, &WriteOptions::default()).unwrap();
    let written = Image::open(&output).unwrap();
    let mut bytes = written.data().to_vec();
    spoil(&plan, &written, &mut bytes);
    verify_image(&go, &plan, &Image::from_bytes(bytes).unwrap()).unwrap_err()
}

/// The writer says how far the output is final, so that it can be checked meanwhile: also with an
/// edit across the boundary between two pieces that are copied one after the other.
#[test]
fn what_the_writer_calls_final_stays() {
    let dir = scratch();
    for variant in VARIANTS {
        let image = Image::open(&newest(variant)).unwrap();
        let mut plan = harmless_plan(&image);
        let boundaries = (256 << 10..image.data().len()).step_by(256 << 10);
        let mut across = boundaries.filter_map(|boundary| {
            let at = image.vaddr_of(FileOffset(boundary as u64 - 3))?;
            Some((at, image.bytes_at(at, 6)?.to_vec()))
        });
        let (at, old) = across.next().unwrap();
        plan.edits.push(Edit {
            at,
            new: old.iter().map(|byte| !byte).collect(),
            old,
            purpose: "across a boundary".to_owned(),
        });
        plan.edits.sort_by_key(|edit| edit.at);

        let output = dir.path().join(variant);
        let mut seen = Vec::new();
        let hash = InputHash::start(&image);
        let written = draft(&image, &plan, &output, hash, |end, read| {
            let from = seen.len();
            seen.resize(usize::try_from(end).unwrap(), 0);
            read(from as u64, &mut seen[from..]).unwrap();
        });
        written.unwrap().publish().unwrap();
        assert_eq!(seen.len(), image.data().len());
        assert!(
            seen == fs::read(&output).unwrap()[..seen.len()],
            "{variant}"
        );
    }
}

fn put(image: &Image, bytes: &mut [u8], at: u64, new: &[u8]) {
    let offset = usize::try_from(image.offset_of(Vaddr(at)).unwrap().0).unwrap();
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

#[test]
fn the_verifier_sees_a_single_changed_byte() {
    let error = verify_spoiled(|_, image, bytes| {
        let data = image.section(".rodata").unwrap();
        bytes[data.offset.0 as usize + 1000] ^= 1;
    });
    assert!(matches!(error, VerifyError::Unplanned { .. }), "{error}");
}

#[test]
fn the_verifier_sees_changed_edits_segments_and_headers() {
    let error =
        verify_spoiled(|plan, image, bytes| put(image, bytes, plan.edits[0].at.0 + 5, &[0x90]));
    assert!(
        error.to_string().contains("is not what the plan says"),
        "{error}"
    );
    let error =
        verify_spoiled(|plan, image, bytes| put(image, bytes, plan.segments[1].vaddr.0, &[1]));
    assert!(error.to_string().contains("segment .gocc.data"), "{error}");
    let error = verify_spoiled(|_, _, bytes| bytes[24] ^= 1);
    assert!(error.to_string().contains("the plan says"), "{error}");
}

/// Writes and verifies a plan that is wrong itself.
fn verify_bad_plan(spoil: impl Fn(&mut PatchPlan)) -> String {
    let dir = scratch();
    let image = Image::open(&newest("static")).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    let mut plan = harmless_plan(&image);
    spoil(&mut plan);
    let output = dir.path().join("out");
    write(&image, &plan, &output, &WriteOptions::default()).unwrap();
    verify(&go, &plan, &output).unwrap_err().to_string()
}

#[test]
fn the_verifier_follows_every_jump() {
    // Into the middle of the trampoline's first instruction.
    let error = verify_bad_plan(|p| p.edits[0].new[1] += 1);
    assert!(
        error.contains("between two instructions of the new code"),
        "{error}"
    );
    // Behind all new code.
    let error = verify_bad_plan(|p| p.edits[0].new[3] = 0x70);
    assert!(error.contains("outside of the new code"), "{error}");
    let error = verify_bad_plan(|p| p.edits[0].new[0] = 0xe8);
    assert!(error.contains("is not a jump to new code"), "{error}");
    let error = verify_bad_plan(|p| p.edits[0].new[5] = 0xc3);
    assert!(error.contains("not filled"), "{error}");
    // Back into the edit, and between two instructions behind it.
    for (offset, why) in [
        (3, "inside of an edit"),
        (7, "between two instructions of a Go function"),
    ] {
        let error = verify_bad_plan(|p| {
            let from = p.segments[0].vaddr.0 + 22;
            let back = jump(from, p.edits[0].at.0 + offset);
            p.segments[0].bytes[22..27].copy_from_slice(&back);
        });
        assert!(error.contains(why), "{error}");
    }
    let error = verify_bad_plan(|p| p.entry.0 += 1);
    assert!(error.contains("between two instructions"), "{error}");
    // An unfinished instruction at the end of a trampoline.
    let error = verify_bad_plan(|p| p.symbols[1].size -= 1);
    assert!(error.contains("cannot be disassembled"), "{error}");
}

#[test]
fn only_patched_files_are_unpatched_and_they_are_recognised() {
    let dir = scratch();
    let image = Image::open(&newest("static")).unwrap();
    assert!(note::find(&image).unwrap().is_none());
    let error = unpatch(&image, &dir.path().join("out")).unwrap_err();
    assert!(matches!(error, UnpatchError::NotPatched { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
