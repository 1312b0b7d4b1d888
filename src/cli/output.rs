//! Where text goes: stdout, stderr or a file, with styles only where they are wanted.

use anyhow::Context;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes an error with all its causes, on one line.
pub fn error_line(program: &str, error: &anyhow::Error) -> io::Result<()> {
    writeln!(io::stderr(), "{program}: error: {}", one_line(error))
}

/// Writes a remark.
pub fn note_line(text: &str) {
    // A remark that cannot be written is not worth failing for.
    let _ = writeln!(io::stderr(), "gocc: {text}");
}

/// Writes a remark of several lines.
pub fn note_lines(text: &[u8]) {
    String::from_utf8_lossy(text).lines().for_each(note_line);
}

/// An error and its causes, each only once: some errors quote their cause in their own text.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().replace('\n', " ");
        let cause = without_temporary_name(&without_number(&cause));
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Without the system's error numbers: "No such file or directory (os error 2)".
fn without_number(text: &str) -> String {
    match text.split_once(" (os error ") {
        Some((before, rest)) => format!(
            "{before}{}",
            rest.split_once(')').map_or("", |(_, after)| after)
        ),
        None => text.to_owned(),
    }
}

/// Without the name that a file had before it was whole, which tempfile's errors end with: the
/// user never saw it.
fn without_temporary_name(text: &str) -> String {
    let named = text.split_once(" at path \"");
    named.map_or(text, |(before, _)| before).to_owned()
}

/// Writes styled text to stdout. That nobody reads it any more (`| head`) is no error.
pub fn to_stdout(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}

/// Writes bytes to stdout that are not to be changed in any way.
pub fn to_stdout_as_is(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}

/// Writes styled text to stderr.
pub fn to_stderr(text: &[u8]) -> anyhow::Result<()> {
    let mut stderr = anstream::stderr().lock();
    match stderr.write_all(text).and_then(|()| stderr.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stderr"),
    }
}

/// Writes a file without styles; it appears whole or not at all.
pub fn to_file(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mut plain = anstream::StripStream::new(Vec::new());
        plain.write_all(text)?;
        write_plain(path, &plain.into_inner())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file of bytes that are not to be changed in any way; it appears whole or not at all.
pub fn to_file_as_is(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_plain(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file that is too large for the memory; it appears whole or not at all.
pub fn to_file_in_parts<T>(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<std::fs::File>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let cannot = || format!("cannot write {}", path.display());
    let (file, temporary) = temporary_beside(path).with_context(cannot)?.into_parts();
    let mut buffered = io::BufWriter::new(file);
    let result = write(&mut buffered).with_context(cannot)?;
    buffered.flush().with_context(cannot)?;
    temporary.persist(path).with_context(cannot)?;
    Ok(result)
}

fn temporary_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .permissions(permissions(path))
        .tempfile_in(directory)
}

fn write_plain(path: &Path, text: &[u8]) -> io::Result<()> {
    // What is not a regular file (/dev/stderr, a FIFO) is written to, never replaced.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(text);
    }
    let mut file = temporary_beside(path)?;
    file.write_all(text)?;
    file.persist(path)?;
    Ok(())
}

/// Those of the file that is replaced, else what the umask leaves of rw-rw-rw-.
fn permissions(path: &Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    let existing = std::fs::metadata(path).map(|metadata| metadata.permissions());
    existing.unwrap_or_else(|_| std::fs::Permissions::from_mode(0o666))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_told_once_and_on_one_line() {
        let io = || io::Error::from_raw_os_error(libc::ENOENT);
        let quoting = crate::ring::RingError::Unreadable {
            path: "r".into(),
            source: io(),
        };
        assert_eq!(
            one_line(&quoting.into()),
            "cannot read r: No such file or directory"
        );
        let unborn = tempfile::NamedTempFile::new_in("/nonexistent/place");
        let said = unborn.map_err(|error| one_line(&error.into()));
        assert!(said.is_err_and(|text| text == "No such file or directory"));
        let chain = anyhow!(io())
            .context("cannot open\nthe file")
            .context("cannot report");
        assert_eq!(
            one_line(&chain),
            "cannot report: cannot open the file: No such file or directory"
        );
    }
}
