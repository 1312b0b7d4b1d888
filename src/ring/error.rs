use std::path::PathBuf;

/// Why a file is not a ring that can be read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The file or directory could not be opened, listed or read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory, a device, a FIFO.
    #[error("{path} is not a regular file (a ring is a file named gocc-*.ring)")]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// Shorter than the smallest ring.
    #[error("{path} is no ring, or was cut off: it has {size} bytes, a ring has at least {needed}")]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The least a ring has, in bytes.
        needed: u64,
    },
    /// Some other kind of file.
    #[error("{path} is not a ring: it starts with {found:02x?}, a ring with \"goccring\"")]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: [u8; 8],
    },
    /// Written by another version of gocc.
    #[error(
        "{path} is a ring of format {found}, this gocc reads format {supported} (use the gocc that patched the program)"
    )]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
        /// The only one supported.
        supported: u32,
    },
    /// The process has not filled in the header, or died before it could.
    #[error(
        "{path} was never completed, or was cut off: its process is still starting, or ended before the program ran, or somebody emptied it"
    )]
    NotReady {
        /// The file.
        path: PathBuf,
    },
    /// A header field with a value that no process writes.
    #[error("{path} is damaged: {field} is {value:#x}, expected {expected}")]
    BadField {
        /// The file.
        path: PathBuf,
        /// The field's name in the layout.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        expected: &'static str,
    },
    /// A lane whose header makes no sense; the other lanes may be read.
    #[error("{path} is damaged: lane {lane}: {what}")]
    DamagedLane {
        /// The file.
        path: PathBuf,
        /// The lane's number.
        lane: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}
