//! What earlier scans have learned, so that the next one parses only what has changed.
//!
//! One file for each module root, the *pack*: its files as [`lower`](super::lower) left them, by the SHA-256 of
//! their text, and the results of the last scans, by all that they depend on. It belongs to one build of gocc.
//! A pack that is damaged, of another build, or not there is as good as an empty one: everything is learned
//! again. It appears whole or not at all.

use super::names::{self, Name};
use super::syntax::File;
use super::{ScanOptions, Scanned};
use crate::identity::{self, hex, sha256};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A SHA-256.
pub type Digest = [u8; 32];

/// Results of a module that are kept: with tests and without, with hints and without.
const MOST_RESULTS: usize = 4;

/// What the result of a scan depends on: the module, and what of the options makes a difference.
pub fn result_key(module: &Digest, options: &ScanOptions) -> Digest {
    let options = (
        &options.tags,
        options.tests,
        options.vendored,
        options.generated,
        options.confidence,
        &options.disabled,
    );
    let mut all = format!("{options:?}").into_bytes();
    all.extend(module);
    sha256(&all)
}

/// A pack as it is written, behind the SHA-256 of itself.
#[derive(Default, Serialize, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    files: Vec<Kept<'a>>,
    /// Newest last.
    #[serde(borrow)]
    results: Vec<(Digest, Cow<'a, str>)>,
}

/// One file.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    path: Cow<'a, Path>,
    digest: Digest,
    #[serde(borrow)]
    file: Cow<'a, [u8]>,
}

/// What is known of one module, and what this scan adds.
#[derive(Default)]
pub struct Pack {
    /// Where it is kept; nowhere without a cache.
    at: Option<PathBuf>,
    bytes: Vec<u8>,
    /// Where in `bytes` each file is.
    known: HashMap<Digest, std::ops::Range<usize>>,
    added: Vec<(PathBuf, Digest, Vec<u8>)>,
    result: Option<(Digest, String)>,
}

impl Pack {
    /// Opens the pack of a module in a cache directory.
    pub fn open(cache: Option<&Path>, root: &Path) -> Pack {
        let Some(cache) = cache else {
            return Pack::default();
        };
        let directory = cache.join(hex(&sha256(root.as_os_str().as_encoded_bytes())));
        let at = directory.join("pack");
        let mut pack = Pack {
            bytes: fs::read(&at).ok().and_then(checked).unwrap_or_default(),
            at: Some(at),
            ..Pack::default()
        };
        pack.known = pack.index();
        if !pack.bytes.is_empty() {
            // One that cannot be touched is at worst removed too early and made again.
            let _ =
                fs::File::open(directory).and_then(|entry| entry.set_modified(SystemTime::now()));
        }
        pack
    }

    fn content(&self) -> Content<'_> {
        postcard::from_bytes(&self.bytes).unwrap_or_default()
    }

    fn index(&self) -> HashMap<Digest, std::ops::Range<usize>> {
        let start = self.bytes.as_ptr() as usize;
        let place = |kept: Kept<'_>| {
            let Cow::Borrowed(file) = kept.file else {
                return None;
            };
            let from = (file.as_ptr() as usize).checked_sub(start)?;
            Some((kept.digest, from..from.checked_add(file.len())?))
        };
        self.content().files.into_iter().filter_map(place).collect()
    }

    /// The file with this text, as it was parsed.
    pub fn file(&self, digest: &Digest) -> Option<File> {
        decode(self.bytes.get(self.known.get(digest)?.clone())?)
    }

    /// Adds files that were parsed.
    pub fn add<'f>(&mut self, files: impl Iterator<Item = (&'f Path, Digest, &'f File)>) {
        if self.at.is_none() {
            self.added
                .extend(files.map(|(path, digest, _)| (path.to_owned(), digest, Vec::new())));
            return;
        }
        let files: Vec<_> = files.collect();
        let encoded = files
            .into_par_iter()
            .filter_map(|(path, digest, file)| Some((path.to_owned(), digest, encode(file)?)));
        self.added.extend(encoded.collect::<Vec<_>>());
    }

    /// How many files were parsed.
    pub fn added(&self) -> usize {
        self.added.len()
    }

    /// The result of an earlier scan.
    pub fn result(&self, key: &Digest) -> Option<Scanned> {
        let results = self.content().results;
        let (_, text) = results.iter().find(|(known, _)| known == key)?;
        serde_json::from_str(text).ok()
    }

    /// Adds the result of this scan.
    pub fn add_result(&mut self, key: Digest, scanned: &Scanned) {
        if self.at.is_some() {
            self.result = serde_json::to_string(scanned).ok().map(|text| (key, text));
        }
    }

    /// Writes what is new. What cannot be written is learned again by the next scan.
    pub fn save(&self) {
        if let Some(at) = &self.at
            && !(self.added.is_empty() && self.result.is_none())
        {
            let _ = self.write(at);
        }
    }

    fn write(&self, at: &Path) -> std::io::Result<()> {
        let mut content = self.content();
        let new: HashSet<&Path> = self.added.iter().map(|(path, ..)| &**path).collect();
        content
            .files
            .retain(|kept| !new.contains(&*kept.path) && kept.path.exists());
        let added = self.added.iter().map(|(path, digest, file)| Kept {
            path: Cow::Borrowed(path),
            digest: *digest,
            file: Cow::Borrowed(file),
        });
        content.files.extend(added);
        if let Some((key, text)) = &self.result {
            content.results.retain(|(known, _)| known != key);
            content.results.push((*key, Cow::Borrowed(text)));
        }
        let superfluous = content.results.len().saturating_sub(MOST_RESULTS);
        content.results.drain(..superfluous);
        let bytes = postcard::to_allocvec(&content).map_err(std::io::Error::other)?;
        let directory = at.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&sealed(&bytes)?)?;
        file.write_all(&bytes)?;
        file.persist(at)?;
        Ok(())
    }
}

/// The SHA-256 of a pack and of the gocc that may read it.
fn sealed(bytes: &[u8]) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    hasher.update(identity::of_gocc()?);
    hasher.update(bytes);
    Ok(hasher.finalize().into())
}

fn checked(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (seal, content) = bytes.split_first_chunk::<32>()?;
    if *seal != sealed(content).ok()? {
        return None;
    }
    bytes.drain(..32);
    Some(bytes)
}

fn encode(file: &File) -> Option<Vec<u8>> {
    let (names, body) = names::written(|| postcard::to_allocvec(file));
    let names: Vec<&str> = names.iter().map(|name| name.text()).collect();
    postcard::to_allocvec(&(names, body.ok()?)).ok()
}

fn decode(bytes: &[u8]) -> Option<File> {
    let (names, body): (Vec<&str>, &[u8]) = postcard::from_bytes(bytes).ok()?;
    let names = names.into_iter().map(Name::new).collect();
    names::with_names(names, || postcard::from_bytes(body)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::lower;
    use super::*;

    const SOURCE: &str = "package p\n\nimport \"sync\"\n\ntype T struct {\n\tmu sync.Mutex\n\tm map[string]int\n}\n\n\
        func (t *T) Set(k string) {\n\tt.mu.Lock()\n\tdefer t.mu.Unlock()\n\tt.m[k]++\n\tgo func() { t.m[\"x\"] = 1 }()\n}\n";

    #[test]
    fn a_parsed_file_comes_back_as_it_was() {
        let file = lower::parse(SOURCE);
        let back = encode(&file).and_then(|bytes| decode(&bytes));
        assert_eq!(format!("{:?}", Some(file)), format!("{back:?}"));
    }

    #[test]
    fn a_damaged_pack_is_an_empty_one() {
        let place = tempfile::tempdir().ok();
        let place = place.as_ref().map(tempfile::TempDir::path);
        let root = Path::new("/module");
        let key = sha256(SOURCE.as_bytes());
        let file = lower::parse(SOURCE);
        let mut pack = Pack::open(place, root);
        assert!(pack.file(&key).is_none());
        pack.add([(Path::new("/"), key, &file)].into_iter());
        pack.save();
        let again = Pack::open(place, root);
        assert!(again.file(&key).is_some());
        let at = again.at.clone().unwrap_or_default();
        let whole = fs::read(&at).unwrap_or_default();
        assert!(whole.len() > 200);
        for position in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            assert!(fs::write(&at, &bytes).is_ok());
            assert!(
                Pack::open(place, root).file(&key).is_none(),
                "byte {position}"
            );
            assert!(fs::write(&at, &whole[..position]).is_ok());
            assert!(
                Pack::open(place, root).file(&key).is_none(),
                "cut at {position}"
            );
        }
    }
}
