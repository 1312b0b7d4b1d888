//! Where in a file, and where in memory, there is *space* for what the patcher adds.
//!
//! New segments lie above everything the input maps. How far above, and where in the file, follows
//! from where the longer program header table goes:
//!
//! * Go's own linker leaves about 3 KB unused after the program headers, save for the section
//!   header table, which it puts right behind them and which the writer moves to the end of the
//!   file anyway. There the table grows in place, and new segments are packed at the file's end.
//! * External linkers put `.interp` right behind the table. There the table moves into a new
//!   read-only segment. Kernels before 5.18 tell the program where its table is (AT_PHDR) by
//!   adding `e_phoff` to the first PT_LOAD's address minus its offset, wherever the table is
//!   mapped (fs/binfmt_elf.c, create_elf_tables); so the new segments keep that same distance
//!   between address and file offset. What lies between the end of the input and the first new
//!   segment is a hole in the file.

use super::elf_out::{HeaderError, Headers, PAGE, PHDR_SIZE, PT_PHDR, SHT_NOBITS, align_up, slice};
use crate::image::{Image, Vaddr};

/// Unused addresses between the input's last segment and the first new one: `strip` may move the
/// start of the segment with the program headers down by up to a page.
const GAP: u64 = 0x10000;
/// New addresses must fit the first 2^47 bytes, the user half.
const ADDRESS_LIMIT: u64 = 1 << 47;

/// Where the program header table of the output lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableHome {
    /// Where it was.
    InPlace,
    /// In a new segment, whose address minus its file offset is `vaddr_minus_offset`, as for
    /// every new segment.
    Moved {
        /// The same distance as that of the first PT_LOAD.
        vaddr_minus_offset: u64,
    },
}

/// The lowest address at which a new segment may start.
///
/// # Errors
/// When the headers are malformed, or no address is left.
pub fn first_free_vaddr(image: &Image) -> Result<Vaddr, HeaderError> {
    let headers = Headers::parse(image.data())?;
    first_free(&headers, image.data()).map(Vaddr)
}

/// As [`first_free_vaddr`], on parsed headers.
pub(super) fn first_free(headers: &Headers, data: &[u8]) -> Result<u64, HeaderError> {
    let mapped_end = headers
        .loads()
        .map(|p| p.memory_end())
        .max()
        .ok_or(HeaderError::NoLoad)?;
    let wanted = match table_home(headers, data) {
        TableHome::InPlace => mapped_end.checked_add(GAP),
        TableHome::Moved { vaddr_minus_offset } => {
            let file_end = vaddr_minus_offset.checked_add(data.len() as u64);
            file_end.and_then(|end| end.max(mapped_end).checked_add(GAP))
        }
    };
    let start = wanted.and_then(|at| align_up(at, PAGE));
    start
        .filter(|at| *at < ADDRESS_LIMIT)
        .ok_or(HeaderError::NoSpace(mapped_end))
}

/// Program headers that a plan may add at most: its segments, one for the note and the table, and
/// the PT_NOTE.
const MOST_NEW_HEADERS: u64 = 8;

/// Decides where the table goes. The answer must not depend on the plan, since the addresses of
/// its segments are chosen first; so room for [`MOST_NEW_HEADERS`] is asked for.
pub(super) fn table_home(headers: &Headers, data: &[u8]) -> TableHome {
    let needed = table_end(headers).saturating_add(MOST_NEW_HEADERS * PHDR_SIZE);
    if needed <= free_until(headers, data) {
        return TableHome::InPlace;
    }
    let distance = headers
        .loads()
        .next()
        .map(|p| p.vaddr.get().saturating_sub(p.offset.get()));
    TableHome::Moved {
        vaddr_minus_offset: distance.unwrap_or_default(),
    }
}

/// How many headers may be added in this home.
pub(super) fn most_new_headers(home: TableHome) -> u64 {
    match home {
        TableHome::InPlace => MOST_NEW_HEADERS,
        TableHome::Moved { .. } => 1000,
    }
}

fn table_end(headers: &Headers) -> u64 {
    let size = headers.phdrs.len() as u64 * PHDR_SIZE;
    headers.ehdr.phoff.get().saturating_add(size)
}

/// The file offset up to which nothing but zeros and the section header table follows the program
/// headers. Without section headers nothing says what the zeros are for: no room then.
fn free_until(headers: &Headers, data: &[u8]) -> u64 {
    let end = table_end(headers);
    if headers.shdrs.is_empty() {
        return end;
    }
    let mapped = headers
        .loads()
        .find(|p| p.offset.get() <= headers.ehdr.phoff.get());
    let limit = mapped.map_or(0, |p| p.file_end());
    let sections = headers
        .shdrs
        .iter()
        .filter(|s| s.kind.get() != SHT_NOBITS && s.size.get() > 0);
    let segments = headers
        .phdrs
        .iter()
        .filter(|p| p.kind.get() != PT_PHDR && p.filesz.get() > 0);
    let starts = sections
        .map(|s| s.offset.get())
        .chain(segments.map(|p| p.offset.get()));
    let limit = starts.filter(|start| *start >= end).fold(limit, u64::min);
    end + zeros_between(headers, data, end, limit)
}

/// The number of zero bytes from `start`, counting those of the section header table as zero.
fn zeros_between(headers: &Headers, data: &[u8], start: u64, limit: u64) -> u64 {
    let shdrs = headers.ehdr.shoff.get();
    let shdrs_end =
        shdrs.saturating_add(headers.shdrs.len() as u64 * size_of::<super::elf_out::Shdr>() as u64);
    let bytes = slice(data, start, limit.saturating_sub(start)).unwrap_or_default();
    let used = (start..)
        .zip(bytes)
        .find(|(at, b)| **b != 0 && !(shdrs..shdrs_end).contains(at));
    used.map_or(bytes.len() as u64, |(at, _)| at - start)
}
