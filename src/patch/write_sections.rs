//! The *tail* of an output file: what is not mapped. The grown symbol table and string tables, and
//! the section header table, all behind the last segment; the input's own copies stay where they
//! are, unused, so that `unpatch` finds them.

use super::elf_out::{
    EHDR_SIZE, Headers, PAGE, PF_W, PF_X, SHDR_SIZE, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE,
    SHN_LORESERVE, SHT_NOBITS, SHT_NOTE, SHT_PROGBITS, SHT_STRTAB, SHT_SYMTAB, SYM_SIZE, Shdr, Sym,
    align_up, section_bytes,
};
use super::note;
use super::plan::{NewSymbol, PatchPlan};
use super::write_layout::{Piece, Placed};
use crate::image::Vaddr;
use std::borrow::Cow;
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

/// Why section headers or symbols cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// A table that must grow is malformed.
    #[error("section {index}: {why}")]
    BadTable {
        /// Its place in the section header table.
        index: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A symbol lies in no new segment.
    #[error("the plan's symbol {name} at {at} lies outside of the new segments")]
    SymbolOutside {
        /// Its name.
        name: String,
        /// Its address.
        at: Vaddr,
    },
    /// Too many sections, or a string table of more than 4 GiB.
    #[error("the section header table or a string table would grow too large")]
    TooLarge,
}

/// Where the note lies.
pub(super) struct NoteSection {
    /// Address of the note.
    pub vaddr: u64,
    /// Its file offset.
    pub offset: u64,
    /// Its size.
    pub size: u64,
}

/// Where the section header table lies.
pub(super) struct SectionTable {
    /// Its file offset.
    pub offset: u64,
    /// Its number of entries.
    pub count: u16,
    /// The section with the names.
    pub names_index: u16,
}

/// The unmapped end of the file.
pub(super) struct Tail<'a> {
    /// Its bytes.
    pub pieces: Vec<Piece<'a>>,
    /// `None` when the input has no section headers, so the output has none.
    pub table: Option<SectionTable>,
}

/// Builds the tail, which begins at the file offset `start`.
pub(super) fn tail<'a>(
    headers: &Headers,
    data: &'a [u8],
    plan: &PatchPlan,
    placed: &[Placed<'_>],
    note: &NoteSection,
    start: u64,
) -> Result<Tail<'a>, SectionError> {
    if headers.shdrs.is_empty() {
        return Ok(Tail {
            pieces: Vec::new(),
            table: None,
        });
    }
    let mut grown = Grown::new(headers, data);
    let homes = grown.add_mapped(placed, note)?;
    grown.add_symbols(&plan.symbols, &homes)?;
    grown.finish(start)
}

/// A new section's addresses, for the symbols in it.
struct Home {
    start: u64,
    end: u64,
    index: usize,
}

/// The section header table while it grows, with the bytes to append to each table.
struct Grown<'a> {
    data: &'a [u8],
    shdrs: Vec<Shdr>,
    names_index: usize,
    appended: BTreeMap<usize, Vec<u8>>,
}

impl<'a> Grown<'a> {
    fn new(headers: &Headers, data: &'a [u8]) -> Grown<'a> {
        let names_index = usize::from(headers.ehdr.shstrndx.get());
        Grown {
            data,
            shdrs: headers.shdrs.clone(),
            names_index,
            appended: BTreeMap::new(),
        }
    }

    /// Adds the sections of the new segments.
    fn add_mapped(
        &mut self,
        placed: &[Placed<'_>],
        note: &NoteSection,
    ) -> Result<Vec<Home>, SectionError> {
        let mut homes = Vec::new();
        for placed in placed {
            let s = placed.segment;
            let (filled, flags) = (placed.file_size, section_flags(s.flags));
            let file_end = placed.offset.saturating_add(filled);
            if filled > 0 {
                let shdr = mapped_section(SHT_PROGBITS, flags, s.vaddr.0, placed.offset, filled);
                homes.push(self.add_home(&s.name, shdr)?);
            }
            if placed.mem_size > filled {
                let name = if filled > 0 {
                    format!("{}.bss", s.name)
                } else {
                    s.name.clone()
                };
                let shdr = mapped_section(
                    SHT_NOBITS,
                    flags,
                    s.vaddr.0 + filled,
                    file_end,
                    placed.mem_size - filled,
                );
                homes.push(self.add_home(&name, shdr)?);
            }
        }
        let mut shdr = mapped_section(SHT_NOTE, SHF_ALLOC, note.vaddr, note.offset, note.size);
        shdr.addralign.set(4);
        self.add_home(note::SECTION, shdr)?;
        Ok(homes)
    }

    fn add_home(&mut self, name: &str, shdr: Shdr) -> Result<Home, SectionError> {
        let start = shdr.addr.get();
        let end = start.saturating_add(shdr.size.get());
        Ok(Home {
            start,
            end,
            index: self.add(name, shdr)?,
        })
    }

    fn add(&mut self, name: &str, mut shdr: Shdr) -> Result<usize, SectionError> {
        shdr.name.set(self.append_string(self.names_index, name)?);
        self.shdrs.push(shdr);
        Ok(self.shdrs.len() - 1)
    }

    /// Appends a string to a string table; the offset at which it will start.
    fn append_string(&mut self, table: usize, text: &str) -> Result<u32, SectionError> {
        let old = self.old_bytes(table)?;
        let appended = self.appended.entry(table).or_default();
        if appended.is_empty() && old.last() != Some(&0) {
            // The empty name, or the end of a string that has none.
            appended.push(0);
        }
        let at = u32::try_from(old.len() + appended.len()).map_err(|_| SectionError::TooLarge)?;
        appended.extend(text.as_bytes());
        appended.push(0);
        Ok(at)
    }

    fn old_bytes(&self, index: usize) -> Result<&'a [u8], SectionError> {
        let bad = |why| SectionError::BadTable { index, why };
        let shdr = self.shdrs.get(index).ok_or_else(|| bad("does not exist"))?;
        section_bytes(self.data, shdr).ok_or_else(|| bad("lies outside of the file"))
    }

    /// The symbol table and its string table, made when the input has none.
    fn symbol_tables(&mut self) -> Result<(usize, usize), SectionError> {
        let found = self.shdrs.iter().position(|s| s.kind.get() == SHT_SYMTAB);
        if let Some(index) = found {
            let shdr = self.shdrs[index];
            let bad = |why| SectionError::BadTable { index, why };
            if shdr.entsize.get() != SYM_SIZE || !shdr.size.get().is_multiple_of(SYM_SIZE) {
                return Err(bad("the symbol table's entries do not have 24 bytes"));
            }
            let strings = usize::try_from(shdr.link.get()).map_err(|_| bad("bad link"))?;
            let kind = self.shdrs.get(strings).map(|s| s.kind.get());
            return match kind {
                Some(SHT_STRTAB) => Ok((index, strings)),
                _ => Err(bad("the symbol table is not linked to a string table")),
            };
        }
        let shdr = Shdr {
            kind: SHT_STRTAB.into(),
            addralign: 1.into(),
            ..Shdr::default()
        };
        let strings = self.add(".strtab", shdr)?;
        let link = u32::try_from(strings).map_err(|_| SectionError::TooLarge)?;
        let shdr = Shdr {
            kind: SHT_SYMTAB.into(),
            link: link.into(),
            // The null symbol is the only local one.
            info: 1.into(),
            addralign: 8.into(),
            entsize: SYM_SIZE.into(),
            ..Shdr::default()
        };
        let symbols = self.add(".symtab", shdr)?;
        self.appended
            .entry(symbols)
            .or_default()
            .extend(Sym::default().as_bytes());
        Ok((symbols, strings))
    }

    fn add_symbols(&mut self, symbols: &[NewSymbol], homes: &[Home]) -> Result<(), SectionError> {
        if symbols.is_empty() {
            return Ok(());
        }
        let (table, strings) = self.symbol_tables()?;
        for symbol in symbols {
            let outside = || SectionError::SymbolOutside {
                name: symbol.name.clone(),
                at: symbol.vaddr,
            };
            let end = symbol
                .vaddr
                .0
                .checked_add(symbol.size)
                .ok_or_else(outside)?;
            let home = homes
                .iter()
                .find(|h| h.start <= symbol.vaddr.0 && symbol.vaddr.0 < h.end && end <= h.end);
            let index = home.ok_or_else(outside)?.index;
            let entry = Sym {
                name: self.append_string(strings, &symbol.name)?.into(),
                // STB_GLOBAL with STT_FUNC or STT_OBJECT.
                info: if symbol.is_function { 0x12 } else { 0x11 },
                other: 0,
                shndx: u16::try_from(index)
                    .map_err(|_| SectionError::TooLarge)?
                    .into(),
                value: symbol.vaddr.0.into(),
                size: symbol.size.into(),
            };
            self.appended
                .entry(table)
                .or_default()
                .extend(entry.as_bytes());
        }
        Ok(())
    }

    /// Places the grown tables and the section header table.
    fn finish(mut self, start: u64) -> Result<Tail<'a>, SectionError> {
        let mut pieces = Vec::with_capacity(2 * self.appended.len() + 1);
        let mut free = start;
        for (index, appended) in std::mem::take(&mut self.appended) {
            let old = self.old_bytes(index)?;
            let at = align_up(free, 16).ok_or(SectionError::TooLarge)?;
            let grown_at = at.saturating_add(old.len() as u64);
            free = grown_at.saturating_add(appended.len() as u64);
            let shdr = &mut self.shdrs[index];
            shdr.offset.set(at);
            shdr.size.set(free - at);
            pieces.push(Piece {
                at,
                bytes: Cow::Borrowed(old),
            });
            pieces.push(Piece {
                at: grown_at,
                bytes: Cow::Owned(appended),
            });
        }
        let count = self.shdrs.len();
        if count >= SHN_LORESERVE {
            return Err(SectionError::TooLarge);
        }
        let offset = align_up(free, 16).ok_or(SectionError::TooLarge)?;
        pieces.push(Piece {
            at: offset,
            bytes: Cow::Owned(self.shdrs.as_bytes().to_vec()),
        });
        // Both are below SHN_LORESERVE, which fits.
        let table = SectionTable {
            offset,
            count: count as u16,
            names_index: self.names_index as u16,
        };
        debug_assert!(offset >= EHDR_SIZE && (count as u64) * SHDR_SIZE > 0);
        Ok(Tail {
            pieces,
            table: Some(table),
        })
    }
}

fn mapped_section(kind: u32, flags: u64, addr: u64, offset: u64, size: u64) -> Shdr {
    Shdr {
        kind: kind.into(),
        flags: flags.into(),
        addr: addr.into(),
        offset: offset.into(),
        size: size.into(),
        addralign: PAGE.into(),
        ..Shdr::default()
    }
}

fn section_flags(segment: u32) -> u64 {
    let write = if segment & PF_W != 0 { SHF_WRITE } else { 0 };
    let exec = if segment & PF_X != 0 {
        SHF_EXECINSTR
    } else {
        0
    };
    SHF_ALLOC | write | exec
}
