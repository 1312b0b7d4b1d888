//! The structure of an output: segments, sections and the note.

use super::elf_out::{
    EHDR_SIZE, HeaderError, Headers, PAGE, PF_W, PF_X, PHDR_SIZE, PT_PHDR, Phdr, SHF_ALLOC,
    SHT_NOBITS, align_up, section_bytes, slice,
};
use super::note::{self, NoteError};
use super::plan::{NewSegment, PatchPlan};
use crate::image::{Image, Vaddr};

/// What is wrong with the structure of an output.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The headers cannot be read.
    #[error("the output's headers are malformed")]
    Headers(#[from] HeaderError),
    /// The entry is not the plan's.
    #[error("the output starts at {found}, the plan says {planned}")]
    Entry {
        /// `e_entry`.
        found: Vaddr,
        /// The plan's entry.
        planned: Vaddr,
    },
    /// A segment of the plan is missing or different.
    #[error("the segment {name} at {vaddr} is not in the output as planned")]
    Segment {
        /// Its name.
        name: String,
        /// Its address.
        vaddr: Vaddr,
    },
    /// A program header of the input is missing or different.
    #[error("the input's program header {index} is not in the output")]
    HeaderLost {
        /// Its index in the input.
        index: usize,
    },
    /// A segment shares a page with the one below it.
    #[error("the segment at {0} overlaps the one below it")]
    Overlap(Vaddr),
    /// A segment is writable and executable.
    #[error("the segment at {0} is writable and executable")]
    WritableCode(Vaddr),
    /// A segment's or section's bytes are not in the file.
    #[error("{what} at {at} lies outside of the file")]
    OutsideFile {
        /// What it is.
        what: &'static str,
        /// Its address, or file offset when it has none.
        at: Vaddr,
    },
    /// The program header table is not mapped where PT_PHDR and the kernel expect it.
    #[error("the program header table is not mapped where the kernel expects it")]
    Table,
    /// The note cannot be read.
    #[error("the output's note cannot be read")]
    Note(#[from] NoteError),
    /// The note is missing or does not give the input back.
    #[error("the output's note does not give the input back: {0}")]
    NoteContents(&'static str),
}

/// Checks segments, sections and the note.
pub(super) fn check(
    input: &Image,
    plan: &PatchPlan,
    output: &Image,
    headers: &Headers,
) -> Result<(), ElfError> {
    let found = Vaddr(headers.ehdr.entry.get());
    if found != plan.entry {
        return Err(ElfError::Entry {
            found,
            planned: plan.entry,
        });
    }
    let original = Headers::parse(input.data())?;
    check_kept(&original, headers)?;
    check_loads(&original, output.data(), headers)?;
    check_table(headers)?;
    check_sections(&original, output.data(), headers)?;
    check_note(input, output)?;
    plan.segments
        .iter()
        .try_for_each(|s| check_segment(plan, s, output.data(), headers))
}

/// Every program header of the input is still there, but for PT_PHDR.
fn check_kept(input: &Headers, output: &Headers) -> Result<(), ElfError> {
    let key = |p: &Phdr| {
        (
            p.kind, p.flags, p.offset, p.vaddr, p.filesz, p.memsz, p.align,
        )
    };
    let lost = input.phdrs.iter().enumerate().find(|(_, old)| {
        old.kind.get() != PT_PHDR && !output.phdrs.iter().any(|new| key(new) == key(old))
    });
    lost.map_or(Ok(()), |(index, _)| Err(ElfError::HeaderLost { index }))
}

/// `Headers::parse` checked that they ascend; new ones also share no page with any other.
fn check_loads(input: &Headers, data: &[u8], output: &Headers) -> Result<(), ElfError> {
    let old_end = input
        .loads()
        .map(Phdr::memory_end)
        .max()
        .unwrap_or_default();
    let mut free = align_up(old_end, PAGE).unwrap_or(u64::MAX);
    for load in output.loads() {
        let at = Vaddr(load.vaddr.get());
        if slice(data, load.offset.get(), load.filesz.get()).is_none() {
            return Err(ElfError::OutsideFile {
                what: "the segment",
                at,
            });
        }
        if at.0 < old_end {
            continue;
        }
        if at.0 < free {
            return Err(ElfError::Overlap(at));
        }
        free = align_up(load.memory_end(), PAGE).unwrap_or(u64::MAX);
        if load.flags.get() & PF_W != 0 && load.flags.get() & PF_X != 0 {
            return Err(ElfError::WritableCode(at));
        }
    }
    Ok(())
}

/// AT_PHDR is `e_phoff` plus the first PT_LOAD's distance between address and offset, before Linux
/// 5.18; the table must be mapped there, and PT_PHDR must say so.
fn check_table(headers: &Headers) -> Result<(), ElfError> {
    let (at, size) = (
        headers.ehdr.phoff.get(),
        headers.phdrs.len() as u64 * PHDR_SIZE,
    );
    let distance = |p: &Phdr| p.vaddr.get().wrapping_sub(p.offset.get());
    let first = headers.loads().next().map(distance);
    let home = headers
        .loads()
        .find(|p| p.offset.get() <= at && at.saturating_add(size) <= p.file_end());
    let mapped_well = home.is_some() && home.map(distance) == first;
    let announced = headers
        .phdrs
        .iter()
        .filter(|p| p.kind.get() == PT_PHDR)
        .all(|p| {
            p.offset.get() == at
                && p.filesz.get() == size
                && p.memsz.get() == size
                && Some(distance(p)) == first
        });
    if mapped_well && announced {
        Ok(())
    } else {
        Err(ElfError::Table)
    }
}

/// Every section of the input has kept its place in the table, and all lie in the file.
fn check_sections(input: &Headers, data: &[u8], output: &Headers) -> Result<(), ElfError> {
    let table = (output.ehdr.shoff.get(), output.shdrs.len());
    if table.1 > 0 && table.0 < EHDR_SIZE {
        return Err(ElfError::OutsideFile {
            what: "the section header table",
            at: Vaddr(table.0),
        });
    }
    for (index, section) in output.shdrs.iter().enumerate() {
        let at = Vaddr(if section.addr.get() == 0 {
            section.offset.get()
        } else {
            section.addr.get()
        });
        if section.kind.get() != SHT_NOBITS && section_bytes(data, section).is_none() {
            return Err(ElfError::OutsideFile {
                what: "the section",
                at,
            });
        }
        let Some(old) = input.shdrs.get(index) else {
            continue;
        };
        let moved =
            (old.addr, old.offset, old.size) != (section.addr, section.offset, section.size);
        if old.kind != section.kind
            || old.name != section.name
            || (moved && old.flags.get() & SHF_ALLOC != 0)
        {
            return Err(ElfError::OutsideFile {
                what: "a section of the input that should have stayed",
                at,
            });
        }
    }
    Ok(())
}

/// The note's ranges hold what the input has there.
fn check_note(input: &Image, output: &Image) -> Result<(), ElfError> {
    let note = note::find(output)?.ok_or(ElfError::NoteContents("there is none"))?;
    if note.input_size != input.data().len() as u64 {
        return Err(ElfError::NoteContents("another size"));
    }
    for (at, old) in note.restored_ranges()? {
        if slice(input.data(), at.0, old.len() as u64) != Some(old.as_slice()) {
            return Err(ElfError::NoteContents("other bytes"));
        }
    }
    Ok(())
}

/// A segment of the plan lies in the output, its bytes as planned but for the SHA-256.
fn check_segment(
    plan: &PatchPlan,
    segment: &NewSegment,
    data: &[u8],
    headers: &Headers,
) -> Result<(), ElfError> {
    let fail = || ElfError::Segment {
        name: segment.name.clone(),
        vaddr: segment.vaddr,
    };
    let load = headers
        .loads()
        .find(|p| p.vaddr.get() == segment.vaddr.0)
        .ok_or_else(fail)?;
    if load.flags.get() != segment.flags || load.memsz.get() < segment.mem_size {
        return Err(fail());
    }
    let found = slice(data, load.offset.get(), segment.bytes.len() as u64).ok_or_else(fail)?;
    let mut at = 0;
    let places = plan
        .input_sha256_at
        .iter()
        .filter_map(|p| usize::try_from(p.0.checked_sub(segment.vaddr.0)?).ok());
    let mut places: Vec<usize> = places.filter(|p| *p < segment.bytes.len()).collect();
    places.sort_unstable();
    for place in places.into_iter().chain([segment.bytes.len()]) {
        if found.get(at..place) != segment.bytes.get(at..place) {
            return Err(fail());
        }
        at = place.saturating_add(32);
    }
    Ok(())
}
