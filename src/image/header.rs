//! From the ELF headers to segments and sections that lie in the file and do not contradict each
//! other. Everything after this may trust the ranges.

use super::error::ImageError;
use super::relocations::DynamicInfo;
use super::{FileOffset, Section, Segment, Vaddr};
use goblin::container::{Container, Ctx};
use goblin::elf::header::{self as elf, Header};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::elf::section_header::{SHT_NOBITS, SHT_NULL, SectionHeader};
use std::path::Path;

/// Longest section name kept; a hostile string table could give every section a huge one.
const MAX_NAME: usize = 255;

/// What the headers say.
pub(super) struct Headers {
    pub(super) is_pie: bool,
    pub(super) entry: Vaddr,
    pub(super) segments: Vec<Segment>,
    pub(super) sections: Vec<Section>,
    pub(super) loads: Vec<Segment>,
    pub(super) dynamic: DynamicInfo,
}

/// `size` bytes at a file offset, if the file has them.
pub(super) fn file_range(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    data.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// The segment whose file part covers an address.
pub(super) fn load_at(loads: &[Segment], at: Vaddr) -> Option<&Segment> {
    let after = loads.partition_point(|load| load.vaddr <= at);
    let load = loads.get(after.checked_sub(1)?)?;
    (at.0 - load.vaddr.0 < load.file_size).then_some(load)
}

/// The bytes from an address to the end of its segment's file part.
pub(super) fn bytes_from<'a>(data: &'a [u8], loads: &[Segment], at: Vaddr) -> Option<&'a [u8]> {
    let load = load_at(loads, at)?;
    let segment = file_range(data, load.offset.0, load.file_size)?;
    segment.get(usize::try_from(at.0 - load.vaddr.0).ok()?..)
}

/// Parses and checks all headers.
pub(super) fn parse(data: &[u8], path: &Path) -> Result<Headers, ImageError> {
    Parser { data, path }.run()
}

struct Parser<'a> {
    data: &'a [u8],
    path: &'a Path,
}

impl Parser<'_> {
    fn run(&self) -> Result<Headers, ImageError> {
        self.check_identity()?;
        let header = goblin::elf::Elf::parse_header(self.data)
            .map_err(|_| self.truncated("the ELF header", elf::header64::SIZEOF_EHDR as u64))?;
        self.check_target(&header)?;
        let segments = self.segments(&header)?;
        let loads = self.loads(&segments)?;
        let dynamic = self.dynamic(&segments, &loads)?;
        self.check_executable(&header, &segments, &dynamic)?;
        let sections = self.sections(&header)?;
        let is_pie = header.e_type == elf::ET_DYN;
        Ok(Headers {
            is_pie,
            entry: Vaddr(header.e_entry),
            segments,
            sections,
            loads,
            dynamic,
        })
    }

    fn inconsistent(&self, what: impl Into<String>) -> ImageError {
        ImageError::Inconsistent {
            path: self.path.to_owned(),
            what: what.into(),
        }
    }

    fn truncated(&self, what: impl Into<String>, end: u64) -> ImageError {
        let file_size = self.data.len() as u64;
        ImageError::Truncated {
            path: self.path.to_owned(),
            what: what.into(),
            end,
            file_size,
        }
    }

    /// Is it ELF, 64-bit, little-endian, at least as long as a header?
    fn check_identity(&self) -> Result<(), ImageError> {
        let path = self.path.to_owned();
        if !self.data.starts_with(elf::ELFMAG) {
            return Err(ImageError::NotElf {
                path,
                found: describe_foreign(self.data),
            });
        }
        let Some(ident) = self.data.get(..elf::SIZEOF_IDENT + 4) else {
            return Err(self.truncated("the ELF header", elf::header64::SIZEOF_EHDR as u64));
        };
        let machine = [ident[elf::SIZEOF_IDENT + 2], ident[elf::SIZEOF_IDENT + 3]];
        match (ident[elf::EI_CLASS], ident[elf::EI_DATA]) {
            (elf::ELFCLASS32, _) => Err(ImageError::Not64Bit { path }),
            (elf::ELFCLASS64, elf::ELFDATA2MSB) => Err(ImageError::BigEndian {
                path,
                machine: machine_name(u16::from_be_bytes(machine)),
            }),
            (elf::ELFCLASS64, elf::ELFDATA2LSB) => Ok(()),
            (class, data) => {
                Err(self.inconsistent(format!("EI_CLASS is {class}, EI_DATA is {data}")))
            }
        }
    }

    /// Is it for this machine and system, and of a kind that can be executed?
    fn check_target(&self, header: &Header) -> Result<(), ImageError> {
        let path = self.path.to_owned();
        if header.e_machine != elf::EM_X86_64 {
            return Err(ImageError::OtherMachine {
                path,
                machine: machine_name(header.e_machine),
            });
        }
        if let Some(os) = foreign_os(header.e_ident[elf::EI_OSABI]) {
            return Err(ImageError::OtherOs { path, os });
        }
        let kind = match header.e_type {
            elf::ET_EXEC | elf::ET_DYN => return Ok(()),
            elf::ET_REL => "a relocatable object file".to_owned(),
            elf::ET_CORE => "a core dump".to_owned(),
            other => format!("an ELF file of type {other}"),
        };
        Err(ImageError::NotExecutable { path, kind })
    }

    /// A PIE and a library are both ET_DYN. A PIE has an interpreter or, when static, says so in
    /// DT_FLAGS_1; a library made by `-buildmode=c-shared` or `plugin` has neither.
    fn check_executable(
        &self,
        header: &Header,
        segments: &[Segment],
        dynamic: &DynamicInfo,
    ) -> Result<(), ImageError> {
        let has_interpreter = segments.iter().any(|segment| segment.kind == PT_INTERP);
        let is_library = header.e_type == elf::ET_DYN && !has_interpreter && !dynamic.says_pie();
        if is_library || header.e_type == elf::ET_DYN && header.e_entry == 0 {
            return Err(ImageError::SharedLibrary {
                path: self.path.to_owned(),
            });
        }
        Ok(())
    }

    fn segments(&self, header: &Header) -> Result<Vec<Segment>, ImageError> {
        let entry_size = usize::from(header.e_phentsize);
        if header.e_phnum == 0
            || entry_size != goblin::elf::program_header::program_header64::SIZEOF_PHDR
        {
            let what = format!(
                "it has {} program headers of {entry_size} bytes",
                header.e_phnum
            );
            return Err(self.inconsistent(what));
        }
        let size = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
        if file_range(self.data, header.e_phoff, size).is_none() {
            return Err(self.truncated(
                "the program header table",
                header.e_phoff.saturating_add(size),
            ));
        }
        let (start, count) = (header.e_phoff as usize, usize::from(header.e_phnum));
        let headers = ProgramHeader::parse(self.data, start, count, context());
        let headers =
            headers.map_err(|error| self.inconsistent(format!("program headers: {error}")))?;
        Ok(headers.iter().map(Segment::from).collect())
    }

    /// The PT_LOAD segments with file bytes: in the file, ascending and disjoint, as the kernel
    /// requires.
    fn loads(&self, segments: &[Segment]) -> Result<Vec<Segment>, ImageError> {
        let loads: Vec<Segment> = segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
            .cloned()
            .collect();
        for load in &loads {
            self.check_load(load)?;
        }
        for pair in loads.windows(2) {
            if pair[0].vaddr.0 + pair[0].mem_size > pair[1].vaddr.0 {
                let what = format!(
                    "the segments at {} and {} overlap or are out of order",
                    pair[0].vaddr, pair[1].vaddr
                );
                return Err(self.inconsistent(what));
            }
        }
        if loads.is_empty() {
            return Err(self.inconsistent("it has no loadable segment"));
        }
        Ok(loads)
    }

    fn check_load(&self, load: &Segment) -> Result<(), ImageError> {
        if load.file_size > load.mem_size || load.vaddr.0.checked_add(load.mem_size).is_none() {
            return Err(self.inconsistent(format!(
                "the segment at {} has impossible sizes",
                load.vaddr
            )));
        }
        if file_range(self.data, load.offset.0, load.file_size).is_none() {
            let end = load.offset.0.saturating_add(load.file_size);
            return Err(self.truncated(format!("the segment at {}", load.vaddr), end));
        }
        if load.offset.0 % 4096 != load.vaddr.0 % 4096 {
            let what = format!(
                "the segment at {} lies at the incongruent file offset {:#x}",
                load.vaddr, load.offset.0
            );
            return Err(self.inconsistent(what));
        }
        Ok(())
    }

    fn dynamic(&self, segments: &[Segment], loads: &[Segment]) -> Result<DynamicInfo, ImageError> {
        let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
            return Ok(DynamicInfo::default());
        };
        let Some(bytes) = file_range(self.data, segment.offset.0, segment.file_size) else {
            let end = segment.offset.0.saturating_add(segment.file_size);
            return Err(self.truncated("the dynamic section", end));
        };
        let info = DynamicInfo::parse(bytes);
        if let Some((name, at, size)) = info.table_outside(self.data, loads) {
            let what =
                format!("{name} ({size} bytes at {at:#x}) does not lie in a loadable segment");
            return Err(self.inconsistent(what));
        }
        Ok(info)
    }

    fn sections(&self, header: &Header) -> Result<Vec<Section>, ImageError> {
        if header.e_shoff == 0 {
            return Ok(Vec::new());
        }
        let size = u64::from(header.e_shnum.max(1)) * 64;
        if file_range(self.data, header.e_shoff, size).is_none() {
            return Err(self.truncated(
                "the section header table",
                header.e_shoff.saturating_add(size),
            ));
        }
        if header.e_shentsize != 64 {
            return Err(self.inconsistent(format!(
                "its section headers have {} bytes",
                header.e_shentsize
            )));
        }
        let (start, count) = (header.e_shoff as usize, usize::from(header.e_shnum));
        if count == 0 {
            // The count lies elsewhere when there are more than 65279; no linker output has so many.
            return Err(self.inconsistent("it has a section header table without a count"));
        }
        let headers = SectionHeader::parse(self.data, start, count, context());
        let headers =
            headers.map_err(|error| self.inconsistent(format!("section headers: {error}")))?;
        let names = self.section_names(header, &headers);
        headers
            .iter()
            .map(|header| self.section(header, names))
            .collect()
    }

    /// The string table of the section names; empty when there is none.
    fn section_names(&self, header: &Header, sections: &[SectionHeader]) -> &[u8] {
        let index = match header.e_shstrndx {
            // SHN_XINDEX: the index did not fit and lies in the first section header.
            0xffff => sections
                .first()
                .map_or(0, |section| section.sh_link as usize),
            index => usize::from(index),
        };
        let table = sections.get(index).filter(|_| index != 0);
        table
            .and_then(|table| file_range(self.data, table.sh_offset, table.sh_size))
            .unwrap_or_default()
    }

    fn section(&self, header: &SectionHeader, names: &[u8]) -> Result<Section, ImageError> {
        let name = section_name(names, header.sh_name);
        let has_bytes = header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL;
        if has_bytes && file_range(self.data, header.sh_offset, header.sh_size).is_none() {
            let end = header.sh_offset.saturating_add(header.sh_size);
            return Err(self.truncated(format!("section {name}"), end));
        }
        let (vaddr, offset) = (Vaddr(header.sh_addr), FileOffset(header.sh_offset));
        Ok(Section {
            name,
            kind: header.sh_type,
            flags: header.sh_flags,
            vaddr,
            offset,
            size: header.sh_size,
        })
    }
}

impl From<&ProgramHeader> for Segment {
    fn from(header: &ProgramHeader) -> Segment {
        Segment {
            kind: header.p_type,
            flags: header.p_flags,
            offset: FileOffset(header.p_offset),
            vaddr: Vaddr(header.p_vaddr),
            file_size: header.p_filesz,
            mem_size: header.p_memsz,
            align: header.p_align,
        }
    }
}

fn context() -> Ctx {
    Ctx::new(Container::Big, goblin::container::Endian::Little)
}

fn section_name(names: &[u8], at: usize) -> String {
    let name = names.get(at..).unwrap_or_default();
    let name = &name[..name.len().min(MAX_NAME)];
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// What a file that is not ELF looks like, in words.
fn describe_foreign(data: &[u8]) -> String {
    let known: [(&[u8], &str); 9] = [
        (b"MZ", "a Windows executable (PE)"),
        (b"\xcf\xfa\xed\xfe", "a macOS executable (Mach-O)"),
        (b"\xce\xfa\xed\xfe", "a 32-bit macOS executable (Mach-O)"),
        (b"\xca\xfe\xba\xbe", "a universal macOS executable (Mach-O)"),
        (b"\0asm", "a WebAssembly module"),
        (b"#!", "a script"),
        (b"!<arch>\n", "an ar archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"PK\x03\x04", "a zip file"),
    ];
    if let Some((_, words)) = known.iter().find(|(magic, _)| data.starts_with(magic)) {
        return (*words).to_owned();
    }
    match data.len() {
        0 => "an empty file".to_owned(),
        length => format!("a file that starts with {:02x?}", &data[..length.min(4)]),
    }
}

/// The operating system of an `EI_OSABI`, if it is not Linux. Go writes 0 (System V) for Linux,
/// GNU ld 3 (GNU) when it needs GNU extensions.
fn foreign_os(abi: u8) -> Option<String> {
    let name = match abi {
        0 | 3 => return None,
        2 => "NetBSD",
        6 => "Solaris",
        9 => "FreeBSD",
        12 => "OpenBSD",
        other => return Some(format!("an unknown operating system (EI_OSABI {other})")),
    };
    Some(name.to_owned())
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        elf::EM_386 => "386",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "arm64",
        elf::EM_MIPS => "mips",
        elf::EM_PPC64 => "ppc64",
        elf::EM_RISCV => "riscv64",
        elf::EM_S390 => "s390x",
        258 => "loong64",
        other => return format!("an unknown architecture (e_machine {other})"),
    };
    name.to_owned()
}
