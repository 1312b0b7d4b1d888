use std::path::PathBuf;

/// Why a file is not an executable image that gocc can work on.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file could not be opened or mapped.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{path} is not an ELF executable: it looks like {found}; gocc patches compiled Go programs for linux/amd64"
    )]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What its first bytes say.
        found: String,
    },
    /// ELF, but for 32-bit machines.
    #[error(
        "{path} is a 32-bit ELF file; gocc supports 64-bit x86-64 only: build with GOARCH=amd64"
    )]
    Not64Bit {
        /// The file.
        path: PathBuf,
    },
    /// ELF, but big-endian.
    #[error(
        "{path} is a big-endian ELF file ({machine}); gocc supports x86-64 only: build with GOARCH=amd64"
    )]
    BigEndian {
        /// The file.
        path: PathBuf,
        /// The architecture's name.
        machine: String,
    },
    /// ELF, but for another architecture.
    #[error("{path} is for {machine}; gocc supports x86-64 only: build with GOARCH=amd64")]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// The architecture's name.
        machine: String,
    },
    /// ELF, but for another operating system.
    #[error("{path} is for {os}; gocc supports Linux only: build with GOOS=linux")]
    OtherOs {
        /// The file.
        path: PathBuf,
        /// The operating system's name.
        os: String,
    },
    /// ELF, but nothing that the kernel can execute.
    #[error("{path} is {kind}, not an executable: give gocc the linked program")]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// `a relocatable object file`, `a core dump`, ...
        kind: String,
    },
    /// A shared library or plugin: it has no entry point of its own.
    #[error(
        "{path} is a shared library (-buildmode=c-shared, plugin or shared), which gocc does not support: \
         patch an executable built with -buildmode=exe or pie"
    )]
    SharedLibrary {
        /// The file.
        path: PathBuf,
    },
    /// Headers describe bytes that the file does not have.
    #[error(
        "{path} is truncated: {what} ends at byte {end:#x}, but the file has {file_size:#x} bytes; copy or build it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What lies outside.
        what: String,
        /// Where it would end.
        end: u64,
        /// The file's size.
        file_size: u64,
    },
    /// Headers contradict each other.
    #[error("{path} is a damaged ELF file: {what}; copy or build it again")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
}
