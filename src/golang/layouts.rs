//! The checked-in table of struct layouts by Go version, for executables without DWARF.
//! `scripts/layouts` regenerates layouts.json from toolchains; tests/golang_layouts.rs compares it
//! with the first and the last release of each version.
//!
//! Where the fields are declared, in Go's source tree:
//!
//! - `g_*`: src/runtime/runtime2.go, `type g struct`; `g_stack_*` also `type stack struct`
//! - `m_*`, `p_*`: src/runtime/runtime2.go, `type m struct` and `type p struct`
//! - `moduledata_*` and [`ModuleOffsets`]: src/runtime/symtab.go, `type moduledata struct`
//! - `map_*`, `iter_*` with [`MapImpl::Hmap`]: `type hmap struct` and `type hiter struct` in
//!   src/runtime/map.go, from 1.24 on src/runtime/map_noswiss.go; the mask is its `hashWriting`
//! - `map_*`, `iter_*` with [`MapImpl::Swiss`]: src/internal/runtime/maps, `type Map struct` in
//!   map.go (`writing` is toggled as a whole byte) and `type Iter struct` in table.go

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

/// Experiments that may change the structs in the table: lock ranking puts a field into every
/// `runtime.mutex` (src/runtime/lockrank_on.go). The other experiments of 1.18 to 1.27 that declare
/// structs of their own (pagetrace, greenteagc, spinbitmutex) do so behind the fields listed here.
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
