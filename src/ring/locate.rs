use super::RingError;
use std::path::{Path, PathBuf};

/// The ring files that a list of files and directories names: a file stands for itself, a directory
/// for every `gocc-*.ring` directly in it. In the order given, a directory's sorted by name, each
/// only once.
///
/// # Errors
/// When a directory cannot be listed, or a path does not exist.
pub fn ring_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, RingError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |source| RingError::Unreadable {
            path: path.clone(),
            source,
        };
        if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.extend(rings_in(path).map_err(unreadable)?);
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn rings_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"gocc-") && name.ends_with(b".ring") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
