use super::{FileOffset, Vaddr};
use std::path::{Path, PathBuf};

/// Why a file is not an executable image that gocc can work on.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file could not be opened or mapped.
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
}

/// One program header of the image.
#[derive(Clone, Debug)]
pub struct Segment {
    /// `p_type` (`PT_LOAD`, ...).
    pub kind: u32,
    /// `p_flags` (`PF_R | PF_W | PF_X`).
    pub flags: u32,
    /// Where its bytes lie in the file.
    pub offset: FileOffset,
    /// Where they are mapped.
    pub vaddr: Vaddr,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory; the rest is zero.
    pub mem_size: u64,
    /// Alignment.
    pub align: u64,
}

/// One section header of the image.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name; empty where the string table has none.
    pub name: String,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Where it is mapped; 0 for sections that are not.
    pub vaddr: Vaddr,
    /// Where its bytes lie in the file.
    pub offset: FileOffset,
    /// Its size in bytes.
    pub size: u64,
}

/// An ELF executable, mapped.
pub struct Image {}

impl Image {
    /// Maps and parses the file.
    pub fn open(_path: &Path) -> Result<Image, ImageError> {
        unimplemented!()
    }
    /// Parses bytes already in memory (tests, fuzzing).
    pub fn from_bytes(_bytes: Vec<u8>) -> Result<Image, ImageError> {
        unimplemented!()
    }
    /// The whole file.
    pub fn data(&self) -> &[u8] {
        unimplemented!()
    }
    /// Where it was opened from, for messages.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
    /// ET_DYN: addresses are relative to a load bias.
    pub fn is_pie(&self) -> bool {
        unimplemented!()
    }
    /// `e_entry`.
    pub fn entry(&self) -> Vaddr {
        unimplemented!()
    }
    /// The program headers, in file order.
    pub fn segments(&self) -> &[Segment] {
        unimplemented!()
    }
    /// The section headers, in file order; empty when there are none.
    pub fn sections(&self) -> &[Section] {
        unimplemented!()
    }
    /// The first section of that name.
    pub fn section(&self, _name: &str) -> Option<&Section> {
        unimplemented!()
    }
    /// The bytes of a section as they lie in the file (not decompressed).
    pub fn section_bytes(&self, _section: &Section) -> Option<&[u8]> {
        unimplemented!()
    }
    /// Where the byte at a virtual address lies in the file; `None` for bss and unmapped addresses.
    pub fn offset_of(&self, _at: Vaddr) -> Option<FileOffset> {
        unimplemented!()
    }
    /// The virtual address at which a file offset is mapped.
    pub fn vaddr_of(&self, _at: FileOffset) -> Option<Vaddr> {
        unimplemented!()
    }
    /// `len` bytes at a virtual address, if all of them lie in one segment's file part.
    pub fn bytes_at(&self, _at: Vaddr, _len: u64) -> Option<&[u8]> {
        unimplemented!()
    }
    /// All bytes from a virtual address to the end of its segment's file part.
    pub fn bytes_from(&self, _at: Vaddr) -> Option<&[u8]> {
        unimplemented!()
    }
    /// The pointer stored at a virtual address, with R_X86_64_RELATIVE relocations applied (load
    /// bias 0), since a PIE's file may hold zeros there.
    pub fn pointer_at(&self, _at: Vaddr) -> Option<Vaddr> {
        unimplemented!()
    }
}
