//! Names of program places, out of the program's own function table, as Go's tracebacks have them: the
//! function, the file, the line. Calls that were inlined have the names of the functions around them.
//!
//! The tables are the linker's and lie in read-only memory: src/runtime/symtab.go, `type moduledata`
//! (whose first fields have not moved since Go 1.18), `type _func`, `func pcvalue`.

use crate::config::Config;
use crate::front::read_at;
use core::ptr::read_volatile;

const MODULE_NAMES: u32 = 8;
const MODULE_CUTAB: u32 = 32;
const MODULE_FILES: u32 = 56;
const MODULE_PCTAB: u32 = 80;
const MODULE_FUNCS: u32 = 104;
const MODULE_FTAB: u32 = 128;
const MODULE_TEXT: u32 = 176;

const FUNC_ENTRY: u32 = 0;
const FUNC_NAME: u32 = 4;
const FUNC_PCFILE: u32 = 20;
const FUNC_PCLN: u32 = 24;
const FUNC_CU: u32 = 32;

/// A place: zero-terminated texts in the program's tables, and a line.
pub struct Place {
    pub function: *const u8,
    pub file: *const u8,
    pub line: u32,
}

/// The place of the call that returns to an address.
///
/// # Safety
/// The Go runtime must be running, so that its tables are relocated.
pub unsafe fn place_of(config: &Config, return_pc: u64) -> Option<Place> {
    let module = config.bias.wrapping_add(config.moduledata);
    // SAFETY: the moduledata is the program's own; what it points to is as large as it says.
    unsafe {
        let text = read_at(module, MODULE_TEXT);
        let at = return_pc.wrapping_sub(1).wrapping_sub(text);
        if at >= config.text_end.wrapping_sub(config.text_start) {
            return None;
        }
        let func = func_of(module, at as u32)?;
        let entry = word(func, FUNC_ENTRY);
        let value = |table: u32| value_at(module, word(func, table), entry, at as u32);
        let file = value(FUNC_PCFILE).map(|number| {
            let index = word(func, FUNC_CU).wrapping_add(number);
            let offset = word(read_at(module, MODULE_CUTAB), index.wrapping_mul(4));
            text_at(read_at(module, MODULE_FILES), offset)
        });
        Some(Place {
            function: text_at(read_at(module, MODULE_NAMES), word(func, FUNC_NAME)),
            file: file.unwrap_or(c"?".as_ptr().cast()),
            line: value(FUNC_PCLN).unwrap_or(0),
        })
    }
}

fn text_at(table: u64, offset: u32) -> *const u8 {
    (table + u64::from(offset)) as *const u8
}

/// # Safety
/// Four bytes must be readable there.
unsafe fn word(base: u64, offset: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe { ((base + u64::from(offset)) as *const u32).read_unaligned() }
}

/// The record of the function around an offset from the start of Go's text: the table is sorted by
/// entry, and its last one has no record.
///
/// # Safety
/// As for `place_of`.
unsafe fn func_of(module: u64, at: u32) -> Option<u64> {
    // SAFETY: the caller's.
    unsafe {
        let ftab = read_at(module, MODULE_FTAB);
        let count = read_at(module, MODULE_FTAB + 8).checked_sub(1)?;
        let entry = |index: u64| word(ftab + 8 * index, 0);
        let (mut low, mut high) = (0, count);
        while high.wrapping_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            if entry(middle) <= at {
                low = middle;
            } else {
                high = middle;
            }
        }
        let is_there = count != 0 && entry(low) <= at;
        is_there.then(|| read_at(module, MODULE_FUNCS) + u64::from(word(ftab + 8 * low, 4)))
    }
}

/// The value that a table of pairs of differences has at a place.
///
/// # Safety
/// As for `place_of`.
unsafe fn value_at(module: u64, table: u32, entry: u32, at: u32) -> Option<u32> {
    if table == 0 {
        return None;
    }
    // SAFETY: the caller's; the table ends with a zero, and no function has more pairs than bytes.
    unsafe {
        let mut next = read_at(module, MODULE_PCTAB) + u64::from(table);
        let (mut pc, mut value) = (entry, u32::MAX);
        loop {
            let change = varint(&mut next);
            if change == 0 && pc != entry {
                return None;
            }
            // Zigzag: the lowest bit is the sign.
            let difference = (change >> 1) ^ (change & 1).wrapping_neg();
            value = value.wrapping_add(difference);
            pc = pc.wrapping_add(varint(&mut next));
            if at < pc {
                return Some(value);
            }
        }
    }
}

/// # Safety
/// A number of seven bits a byte must lie there.
unsafe fn varint(next: &mut u64) -> u32 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        // SAFETY: the caller's.
        let byte = unsafe { read_volatile(*next as *const u8) };
        *next += 1;
        number |= u32::from(byte & 0x7f) << (shift & 31);
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            return number;
        }
    }
}
