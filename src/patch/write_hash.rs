//! The input's SHA-256, computed beside everything else; and reading large files in pieces, so that
//! they are not all in memory at once.

use super::write_file::FileError;
use crate::image::Image;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::thread::JoinHandle;

/// Bytes read at once: small enough to stay in a core's cache.
const CHUNK: usize = 256 << 10;

/// The SHA-256 of an input, perhaps not computed yet.
pub struct InputHash(State);

enum State {
    Known([u8; 32]),
    Running(JoinHandle<Result<[u8; 32], FileError>>),
}

impl InputHash {
    /// A hash that is known already.
    pub fn known(sha256: [u8; 32]) -> InputHash {
        InputHash(State::Known(sha256))
    }

    /// Starts to hash an image's file.
    pub fn start(image: &Image) -> InputHash {
        let Some(file) = file_of(image) else {
            return InputHash::known(Sha256::digest(image.data()).into());
        };
        let (len, path) = (image.data().len(), image.path().to_path_buf());
        InputHash(State::Running(std::thread::spawn(move || {
            hash_file(&file, len).map_err(|source| FileError::Input { path, source })
        })))
    }

    /// The hash, once it is there.
    ///
    /// # Errors
    /// When the input could not be read to its end.
    pub fn get(self) -> Result<[u8; 32], FileError> {
        match self.0 {
            State::Known(sha256) => Ok(sha256),
            State::Running(thread) => thread.join().unwrap_or_else(|e| resume_unwind(e)),
        }
    }
}

fn hash_file(file: &File, len: usize) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK.min(len)];
    for at in (0..len).step_by(CHUNK) {
        let chunk = buffer.get_mut(..CHUNK.min(len - at)).unwrap_or_default();
        file.read_exact_at(chunk, at as u64)?;
        hash.update(chunk);
    }
    Ok(hash.finalize().into())
}

/// The file behind an image, if it still has the image's size.
fn file_of(image: &Image) -> Option<File> {
    let file = File::open(image.path()).ok()?;
    let same = file.metadata().ok()?.len() == image.data().len() as u64;
    same.then_some(file)
}

/// Reads parts of an image: from its file where it has one, which leaves the mapping, and so the
/// memory, alone.
pub(super) struct Reader<'a> {
    file: Option<File>,
    data: &'a [u8],
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Bytes that [`Reader::at`] gives at most.
    pub const MOST: usize = CHUNK;

    pub fn new(image: &'a Image) -> Reader<'a> {
        Reader {
            file: file_of(image),
            data: image.data(),
            buffer: vec![0; CHUNK],
        }
    }

    /// Bytes at an offset; `None` when the file ends before.
    pub fn at(&mut self, at: usize, len: usize) -> Option<&[u8]> {
        let Some(file) = &self.file else {
            return self.data.get(at..at.checked_add(len)?);
        };
        let buffer = self.buffer.get_mut(..len)?;
        file.read_exact_at(buffer, at as u64).ok()?;
        Some(buffer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_hash_as_their_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            let expected: [u8; 32] = Sha256::digest(&bytes).into();
            assert_eq!(hash_file(file.as_file(), len).unwrap(), expected);
            assert!(hash_file(file.as_file(), len + 1).is_err());
        }
    }
}
