//! What gocc refuses, and where it must not: executables without sections, symbols or build info.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::fixture::repository;
use common::{VERSIONS, fixture};
use gocc::golang::{GoBinary, GoError, LayoutSource};
use gocc::image::{Image, ImageError, Vaddr};
use std::path::{Path, PathBuf};

/// testdata/maps built by the newest Go; `None`, and a word about it, when it cannot be had.
fn newest(variant: &str) -> Option<PathBuf> {
    let built = fixture("maps", "1.27", variant).unwrap();
    built.map(|fixture| fixture.path)
}

fn image_error(bytes: Vec<u8>) -> ImageError {
    Image::from_bytes(bytes)
        .err()
        .expect("the image is refused")
}

fn go_error(bytes: Vec<u8>) -> GoError {
    let image = Image::from_bytes(bytes).expect("the ELF headers are sound");
    GoBinary::parse(&image)
        .err()
        .expect("the executable is refused")
}

/// Replaces all occurrences of a text by another of the same length.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut bytes, mut at, mut found) = (bytes.to_vec(), 0, 0);
    while let Some(skip) = memchr::memmem::find(&bytes[at..], from) {
        at += skip;
        bytes[at..at + to.len()].copy_from_slice(to);
        found += 1;
    }
    assert!(
        found > 0,
        "{} does not occur",
        String::from_utf8_lossy(from)
    );
    bytes
}

/// Overwrites bytes at an offset.
fn poke(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// As some linkers leave it: no section header table.
fn without_sections(bytes: &[u8]) -> Vec<u8> {
    poke(&poke(bytes, 0x28, &[0; 8]), 0x3c, &[0; 4])
}

#[test]
fn files_that_are_not_elf() {
    let found = |bytes: &[u8]| image_error(bytes.to_vec()).to_string();
    assert!(found(b"").contains("an empty file"));
    assert!(found(b"#!/bin/sh\necho\n").contains("a script"));
    assert!(found(b"MZ\x90\0").contains("Windows"));
    assert!(found(b"\xcf\xfa\xed\xfe\x07").contains("macOS"));
    assert!(found(b"\x01\x02\x03\x04\x05").contains("[01, 02, 03, 04]"));
    assert!(matches!(
        image_error(b"\x7fELF\x02\x01".to_vec()),
        ImageError::Truncated { .. }
    ));
    let missing = Image::open(Path::new("/nonexistent/file"));
    assert!(matches!(missing.err(), Some(ImageError::Unreadable { .. })));
    let directory = Image::open(repository());
    assert!(matches!(
        directory.err(),
        Some(ImageError::Unreadable { .. })
    ));
}

#[test]
fn other_machines_and_systems() {
    let Some(path) = newest("static") else { return };
    let good = std::fs::read(path).unwrap();
    assert!(matches!(
        image_error(poke(&good, 4, &[1])),
        ImageError::Not64Bit { .. }
    ));
    assert!(matches!(
        image_error(poke(&good, 5, &[2])),
        ImageError::BigEndian { .. }
    ));
    assert!(
        image_error(poke(&good, 0x12, &[0xb7, 0]))
            .to_string()
            .contains("arm64")
    );
    assert!(
        image_error(poke(&good, 0x12, &[0x34, 0x12]))
            .to_string()
            .contains("e_machine 4660")
    );
    assert!(
        image_error(poke(&good, 7, &[9]))
            .to_string()
            .contains("FreeBSD")
    );
    assert!(
        image_error(poke(&good, 0x10, &[1, 0]))
            .to_string()
            .contains("relocatable")
    );
    assert!(
        image_error(poke(&good, 0x10, &[4, 0]))
            .to_string()
            .contains("core dump")
    );
    assert!(
        go_error(replace(&good, b"GOOS=linux", b"GOOS=haiku"))
            .to_string()
            .contains("haiku")
    );
}

#[test]
fn shared_libraries() {
    for variant in ["cshared", "plugin"] {
        let Some(path) = newest(variant) else { return };
        let error = Image::open(&path).err().expect("libraries are refused");
        assert!(matches!(error, ImageError::SharedLibrary { .. }), "{error}");
    }
}

#[test]
fn executables_that_are_not_go() {
    let shell = std::fs::read("/bin/sh").unwrap();
    assert!(matches!(go_error(shell.clone()), GoError::NotGo));
    // UPX leaves its mark behind the program headers.
    let error = go_error(poke(&shell, 0x800, b"UPX!"));
    assert!(
        matches!(error, GoError::Packed { packer: "UPX" }),
        "{error}"
    );
    // gocc itself holds the magic numbers it looks for.
    let own = Image::open(&std::env::current_exe().unwrap()).unwrap();
    assert!(GoBinary::parse(&own).is_err());
}

#[test]
fn unsupported_versions() {
    let Some(path) = newest("stripped") else {
        return;
    };
    let stripped = std::fs::read(path).unwrap();
    let error = go_error(replace(&stripped, b"go1.27.3", b"go1.28.3"));
    assert!(
        matches!(&error, GoError::TooNew { found } if found == "go1.28.3"),
        "{error}"
    );
    let error = go_error(replace(&stripped, b"go1.27.3", b"go1.17.3"));
    assert!(
        matches!(&error, GoError::TooOld { found } if found == "go1.17.3"),
        "{error}"
    );
    let error = go_error(replace(&stripped, b"go1.27.3", b"go1.19.3"));
    assert!(matches!(error, GoError::Inconsistent { .. }), "{error}");
    let error = go_error(replace(&stripped, b"go1.27.3", b"go2.27.3"));
    assert!(
        matches!(error, GoError::VersionNotUnderstood { .. }),
        "{error}"
    );
}

#[test]
fn experiments_that_change_structs() {
    let Some(path) = newest("lockranking") else {
        return;
    };
    let image = Image::open(&path).unwrap();
    assert_eq!(
        GoBinary::parse(&image).unwrap().layout_source,
        LayoutSource::Dwarf
    );
    let error = go_error(without_sections(&std::fs::read(path).unwrap()));
    assert!(
        matches!(&error, GoError::UnknownExperiment { experiment } if experiment == "staticlockranking"),
        "{error}"
    );
}

#[test]
fn newer_versions_with_dwarf_are_read() {
    let Some(path) = newest("static") else { return };
    let bytes = replace(&std::fs::read(path).unwrap(), b"go1.27.3", b"go1.28.3");
    let image = Image::from_bytes(bytes).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    assert_eq!(
        (go.version.minor, go.layout_source),
        (28, LayoutSource::Dwarf)
    );
    assert_eq!(go.table_layout, None);
}

#[test]
fn really_old_toolchains() {
    let Some(old) = fixture("maps", "1.17.13", "static").unwrap() else {
        return;
    };
    let bytes = std::fs::read(old.path).unwrap();
    let error = go_error(bytes.clone());
    assert!(
        matches!(&error, GoError::TooOld { found } if found == "go1.17.13"),
        "{error}"
    );
    // Without build info the function table's magic tells.
    let error = go_error(replace(&bytes, b"\xff Go buildinf:", b"\xff No buildinf:"));
    assert!(
        matches!(&error, GoError::TooOld { found } if found.contains("go1.17")),
        "{error}"
    );
}

#[test]
fn damaged_files() {
    let Some(path) = newest("static") else { return };
    let good = std::fs::read(path).unwrap();
    for share in 1..10 {
        let error = image_error(good[..good.len() * share / 10].to_vec());
        assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
    }
    let image = Image::from_bytes(good.clone()).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    let moduledata = image.offset_of(go.first_moduledata).unwrap().0 as usize;
    // moduledata.minpc
    let error = go_error(poke(&good, moduledata + 160, &[0xff; 8]));
    assert!(matches!(error, GoError::NoModuledata { .. }), "{error}");
    // The last entry but one of the function table.
    let pclntab = image.offset_of(go.pclntab).unwrap().0 as usize;
    let functions = go.functions().count();
    let ftab =
        pclntab + u64::from_le_bytes(good[pclntab + 64..pclntab + 72].try_into().unwrap()) as usize;
    let error = go_error(poke(&good, ftab + (functions - 1) * 8, &[0xff; 4]));
    assert!(matches!(error, GoError::Inconsistent { .. }), "{error}");
}

#[test]
fn patched_files_are_recognised() {
    let Some(path) = newest("static") else { return };
    let good = std::fs::read(path).unwrap();
    assert!(
        !Image::from_bytes(good.clone())
            .unwrap()
            .is_already_patched()
    );
    let renamed = replace(&good, b"\0.go.module\0", b"\0.note.gocc\0");
    assert!(Image::from_bytes(renamed).unwrap().is_already_patched());
}

/// Neither sections nor build info: everything is found by content, with the same result.
#[test]
fn bare_executables() {
    for version in VERSIONS {
        for variant in ["stripped", "strippedpie", "externalpie"] {
            let Some(fixture) = fixture("frames", version, variant).unwrap() else {
                continue;
            };
            let path = fixture.path;
            let good = std::fs::read(&path).unwrap();
            let bare =
                without_sections(&replace(&good, b"\xff Go buildinf:", b"\xff No buildinf:"));
            check_bare(good, bare, &path);
        }
    }
}

fn check_bare(good: Vec<u8>, bare: Vec<u8>, path: &Path) {
    let (good, bare) = (
        Image::from_bytes(good).unwrap(),
        Image::from_bytes(bare).unwrap(),
    );
    assert!(bare.sections().is_empty());
    let expected = GoBinary::parse(&good).unwrap();
    let found =
        GoBinary::parse(&bare).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found.version, expected.version, "{}", path.display());
    assert_eq!(found.build_id, expected.build_id);
    assert!(found.build_id.is_some(), "{}", path.display());
    assert_eq!(
        (found.pclntab, found.first_moduledata),
        (expected.pclntab, expected.first_moduledata)
    );
    assert_eq!(
        (found.text_start, found.text_end),
        (expected.text_start, expected.text_end)
    );
    assert_eq!(found.layout, expected.layout);
    assert_eq!(
        found.functions_named("main.main"),
        expected.functions_named("main.main")
    );
}

#[test]
fn addresses_translate_both_ways() {
    for variant in ["static", "strippedpie", "externalpie"] {
        let Some(path) = newest(variant) else { return };
        let image = Image::open(&path).unwrap();
        assert_eq!(image.is_pie(), variant != "static");
        assert!(image.loads().len() >= 3);
        for load in image.loads() {
            let last = Vaddr(load.vaddr.0 + load.file_size - 1);
            assert_eq!(image.offset_of(load.vaddr), Some(load.offset));
            for at in [load.vaddr, last] {
                let offset = image.offset_of(at).unwrap();
                assert_eq!(image.vaddr_of(offset), Some(at));
                assert_eq!(
                    image.bytes_at(at, 1).unwrap()[0],
                    image.data()[offset.0 as usize]
                );
            }
            assert_eq!(image.bytes_at(last, 2), None);
        }
        let bss = image.section(".bss").unwrap();
        assert_eq!(
            (image.offset_of(bss.vaddr), image.section_bytes(bss)),
            (None, None)
        );
        assert_eq!(image.offset_of(Vaddr(u64::MAX)), None);
        let text = image.section(".text").unwrap();
        assert_eq!(
            image.section_bytes(text),
            image.bytes_at(text.vaddr, text.size)
        );
    }
}
