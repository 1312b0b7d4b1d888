//! Concurrent map misuse found in Go source, before it is built.
//!
//! source tree -> [`files`] -> [`program`] -> [`sim`] -> [`races`], [`shared`], [`sync_maps`] -> [`found`] -> findings model
//!
//! 1. [`files`] finds the files that the go command would take, module by module, and parses them in
//!    parallel with tree-sitter; [`lower`] turns each tree into [`syntax`], which keeps only what matters here.
//! 2. [`program`] resolves names across a module: packages and imports, declared types, fields by way of
//!    embedded structs, methods, functions, package variables. What comes from outside the module is known
//!    by its import path and name.
//! 3. [`sim`] follows each *entry*: a function that something outside the module may call. Calls are
//!    entered, goroutines followed, and each touch of a map that others may reach is written down: who,
//!    where, the way there, the locks held, and where in the order of its goroutine's events. Which map it
//!    is, is told by where it was made, or by the field, variable or parameter it was found in.
//! 4. [`races`] compares the touches of one map by different goroutines of one entry: at least one
//!    writes, no lock held by both, and no path of events from one to the other ([`order`]).
//! 5. [`shared`] compares touches of different entries: by fields of one type or by package variable. There
//!    the argument is what the code itself says: it takes a lock elsewhere, it is a http handler, it
//!    starts a goroutine that stays.
//! 6. Each finding names a rule of [`rules`]. Its confidence is *high* when it is argued from the code
//!    alone, *medium* when a step is an assumption (the methods of one value are called by several
//!    goroutines), *low* otherwise; low ones are shown only when asked for.
//!
//! 7. [`join`] lays the findings of a program that ran over those of its source, place by place; [`tree`] knows
//!    which place is which, and why the scanner shows nothing at one.
//!
//! What is not followed: calls through interfaces with several implementations in the module, calls
//! into other modules beyond what `sim/known.rs` knows, more than nine calls deep, cgo, assembly, unsafe.
//! Pointers that meet in ways that this does not see are taken to be different: a race is missed
//! rather than invented.
//!
//! Where there is no source, [`binary`] asks the executable: a weaker view.

pub mod binary;
pub mod cache;
mod constraint;
mod convert;
pub mod files;
pub mod fix;
mod found;
mod hash;
mod join;
mod lower;
mod lower_code;
pub mod names;
mod order;
pub mod program;
mod races;
pub mod rules;
mod shared;
pub mod sim;
mod sync_maps;
pub mod syntax;
pub mod tree;
pub mod types;

pub use join::join;

use crate::analyze::model::{Analysis, Confidence, Finding, SourceSummary};
use cache::Pack;
use files::Module;
use found::Found;
use hash::Set;
use program::{FuncId, Program};
use rayon::prelude::*;
use sim::{Sim, TypeMemo};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What to scan, and how.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Build tags that hold.
    pub tags: Vec<String>,
    /// `_test.go` files too.
    pub tests: bool,
    /// Vendored packages too.
    pub vendored: bool,
    /// Generated files too.
    pub generated: bool,
    /// Show findings of at least this confidence.
    pub confidence: Confidence,
    /// Rules whose findings are not wanted.
    pub disabled: Vec<String>,
    /// Remember what was seen where ([`Scanned::tree`]).
    pub remember: bool,
    /// Where what was learned of files and modules is kept for the next scan.
    pub cache: Option<PathBuf>,
}

impl ScanOptions {
    /// All of a tree, tests too; what was seen where is remembered.
    pub fn of_tree(path: &Path, confidence: Confidence) -> ScanOptions {
        ScanOptions {
            paths: vec![path.to_owned()],
            tags: Vec::new(),
            tests: true,
            vendored: false,
            generated: true,
            confidence,
            disabled: Vec::new(),
            remember: true,
            cache: None,
        }
    }
}

/// What a scan looked at, and what it found.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Scanned {
    /// Findings, the surest first.
    pub findings: Vec<Finding>,
    /// Findings below the wanted confidence.
    pub hidden: usize,
    /// Findings that `//gocc:ignore` silences.
    pub ignored: Vec<Finding>,
    /// Files.
    pub files: usize,
    /// Their lines.
    pub lines: u64,
    /// Entries that were followed.
    pub entries: usize,
    /// Entries that were too large to be followed to their end.
    pub incomplete: usize,
    /// Files with syntax errors.
    pub broken: usize,
    /// Files that were not parsed: they are as they were.
    pub unchanged: usize,
    /// What was seen where; empty unless it was to be remembered.
    #[serde(skip)]
    pub tree: tree::Tree,
}

/// Why a scan is impossible.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A path that cannot be read.
    #[error("cannot scan {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No Go files.
    #[error("no Go files to scan in {} (tests, vendored and ignored files aside)", path.display())]
    NothingToScan {
        /// Where.
        path: PathBuf,
    },
}

/// How much of one entry is followed, in statements and expressions.
const MOST_STEPS: u32 = 40_000;

/// Scans.
///
/// # Errors
/// When a path that was named cannot be read or has no Go files.
pub fn scan(options: &ScanOptions) -> Result<Scanned, ScanError> {
    let mut scanned = Scanned::default();
    for unparsed in files::read(options)? {
        scanned.absorb(scan_unparsed(unparsed, options));
    }
    scanned.findings.sort_by_key(convert::order);
    Ok(scanned)
}

/// A module that is as it was at an earlier scan is not scanned again; of another, only new files are parsed.
fn scan_unparsed(unparsed: files::Unparsed, options: &ScanOptions) -> Scanned {
    let mut pack = Pack::open(options.cache.as_deref(), &unparsed.root);
    let key = cache::result_key(&unparsed.digest(), options);
    // What is remembered of a tree is not kept.
    if !options.remember
        && let Some(known) = pack.result(&key)
    {
        return Scanned {
            unchanged: known.files,
            ..known
        };
    }
    let files = unparsed.len();
    let module = unparsed.parse(&mut pack);
    let mut scanned = Scanned {
        unchanged: files - pack.added(),
        ..Scanned::default()
    };
    scan_module(module, options, &mut scanned);
    if !options.remember {
        pack.add_result(key, &scanned);
    }
    pack.save();
    scanned
}

impl Scanned {
    /// How much was looked at.
    pub fn summary(&self) -> SourceSummary {
        SourceSummary {
            files: self.files as u64,
            lines: self.lines,
        }
    }

    /// What was found, as a report has it.
    pub fn into_analysis(self) -> Analysis {
        Analysis {
            source: Some(self.summary()),
            findings: self.findings,
            ..Analysis::default()
        }
    }

    /// Adds what was found in another module.
    fn absorb(&mut self, other: Scanned) {
        self.findings.extend(other.findings);
        self.ignored.extend(other.ignored);
        self.hidden += other.hidden;
        self.files += other.files;
        self.lines += other.lines;
        self.entries += other.entries;
        self.incomplete += other.incomplete;
        self.broken += other.broken;
        self.unchanged += other.unchanged;
        self.tree.absorb(other.tree);
    }
}

fn scan_module(module: Module, options: &ScanOptions, scanned: &mut Scanned) {
    scanned.files += module.files.len();
    scanned.lines += module
        .files
        .iter()
        .map(|source| u64::from(source.file.lines))
        .sum::<u64>();
    scanned.broken += module
        .files
        .iter()
        .filter(|source| source.file.errors > 0)
        .count();
    let program = Program::new(module);
    let mut followed = follow_all(&program, entries(&program), options);
    let entered: Set<FuncId> = followed
        .iter()
        .flat_map(|followed| followed.entered.iter().copied())
        .collect();
    followed.extend(follow_all(
        &program,
        not_entered(&program, &entered),
        options,
    ));
    scanned.entries += followed.len();
    scanned.incomplete += followed
        .iter()
        .filter(|followed| !followed.complete)
        .count();
    let mut found: Vec<Found> = followed
        .iter_mut()
        .flat_map(|followed| std::mem::take(&mut followed.found))
        .collect();
    found.extend(shared::find(&program, &followed));
    if options.remember {
        scanned.tree.add(&program, &followed);
    }
    convert::convert(&program, found, options, scanned);
}

/// What is kept of an entry after it was followed.
pub(crate) struct Followed {
    found: Vec<Found>,
    touches: Vec<shared::Touch>,
    entered: Set<FuncId>,
    complete: bool,
    uses: tree::Uses,
}

fn follow_all(program: &Program, entries: Vec<FuncId>, options: &ScanOptions) -> Vec<Followed> {
    entries
        .into_par_iter()
        .map_init(
            || Rc::new(TypeMemo::default()),
            |memo, entry| follow(program, Rc::clone(memo), entry, options.remember),
        )
        .collect()
}

fn follow<'p>(
    program: &'p Program,
    memo: Rc<TypeMemo<'p>>,
    entry: FuncId,
    remember: bool,
) -> Followed {
    let mut sim = Sim::new(program, memo, MOST_STEPS);
    sim.run(entry);
    let mut found = races::find(&sim);
    found.extend(shared::left_locked(&sim));
    found.extend(shared::alone(&sim, entry));
    found.extend(sync_maps::find(&sim));
    Followed {
        found,
        touches: shared::touches(&sim, entry),
        complete: sim.is_complete(),
        uses: if remember {
            tree::uses(&sim)
        } else {
            Vec::new()
        },
        entered: std::mem::take(&mut sim.entered),
    }
}

/// Functions that something outside the module may call, or the runtime does.
fn entries(program: &Program) -> Vec<FuncId> {
    program
        .function_ids()
        .filter(|id| is_entry(program, *id))
        .collect()
}

fn is_entry(program: &Program, id: FuncId) -> bool {
    let function = program.function(id);
    let file = program.file_of(id);
    if function.body.is_none() {
        return false;
    }
    let name = function.name.text();
    if program.is_test(file) {
        return ["Test", "Benchmark", "Example", "Fuzz"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    }
    program.is_visible(id) || name == "main" && function.receiver.is_none()
}

/// Functions that no entry led to: what calls them is not seen.
fn not_entered(program: &Program, entered: &Set<FuncId>) -> Vec<FuncId> {
    program
        .function_ids()
        .filter(|id| {
            let function = program.function(*id);
            function.body.is_some()
                && !entered.contains(id)
                && !is_entry(program, *id)
                && !program.is_test(program.file_of(*id))
        })
        .collect()
}
