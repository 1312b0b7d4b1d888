//! The *module data* (`runtime.firstmoduledata`) is the linker's record of where everything is.
//! Its first fields have not moved since Go 1.18 (src/runtime/symtab.go, `type moduledata`), so
//! they are read at fixed offsets; later ones are in the layout table.

use super::bytes::u32_at;
use crate::image::{Image, Vaddr};

/// First bytes of a function table since Go 1.18: magic, two zeros, quantum 1, pointer size 8.
const MAGIC_1_18: u32 = 0xffff_fff0;
/// The same since Go 1.20.
const MAGIC_1_20: u32 = 0xffff_fff1;

/// Which of the two known shapes the function table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Go 1.18 and 1.19.
    V118,
    /// Go 1.20 and later: `_func.startLine`, shorter inline tree entries.
    V120,
}

impl Generation {
    /// The generation that a function table's first eight bytes announce.
    pub(super) fn of_header(first: u64) -> Option<Generation> {
        const REST: u64 = 0x0801_0000;
        match ((first >> 32), first as u32) {
            (REST, MAGIC_1_18) => Some(Generation::V118),
            (REST, MAGIC_1_20) => Some(Generation::V120),
            _ => None,
        }
    }

    /// The magic number.
    pub(super) fn magic(self) -> u32 {
        match self {
            Generation::V118 => MAGIC_1_18,
            Generation::V120 => MAGIC_1_20,
        }
    }
}

/// A slice of the image's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Vaddr,
    /// In elements of the Go slice.
    pub(super) len: u64,
}

/// The fields of the module data that do not move, checked against the function table's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moduledata {
    pub(super) at: Vaddr,
    pub(super) pclntab: Vaddr,
    pub(super) generation: Generation,
    /// Stored in the function table's header; 0 from Go 1.26 on.
    pub(super) header_text_start: u64,
    pub(super) names: Span,
    pub(super) cutab: Span,
    pub(super) filetab: Span,
    pub(super) pctab: Span,
    pub(super) funcs: Span,
    pub(super) ftab: Span,
    pub(super) minpc: Vaddr,
    pub(super) maxpc: Vaddr,
    pub(super) text: Vaddr,
    pub(super) etext: Vaddr,
}

/// Offsets in `moduledata` up to `edata`.
mod field {
    pub(super) const NAMES: u64 = 8;
    pub(super) const CUTAB: u64 = 32;
    pub(super) const FILETAB: u64 = 56;
    pub(super) const PCTAB: u64 = 80;
    pub(super) const FUNCS: u64 = 104;
    pub(super) const FTAB: u64 = 128;
    pub(super) const MINPC: u64 = 160;
    pub(super) const MAXPC: u64 = 168;
    pub(super) const TEXT: u64 = 176;
    pub(super) const ETEXT: u64 = 184;
    pub(super) const DATA: u64 = 208;
    pub(super) const EDATA: u64 = 216;
}

impl Moduledata {
    /// Reads the module data at an address, if what lies there is one and fits its function table.
    pub(super) fn read(image: &Image, at: Vaddr) -> Option<Moduledata> {
        let pointer = |offset| image.pointer_at(at.checked_add(offset)?);
        let span = |offset: u64| {
            Some(Span {
                start: pointer(offset)?,
                len: image.u64_at(at.checked_add(offset + 8)?)?,
            })
        };
        let pclntab = pointer(0)?;
        let found = Moduledata {
            at,
            pclntab,
            generation: Generation::of_header(image.u64_at(pclntab)?)?,
            header_text_start: image.pointer_at(pclntab.checked_add(24)?)?.0,
            names: span(field::NAMES)?,
            cutab: span(field::CUTAB)?,
            filetab: span(field::FILETAB)?,
            pctab: span(field::PCTAB)?,
            funcs: span(field::FUNCS)?,
            ftab: span(field::FTAB)?,
            minpc: pointer(field::MINPC)?,
            maxpc: pointer(field::MAXPC)?,
            text: pointer(field::TEXT)?,
            etext: pointer(field::ETEXT)?,
        };
        (found.fits_header(image)? && found.fits_text(image)?).then_some(found)
    }

    /// The header's own offsets lead to the same tables (src/runtime/symtab.go, `type pcHeader`).
    fn fits_header(&self, image: &Image) -> Option<bool> {
        let table = |field| {
            self.pclntab
                .checked_add(image.u64_at(self.pclntab.checked_add(field)?)?)
        };
        let function_count = image.u64_at(self.pclntab.checked_add(8)?)?;
        Some(
            self.names.start == table(32)?
                && self.cutab.start == table(40)?
                && self.filetab.start == table(48)?
                && self.pctab.start == table(56)?
                && self.funcs.start == table(64)?
                && self.ftab.start == self.funcs.start
                && self.ftab.len == function_count.checked_add(1)?,
        )
    }

    /// The function table covers exactly `minpc..maxpc`, which lies in an executable segment.
    fn fits_text(&self, image: &Image) -> Option<bool> {
        let ordered =
            self.text <= self.minpc && self.minpc < self.maxpc && self.maxpc <= self.etext;
        let last = self.ftab.len.checked_sub(1)?.checked_mul(8)?;
        let entry_at = |skip| u32_at(image.bytes_at(self.ftab.start.checked_add(skip)?, 4)?, 0);
        let first_pc = self.text.checked_add(u64::from(entry_at(0)?))?;
        let end_pc = self.text.checked_add(u64::from(entry_at(last)?))?;
        let size = self.etext.0.checked_sub(self.text.0)?;
        let in_code = image.bytes_at(self.text, size).is_some();
        Some(ordered && first_pc == self.minpc && end_pc == self.maxpc && in_code)
    }

    /// `data..edata`: initialised variables that hold pointers.
    pub(super) fn data_range(&self, image: &Image) -> Option<(Vaddr, Vaddr)> {
        let pointer = |offset| image.pointer_at(self.at.checked_add(offset)?);
        Some((pointer(field::DATA)?, pointer(field::EDATA)?))
    }
}
