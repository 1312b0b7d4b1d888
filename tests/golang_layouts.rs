//! The version table against the DWARF of every toolchain that can be had.
//! With GOCC_BLESS=1 the table is written anew instead (scripts/layouts).
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::fixture::repository;
use common::{VERSIONS, fixture};
use gocc::golang::layouts::{Entry, table};
use gocc::golang::{GoBinary, LayoutSource, MapImpl};
use gocc::image::Image;
use std::path::{Path, PathBuf};

/// The first release of each minor version.
const FIRST_RELEASES: [&str; 10] = [
    "1.18.0", "1.19.0", "1.20.0", "1.21.0", "1.22.0", "1.23.0", "1.24.0", "1.25.0", "1.26.0",
    "1.27.0",
];

/// A build of testdata/maps, where its toolchain can be had.
fn build(version: &str, variant: &str) -> Option<PathBuf> {
    fixture("maps", version, variant)
        .unwrap()
        .map(|fixture| fixture.path)
}

/// What the DWARF of an executable says, as an entry for its one version.
fn entry_of(path: &Path) -> Entry {
    let image = Image::open(path).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    assert_eq!(go.layout_source, LayoutSource::Dwarf, "{}", path.display());
    let layout = go.dwarf_layout.clone().unwrap();
    let (first, last) = (go.version.minor, go.version.minor);
    Entry {
        map: go.map_impl,
        first,
        last,
        module: go.module_offsets,
        layout,
    }
}

/// One build of every release and map implementation that the table covers.
fn builds() -> Vec<(&'static str, &'static str)> {
    let releases = VERSIONS.iter().chain(&FIRST_RELEASES);
    let plain = releases.clone().map(|&version| (version, "static"));
    let noswissmap =
        releases.filter(|version| version.starts_with("1.24") || version.starts_with("1.25"));
    plain
        .chain(noswissmap.map(|&version| (version, "noswissmap")))
        .collect()
}

#[test]
fn table_agrees_with_toolchains() {
    let found = builds().into_iter().filter_map(|(version, variant)| {
        let path = build(version, variant)?;
        Some((format!("{version} {variant}"), entry_of(&path)))
    });
    let found: Vec<(String, Entry)> = found.collect();
    if std::env::var("GOCC_BLESS").is_ok_and(|value| value == "1") {
        bless(&found);
    } else {
        let table = table();
        for (name, entry) in &found {
            let known = table.iter().find(|known| {
                known.map == entry.map && (known.first..=known.last).contains(&entry.first)
            });
            let known =
                known.unwrap_or_else(|| panic!("{name}: not in the table; run scripts/layouts"));
            assert_eq!(
                (&known.layout, known.module),
                (&entry.layout, entry.module),
                "{name}; run scripts/layouts"
            );
        }
    }
}

/// Writes the table: consecutive versions with equal layouts become one entry.
fn bless(found: &[(String, Entry)]) {
    let mut entries: Vec<(&String, &Entry)> =
        found.iter().map(|(name, entry)| (name, entry)).collect();
    entries.sort_by_key(|(_, entry)| (entry.map == MapImpl::Swiss, entry.first));
    let mut table: Vec<Entry> = Vec::new();
    for (name, entry) in entries {
        match table.last_mut() {
            Some(last) if last.map == entry.map && last.last + 1 >= entry.first => {
                let same = last.layout == entry.layout && last.module == entry.module;
                // Two releases of one minor version must agree, or the table needs a finer key.
                assert!(
                    same || last.last < entry.first,
                    "{name} differs from another release of the same version"
                );
                if same {
                    last.last = entry.last;
                } else {
                    table.push(entry.clone());
                }
            }
            _ => table.push(entry.clone()),
        }
    }
    let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
    std::fs::write(repository().join("src/golang/layouts.json"), text).unwrap();
}

#[test]
fn race_builds_have_the_same_layout() {
    for version in ["1.18", "1.23", "1.27"] {
        let (Some(plain), Some(race)) = (build(version, "static"), build(version, "race")) else {
            continue;
        };
        assert_eq!(entry_of(&plain), entry_of(&race), "{version}");
        let image = Image::open(&race).unwrap();
        assert!(GoBinary::parse(&image).unwrap().race, "{version}");
    }
}

#[test]
fn stripped_executables_use_the_table() {
    for version in VERSIONS {
        let (Some(plain), Some(stripped)) = (build(version, "static"), build(version, "stripped"))
        else {
            continue;
        };
        let image = Image::open(&stripped).unwrap();
        let go = GoBinary::parse(&image).unwrap();
        assert_eq!(
            (go.layout_source, &go.dwarf_layout),
            (LayoutSource::VersionTable, &None)
        );
        assert_eq!(go.layout, entry_of(&plain).layout, "{version}");
    }
}
