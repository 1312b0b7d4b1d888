//! The checked-in table of struct layouts by Go version, for executables without DWARF.
//! `scripts/layouts` regenerates layouts.json from toolchains.

use super::{Layout, MapImpl};
use serde::{Deserialize, Serialize};

/// Offsets in `runtime.moduledata` that only gocc itself needs (src/runtime/symtab.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleOffsets {
    /// moduledata.types
    pub types: u32,
    /// moduledata.etypes
    pub etypes: u32,
    /// moduledata.gofunc
    pub gofunc: u32,
}

/// The layouts of a range of Go releases with one map implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The map implementation.
    pub map: MapImpl,
    /// First minor version, inclusive.
    pub first: u32,
    /// Last minor version, inclusive.
    pub last: u32,
    /// Offsets for gocc.
    pub module: ModuleOffsets,
    /// Offsets for hooks.
    pub layout: Layout,
}

/// The whole table.
pub fn table() -> Vec<Entry> {
    // A test parses the embedded text, so an empty table cannot be the result of a typing error.
    serde_json::from_str(include_str!("layouts.json")).unwrap_or_default()
}

/// The entry for a release.
pub fn lookup(minor: u32, map: MapImpl) -> Option<Entry> {
    table()
        .into_iter()
        .find(|entry| entry.map == map && (entry.first..=entry.last).contains(&minor))
}

/// Experiments that change the structs in the table (src/internal/goexperiment/flags.go; lock
/// ranking adds fields to `runtime.m`).
const STRUCT_EXPERIMENTS: [&str; 1] = ["staticlockranking"];

/// An experiment in a version string that makes the table useless.
pub(super) fn unknown_experiment(version: &str) -> Option<&str> {
    super::version::experiments(version).find(|name| STRUCT_EXPERIMENTS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::super::version::{NEWEST_MINOR, OLDEST_MINOR};
    use super::*;

    #[test]
    fn every_supported_release_has_one_entry() {
        let parsed: Result<Vec<Entry>, _> = serde_json::from_str(include_str!("layouts.json"));
        assert!(parsed.is_ok(), "{parsed:?}");
        for minor in OLDEST_MINOR..=NEWEST_MINOR {
            let count = |map| {
                table()
                    .iter()
                    .filter(|e| e.map == map && (e.first..=e.last).contains(&minor))
                    .count()
            };
            assert_eq!(
                count(MapImpl::Hmap),
                usize::from(minor <= 25),
                "hmap, go1.{minor}"
            );
            assert_eq!(
                count(MapImpl::Swiss),
                usize::from(minor >= 24),
                "Swiss, go1.{minor}"
            );
        }
    }
}
