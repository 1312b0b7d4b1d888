//! Verifying: the output is read again and held against the input and the plan, with another
//! disassembler than the one that made the plan.
//!
//! 1. Every byte of the input that differs in the output belongs to an edit of the plan or to the
//!    headers, and is what the plan says.
//! 2. The output is a sound ELF file, its new segments hold what the plan says, and its note gives
//!    the input back.
//! 3. Every edit of code is a jump to the start of an instruction of a trampoline, and every jump
//!    out of a trampoline goes to the start of an instruction of a Go function.

use super::elf_out::{EHDR_SIZE, Headers, PHDR_SIZE, slice};
use super::plan::PatchPlan;
use super::verify_code::{self, CodeError};
use super::verify_elf::{self, ElfError};
use crate::golang::GoBinary;
use crate::image::{FileOffset, Image, ImageError, Vaddr};
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is wrong with an output.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be opened as an executable.
    #[error("the output cannot be read back")]
    Unreadable(#[from] ImageError),
    /// It is shorter than the input.
    #[error("the output has {output} bytes, less than the input's {input}")]
    Short {
        /// Size of the output.
        output: u64,
        /// Size of the input.
        input: u64,
    },
    /// A byte changed that no part of the plan accounts for.
    #[error(
        "the byte at file offset {at:?} changed from {old:#04x} to {new:#04x}, which is not in the plan"
    )]
    Unplanned {
        /// Where.
        at: FileOffset,
        /// What the input has.
        old: u8,
        /// What the output has.
        new: u8,
    },
    /// An edit was not made as planned.
    #[error("the edit at {at} ({purpose}) is not what the plan says")]
    Edit {
        /// Its address.
        at: Vaddr,
        /// What it is for.
        purpose: String,
    },
    /// The file's structure is unsound.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The code is unsound.
    #[error(transparent)]
    Code(#[from] CodeError),
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Edits that were found as planned.
    pub edits: usize,
    /// Functions of the new code that were disassembled.
    pub functions: usize,
    /// Jumps between Go's code and the new code, in both directions.
    pub jumps: usize,
}

/// Reads the output back and checks it.
///
/// # Errors
/// With the first thing that is wrong; the output must not be used then.
pub fn verify(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Path,
) -> Result<VerifyReport, VerifyError> {
    let output = Image::open(output)?;
    verify_image(go, plan, &output)
}

/// As [`verify`], on an open output.
pub fn verify_image(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Image,
) -> Result<VerifyReport, VerifyError> {
    let input = go.image;
    let headers = Headers::parse(output.data()).map_err(ElfError::from)?;
    let changed = planned_changes(input, plan, &headers)?;
    std::thread::scope(|scope| {
        let bytes = scope.spawn(|| compare(input, output, &changed));
        verify_elf::check(input, plan, output, &headers)?;
        let checked = verify_code::check(go, plan, output)?;
        bytes
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e))?;
        Ok(VerifyReport {
            edits: plan.edits.len(),
            ..checked
        })
    })
}

/// A range of the input that the plan changes; `None` for headers, which are checked otherwise.
struct Change<'a> {
    start: usize,
    end: usize,
    edit: Option<&'a super::plan::Edit>,
}

/// Every range of the input that may differ, ascending.
fn planned_changes<'a>(
    input: &Image,
    plan: &'a PatchPlan,
    output: &Headers,
) -> Result<Vec<Change<'a>>, VerifyError> {
    let header = |start: u64, len: u64| {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        Change {
            start,
            end: start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)),
            edit: None,
        }
    };
    let mut changes = vec![header(0, EHDR_SIZE)];
    let table_at = output.ehdr.phoff.get();
    if table_at < input.data().len() as u64 {
        changes.push(header(table_at, output.phdrs.len() as u64 * PHDR_SIZE));
    }
    for edit in &plan.edits {
        let missing = || VerifyError::Edit {
            at: edit.at,
            purpose: edit.purpose.clone(),
        };
        let start = input.offset_of(edit.at).ok_or_else(missing)?;
        changes.push(Change {
            edit: Some(edit),
            ..header(start.0, edit.new.len() as u64)
        });
    }
    changes.sort_by_key(|change| change.start);
    Ok(changes)
}

/// Compares everything outside of the planned changes, and the edits.
fn compare(input: &Image, output: &Image, changes: &[Change<'_>]) -> Result<(), VerifyError> {
    let (len, output_len) = (input.data().len(), output.data().len());
    if output_len < len {
        return Err(VerifyError::Short {
            output: output_len as u64,
            input: len as u64,
        });
    }
    let mut files = Files::new(input, output);
    let mut at = 0;
    for change in changes {
        files.same(at, change.start)?;
        if let Some(edit) = change.edit
            && slice(output.data(), change.start as u64, edit.new.len() as u64)
                != Some(edit.new.as_slice())
        {
            return Err(VerifyError::Edit {
                at: edit.at,
                purpose: edit.purpose.clone(),
            });
        }
        at = change.end;
    }
    files.same(at, len)
}

/// Bytes compared at once: small enough to stay in a core's cache.
const CHUNK: usize = 256 << 10;

/// The two files side by side. The input's pages are in memory, since it was just hashed; the
/// output is read piece by piece, so that it does not have to be.
struct Files<'a> {
    input: &'a [u8],
    output: &'a [u8],
    output_file: Option<File>,
    buffer: Vec<u8>,
}

impl<'a> Files<'a> {
    fn new(input: &'a Image, output: &'a Image) -> Files<'a> {
        Files {
            input: input.data(),
            output: output.data(),
            output_file: File::open(output.path()).ok(),
            buffer: vec![0; CHUNK],
        }
    }

    /// Both reach to `end`; `start` may lie behind it where ranges touch.
    fn same(&mut self, start: usize, end: usize) -> Result<(), VerifyError> {
        let mut next = start;
        while next < end {
            let at = next;
            // Up to a multiple of the size: the kernel copies aligned bytes several times faster.
            next = (at - at % CHUNK + CHUNK).min(end);
            let old = self.input.get(at..next).unwrap_or_default();
            let new = self.output_at(at, next);
            if old == new {
                continue;
            }
            let differing = old.iter().zip(new).position(|(old, new)| old != new);
            let at_byte = differing.unwrap_or(old.len().min(new.len()));
            let byte = |bytes: &[u8]| bytes.get(at_byte).copied().unwrap_or_default();
            return Err(VerifyError::Unplanned {
                at: FileOffset((at + at_byte) as u64),
                old: byte(old),
                new: byte(new),
            });
        }
        Ok(())
    }

    /// A piece of the output of at most [`CHUNK`] bytes: from its file where it has one.
    fn output_at(&mut self, at: usize, end: usize) -> &[u8] {
        if let (Some(file), Some(buffer)) = (&self.output_file, self.buffer.get_mut(..end - at))
            && file.read_exact_at(buffer, at as u64).is_ok()
        {
            return buffer;
        }
        self.output.get(at..end).unwrap_or_default()
    }
}
