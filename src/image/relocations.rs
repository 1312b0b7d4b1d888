//! The dynamic section's part of an image: which pointers the dynamic loader fills in at start.

use super::header::bytes_from;
use super::{Segment, Vaddr};

const R_X86_64_RELATIVE: u32 = 8;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
/// Size of an `Elf64_Rela`.
const RELA_SIZE: usize = 24;

/// A pointer that the dynamic loader stores: `*at = load bias + target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeRelocation {
    /// Where the pointer lies.
    pub at: Vaddr,
    /// What it points to, with load bias 0.
    pub target: Vaddr,
}

/// What gocc needs of the dynamic section. A table is its address and its size in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DynamicInfo {
    rela: (u64, u64),
    relr: (u64, u64),
    flags_1: u64,
    needs_libraries: bool,
}

impl DynamicInfo {
    /// Reads the entries up to DT_NULL.
    pub(super) fn parse(dynamic: &[u8]) -> DynamicInfo {
        let mut info = DynamicInfo::default();
        for entry in dynamic.chunks_exact(16) {
            let (tag, value) = (read_u64(entry, 0), read_u64(entry, 8));
            match tag {
                DT_NULL => break,
                DT_RELA => info.rela.0 = value,
                DT_RELASZ => info.rela.1 = value,
                DT_RELR => info.relr.0 = value,
                DT_RELRSZ => info.relr.1 = value,
                DT_FLAGS_1 => info.flags_1 = value,
                DT_NEEDED => info.needs_libraries = true,
                _ => {}
            }
        }
        info
    }

    /// There is a DT_NEEDED.
    pub(super) fn needs_libraries(&self) -> bool {
        self.needs_libraries
    }

    /// DT_FLAGS_1 says that this is an executable, not a library.
    pub(super) fn says_pie(&self) -> bool {
        self.flags_1 & DF_1_PIE != 0
    }

    /// A table that does not lie in the file: `(name, address, size)`.
    pub(super) fn table_outside(
        &self,
        data: &[u8],
        loads: &[Segment],
    ) -> Option<(&'static str, u64, u64)> {
        let tables = [("DT_RELA", self.rela), ("DT_RELR", self.relr)];
        let outside = |&(_, table): &(_, (u64, u64))| {
            table.1 != 0 && table_bytes(table, data, loads).is_none()
        };
        tables
            .into_iter()
            .find(outside)
            .map(|(name, (at, size))| (name, at, size))
    }

    pub(super) fn relocation_table<'a>(
        &self,
        data: &'a [u8],
        loads: &[Segment],
    ) -> Option<&'a [u8]> {
        table_bytes(self.rela, data, loads)
    }
}

fn table_bytes<'a>((at, size): (u64, u64), data: &'a [u8], loads: &[Segment]) -> Option<&'a [u8]> {
    bytes_from(data, loads, Vaddr(at))?.get(..usize::try_from(size).ok()?)
}

/// The eight bytes at `at`; 0 past the end, which `chunks_exact` rules out for every caller here.
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let word = at
        .checked_add(8)
        .and_then(|end| bytes.get(at..end))
        .and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}

/// The R_X86_64_RELATIVE entries of an `Elf64_Rela` table, ascending by place.
pub(super) fn relative(table: &[u8]) -> Vec<RelativeRelocation> {
    let mut found = Vec::with_capacity(table.len() / RELA_SIZE);
    for entry in table.chunks_exact(RELA_SIZE) {
        // r_info holds the type in its low half.
        if read_u64(entry, 8) as u32 == R_X86_64_RELATIVE {
            found.push(RelativeRelocation {
                at: Vaddr(read_u64(entry, 0)),
                target: Vaddr(read_u64(entry, 16)),
            });
        }
    }
    // GNU ld sorts them, Go's linker does not. Stable, so that of several for one place the last
    // one in the table stays last, as the loader applies them.
    if !found.is_sorted_by_key(|relocation| relocation.at) {
        found.sort_by_key(|relocation| relocation.at);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_entries_are_sorted_and_others_left_out() {
        let entries = [[0x20u64, 8, 0x99], [0x10, 8, 0x98], [0x18, 6, 0]];
        let table: Vec<u8> = entries
            .iter()
            .flatten()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let expected = [(0x10, 0x98), (0x20, 0x99)].map(|(at, target)| RelativeRelocation {
            at: Vaddr(at),
            target: Vaddr(target),
        });
        assert_eq!(relative(&table), expected);
    }
}
