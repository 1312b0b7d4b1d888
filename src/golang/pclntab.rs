//! The *pclntab* is Go's table of functions: for each its name, and, compressed, the file, line,
//! stack depth and inlining of every instruction (src/runtime/symtab.go, `type _func`).

use super::bytes::{c_string, i32_at, u32_at, varint};
use super::moduledata::{Generation, Moduledata, Span};
use super::{Func, GoError};
use crate::image::{Image, Vaddr};
use std::collections::HashSet;

/// The tables, as slices of the image.
#[derive(Clone)]
pub(super) struct Pclntab<'a> {
    pub(super) generation: Generation,
    text: Vaddr,
    names: &'a [u8],
    cutab: &'a [u8],
    filetab: &'a [u8],
    pctab: &'a [u8],
    /// Records, addressed from the start of `ftab`.
    funcs: &'a [u8],
    /// Pairs of u32: offset from `text`, offset in `funcs`. The last one has no record.
    ftab: &'a [u8],
}

/// A record of the table: `_func`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Offset of the record in `funcs`.
    at: usize,
    /// Offset of the function from `text`.
    pub(super) entry: u32,
    /// Offset of the next function from `text`.
    pub(super) end: u32,
}

/// The per-instruction tables with a field of their own in `_func`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Distance of the stack pointer from its value at entry.
    StackDepth,
    /// Index of the file in the compile unit.
    File,
    /// Line.
    Line,
}

impl<'a> Pclntab<'a> {
    /// Takes the slices that the module data names.
    pub(super) fn new(image: &'a Image, module: &Moduledata) -> Result<Pclntab<'a>, GoError> {
        let slice = |what: &str, span: Span, size: u64| {
            let bytes = span
                .len
                .checked_mul(size)
                .and_then(|len| image.bytes_at(span.start, len));
            bytes.ok_or_else(|| GoError::Inconsistent {
                what: format!(
                    "{what} ({} entries at {}) does not lie in the file",
                    span.len, span.start
                ),
            })
        };
        let tables = Pclntab {
            generation: module.generation,
            text: module.text,
            names: slice("moduledata.funcnametab", module.names, 1)?,
            cutab: slice("moduledata.cutab", module.cutab, 4)?,
            filetab: slice("moduledata.filetab", module.filetab, 1)?,
            pctab: slice("moduledata.pctab", module.pctab, 1)?,
            funcs: slice("moduledata.pclntable", module.funcs, 1)?,
            ftab: slice("moduledata.ftab", module.ftab, 8)?,
        };
        match (0..tables.len()).find(|&index| !tables.is_sound(index)) {
            Some(index) => Err(GoError::Inconsistent {
                what: format!("entry {index} of the function table is damaged"),
            }),
            None => Ok(tables),
        }
    }

    /// Functions ascend and each has a record with a name. Aliases share an address: the linker lists
    /// the C functions that it links itself as well.
    fn is_sound(&self, index: usize) -> bool {
        let sound = |record: Record| {
            let own_entry = self.u32_field(record, 0)? == record.entry;
            let tail = *self.funcs.get(self.tail(record)? + 3)?;
            self.names.get(self.name_offset(record)?)?;
            Some(record.entry <= record.end && own_entry && tail < 64)
        };
        self.record(index).and_then(sound).unwrap_or(false)
    }

    /// Number of functions.
    pub(super) fn len(&self) -> usize {
        (self.ftab.len() / 8).saturating_sub(1)
    }

    fn entry_offset(&self, index: usize) -> Option<u32> {
        u32_at(self.ftab, index.checked_mul(8)?)
    }

    /// The record of the function with that number.
    pub(super) fn record(&self, index: usize) -> Option<Record> {
        if index >= self.len() {
            return None;
        }
        let at = u32_at(self.ftab, index * 8 + 4)? as usize;
        Some(Record {
            at,
            entry: self.entry_offset(index)?,
            end: self.entry_offset(index + 1)?,
        })
    }

    /// The record of the function that covers an address.
    pub(super) fn record_at(&self, pc: Vaddr) -> Option<Record> {
        let offset = u32::try_from(pc.0.checked_sub(self.text.0)?).ok()?;
        let (mut low, mut high) = (0, self.len());
        // Invariant: functions before `low` start at or before `offset`, those from `high` on after.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry_offset(middle)? <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.record(low.checked_sub(1)?)
            .filter(|record| offset < record.end)
    }

    /// The public view of a record; `None` when it lies outside the table.
    pub(super) fn func(&self, record: Record) -> Option<Func<'a>> {
        Some(Func {
            name: self.name(self.name_offset(record)?),
            entry: self.text.checked_add(u64::from(record.entry))?,
            end: self.text.checked_add(u64::from(record.end))?,
            func_id: *self.funcs.get(self.tail(record)?)?,
            flag: *self.funcs.get(self.tail(record)? + 1)?,
        })
    }

    /// All functions in address order.
    pub(super) fn functions(&self) -> impl Iterator<Item = Func<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.func(self.record(index)?))
    }

    /// The functions with one of these names, in address order; one pass over the table.
    pub(super) fn find(&self, names: &[&str]) -> Vec<Func<'a>> {
        let wanted: HashSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let is_wanted = |record: Record| {
            let name = self.names.get(self.name_offset(record)?..)?;
            let length = name.iter().take(longest + 1).position(|&byte| byte == 0)?;
            wanted
                .contains(&name[..length])
                .then(|| self.func(record))?
        };
        (0..self.len())
            .filter_map(|index| is_wanted(self.record(index)?))
            .collect()
    }

    fn name_offset(&self, record: Record) -> Option<usize> {
        usize::try_from(i32_at(self.funcs, record.at.checked_add(4)?)?).ok()
    }

    /// The name at an offset of the name table; empty where that is damaged.
    pub(super) fn name(&self, offset: usize) -> &'a str {
        c_string(self.names, offset)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// Where `_func.funcID` lies: 1.20 put startLine before it.
    fn tail(&self, record: Record) -> Option<usize> {
        record.at.checked_add(match self.generation {
            Generation::V118 => 36,
            Generation::V120 => 40,
        })
    }

    fn u32_field(&self, record: Record, offset: usize) -> Option<u32> {
        u32_at(self.funcs, record.at.checked_add(offset)?)
    }

    /// The value of a per-instruction table at `pc`, an offset from `text`.
    pub(super) fn value_at(&self, record: Record, table: Table, pc: u32) -> Option<i32> {
        let field = match table {
            Table::StackDepth => 16,
            Table::File => 20,
            Table::Line => 24,
        };
        self.pc_value(record, self.u32_field(record, field)?, pc)
    }

    /// The value of a numbered per-instruction table (`PCDATA_*`) at `pc`, an offset from `text`.
    pub(super) fn pcdata_at(&self, record: Record, index: u32, pc: u32) -> Option<i32> {
        if index >= self.u32_field(record, 28)? {
            return None;
        }
        let table = u32_at(self.funcs, self.tail(record)? + 4 + index as usize * 4)?;
        self.pc_value(record, table, pc)
    }

    /// The offset from `moduledata.gofunc` of a function's `FUNCDATA_*`.
    pub(super) fn funcdata(&self, record: Record, index: u8) -> Option<u32> {
        let tail = self.tail(record)?;
        if index >= *self.funcs.get(tail + 3)? {
            return None;
        }
        let tables = (self.u32_field(record, 28)? as usize).checked_add(usize::from(index))?;
        let offset = u32_at(
            self.funcs,
            tail.checked_add(4)?.checked_add(tables.checked_mul(4)?)?,
        )?;
        (offset != u32::MAX).then_some(offset)
    }

    /// Steps through pairs of (value delta, pc delta) until one covers `pc` (src/runtime/symtab.go,
    /// `pcvalue` and `step`). Ends at the latest where the table does.
    fn pc_value(&self, record: Record, table: u32, pc: u32) -> Option<i32> {
        if table == 0 {
            return None;
        }
        let mut rest = self.pctab.get(table as usize..)?;
        let (mut value, mut end) = (-1i32, record.entry);
        loop {
            let (delta, length) = varint(rest)?;
            if delta == 0 && end != record.entry {
                return None;
            }
            // Zigzag: the lowest bit is the sign.
            value = value.wrapping_add(((delta >> 1) as i32) ^ -((delta & 1) as i32));
            let (advance, advance_length) = varint(&rest[length..])?;
            rest = &rest[length + advance_length..];
            end = end.checked_add(advance)?;
            if pc < end {
                return Some(value);
            }
        }
    }

    /// The file with that number in the function's compile unit.
    pub(super) fn file(&self, record: Record, number: i32) -> Option<&'a str> {
        let index = self
            .u32_field(record, 32)?
            .checked_add(u32::try_from(number).ok()?)?;
        let offset = u32_at(self.cutab, (index as usize).checked_mul(4)?)?;
        if offset == u32::MAX {
            return None;
        }
        std::str::from_utf8(c_string(self.filetab, offset as usize)?).ok()
    }
}
