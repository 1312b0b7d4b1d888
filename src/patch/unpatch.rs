//! Unpatching: a patched file gives back its input, byte for byte, or an error.

use super::note::{self, Note, NoteError};
use super::write_file::{FileError, Pending};
use crate::identity::hex;
use crate::image::{FileOffset, Image};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Why the original was not restored. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum UnpatchError {
    /// There is no gocc note.
    #[error("{path} carries no gocc note: it was not patched by gocc, or the note was removed")]
    NotPatched {
        /// The file.
        path: PathBuf,
    },
    /// The note is unreadable.
    #[error("cannot unpatch {path}")]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
    /// The file is not what gocc wrote.
    #[error(
        "{path} was changed since gocc wrote it (stripped, signed or packed, perhaps): {why}. \
         The original is not in it any more; its SHA-256 was {sha256}"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
        /// The SHA-256 of the original.
        sha256: String,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes the file that `patched` was made from: whole, or not at all.
///
/// # Errors
/// When the file was not patched, or was changed since, or the output cannot be written.
pub fn unpatch(patched: &Image, output: &Path) -> Result<Note, UnpatchError> {
    let path = || patched.path().to_path_buf();
    let unreadable = |source| UnpatchError::Note {
        path: path(),
        source,
    };
    let note = note::find(patched).map_err(unreadable)?;
    let note = note.ok_or_else(|| UnpatchError::NotPatched { path: path() })?;
    let ranges = note.restored_ranges().map_err(unreadable)?;
    let changed = |why| UnpatchError::Changed {
        path: path(),
        why,
        sha256: hex(&note.input_sha256),
    };

    let size = usize::try_from(note.input_size).ok();
    let kept = size.and_then(|size| patched.data().get(..size));
    let kept = kept.ok_or_else(|| changed("it is smaller than the original"))?;
    if sha256_with(kept, &ranges) != note.input_sha256 {
        return Err(changed("what it restores has another SHA-256"));
    }
    // From here on the ranges lie inside of what is kept, and restoring them gives the original.
    let pending = Pending::create(patched.path(), output, note.input_size)?;
    pending.write(0, kept)?;
    for (at, old) in &ranges {
        pending.write(at.0, old)?;
    }
    pending.finish()?;
    Ok(note)
}

/// The SHA-256 of some bytes with other bytes in ranges of them. The ranges ascend and end below
/// the length, as [`Note::restored_ranges`] checks.
fn sha256_with(kept: &[u8], ranges: &[(FileOffset, Vec<u8>)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut at = 0;
    for (offset, old) in ranges {
        let start = usize::try_from(offset.0).unwrap_or(usize::MAX);
        hash.update(kept.get(at..start).unwrap_or_default());
        hash.update(old);
        at = start.saturating_add(old.len());
    }
    hash.update(kept.get(at..).unwrap_or_default());
    hash.finalize().into()
}
