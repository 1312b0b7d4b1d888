//! Writing: a plan becomes a file. Nothing is decided here; [`super::space`] and the layout say
//! what goes where.

use super::plan::PatchPlan;
use super::space::TableHome;
use super::verify_bytes::Read;
use super::write_file::Pending;
use super::write_layout::{Layout, lay_out};
use crate::image::Image;
use serde::Serialize;
use std::path::Path;

pub use super::write_file::FileError;
pub use super::write_hash::InputHash;
pub use super::write_layout::LayoutError;
pub use super::write_sections::SectionError;

/// Why a patched file was not written. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The plan and the input do not fit together.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Reading or writing failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The input's SHA-256, if it is known already.
    pub input_sha256: Option<[u8; 32]>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct WriteReport {
    /// Size of the output in bytes, holes included.
    pub output_size: u64,
    /// SHA-256 of the input.
    pub input_sha256: [u8; 32],
    /// The program header table lies in a new segment: the input has no room behind it.
    pub program_headers_moved: bool,
    /// Ranges of the input that differ in the output.
    pub changed_ranges: usize,
}

/// A complete output that has not got its name yet, so that it can be checked first. Only the
/// input's SHA-256 may be missing. Dropping it removes it.
pub struct Draft {
    pending: Pending,
    hash: InputHash,
    sha256_at: Vec<u64>,
    output_size: u64,
    program_headers_moved: bool,
    changed_ranges: usize,
}

impl Draft {
    /// Where it lies for now.
    pub fn path(&self) -> &Path {
        self.pending.temporary_path()
    }

    /// Waits for the input's SHA-256, stores it, and gives the output its name.
    ///
    /// # Errors
    /// When the output cannot be written or renamed; nothing is left behind then.
    pub fn publish(self) -> Result<WriteReport, WriteError> {
        let input_sha256 = self.hash.get();
        for at in &self.sha256_at {
            self.pending.write(*at, &input_sha256)?;
        }
        self.pending.finish()?;
        Ok(WriteReport {
            output_size: self.output_size,
            input_sha256,
            program_headers_moved: self.program_headers_moved,
            changed_ranges: self.changed_ranges,
        })
    }
}

/// Writes the output: whole, with the input's permissions, or not at all.
///
/// # Errors
/// When the plan does not fit the image, or the output is the input or cannot be written.
pub fn write(
    image: &Image,
    plan: &PatchPlan,
    output: &Path,
    options: &WriteOptions,
) -> Result<WriteReport, WriteError> {
    let hash = options.input_sha256.map(InputHash::known);
    let hash = hash.unwrap_or_else(|| InputHash::start(image));
    draft(image, plan, output, hash, |_, _| {})?.publish()
}

/// As [`write`], under a temporary name beside the output. The input's hash is better started
/// early: it takes longer than the copy. `written` is told how far the output is final, from its
/// start, and how to read it back.
///
/// # Errors
/// As [`write`].
pub fn draft(
    image: &Image,
    plan: &PatchPlan,
    output: &Path,
    hash: InputHash,
    written: impl FnMut(u64, Read<'_>),
) -> Result<Draft, WriteError> {
    let layout = lay_out(image.data(), plan)?;
    let pending = Pending::create(image.path(), output, layout.file_size)?;
    fill(&pending, image, &layout, written)?;
    Ok(Draft {
        pending,
        hash,
        output_size: layout.file_size,
        program_headers_moved: layout.table_home != TableHome::InPlace,
        changed_ranges: layout.restored_ranges,
        sha256_at: layout.sha256_at,
    })
}

/// Bytes copied at once: small enough to be read back from a core's cache.
const CHUNK: u64 = 256 << 10;

/// Copies the input and writes the pieces over it, from the start to the end.
fn fill(
    pending: &Pending,
    image: &Image,
    layout: &Layout<'_>,
    mut written: impl FnMut(u64, Read<'_>),
) -> Result<(), FileError> {
    let shared = pending.share(image.path(), image.data().len() as u64)?;
    let read = |at, buffer: &mut [u8]| pending.read(at, buffer);
    let mut pieces = layout.pieces.iter().peekable();
    for (at, chunk) in (0..)
        .step_by(CHUNK as usize)
        .zip(image.data().chunks(CHUNK as usize))
    {
        if !shared {
            pending.write(at, chunk)?;
        }
        let copied = at + chunk.len() as u64;
        while let Some(piece) = pieces.next_if(|piece| piece.end() <= copied) {
            pending.write(piece.at, &piece.bytes)?;
        }
        written(
            pieces.peek().map_or(copied, |next| next.at.min(copied)),
            &read,
        );
    }
    pieces.try_for_each(|piece| pending.write(piece.at, &piece.bytes))
}
