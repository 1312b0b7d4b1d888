//! Keeping the cache small. Every build of a test makes another executable, so what nobody used for
//! some days goes, as in Go's own build cache; and what is beyond a size goes earlier.

use super::private_dir;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What was not used for so long is removed.
const KEPT_FOR: Duration = Duration::from_secs(5 * 24 * 3600);
/// Of what is beyond this, in bytes, the least recently used goes,
const MOST_BYTES: u64 = 4 << 30;
/// but nothing that was used in this time: a program may run its own file again.
const SAFE_FOR: Duration = Duration::from_secs(3600);

/// While it lives nothing is removed from the cache.
pub struct InUse {
    /// None in a cache that cannot be written: nothing is removed from it either.
    _lock: Option<File>,
}

impl InUse {
    /// Waits for whoever is removing things, which takes milliseconds.
    pub fn new(root: &Path) -> InUse {
        let lock = private_dir(root).ok().and_then(|()| {
            let file = lock_file(root).ok()?;
            flock(&file, FlockOperation::LockShared).ok()?;
            Some(file)
        });
        InUse { _lock: lock }
    }

    /// Notes that an entry is used now.
    pub fn touch(&self, entry: &Path) {
        // An entry that cannot be touched is at worst removed too early and made again.
        let _ = File::open(entry).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

fn lock_file(root: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options.open(root.join("lock"))
}

/// An entry of the cache: what is removed at once.
struct Entry {
    path: PathBuf,
    bytes: u64,
    unused_for: Duration,
}

/// Removes what is old or too much. Does nothing when the cache is in use, or cannot be read: what it
/// leaves, the next one removes.
pub fn prune(root: &Path) {
    let Ok(lock) = lock_file(root) else { return };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let mut entries = entries_in(root);
    entries.extend(entries_in(&root.join("seen")));
    for path in superfluous(entries) {
        let _ = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
    }
}

fn entries_in(directory: &Path) -> Vec<Entry> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_own = |entry: &DirEntry| entry.file_name() != "seen" && entry.file_name() != "lock";
    entries
        .filter(is_own)
        .filter_map(|e| described(&e))
        .collect()
}

fn described(entry: &DirEntry) -> Option<Entry> {
    let metadata = entry.metadata().ok()?;
    let path = entry.path();
    let files = fs::read_dir(&path).into_iter().flatten().flatten();
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
    Some(Entry {
        bytes: bytes.sum(),
        // A time in the future: just now.
        unused_for: metadata.modified().ok()?.elapsed().unwrap_or_default(),
        path,
    })
}

/// Which entries go.
fn superfluous(mut entries: Vec<Entry>) -> Vec<PathBuf> {
    entries.sort_by_key(|entry| entry.unused_for);
    let mut kept_bytes: u64 = 0;
    let goes = |entry: &Entry| {
        kept_bytes = kept_bytes.saturating_add(entry.bytes);
        let is_too_much = kept_bytes > MOST_BYTES && entry.unused_for > SAFE_FOR;
        entry.unused_for > KEPT_FOR || is_too_much
    };
    let (gone, _): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(goes);
    gone.into_iter().map(|entry| entry.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_and_what_is_too_much_go() {
        const DAY: u64 = 24 * 3600;
        let cases = [
            ("new", 3, 0),
            ("used", 3, 2),
            ("old", 0, 6 * DAY),
            ("much", 1, DAY),
        ];
        let entry = |&(name, gigabytes, seconds): &(&str, u64, u64)| Entry {
            path: name.into(),
            bytes: gigabytes << 30,
            unused_for: Duration::from_secs(seconds),
        };
        let gone = superfluous(cases.iter().map(entry).collect());
        assert_eq!(gone, [PathBuf::from("much"), PathBuf::from("old")]);
    }
}
