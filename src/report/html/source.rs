//! Lines of source code around a place, when the source is at hand.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Lines shown before and after the one of interest.
const AROUND: usize = 3;
/// Larger files are not read, in bytes.
const LARGEST: u64 = 8 << 20;

/// One line of a file.
pub struct Line {
    /// Its number, from 1 on.
    pub number: usize,
    /// Its text, without its end.
    pub text: String,
    /// It is the line of interest.
    pub here: bool,
}

/// The files that were read so far.
pub struct Sources<'a> {
    root: Option<&'a Path>,
    files: RefCell<HashMap<String, Option<Rc<str>>>>,
}

impl<'a> Sources<'a> {
    /// Sources lie where the compiler found them, or else below `root`.
    pub fn new(root: Option<&'a Path>) -> Sources<'a> {
        Sources {
            root,
            files: RefCell::default(),
        }
    }

    /// The lines around one; nothing when the file, or the line in it, is not there.
    pub fn around(&self, file: &str, line: u32) -> Vec<Line> {
        let Some(text) = self.read(file) else {
            return Vec::new();
        };
        let here = line as usize;
        let count = text.lines().count();
        if here == 0 || here > count {
            return Vec::new();
        }
        let first = here.saturating_sub(AROUND).max(1);
        let shown = text
            .lines()
            .enumerate()
            .skip(first - 1)
            .take(here + AROUND + 1 - first);
        shown
            .map(|(index, text)| Line {
                number: index + 1,
                text: text.to_owned(),
                here: index + 1 == here,
            })
            .collect()
    }

    fn read(&self, file: &str) -> Option<Rc<str>> {
        if let Some(known) = self.files.borrow().get(file) {
            return known.clone();
        }
        let text = self
            .candidates(file)
            .iter()
            .find_map(|path| read_go_file(path))
            .map(Rc::from);
        self.files
            .borrow_mut()
            .insert(file.to_owned(), text.clone());
        text
    }

    /// The path itself, then its ends below the root: `example.org/app/cache/cache.go` may lie in
    /// `ROOT/cache/cache.go`.
    fn candidates(&self, file: &str) -> Vec<PathBuf> {
        let mut candidates = Vec::new();
        if file.starts_with('/') {
            candidates.push(PathBuf::from(file));
        }
        let Some(root) = self.root else {
            return candidates;
        };
        let parts: Vec<&str> = file.split('/').filter(|part| !part.is_empty()).collect();
        if parts.contains(&"..") {
            return candidates;
        }
        for start in 0..parts.len() {
            let end: PathBuf = parts.iter().skip(start).collect();
            candidates.push(root.join(end));
        }
        candidates
    }
}

/// An executable says what its files are called, and reports are sent around: whatever it names,
/// nothing but Go source is copied.
fn read_go_file(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let is_go = real.extension().is_some_and(|extension| extension == "go");
    let metadata = std::fs::metadata(&real).ok()?;
    if !is_go || !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let bytes = std::fs::read(&real).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_go_source_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret.txt");
        std::fs::write(&secret, "one\ntwo\n").unwrap();
        let disguised = directory.path().join("disguised.go");
        std::os::unix::fs::symlink(&secret, &disguised).unwrap();
        let sources = Sources::new(None);
        for path in [&secret, &disguised, &directory.path().to_owned()] {
            assert!(sources.around(path.to_str().unwrap(), 1).is_empty());
        }
    }

    #[test]
    fn lines_around_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pkg/a.go");
        std::fs::create_dir(directory.path().join("pkg")).unwrap();
        std::fs::write(&file, "1\n2\n3\n4\n5\n6\n7\n8\n9\n").unwrap();
        let numbers = |sources: &Sources<'_>, name: &str, line| -> Vec<usize> {
            let lines = sources.around(name, line);
            lines.iter().map(|line| line.number).collect()
        };
        let name = file.to_str().unwrap();
        let plain = Sources::new(None);
        assert_eq!(numbers(&plain, name, 5), [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(numbers(&plain, name, 1), [1, 2, 3, 4]);
        assert_eq!(numbers(&plain, name, 9), [6, 7, 8, 9]);
        assert!(numbers(&plain, name, 10).is_empty());
        assert!(numbers(&plain, "example.org/m/pkg/a.go", 1).is_empty());
        let below = Sources::new(Some(directory.path()));
        assert_eq!(numbers(&below, "example.org/m/pkg/a.go", 1), [1, 2, 3, 4]);
        assert!(numbers(&below, "../pkg/a.go", 1).is_empty());
    }
}
