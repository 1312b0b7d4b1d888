//! What tells contents, files and builds of gocc apart.

use sha2::{Digest, Sha256};
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of what can be read, in hexadecimal.
///
/// # Errors
/// When it cannot be read to its end.
pub fn sha256_of(mut from: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

/// What changes when a file does.
pub fn of_file(file: &Metadata) -> String {
    let times = (
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    );
    format!("{} {} {} {times:?}", file.dev(), file.ino(), file.size())
}

/// What changes when gocc may do something differently: its version and its executable.
///
/// # Errors
/// When its executable cannot be looked at.
pub fn of_gocc() -> io::Result<String> {
    let own = std::fs::metadata("/proc/self/exe")?;
    Ok(format!(
        "gocc {} {}",
        env!("CARGO_PKG_VERSION"),
        of_file(&own)
    ))
}
