//! Patched programs are kept, so that a second run starts at once.
//!
//! `$XDG_CACHE_HOME/gocc/exec/` holds two kinds of things. `seen/ID`, ID made of device, inode, size
//! and times of an executable, says which content (SHA-256) that file had, so that it need not be
//! read again. `KEY/NAME`, KEY made of the content, gocc itself and the options, is the patched
//! executable, under the name of the original. What is not used any more is removed ([`prune`]).
//!
//! `$XDG_CACHE_HOME/gocc/scan/` holds what `gocc scan` has learned, module by module ([`crate::scan::cache`]).

mod prune;

use super::progress::Progress;
use crate::identity::{self, hex};
use crate::image::Image;
use crate::patch::{Mode, PatchRequest, patch_file};
use anyhow::{Context, anyhow};
use prune::InUse;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The patched version of an executable, from the cache or made now; itself when it is patched.
///
/// # Errors
/// When the executable cannot be read or is refused by the patcher, or the cache not written.
pub fn patched(program: &Path) -> anyhow::Result<PathBuf> {
    // What is no ELF file at all is refused by the patcher, in its own words.
    if Image::open(program).is_ok_and(|image| image.is_already_patched()) {
        return Ok(program.to_owned());
    }
    let root = root()?;
    let (output, is_new) = cached(program, &root)?;
    if is_new {
        prune::prune(&root);
    }
    Ok(output)
}

/// The patched version of an executable in this cache, and whether it had to be made.
fn cached(program: &Path, root: &Path) -> anyhow::Result<(PathBuf, bool)> {
    let in_use = InUse::new(root);
    let content = content_of(program, root, &in_use)?;
    let own = identity::of_gocc().context("cannot look at gocc's own executable")?;
    // Patching may give other bytes whenever gocc is another one.
    let key = digest_of(&format!("{content} {own}"));
    let name = program
        .file_name()
        .ok_or_else(|| anyhow!("{} has no file name", program.display()))?;
    let entry = root.join(key);
    let output = entry.join(name);
    in_use.touch(&entry);
    if is_executable(&output) {
        return Ok((output, false));
    }
    private_dir(&entry)?;
    let _progress = Progress::start(format!("patching {}", program.display()));
    // The output appears whole or not at all, so another gocc that does the same does no harm.
    patch_file(&PatchRequest {
        input: program.to_owned(),
        output: output.clone(),
        mode: Mode::default(),
        dir: None,
        ring_size: None,
        plan: None,
        verify: true,
    })?;
    Ok((output, true))
}

/// The content's SHA-256 in hexadecimal; read from the file only when it is new or has changed.
fn content_of(program: &Path, root: &Path, in_use: &InUse) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", program.display());
    let file = File::open(program).with_context(cannot)?;
    let identity = identity::of_file(&file.metadata().with_context(cannot)?);
    let seen = root.join("seen").join(digest_of(&identity));
    let known = fs::read_to_string(&seen).ok();
    if let Some(content) = known.filter(|text| text.len() == 64) {
        in_use.touch(&seen);
        return Ok(content);
    }
    let _progress = Progress::start(format!("reading {}", program.display()));
    let content = identity::sha256_of(file).with_context(cannot)?;
    write_whole(&seen, content.as_bytes())?;
    Ok(content)
}

fn root() -> anyhow::Result<PathBuf> {
    let root = directory("exec");
    root.ok_or_else(|| {
        anyhow!("no place for patched programs: neither XDG_CACHE_HOME nor HOME is set")
    })
}

/// A directory of gocc's in the user's cache.
fn directory(name: &str) -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    Some(cache?.join("gocc").join(name))
}

/// Where `gocc scan` keeps what it has learned. While this lives, nothing is removed from it.
pub struct ScanCache {
    root: PathBuf,
    in_use: InUse,
}

impl ScanCache {
    /// In the user's cache; none where there is no such place.
    pub fn open() -> Option<ScanCache> {
        let root = directory("scan")?;
        let in_use = InUse::new(&root);
        Some(ScanCache { root, in_use })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what has not been used for long.
    pub fn close(self) {
        drop(self.in_use);
        prune::prune(&self.root);
    }
}

fn private_dir(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.with_context(|| {
        format!(
            "cannot make {} (set XDG_CACHE_HOME to a place that can be written)",
            path.display()
        )
    })
}

fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    private_dir(directory)?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A regular file that may be executed.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn digest_of(text: &str) -> String {
    hex(&identity::sha256(text.as_bytes()))
}
