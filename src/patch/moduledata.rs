//! The injected code as one more module of Go's runtime: a function table of its own, reached from
//! a moduledata that is linked behind the program's (`runtime.firstmoduledata.next`).
//!
//! With `bad` set, `modulesinit` (runtime/symtab.go) leaves the module out of everything that
//! concerns types, garbage collection and initialisation, while `findmoduledatap`, which walks the
//! list, still finds its functions: tracebacks and profiles then show `gocc.hook_...` and go on to the
//! callers. Without it a program counter in a hook would be an unknown one, and its goroutine's
//! stack would be lost from every dump.

use crate::golang::GoBinary;
use crate::image::Vaddr;
use crate::patch::shim::SpDelta;

/// A function of the injected code.
#[derive(Clone, Debug)]
pub struct InjectedFunction {
    /// As tracebacks print it.
    pub name: String,
    /// Its first byte.
    pub start: Vaddr,
    /// Its size in bytes.
    pub size: u64,
    /// How far the stack pointer is from the entry, ascending by offset.
    pub sp_deltas: Vec<SpDelta>,
}

/// The tables, for a read-only segment.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Their bytes.
    pub bytes: Vec<u8>,
    names: Slice,
    files_by_unit: Slice,
    files: Slice,
    pc_values: Slice,
    functions: Slice,
    index: Slice,
    buckets: Slice,
}

/// A part of the tables: offset, and number of elements.
#[derive(Clone, Copy, Debug)]
struct Slice {
    at: u64,
    len: u64,
}

/// The injected moduledata with its pcHeader, for a writable segment.
#[derive(Clone, Debug)]
pub struct ModuleData {
    /// The moduledata, then the pcHeader.
    pub bytes: Vec<u8>,
    /// Offsets in `bytes` of words that hold link-time addresses.
    pub pointers: Vec<u64>,
}

/// moduledata's offsets that every version from 1.18 to 1.27 has (runtime/symtab.go).
mod offset {
    pub const PC_HEADER: usize = 0;
    pub const FUNCNAMETAB: usize = 8;
    pub const CUTAB: usize = 32;
    pub const FILETAB: usize = 56;
    pub const PCTAB: usize = 80;
    pub const PCLNTABLE: usize = 104;
    pub const FTAB: usize = 128;
    pub const FINDFUNCTAB: usize = 152;
    pub const MINPC: usize = 160;
    pub const MAXPC: usize = 168;
    pub const TEXT: usize = 176;
    pub const ETEXT: usize = 184;
}

/// Size of pcHeader from Go 1.18 on: magic, two zero bytes, instruction quantum, pointer size, eight words.
const PC_HEADER_SIZE: usize = 72;
/// The only source file that injected code has; the one line in it is 1.
const FILE: &[u8] = b"gocc/hook.s\0";
/// runtime.findfuncbucket: one per 4096 bytes of text, with 16 sub-buckets (runtime/symtab.go).
const BUCKET: u64 = 4096;
const SUBBUCKET: u64 = BUCKET / 16;

/// Go minor from which `_func` has a startLine (runtime/runtime2.go).
const START_LINE_SINCE: u32 = 20;

impl Tables {
    /// Builds the tables for functions in ascending order; `end` is the end of the last one.
    pub fn build(go: &GoBinary<'_>, functions: &[InjectedFunction], end: Vaddr) -> Tables {
        let start = functions.first().map_or(end, |function| function.start);
        let mut names = vec![0];
        let mut pc_values = vec![0];
        // Offset 0 is not a function: leave it unused, as Go's linker does.
        let mut funcs = vec![0; 8];
        let mut index = Vec::new();
        for (position, function) in functions.iter().enumerate() {
            let next = functions.get(position + 1).map_or(end, |next| next.start);
            let entry_offset = (function.start.0 - start.0) as u32;
            index.extend(entry_offset.to_le_bytes());
            index.extend((funcs.len() as u32).to_le_bytes());
            let record = FuncRecord {
                entry_offset,
                name: names.len() as i32,
                pcsp: push(&mut pc_values, &stack_table(function, next)),
                pcfile: push(&mut pc_values, &constant_table(0, function.start, next)),
                pcln: push(&mut pc_values, &constant_table(1, function.start, next)),
            };
            record.write(&mut funcs, go.version.minor);
            names.extend(function.name.as_bytes());
            names.push(0);
        }
        index.extend(((end.0 - start.0) as u32).to_le_bytes());
        index.extend(0u32.to_le_bytes());
        let buckets = buckets(functions, start, end);
        let mut tables = Tables {
            bytes: Vec::new(),
            names: Slice { at: 0, len: 0 },
            files_by_unit: Slice { at: 0, len: 0 },
            files: Slice { at: 0, len: 0 },
            pc_values: Slice { at: 0, len: 0 },
            functions: Slice { at: 0, len: 0 },
            index: Slice { at: 0, len: 0 },
            buckets: Slice { at: 0, len: 0 },
        };
        tables.names = tables.append(&names, 1);
        tables.files_by_unit = tables.append(&[0; 8], 4);
        tables.files = tables.append(FILE, 1);
        tables.pc_values = tables.append(&pc_values, 1);
        tables.functions = tables.append(&funcs, 1);
        tables.index = tables.append(&index, 8);
        tables.buckets = tables.append(&buckets, 1);
        tables
    }

    fn append(&mut self, part: &[u8], element: u64) -> Slice {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend(part);
        Slice {
            at,
            len: part.len() as u64 / element,
        }
    }
}

fn push(table: &mut Vec<u8>, part: &[u8]) -> u32 {
    let at = table.len() as u32;
    table.extend(part);
    at
}

/// runtime._func (runtime/runtime2.go), without pcdata and funcdata.
struct FuncRecord {
    entry_offset: u32,
    name: i32,
    pcsp: u32,
    pcfile: u32,
    pcln: u32,
}

impl FuncRecord {
    fn write(&self, to: &mut Vec<u8>, minor: u32) {
        to.extend(self.entry_offset.to_le_bytes());
        to.extend(self.name.to_le_bytes());
        let (args, deferreturn, npcdata, unit) = (0u32, 0u32, 0u32, 0u32);
        for word in [
            args,
            deferreturn,
            self.pcsp,
            self.pcfile,
            self.pcln,
            npcdata,
            unit,
        ] {
            to.extend(word.to_le_bytes());
        }
        if minor >= START_LINE_SINCE {
            to.extend(1i32.to_le_bytes());
        }
        // FuncIDNormal, flag ASM (4 from 1.20 on: no locals, so never a safe point; in 1.18 and 1.19 the
        // same bit), padding, no funcdata.
        to.extend([0, 4, 0, 0]);
    }
}

/// A pc-value table (runtime/symtab.go, step): pairs of a zig-zag value difference and a pc difference,
/// starting from value -1, ended by a zero.
struct PcValues {
    bytes: Vec<u8>,
    value: i64,
    is_first: bool,
}

impl PcValues {
    fn new() -> PcValues {
        PcValues {
            bytes: Vec::new(),
            value: -1,
            is_first: true,
        }
    }

    fn push(&mut self, value: i64, pc_bytes: u64) {
        let difference = value - self.value;
        if difference == 0 && !self.is_first {
            return;
        }
        self.varint(((difference << 1) ^ (difference >> 63)) as u64);
        self.varint(pc_bytes);
        self.value = value;
        self.is_first = false;
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn constant_table(value: i64, start: Vaddr, end: Vaddr) -> Vec<u8> {
    let mut table = PcValues::new();
    table.push(value, end.0 - start.0);
    table.finish()
}

/// Covers the function up to the next one's start.
fn stack_table(function: &InjectedFunction, next: Vaddr) -> Vec<u8> {
    let mut table = PcValues::new();
    let ends = function
        .sp_deltas
        .iter()
        .skip(1)
        .map(|delta| u64::from(delta.at))
        .chain([next.0 - function.start.0]);
    for (delta, end) in function.sp_deltas.iter().zip(ends) {
        table.push(i64::from(delta.bytes), end - u64::from(delta.at));
    }
    table.finish()
}

/// For each 256 bytes of text the index of the function there, as a base per bucket and differences.
fn buckets(functions: &[InjectedFunction], start: Vaddr, end: Vaddr) -> Vec<u8> {
    let index_at = |offset: u64| {
        let after = functions.partition_point(|function| function.start.0 - start.0 <= offset);
        after.saturating_sub(1) as u32
    };
    let mut bytes = Vec::new();
    for bucket in 0..(end.0 - start.0).div_ceil(BUCKET) {
        let base = index_at(bucket * BUCKET);
        bytes.extend(base.to_le_bytes());
        bytes.extend((0..16).map(|sub| (index_at(bucket * BUCKET + sub * SUBBUCKET) - base) as u8));
    }
    bytes
}

impl ModuleData {
    /// The moduledata for tables placed at `tables_at`, itself placed at `at`, for code from `start` to `end`.
    pub fn build(
        go: &GoBinary<'_>,
        tables: &Tables,
        tables_at: Vaddr,
        at: Vaddr,
        start: Vaddr,
        end: Vaddr,
    ) -> ModuleData {
        let size = (go.layout.moduledata_next as usize + 8).next_multiple_of(16);
        let header_at = at.0 + size as u64;
        let mut data = ModuleData {
            bytes: vec![0; size + PC_HEADER_SIZE],
            pointers: Vec::new(),
        };
        data.pointer(offset::PC_HEADER, header_at);
        for (place, slice) in [
            (offset::FUNCNAMETAB, tables.names),
            (offset::CUTAB, tables.files_by_unit),
            (offset::FILETAB, tables.files),
            (offset::PCTAB, tables.pc_values),
            (offset::PCLNTABLE, tables.functions),
            (offset::FTAB, tables.index),
        ] {
            data.pointer(place, tables_at.0 + slice.at);
            data.word(place + 8, slice.len);
            data.word(place + 16, slice.len);
        }
        data.pointer(offset::FINDFUNCTAB, tables_at.0 + tables.buckets.at);
        data.pointer(offset::MINPC, start.0);
        data.pointer(offset::MAXPC, end.0);
        data.pointer(offset::TEXT, start.0);
        data.pointer(offset::ETEXT, end.0);
        data.byte(go.layout.moduledata_bad as usize, 1);
        data.header(go, size, tables.index.len - 1, start);
        data
    }

    /// pcHeader (runtime/symtab.go); moduledataverify1 compares magic, sizes and text start. The
    /// offsets behind them are for tools that read files, and stay zero.
    fn header(&mut self, go: &GoBinary<'_>, at: usize, functions: u64, start: Vaddr) {
        for (index, byte) in go
            .pclntab_magic
            .to_le_bytes()
            .into_iter()
            .chain([0, 0, 1, 8])
            .enumerate()
        {
            self.byte(at + index, byte);
        }
        self.word(at + 8, functions);
        // From Go 1.26 on the linker leaves it zero, and the runtime does not look.
        if go.pclntab_text_start != 0 || go.version.minor < 26 {
            self.pointer(at + 24, start.0);
        }
    }

    fn pointer(&mut self, at: usize, address: u64) {
        self.word(at, address);
        self.pointers.push(at as u64);
    }

    fn word(&mut self, at: usize, value: u64) {
        if let Some(place) = self.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn byte(&mut self, at: usize, value: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place = value;
        }
    }
}
