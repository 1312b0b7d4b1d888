//! The raw ELF64 headers as they lie in a file, for the writer: it changes header fields that no
//! reader needs, so it works on the records themselves (System V gABI, chapters 4 and 5).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Page size of linux/amd64: segments start on a multiple of it.
pub const PAGE: u64 = 0x1000;
/// `p_type` of a segment that is mapped.
pub const PT_LOAD: u32 = 1;
/// `p_type` of a segment that holds notes.
pub const PT_NOTE: u32 = 4;
/// `p_type` of the entry that says where the program header table is mapped.
pub const PT_PHDR: u32 = 6;
/// `p_flags`: executable.
pub const PF_X: u32 = 1;
/// `p_flags`: writable.
pub const PF_W: u32 = 2;
/// `p_flags`: readable.
pub const PF_R: u32 = 4;
/// `sh_type` of program bytes.
pub const SHT_PROGBITS: u32 = 1;
/// `sh_type` of the symbol table.
pub const SHT_SYMTAB: u32 = 2;
/// `sh_type` of a string table.
pub const SHT_STRTAB: u32 = 3;
/// `sh_type` of notes.
pub const SHT_NOTE: u32 = 7;
/// `sh_type` of a section without bytes in the file.
pub const SHT_NOBITS: u32 = 8;
/// `sh_flags`: writable.
pub const SHF_WRITE: u64 = 1;
/// `sh_flags`: mapped.
pub const SHF_ALLOC: u64 = 2;
/// `sh_flags`: executable.
pub const SHF_EXECINSTR: u64 = 4;
/// From this section index on, indices have special meanings.
pub const SHN_LORESERVE: usize = 0xff00;
/// `e_phnum` with this value stands for a count stored elsewhere.
pub const PN_XNUM: u16 = 0xffff;

/// The ELF header.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct Ehdr {
    /// Magic, class, byte order, version, ABI.
    pub ident: [u8; 16],
    /// `ET_EXEC` or `ET_DYN`.
    pub kind: U16,
    /// `EM_X86_64`.
    pub machine: U16,
    /// 1.
    pub version: U32,
    /// Address of the first instruction.
    pub entry: U64,
    /// File offset of the program header table.
    pub phoff: U64,
    /// File offset of the section header table.
    pub shoff: U64,
    /// Processor flags.
    pub flags: U32,
    /// 64.
    pub ehsize: U16,
    /// 56.
    pub phentsize: U16,
    /// Number of program headers.
    pub phnum: U16,
    /// 64.
    pub shentsize: U16,
    /// Number of section headers.
    pub shnum: U16,
    /// Index of the section with the section names.
    pub shstrndx: U16,
}

/// A program header.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct Phdr {
    /// `PT_LOAD`, ...
    pub kind: U32,
    /// `PF_R | PF_W | PF_X`.
    pub flags: U32,
    /// Where its bytes lie in the file.
    pub offset: U64,
    /// Where they are mapped.
    pub vaddr: U64,
    /// The same, by convention.
    pub paddr: U64,
    /// Bytes in the file.
    pub filesz: U64,
    /// Bytes in memory.
    pub memsz: U64,
    /// Alignment.
    pub align: U64,
}

impl Phdr {
    /// End of the segment in memory; saturates.
    pub fn memory_end(&self) -> u64 {
        self.vaddr.get().saturating_add(self.memsz.get())
    }

    /// End of the segment in the file; saturates.
    pub fn file_end(&self) -> u64 {
        self.offset.get().saturating_add(self.filesz.get())
    }

    /// Is it mapped?
    pub fn is_load(&self) -> bool {
        self.kind.get() == PT_LOAD
    }
}

/// A section header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct Shdr {
    /// Offset of its name in the table of section names.
    pub name: U32,
    /// `SHT_*`.
    pub kind: U32,
    /// `SHF_*`.
    pub flags: U64,
    /// Address, 0 when it is not mapped.
    pub addr: U64,
    /// Where its bytes lie in the file.
    pub offset: U64,
    /// Its size.
    pub size: U64,
    /// Index of a section it refers to.
    pub link: U32,
    /// Depends on the type; for a symbol table one more than its last local symbol.
    pub info: U32,
    /// Alignment.
    pub addralign: U64,
    /// Size of an entry, for tables.
    pub entsize: U64,
}

/// A symbol.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct Sym {
    /// Offset of its name in the linked string table.
    pub name: U32,
    /// Binding and type.
    pub info: u8,
    /// Visibility.
    pub other: u8,
    /// The section it is defined in.
    pub shndx: U16,
    /// Its address.
    pub value: U64,
    /// Its size.
    pub size: U64,
}

/// Size of the ELF header.
pub const EHDR_SIZE: u64 = size_of::<Ehdr>() as u64;
/// Size of a program header.
pub const PHDR_SIZE: u64 = size_of::<Phdr>() as u64;
/// Size of a section header.
pub const SHDR_SIZE: u64 = size_of::<Shdr>() as u64;
/// Size of a symbol.
pub const SYM_SIZE: u64 = size_of::<Sym>() as u64;
const _: () = assert!(EHDR_SIZE == 64 && PHDR_SIZE == 56 && SHDR_SIZE == 64 && SYM_SIZE == 24);

/// Why the headers of an ELF file cannot be extended.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Not a little-endian ELF64 file for x86-64.
    #[error("not an ELF executable for x86-64")]
    NotElf,
    /// A table lies outside the file, or its entries have another size than the ABI says.
    #[error(
        "the {table} table ({count} entries of {entry_size} bytes at offset {offset:#x}) does not \
         fit the file of {file_size} bytes"
    )]
    BadTable {
        /// Which table.
        table: &'static str,
        /// Its file offset.
        offset: u64,
        /// Its number of entries.
        count: u64,
        /// The size of an entry.
        entry_size: u64,
        /// The size of the file.
        file_size: u64,
    },
    /// Counts that do not fit in 16 bits and are stored elsewhere.
    #[error("more than 65,000 program or section headers are not supported")]
    TooMany,
    /// Nothing is mapped.
    #[error("the file has no PT_LOAD segment")]
    NoLoad,
    /// PT_LOADs must ascend, as the ABI says; the kernel relies on it.
    #[error("the PT_LOAD segment at {vaddr:#x} overlaps the one before it or lies below it")]
    LoadOrder {
        /// Address of the segment.
        vaddr: u64,
    },
    /// The first segment lies at a lower address than file offset, so that no new segment can
    /// have the same distance between the two.
    #[error("the first PT_LOAD lies at {vaddr:#x}, below its own file offset {offset:#x}")]
    BelowOffset {
        /// Address of the segment.
        vaddr: u64,
        /// Its file offset.
        offset: u64,
    },
    /// No address is left above the program.
    #[error("no room for new segments above {0:#x}")]
    NoSpace(u64),
}

/// All headers of a file.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The ELF header.
    pub ehdr: Ehdr,
    /// The program headers, in file order.
    pub phdrs: Vec<Phdr>,
    /// The section headers, in file order; empty when there are none.
    pub shdrs: Vec<Shdr>,
}

impl Headers {
    /// Reads the headers, or says why the file cannot be extended.
    pub fn parse(data: &[u8]) -> Result<Headers, HeaderError> {
        let (ehdr, _) = Ehdr::read_from_prefix(data).map_err(|_| HeaderError::NotElf)?;
        // 64-bit, little-endian; 62 is EM_X86_64.
        if ehdr.ident[..6] != *b"\x7fELF\x02\x01" || ehdr.machine.get() != 62 {
            return Err(HeaderError::NotElf);
        }
        if ehdr.phnum.get() == PN_XNUM || (ehdr.shnum.get() == 0 && ehdr.shoff.get() != 0) {
            return Err(HeaderError::TooMany);
        }
        let phdrs: Vec<Phdr> = table(
            data,
            "program header",
            ehdr.phoff,
            ehdr.phnum,
            ehdr.phentsize,
        )?;
        let shdrs = table(
            data,
            "section header",
            ehdr.shoff,
            ehdr.shnum,
            ehdr.shentsize,
        )?;
        check_loads(&phdrs)?;
        Ok(Headers { ehdr, phdrs, shdrs })
    }

    /// The PT_LOAD segments, ascending.
    pub fn loads(&self) -> impl Iterator<Item = &Phdr> {
        self.phdrs.iter().filter(|p| p.is_load())
    }

    /// The file offset of a byte that is mapped from the file.
    pub fn offset_of(&self, vaddr: u64) -> Option<u64> {
        self.loads().find_map(|p| {
            let into = vaddr.checked_sub(p.vaddr.get())?;
            (into < p.filesz.get()).then(|| p.offset.get().checked_add(into))?
        })
    }
}

/// The bytes of a section in the file; `None` when they lie outside of it.
pub fn section_bytes<'d>(data: &'d [u8], section: &Shdr) -> Option<&'d [u8]> {
    if section.kind.get() == SHT_NOBITS {
        return Some(&[]);
    }
    slice(data, section.offset.get(), section.size.get())
}

/// `len` bytes at a file offset.
pub fn slice(data: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    data.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// The next multiple of `align`, a power of two.
pub fn align_up(value: u64, align: u64) -> Option<u64> {
    Some(value.checked_add(align - 1)? & !(align - 1))
}

fn table<T: FromBytes + Immutable + Unaligned>(
    data: &[u8],
    name: &'static str,
    offset: U64,
    count: U16,
    entry_size: U16,
) -> Result<Vec<T>, HeaderError> {
    let bad = || HeaderError::BadTable {
        table: name,
        offset: offset.get(),
        count: count.get().into(),
        entry_size: entry_size.get().into(),
        file_size: data.len() as u64,
    };
    if count.get() == 0 {
        return Ok(Vec::new());
    }
    if usize::from(entry_size.get()) != size_of::<T>() {
        return Err(bad());
    }
    let size = u64::from(count.get()) * size_of::<T>() as u64;
    let bytes = slice(data, offset.get(), size).ok_or_else(bad)?;
    let entries = bytes.chunks_exact(size_of::<T>());
    entries
        .map(|e| T::read_from_bytes(e).map_err(|_| bad()))
        .collect()
}

fn check_loads(phdrs: &[Phdr]) -> Result<(), HeaderError> {
    let mut end = 0;
    let mut loads = phdrs.iter().filter(|p| p.is_load()).peekable();
    let first = loads.peek().ok_or(HeaderError::NoLoad)?;
    let (vaddr, offset) = (first.vaddr.get(), first.offset.get());
    if vaddr < offset {
        return Err(HeaderError::BelowOffset { vaddr, offset });
    }
    for load in loads {
        if load.vaddr.get() < end {
            return Err(HeaderError::LoadOrder {
                vaddr: load.vaddr.get(),
            });
        }
        end = load.memory_end();
    }
    Ok(())
}
