//! Which files of a tree are looked at: Go's own idea of modules, packages, build constraints,
//! generated, vendored and test files.

use super::ScanError;
use super::cache::{Digest, Pack};
use super::constraint;
use super::syntax::File;
use super::{ScanOptions, lower};
use crate::identity::sha256;
use ignore::WalkBuilder;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger files are data in the form of Go.
const LARGEST: u64 = 4 << 20;

/// The files below one go.mod.
#[derive(Debug)]
pub struct Module {
    /// Where its go.mod lies; where the scan began when there is none.
    pub root: PathBuf,
    /// Its import path.
    pub path: String,
    /// The minor version of Go that it asks for: 22 for 1.22.
    pub go: u32,
    /// Its files, sorted by path.
    pub files: Vec<SourceFile>,
}

impl Module {
    /// The import path of the package that a file belongs to.
    pub fn import_path(&self, file: &Path) -> String {
        let directory = file.parent().unwrap_or(Path::new(""));
        let below = directory.strip_prefix(&self.root).unwrap_or(Path::new(""));
        if below.as_os_str().is_empty() {
            self.path.clone()
        } else {
            format!("{}/{}", self.path, below.display())
        }
    }
}

/// One file of a module.
#[derive(Debug)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub file: File,
    /// `_test.go`.
    pub test: bool,
}

/// Files of one module that were found and read.
pub struct Unparsed {
    /// As [`Module::root`].
    pub root: PathBuf,
    go_mod: String,
    files: Vec<Text>,
}

struct Text {
    path: PathBuf,
    bytes: Vec<u8>,
    digest: Digest,
}

/// Finds and reads what the options name.
///
/// # Errors
/// When a path that was named does not exist or holds no Go files.
pub fn read(options: &ScanOptions) -> Result<Vec<Unparsed>, ScanError> {
    let mut by_module: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in &options.paths {
        for file in go_files(path, options)? {
            let root = module_root(&file).unwrap_or_else(|| path.clone());
            by_module.entry(root).or_default().push(file);
        }
    }
    if by_module.is_empty() {
        let path = options.paths.first().cloned().unwrap_or_default();
        return Err(ScanError::NothingToScan { path });
    }
    Ok(by_module
        .into_iter()
        .map(|(root, files)| unparsed(root, files, options))
        .collect())
}

/// Finds, reads and parses what the options name.
///
/// # Errors
/// As [`read`].
pub fn load(options: &ScanOptions) -> Result<Vec<Module>, ScanError> {
    let unparsed = read(options)?.into_iter();
    Ok(unparsed
        .map(|unparsed| {
            let mut pack = Pack::open(options.cache.as_deref(), &unparsed.root);
            let module = unparsed.parse(&mut pack);
            pack.save();
            module
        })
        .collect())
}

/// `./...` means the same as `.`: directories are always looked through.
fn without_dots(path: &Path) -> PathBuf {
    if path.ends_with("...") {
        path.parent().unwrap_or(Path::new(".")).to_owned()
    } else {
        path.to_owned()
    }
}

fn go_files(path: &Path, options: &ScanOptions) -> Result<Vec<PathBuf>, ScanError> {
    let start = without_dots(path);
    let start = if start.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        start
    };
    let start = start
        .canonicalize()
        .map_err(|source| ScanError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    let mut walk = WalkBuilder::new(&start);
    let vendored = options.vendored;
    walk.standard_filters(false)
        .hidden(true)
        .filter_entry(move |entry| {
            let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
            let name = entry.file_name().to_string_lossy();
            // The go command's own rules for `./...`; what the user named is always looked at.
            entry.depth() == 0
                || !is_directory
                || !(name.starts_with('_')
                    || name == "testdata"
                    || name == "node_modules"
                    || name == "vendor" && !vendored)
        });
    let mut found = Vec::new();
    for entry in walk.build() {
        let Ok(entry) = entry else { continue };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if is_file && is_wanted(entry.path(), options) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_wanted(path: &Path, options: &ScanOptions) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let Some(stem) = name.strip_suffix(".go") else {
        return false;
    };
    if name.starts_with('_') || name.starts_with('.') {
        return false;
    }
    (options.tests || !stem.ends_with("_test")) && constraint::name_matches(stem, &options.tags)
}

fn module_root(file: &Path) -> Option<PathBuf> {
    file.ancestors()
        .skip(1)
        .find(|directory| directory.join("go.mod").is_file())
        .map(Path::to_owned)
}

fn unparsed(root: PathBuf, mut paths: Vec<PathBuf>, options: &ScanOptions) -> Unparsed {
    paths.sort();
    paths.dedup();
    Unparsed {
        go_mod: std::fs::read_to_string(root.join("go.mod")).unwrap_or_default(),
        root,
        files: paths
            .into_par_iter()
            .filter_map(|path| text(path, options))
            .collect(),
    }
}

fn text(path: PathBuf, options: &ScanOptions) -> Option<Text> {
    let is_small = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let bytes = is_small.then(|| std::fs::read(&path).ok()).flatten()?;
    constraint::text_matches(&String::from_utf8_lossy(&bytes), &options.tags).then(|| Text {
        digest: sha256(&bytes),
        path,
        bytes,
    })
}

impl Unparsed {
    /// What a scan depends on, the options aside: go.mod, and each file's path and content.
    pub fn digest(&self) -> Digest {
        let mut all = self.go_mod.clone().into_bytes();
        for file in &self.files {
            all.extend(file.path.as_os_str().as_encoded_bytes());
            all.push(0);
            all.extend(file.digest);
        }
        sha256(&all)
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Parses the files that the pack does not know, and adds them to it.
    pub fn parse(self, pack: &mut Pack) -> Module {
        let known: &Pack = pack;
        let parsed: Vec<(SourceFile, Digest, bool)> = self
            .files
            .into_par_iter()
            .map(|text| {
                let test = text.path.to_string_lossy().ends_with("_test.go");
                let (file, is_new) = match known.file(&text.digest) {
                    Some(file) => (file, false),
                    None => (lower::parse(&String::from_utf8_lossy(&text.bytes)), true),
                };
                let path = text.path;
                (SourceFile { path, file, test }, text.digest, is_new)
            })
            .collect();
        pack.add(
            parsed
                .iter()
                .filter(|(.., is_new)| *is_new)
                .map(|(source, digest, _)| (source.path.as_path(), *digest, &source.file)),
        );
        Module {
            path: module_path(&self.go_mod),
            go: go_version(&self.go_mod),
            root: self.root,
            files: parsed.into_iter().map(|(source, ..)| source).collect(),
        }
    }
}

fn module_path(text: &str) -> String {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "));
    line.map_or("main", |path| {
        path.split("//")
            .next()
            .unwrap_or("")
            .trim()
            .trim_matches('"')
    })
    .to_owned()
}

/// Without a go line the go command assumes 1.16.
fn go_version(text: &str) -> u32 {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("go "));
    let minor = line.and_then(|version| version.trim().split('.').nth(1));
    minor
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(if text.is_empty() { 27 } else { 16 })
}
