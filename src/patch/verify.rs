//! Verifying: the output is read again and held against the input and the plan, with another
//! disassembler than the one that made the plan.
//!
//! 1. Every byte of the input that differs in the output belongs to an edit of the plan or to the
//!    headers, and is what the plan says.
//! 2. The output is a sound ELF file, its new segments hold what the plan says, and its note gives
//!    the input back.
//! 3. Every edit of code is a jump to the start of an instruction of a trampoline, and every jump
//!    out of a trampoline goes to the start of an instruction of a Go function.

use super::elf_out::{Headers, slice};
use super::plan::PatchPlan;
use super::verify_bytes::Comparison;
use super::verify_code::{self, CodeError};
use super::verify_elf::{self, ElfError};
use crate::golang::GoBinary;
use crate::image::{FileOffset, Image, ImageError, Vaddr};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;

/// What is wrong with an output.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be opened as an executable.
    #[error("the output cannot be read back")]
    Unreadable(#[from] ImageError),
    /// A part of it cannot be read back.
    #[error("the output cannot be read back")]
    Unread(#[source] std::io::Error),
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
    finish(go, plan, output, Comparison::new(go.image, plan))
}

/// As [`verify`], where a part of the output was compared while it was written.
///
/// # Errors
/// As [`verify`].
pub fn finish(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Path,
    comparison: Comparison<'_>,
) -> Result<VerifyReport, VerifyError> {
    let output = Image::open(output)?;
    check(go, plan, &output, comparison)
}

/// As [`verify`], on an open output.
///
/// # Errors
/// As [`verify`].
pub fn verify_image(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Image,
) -> Result<VerifyReport, VerifyError> {
    check(go, plan, output, Comparison::new(go.image, plan))
}

fn check(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Image,
    comparison: Comparison<'_>,
) -> Result<VerifyReport, VerifyError> {
    let bytes = output.data();
    let headers = Headers::parse(bytes).map_err(ElfError::from)?;
    comparison.finish(bytes.len() as u64, &|at, buffer| {
        let piece = slice(bytes, at, buffer.len() as u64);
        buffer.copy_from_slice(piece.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    })?;
    verify_elf::check(go.image, plan, output, &headers)?;
    let checked = verify_code::check(go, plan, output)?;
    Ok(VerifyReport {
        edits: plan.edits.len(),
        ..checked
    })
}
