//! An *image* is an ELF executable as it lies in its file: bytes, segments, sections, and the
//! translation between the two address spaces they live in.

use std::fmt;

mod elf;
mod error;
mod header;
mod relocations;

pub(crate) use elf::Bytes;
pub use elf::{Image, Section, Segment};
pub use error::ImageError;
pub use relocations::RelativeRelocation;

/// A virtual address as the linker assigned it: for a PIE, before the load bias is added.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Vaddr(pub u64);

/// A byte position in the executable's file.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct FileOffset(pub u64);

impl Vaddr {
    /// The address `bytes` further on, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Vaddr> {
        self.0.checked_add(bytes).map(Vaddr)
    }
}

impl fmt::Display for Vaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Vaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vaddr({:#x})", self.0)
    }
}

impl fmt::Debug for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileOffset({:#x})", self.0)
    }
}
