//! A whole file or none: the output grows under a temporary name in its own directory and takes
//! its real name when it is complete.

use rustix::fs::ioctl_ficlone;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// Why an output file was not written. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input cannot be read.
    #[error("cannot read {path}")]
    Input {
        /// The input.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be created or written.
    #[error("cannot write {path}")]
    Output {
        /// The output.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output is the input.
    #[error("output {path} is the input; gocc never changes its input: choose another name")]
    SameFile {
        /// The output.
        path: PathBuf,
    },
    /// The output exists and is a directory, a device, ...
    #[error("output {path} exists and is not a regular file")]
    NotRegular {
        /// The output.
        path: PathBuf,
    },
}

/// An output that has not got its name yet; dropping it removes it.
pub(super) struct Pending {
    file: NamedTempFile,
    path: PathBuf,
}

impl Pending {
    /// Starts an output file beside its final place, `size` bytes of zeros, with the permissions
    /// of the input (without set-user-ID and the like: the copy's owner is another decision).
    pub fn create(input: &Path, output: &Path, size: u64) -> Result<Pending, FileError> {
        let mode = check_paths(input, output)?;
        let error = |source| FileError::Output {
            path: output.to_path_buf(),
            source,
        };
        let directory = output
            .parent()
            .filter(|d| !d.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let file = Builder::new()
            .prefix(".gocc-")
            .tempfile_in(directory)
            .map_err(error)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode & 0o777))
            .map_err(error)?;
        file.as_file().set_len(size).map_err(error)?;
        Ok(Pending {
            file,
            path: output.to_path_buf(),
        })
    }

    /// Where it lies until it is finished.
    pub fn temporary_path(&self) -> &Path {
        self.file.path()
    }

    /// Writes bytes at an offset.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .as_file()
            .write_all_at(bytes, at)
            .map_err(|source| self.error(source))
    }

    /// Reads bytes back.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.as_file().read_exact_at(buffer, at)
    }

    /// Lets the output share the input's blocks, `size` bytes, where the file system can do that
    /// (ioctl_ficlone(2): btrfs, XFS). The output keeps its own size.
    pub fn share(&self, input: &Path, size: u64) -> Result<bool, FileError> {
        let to = self.file.as_file();
        let whole = to.metadata().map_err(|source| self.error(source))?.len();
        let shared = File::open(input).is_ok_and(|from| {
            from.metadata().is_ok_and(|m| m.len() == size) && ioctl_ficlone(to, &from).is_ok()
        });
        if shared {
            to.set_len(whole).map_err(|source| self.error(source))?;
        }
        Ok(shared)
    }

    /// Gives the file its name, replacing a file of that name.
    pub fn finish(self) -> Result<(), FileError> {
        let path = self.path;
        self.file
            .persist(&path)
            .map(drop)
            .map_err(|e| FileError::Output {
                path,
                source: e.error,
            })
    }

    fn error(&self, source: io::Error) -> FileError {
        FileError::Output {
            path: self.path.clone(),
            source,
        }
    }
}

/// The input's mode, when this output may be written for it.
fn check_paths(input: &Path, output: &Path) -> Result<u32, FileError> {
    let from = std::fs::metadata(input).map_err(|source| FileError::Input {
        path: input.to_path_buf(),
        source,
    })?;
    let same = |to: &Metadata| (from.dev(), from.ino()) == (to.dev(), to.ino());
    let path = output.to_path_buf();
    match std::fs::metadata(output) {
        Ok(to) if same(&to) => Err(FileError::SameFile { path }),
        Ok(to) if !to.is_file() => Err(FileError::NotRegular { path }),
        _ => Ok(from.mode()),
    }
}
