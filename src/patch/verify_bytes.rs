//! The *comparison* of an output with its input: outside of the plan's changes they are the same,
//! and each change is what the plan says.
//!
//! It can follow the writer ([`Comparison::advance`]): what was just written is read back while it
//! is in the processor's cache, which takes half the time of reading it all again at the end.

use super::elf_out::{EHDR_SIZE, Ehdr, HeaderError, PHDR_SIZE};
use super::plan::{Edit, PatchPlan};
use super::verify::VerifyError;
use crate::image::{FileOffset, Image};
use std::io;
use std::ops::Range;
use zerocopy::FromBytes;

/// Fills a buffer from a file offset of the output.
pub type Read<'r> = &'r dyn Fn(u64, &mut [u8]) -> io::Result<()>;

/// Bytes compared at once: small enough to stay in a core's cache.
const CHUNK: usize = 256 << 10;

/// Compares an output with its input from the start to the end.
pub struct Comparison<'a> {
    input: &'a Image,
    plan: &'a PatchPlan,
    /// The ranges that may differ, ascending; known once the output's header is.
    changes: Option<Vec<Change<'a>>>,
    /// Changes before this one are compared, and so is every byte before `at`.
    next: usize,
    at: usize,
    buffer: Vec<u8>,
    failed: Option<VerifyError>,
}

/// A range of the input that the plan changes; `None` for headers, which are checked otherwise.
struct Change<'a> {
    range: Range<usize>,
    edit: Option<&'a Edit>,
}

impl<'a> Comparison<'a> {
    /// Starts before the first byte.
    pub fn new(input: &'a Image, plan: &'a PatchPlan) -> Comparison<'a> {
        Comparison {
            input,
            plan,
            changes: None,
            next: 0,
            at: 0,
            buffer: vec![0; CHUNK],
            failed: None,
        }
    }

    /// Compares up to the file offset `end`, before which the output is final. What
    /// is found is kept for [`Comparison::finish`].
    pub fn advance(&mut self, end: u64, read: Read<'_>) {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let end = end.min(self.input.data().len());
        if self.failed.is_none() {
            self.failed = self.compare(end, read).err();
        }
    }

    /// Compares what is left of an output of `len` bytes.
    ///
    /// # Errors
    /// With the first difference, now or before, that the plan does not account for.
    pub fn finish(mut self, len: u64, read: Read<'_>) -> Result<(), VerifyError> {
        let input = self.input.data().len() as u64;
        if len < input {
            return Err(VerifyError::Short { output: len, input });
        }
        self.advance(input, read);
        self.failed.map_or(Ok(()), Err)
    }

    fn compare(&mut self, end: usize, read: Read<'_>) -> Result<(), VerifyError> {
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => self.changes(end, read)?,
        };
        while let Some(change) = changes.get(self.next)
            && change.range.end <= end
        {
            self.same(change.range.start, read)?;
            if let Some(edit) = change.edit {
                self.edited(edit, change.range.start, read)?;
            }
            self.at = self.at.max(change.range.end);
            self.next += 1;
        }
        let begun = changes.get(self.next).map_or(end, |c| c.range.start);
        self.changes = Some(changes);
        self.same(end.min(begun), read)
    }

    /// Both files hold the same from where the comparison is up to `end`.
    fn same(&mut self, end: usize, read: Read<'_>) -> Result<(), VerifyError> {
        while self.at < end {
            // Up to a multiple of the size: the kernel copies aligned bytes several times faster.
            let next = (self.at - self.at % CHUNK + CHUNK).min(end);
            let old = self.input.data().get(self.at..next).unwrap_or_default();
            let new = filled(&mut self.buffer, self.at, old.len(), read)?;
            if old != new {
                return Err(first_difference(self.at, old, new));
            }
            self.at = next;
        }
        Ok(())
    }

    fn edited(&mut self, edit: &Edit, at: usize, read: Read<'_>) -> Result<(), VerifyError> {
        if filled(&mut self.buffer, at, edit.new.len(), read)? == edit.new {
            return Ok(());
        }
        Err(VerifyError::Edit {
            at: edit.at,
            purpose: edit.purpose.clone(),
        })
    }

    /// Every range of the input that may differ, ascending. `end` bytes of the output are there.
    fn changes(&mut self, end: usize, read: Read<'_>) -> Result<Vec<Change<'a>>, VerifyError> {
        let header = filled(&mut self.buffer, 0, end.min(EHDR_SIZE as usize), read)?;
        let header = Ehdr::read_from_bytes(header).map_err(|_| HeaderError::NotElf);
        let header = header.map_err(super::verify_elf::ElfError::from)?;
        let mut changes = vec![unchecked(0, EHDR_SIZE)];
        let table_at = header.phoff.get();
        if table_at < self.input.data().len() as u64 {
            let size = u64::from(header.phnum.get()) * PHDR_SIZE;
            changes.push(unchecked(table_at, size));
        }
        for edit in &self.plan.edits {
            let start = self.input.offset_of(edit.at);
            let start = start.ok_or_else(|| VerifyError::Edit {
                at: edit.at,
                purpose: edit.purpose.clone(),
            })?;
            changes.push(Change {
                edit: Some(edit),
                ..unchecked(start.0, edit.new.len() as u64)
            });
        }
        changes.sort_by_key(|change| change.range.start);
        Ok(changes)
    }
}

/// A range of headers.
fn unchecked<'a>(start: u64, len: u64) -> Change<'a> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    Change {
        range: place(start)..place(start.saturating_add(len)),
        edit: None,
    }
}

/// `len` bytes of the output at an offset.
fn filled<'b>(
    buffer: &'b mut Vec<u8>,
    at: usize,
    len: usize,
    read: Read<'_>,
) -> Result<&'b [u8], VerifyError> {
    buffer.resize(len.max(CHUNK), 0);
    let (bytes, _) = buffer.split_at_mut(len);
    read(at as u64, bytes).map_err(VerifyError::Unread)?;
    Ok(bytes)
}

/// The error for two pieces of the same length that begin at `at` and differ.
fn first_difference(at: usize, old: &[u8], new: &[u8]) -> VerifyError {
    let differing = old.iter().zip(new).position(|(old, new)| old != new);
    let at_byte = differing.unwrap_or_default();
    let byte = |bytes: &[u8]| bytes.get(at_byte).copied().unwrap_or_default();
    VerifyError::Unplanned {
        at: FileOffset((at + at_byte) as u64),
        old: byte(old),
        new: byte(new),
    }
}
