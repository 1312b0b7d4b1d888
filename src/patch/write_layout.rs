//! The *layout* of an output file: which bytes go where, as data. Everything is decided here, so
//! that writing the file is copying.

use super::elf_out::{
    EHDR_SIZE, HeaderError, Headers, PAGE, PF_R, PF_W, PF_X, PHDR_SIZE, PT_LOAD, PT_NOTE, PT_PHDR,
    Phdr, align_up, slice,
};
use super::note::{self, Contents, Restore};
use super::plan::{NewSegment, PatchPlan};
use super::space::{TableHome, first_free, most_new_headers, table_home};
use super::write_sections::{self, NoteSection, SectionError};
use crate::image::{FileOffset, Vaddr};
use std::borrow::Cow;
use zerocopy::IntoBytes;

/// Unused addresses before a segment that begins with the program header table: `strip` may move
/// its start down by up to a page.
const NOTE_GAP: u64 = PAGE;
/// `int3`
const INT3: u8 = 0xcc;

/// Why a plan cannot become a file.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The input's headers cannot be extended.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// The section or symbol tables cannot be extended.
    #[error(transparent)]
    Sections(#[from] SectionError),
    /// An edit does not fit the input.
    #[error("the plan's edit at {at} ({purpose}) {why}")]
    Edit {
        /// Its address.
        at: Vaddr,
        /// What it is for.
        purpose: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A new segment cannot be placed.
    #[error("the plan's segment {name} at {vaddr} {why}")]
    Segment {
        /// Its name.
        name: String,
        /// Its address.
        vaddr: Vaddr,
        /// What is wrong.
        why: &'static str,
    },
    /// An address of the plan lies in no new segment that has file bytes there.
    #[error("the plan's {what} {at} lies outside of the new segments")]
    Outside {
        /// What lies there.
        what: &'static str,
        /// The address.
        at: Vaddr,
    },
    /// Sizes beyond 2^64.
    #[error("the output's size does not fit 64 bits")]
    TooLarge,
    /// The note could not be encoded.
    #[error("the note cannot be encoded")]
    Note(#[from] serde_json::Error),
}

/// Bytes with their place in the file.
pub(super) struct Piece<'a> {
    /// File offset.
    pub at: u64,
    /// What goes there.
    pub bytes: Cow<'a, [u8]>,
}

impl Piece<'_> {
    /// The file offset behind it.
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.bytes.len() as u64)
    }
}

/// A new segment with its place in the file.
pub(super) struct Placed<'a> {
    /// The plan's segment.
    pub segment: &'a NewSegment,
    /// `p_offset`.
    pub offset: u64,
    /// `p_filesz`: its bytes, filled up to a whole page. GNU strip (binutils 2.40) lays segments
    /// out without gaps and moves a program header table that follows a broken page.
    pub file_size: u64,
    /// `p_memsz`.
    pub mem_size: u64,
}

impl Placed<'_> {
    /// What fills the last page: traps behind code.
    fn padding(&self) -> Vec<u8> {
        let byte = if self.segment.flags & PF_X != 0 {
            INT3
        } else {
            0
        };
        let used = self.segment.bytes.len() as u64;
        // Less than a page.
        vec![byte; (self.file_size - used) as usize]
    }
}

/// Where every byte of the output comes from: the pieces, then the input, then zeros.
pub(super) struct Layout<'a> {
    /// What to write over the copy of the input; apart from each other.
    pub pieces: Vec<Piece<'a>>,
    /// Size of the output.
    pub file_size: u64,
    /// Where to write the SHA-256 of the input.
    pub sha256_at: Vec<u64>,
    /// Where the program header table lies.
    pub table_home: TableHome,
    /// Ranges of the input that the output has not.
    pub restored_ranges: usize,
}

/// The read-only segment with the note and, when it moved, the program header table.
struct NoteSegment {
    vaddr: u64,
    offset: u64,
    /// Bytes before the note: the table.
    table_size: u64,
    note: note::Encoded,
}

/// Lays out the output.
pub(super) fn lay_out<'a>(data: &'a [u8], plan: &'a PatchPlan) -> Result<Layout<'a>, LayoutError> {
    let headers = Headers::parse(data)?;
    let home = table_home(&headers, data);
    check_segments(plan, first_free(&headers, data)?, home)?;
    let placed = place_segments(&plan.segments, data.len() as u64, home)?;
    let mut pieces = edit_pieces(&headers, data, plan)?;

    let phnum = headers.phdrs.len() as u64 + placed.len() as u64 + 2;
    let table_size = phnum * PHDR_SIZE;
    let restore = restored(data, &pieces, headers.ehdr.phoff.get(), table_size, home)?;
    let restored_ranges = restore.len();
    let note = note::encode(&Contents::new(plan, restore), data.len() as u64)?;
    let note = place_note(&placed, note, data.len() as u64, table_size, home)?;
    // From here on every address and offset of what is mapped is final.

    let table_at = match home {
        TableHome::InPlace => headers.ehdr.phoff.get(),
        TableHome::Moved { .. } => note.offset,
    };
    let table = program_headers(&headers, &placed, &note, table_at, table_size, home);
    pieces.push(Piece {
        at: table_at,
        bytes: Cow::Owned(table.as_bytes().to_vec()),
    });
    for placed in placed.iter().filter(|p| p.file_size > 0) {
        let bytes = Cow::Borrowed(placed.segment.bytes.as_slice());
        let padding_at = placed.offset + bytes.len() as u64;
        pieces.push(Piece {
            at: placed.offset,
            bytes,
        });
        pieces.push(Piece {
            at: padding_at,
            bytes: Cow::Owned(placed.padding()),
        });
    }
    let mut sha256_at = sha256_places(plan, &placed)?;
    sha256_at.push(note.offset + note.table_size + note.note.sha256_at);
    let note_section = NoteSection {
        vaddr: note.vaddr + note.table_size,
        offset: note.offset + note.table_size,
        size: note.note.bytes.len() as u64,
    };
    pieces.push(Piece {
        at: note_section.offset,
        bytes: Cow::Owned(note.note.bytes),
    });

    let mut ehdr = headers.ehdr;
    ehdr.entry.set(plan.entry.0);
    ehdr.phoff.set(table_at);
    // The count was compared with `most_new_headers`, and the input's fits 16 bits.
    ehdr.phnum
        .set(u16::try_from(phnum).map_err(|_| HeaderError::TooMany)?);
    let end = note_section.offset + note_section.size;
    let tail = write_sections::tail(&headers, data, plan, &placed, &note_section, end)?;
    if let Some(table) = tail.table {
        ehdr.shoff.set(table.offset);
        ehdr.shnum.set(table.count);
        ehdr.shstrndx.set(table.names_index);
    }
    pieces.extend(tail.pieces);
    pieces.push(Piece {
        at: 0,
        bytes: Cow::Owned(ehdr.as_bytes().to_vec()),
    });
    pieces.sort_by_key(|p| p.at);
    let file_size = pieces.iter().map(Piece::end).max().unwrap_or_default();
    Ok(Layout {
        pieces,
        file_size,
        sha256_at,
        table_home: home,
        restored_ranges,
    })
}

fn check_segments(plan: &PatchPlan, first_free: u64, home: TableHome) -> Result<(), LayoutError> {
    let mut free = first_free;
    for segment in &plan.segments {
        let fail = |why| LayoutError::Segment {
            name: segment.name.clone(),
            vaddr: segment.vaddr,
            why,
        };
        if !segment.vaddr.0.is_multiple_of(PAGE) {
            return Err(fail("does not start on a page"));
        }
        if segment.vaddr.0 < free {
            return Err(fail("overlaps what is below it"));
        }
        if segment.mem_size == 0 || segment.mem_size < segment.bytes.len() as u64 {
            return Err(fail("has less memory than bytes, or none"));
        }
        if segment.flags & PF_W != 0 && segment.flags & PF_X != 0 {
            return Err(fail("is writable and executable"));
        }
        let end = segment
            .vaddr
            .checked_add(segment.mem_size)
            .ok_or(LayoutError::TooLarge)?;
        free = align_up(end.0, PAGE).ok_or(LayoutError::TooLarge)?;
    }
    match plan
        .segments
        .get(usize::try_from(most_new_headers(home)).unwrap_or(usize::MAX) - 2)
    {
        Some(s) => Err(LayoutError::Segment {
            name: s.name.clone(),
            vaddr: s.vaddr,
            why: "is one too many",
        }),
        None => Ok(()),
    }
}

/// The file offset of a new segment: at the same distance as the first segment of the input when
/// the program header table moves, else the next free page.
fn offset_for(vaddr: u64, free: u64, home: TableHome) -> Result<u64, LayoutError> {
    let offset = match home {
        TableHome::InPlace => align_up(free, PAGE),
        TableHome::Moved { vaddr_minus_offset } => vaddr.checked_sub(vaddr_minus_offset),
    };
    offset.ok_or(LayoutError::TooLarge)
}

fn place_segments(
    segments: &[NewSegment],
    input_size: u64,
    home: TableHome,
) -> Result<Vec<Placed<'_>>, LayoutError> {
    let mut free = input_size;
    let mut placed = Vec::with_capacity(segments.len());
    for segment in segments {
        let offset = offset_for(segment.vaddr.0, free, home)?;
        let file_size = align_up(segment.bytes.len() as u64, PAGE).ok_or(LayoutError::TooLarge)?;
        free = offset.checked_add(file_size).ok_or(LayoutError::TooLarge)?;
        let mem_size = segment.mem_size.max(file_size);
        placed.push(Placed {
            segment,
            offset,
            file_size,
            mem_size,
        });
    }
    Ok(placed)
}

fn place_note(
    placed: &[Placed<'_>],
    note: note::Encoded,
    input_size: u64,
    table_size: u64,
    home: TableHome,
) -> Result<NoteSegment, LayoutError> {
    // `check_segments` proved that these ends fit 64 bits; a plan without segments has no place
    // for its note.
    let last = placed.last().ok_or(LayoutError::Outside {
        what: "entry",
        at: Vaddr(0),
    })?;
    let end = align_up(last.segment.vaddr.0 + last.mem_size, PAGE);
    let gap = if home == TableHome::InPlace {
        0
    } else {
        NOTE_GAP
    };
    let vaddr = end
        .and_then(|end| end.checked_add(gap))
        .ok_or(LayoutError::TooLarge)?;
    let free = input_size.max(last.offset + last.file_size);
    let offset = offset_for(vaddr, free, home)?;
    let table_size = match home {
        TableHome::InPlace => 0,
        TableHome::Moved { .. } => table_size,
    };
    Ok(NoteSegment {
        vaddr,
        offset,
        table_size,
        note,
    })
}

fn edit_pieces<'a>(
    headers: &Headers,
    data: &[u8],
    plan: &'a PatchPlan,
) -> Result<Vec<Piece<'a>>, LayoutError> {
    let mut pieces = Vec::with_capacity(plan.edits.len() + 16);
    let mut free = Vaddr(0);
    for edit in &plan.edits {
        let fail = |why| LayoutError::Edit {
            at: edit.at,
            purpose: edit.purpose.clone(),
            why,
        };
        let len = edit.new.len() as u64;
        if edit.old.len() != edit.new.len() || edit.new.is_empty() {
            return Err(fail("changes the length, or nothing"));
        }
        if edit.at < free {
            return Err(fail("overlaps the one before it or is out of order"));
        }
        free = edit.at.checked_add(len).ok_or(LayoutError::TooLarge)?;
        let at = headers
            .offset_of(edit.at.0)
            .ok_or_else(|| fail("is not mapped from the file"))?;
        let last = headers.offset_of(free.0 - 1);
        if last != at.checked_add(len - 1) || slice(data, at, len) != Some(edit.old.as_slice()) {
            return Err(fail("expects other bytes than the file has"));
        }
        pieces.push(Piece {
            at,
            bytes: Cow::Borrowed(&edit.new),
        });
    }
    Ok(pieces)
}

/// The ranges of the input that will be overwritten: headers and edits.
fn restored(
    data: &[u8],
    edits: &[Piece<'_>],
    phoff: u64,
    table_size: u64,
    home: TableHome,
) -> Result<Vec<Restore>, LayoutError> {
    let mut ranges: Vec<(u64, u64)> = edits.iter().map(|p| (p.at, p.bytes.len() as u64)).collect();
    ranges.push((0, EHDR_SIZE));
    if home == TableHome::InPlace {
        ranges.push((phoff, table_size));
    }
    ranges.sort_unstable();
    let mut free = 0;
    let mut restore = Vec::with_capacity(ranges.len());
    for (at, len) in ranges {
        let old = slice(data, at, len).filter(|_| at >= free);
        let old = old.ok_or(LayoutError::Outside {
            what: "change at file offset",
            at: Vaddr(at),
        })?;
        restore.push(Restore::new(FileOffset(at), old));
        free = at + len;
    }
    Ok(restore)
}

fn program_headers(
    headers: &Headers,
    placed: &[Placed<'_>],
    note: &NoteSegment,
    table_at: u64,
    table_size: u64,
    home: TableHome,
) -> Vec<Phdr> {
    let mut table = headers.phdrs.clone();
    if home != TableHome::InPlace {
        for entry in table.iter_mut().filter(|p| p.kind.get() == PT_PHDR) {
            *entry = Phdr {
                align: entry.align,
                ..phdr(PT_PHDR, PF_R, table_at, note.vaddr, table_size, table_size)
            };
        }
    }
    for entry in table.iter_mut().filter(|p| p.kind.get() == PT_PHDR) {
        entry.filesz.set(table_size);
        entry.memsz.set(table_size);
    }
    let size = note.note.bytes.len() as u64;
    let mut loads: Vec<Phdr> = placed.iter().map(load).collect();
    let whole = note.table_size + size;
    loads.push(phdr(PT_LOAD, PF_R, note.offset, note.vaddr, whole, whole));
    let (offset, vaddr) = (note.offset + note.table_size, note.vaddr + note.table_size);
    let mut note_header = phdr(PT_NOTE, PF_R, offset, vaddr, size, size);
    note_header.align.set(4);
    // Behind the PT_LOAD at the same offset: llvm-strip (LLVM 14) takes the first of two segments at
    // one offset for the one that contains the other, and aligns only that.
    loads.push(note_header);
    let last_load = table
        .iter()
        .rposition(Phdr::is_load)
        .map_or(table.len(), |i| i + 1);
    table.splice(last_load..last_load, loads);
    table
}

fn load(placed: &Placed<'_>) -> Phdr {
    let s = placed.segment;
    phdr(
        PT_LOAD,
        s.flags,
        placed.offset,
        s.vaddr.0,
        placed.file_size,
        placed.mem_size,
    )
}

fn phdr(kind: u32, flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
    Phdr {
        kind: kind.into(),
        flags: flags.into(),
        offset: offset.into(),
        vaddr: vaddr.into(),
        paddr: vaddr.into(),
        filesz: filesz.into(),
        memsz: memsz.into(),
        align: PAGE.into(),
    }
}

fn sha256_places(plan: &PatchPlan, placed: &[Placed<'_>]) -> Result<Vec<u64>, LayoutError> {
    let place = |at: &Vaddr| {
        let offset = placed.iter().find_map(|p| {
            let into = at.0.checked_sub(p.segment.vaddr.0)?;
            (into.checked_add(32)? <= p.segment.bytes.len() as u64).then_some(p.offset + into)
        });
        offset.ok_or(LayoutError::Outside {
            what: "place for the SHA-256",
            at: *at,
        })
    };
    plan.input_sha256_at.iter().map(place).collect()
}
