use super::error::ImageError;
use super::header::{self, Headers};
use super::relocations::{self, DynamicInfo, RelativeRelocation};
use super::{FileOffset, Vaddr};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

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
    /// Its name; empty where the string table has none, cut at 255 bytes.
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

/// The file's bytes, however they came into memory. Clones share them.
#[derive(Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<memmap2::Mmap>),
    Owned(Arc<[u8]>),
}

impl Bytes {
    /// Maps all pages at once, which takes a fraction of what a fault for every few of them does.
    pub(crate) fn populate(&self) {
        if let Bytes::Mapped(map) = self {
            // Before Linux 5.14 there is no such advice; the pages then come one after the other.
            let _ = map.advise(memmap2::Advice::PopulateRead);
        }
    }

    pub(crate) fn get(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// An ELF executable, mapped.
pub struct Image {
    bytes: Bytes,
    path: PathBuf,
    is_pie: bool,
    entry: Vaddr,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    /// PT_LOAD segments with bytes in the file, ascending by address and disjoint.
    loads: Vec<Segment>,
    dynamic: DynamicInfo,
    /// Built when a pointer of a PIE is first asked for: large programs have a million of them.
    relative: OnceLock<Vec<RelativeRelocation>>,
}

impl Image {
    /// Maps and parses the file.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let unreadable = |source| ImageError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(std::io::Error::from(
                std::io::ErrorKind::IsADirectory,
            )));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Image::parse(Bytes::Owned(Arc::default()), path.to_owned());
        }
        // SAFETY: the map is private and read-only. Another process that truncates the file while
        // gocc reads it can make accesses fault (SIGBUS), as with every program that maps its
        // input; gocc itself never writes to its input.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)?;
        Image::parse(Bytes::Mapped(Arc::new(map)), path.to_owned())
    }

    /// Parses bytes already in memory (tests, fuzzing).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Image, ImageError> {
        Image::parse(Bytes::Owned(bytes.into()), PathBuf::from("<memory>"))
    }

    fn parse(bytes: Bytes, path: PathBuf) -> Result<Image, ImageError> {
        let Headers {
            is_pie,
            entry,
            segments,
            sections,
            loads,
            dynamic,
        } = header::parse(bytes.get(), &path)?;
        Ok(Image {
            bytes,
            path,
            is_pie,
            entry,
            segments,
            sections,
            loads,
            dynamic,
            relative: OnceLock::new(),
        })
    }

    /// The whole file.
    pub fn data(&self) -> &[u8] {
        self.bytes.get()
    }

    /// The whole file, for a thread that may outlive this image.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Where it was opened from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// ET_DYN: addresses are relative to a load bias.
    pub fn is_pie(&self) -> bool {
        self.is_pie
    }

    /// The dynamic linker loads shared libraries with it.
    pub fn needs_libraries(&self) -> bool {
        self.dynamic.needs_libraries()
    }

    /// `e_entry`.
    pub fn entry(&self) -> Vaddr {
        self.entry
    }

    /// The program headers, in file order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The section headers, in file order; empty when there are none.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The first section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The bytes of a section as they lie in the file (not decompressed).
    pub fn section_bytes(&self, section: &Section) -> Option<&[u8]> {
        if section.kind == goblin::elf::section_header::SHT_NOBITS {
            return None;
        }
        header::file_range(self.data(), section.offset.0, section.size)
    }

    /// Where the byte at a virtual address lies in the file; `None` for bss and unmapped addresses.
    pub fn offset_of(&self, at: Vaddr) -> Option<FileOffset> {
        let load = header::load_at(&self.loads, at)?;
        load.offset
            .0
            .checked_add(at.0.checked_sub(load.vaddr.0)?)
            .map(FileOffset)
    }

    /// The virtual address at which a file offset is mapped.
    pub fn vaddr_of(&self, at: FileOffset) -> Option<Vaddr> {
        let covers = |load: &&Segment| {
            at.0.checked_sub(load.offset.0)
                .is_some_and(|skip| skip < load.file_size)
        };
        let load = self.loads.iter().find(covers)?;
        load.vaddr.checked_add(at.0 - load.offset.0)
    }

    /// `len` bytes at a virtual address, if all of them lie in one segment's file part.
    pub fn bytes_at(&self, at: Vaddr, len: u64) -> Option<&[u8]> {
        self.bytes_from(at)?.get(..usize::try_from(len).ok()?)
    }

    /// All bytes from a virtual address to the end of its segment's file part.
    pub fn bytes_from(&self, at: Vaddr) -> Option<&[u8]> {
        header::bytes_from(self.data(), &self.loads, at)
    }

    /// The eight bytes at a virtual address as they lie in the file.
    pub fn u64_at(&self, at: Vaddr) -> Option<u64> {
        let bytes = self.bytes_at(at, 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The pointer stored at a virtual address, with R_X86_64_RELATIVE relocations applied (load
    /// bias 0), since a PIE's file may hold zeros there.
    pub fn pointer_at(&self, at: Vaddr) -> Option<Vaddr> {
        let stored = self.u64_at(at)?;
        let relocations = self.relative_relocations();
        match relocations.binary_search_by_key(&at, |relocation| relocation.at) {
            Ok(index) => relocations.get(index).map(|relocation| relocation.target),
            Err(_) => Some(Vaddr(stored)),
        }
    }

    /// The loadable segments that have bytes in the file, ascending by address.
    pub fn loads(&self) -> &[Segment] {
        &self.loads
    }

    /// Pointers that the dynamic loader stores at start, ascending by place; empty unless a PIE.
    /// Places packed with DT_RELR are not listed: their value lies in the file already.
    pub fn relative_relocations(&self) -> &[RelativeRelocation] {
        self.relative.get_or_init(|| {
            match self.dynamic.relocation_table(self.data(), &self.loads) {
                Some(table) if self.is_pie => relocations::relative(table),
                _ => Vec::new(),
            }
        })
    }

    /// Has gocc patched this file already? Told by the note section it leaves.
    pub fn is_already_patched(&self) -> bool {
        self.section(".note.gocc").is_some()
    }
}
