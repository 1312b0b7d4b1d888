//! Writing: a plan becomes a file. Nothing is decided here; [`super::space`] and the layout say
//! what goes where.

use super::plan::PatchPlan;
use super::space::TableHome;
use super::write_file::Pending;
use super::write_layout::{Layout, lay_out};
use crate::image::Image;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::ScopedJoinHandle;

pub use super::write_file::FileError;
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

/// A complete output that has not got its name yet, so that it can be checked first. Dropping it
/// removes it.
pub struct Draft {
    pending: Pending,
    report: WriteReport,
}

impl Draft {
    /// Where it lies for now.
    pub fn path(&self) -> &Path {
        self.pending.temporary_path()
    }

    /// Gives the output its name.
    ///
    /// # Errors
    /// When the output cannot be renamed; nothing is left behind then.
    pub fn publish(self) -> Result<WriteReport, WriteError> {
        self.pending.finish()?;
        Ok(self.report)
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
    draft(image, plan, output, options)?.publish()
}

/// As [`write`], under a temporary name beside the output.
///
/// # Errors
/// As [`write`].
pub fn draft(
    image: &Image,
    plan: &PatchPlan,
    output: &Path,
    options: &WriteOptions,
) -> Result<Draft, WriteError> {
    let data = image.data();
    let layout = lay_out(data, plan)?;
    let pending = Pending::create(image.path(), output, layout.file_size)?;
    let input_sha256 = std::thread::scope(|scope| {
        let hashing = match options.input_sha256 {
            Some(known) => Hash::Known(known),
            None => Hash::Running(scope.spawn(|| sha256(data))),
        };
        fill(&pending, image, &layout)?;
        Ok::<_, WriteError>(hashing.get())
    })?;
    for at in &layout.sha256_at {
        pending.write(*at, &input_sha256)?;
    }
    let report = WriteReport {
        output_size: layout.file_size,
        input_sha256,
        program_headers_moved: layout.table_home != TableHome::InPlace,
        changed_ranges: layout.restored_ranges,
    };
    Ok(Draft { pending, report })
}

/// The input's SHA-256, perhaps not computed yet.
enum Hash<'scope> {
    Known([u8; 32]),
    Running(ScopedJoinHandle<'scope, [u8; 32]>),
}

impl Hash<'_> {
    fn get(self) -> [u8; 32] {
        match self {
            Hash::Known(hash) => hash,
            Hash::Running(thread) => thread.join().unwrap_or_else(|e| resume_unwind(e)),
        }
    }
}

fn fill(pending: &Pending, image: &Image, layout: &Layout<'_>) -> Result<(), FileError> {
    pending.copy_start(image.path(), image.data())?;
    layout
        .pieces
        .iter()
        .try_for_each(|piece| pending.write(piece.at, &piece.bytes))
}

/// SHA-256 of some bytes.
pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}
