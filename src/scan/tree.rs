//! What a scan knows of the tree it looked at: which place of a running program is which place of the source,
//! and what the scanner makes of it, so that it can say why it shows nothing there.

use super::Followed;
use super::program::{FuncId, Program};
use super::races;
use super::sim::{Access, Sim};
use crate::analyze::frames::package_of;
use crate::analyze::model::StackFrame;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The files that were scanned.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<TreeFile>,
    by_name: HashMap<String, Vec<usize>>,
    /// Only the places of findings are known ([`Tree::of_frames`]).
    is_of_report: bool,
}

/// A line of a scanned file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeLine {
    file: usize,
    line: u32,
}

/// One file.
#[derive(Debug)]
struct TreeFile {
    /// Absolute.
    path: String,
    /// Its import path.
    package: String,
    /// `package main`.
    is_main: bool,
    has_errors: bool,
    functions: Vec<TreeFunction>,
    /// Map operations by line.
    uses: BTreeMap<u32, BTreeSet<Use>>,
}

/// A function, from its first line to that of the next one.
#[derive(Debug)]
struct TreeFunction {
    first: u32,
    name: String,
    visit: Visit,
}

/// Whether a function was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Visit {
    /// Nothing led there.
    None,
    /// An entry led there that was too large to be followed to its end.
    Partly,
    /// Whatever leads there was followed to its end.
    Whole,
}

/// A map operation as the scanner sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The map as the code calls it.
    pub map: String,
    /// The locks held there.
    pub locks: Vec<String>,
    /// The rule that would name it, were there another goroutine.
    pub rule: &'static str,
}

/// What the scanner makes of a place.
#[derive(Debug)]
pub enum Known<'t> {
    /// Its file was not scanned.
    OutsideTree,
    /// Its file has syntax errors.
    SyntaxErrors,
    /// Nothing that was followed leads to this function.
    NotFollowed(&'t str),
    /// What leads to this function was too large to be followed to its end.
    TooLarge(&'t str),
    /// There is no map operation in the line.
    NoOperation,
    /// These operations are there.
    Uses(&'t BTreeSet<Use>),
}

/// What one entry shows of the tree, by file and line.
pub(crate) type Uses = Vec<(u32, u32, Use)>;

/// The map operations that were seen from one entry.
pub(crate) fn uses(sim: &Sim<'_>) -> Uses {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for access in &sim.accesses {
        let locks: Vec<_> = access.locks.iter().map(|held| held.lock).collect();
        if seen.insert((access.place, access.object, locks)) {
            let place = access.place;
            all.push((place.file.0, place.span.line, use_of(sim, access)));
        }
    }
    all
}

fn use_of(sim: &Sim<'_>, access: &Access) -> Use {
    let locks = access.locks.iter();
    Use {
        map: sim.describe(access.object),
        locks: locks.map(|held| races::lock_name(sim, held)).collect(),
        rule: races::rule_by_origin(sim, access.object).id,
    }
}

impl Tree {
    /// The files that frames name, where nothing else is known of the tree.
    pub fn of_frames<'f>(frames: impl Iterator<Item = &'f StackFrame>) -> Tree {
        let mut tree = Tree {
            is_of_report: true,
            ..Tree::default()
        };
        let mut known = HashMap::new();
        for frame in frames {
            let index = *known.entry(&frame.file).or_insert_with(|| {
                let package = package_of(&frame.function).to_owned();
                tree.push(TreeFile {
                    path: frame.file.clone(),
                    is_main: package == "main",
                    package,
                    has_errors: false,
                    functions: Vec::new(),
                    uses: BTreeMap::new(),
                })
            });
            if let Some(file) = tree.files.get_mut(index) {
                file.functions.push(TreeFunction {
                    first: 0,
                    name: frame.function.clone(),
                    visit: Visit::None,
                });
            }
        }
        tree
    }

    /// Nothing is known but the places of findings.
    pub fn is_of_report(&self) -> bool {
        self.is_of_report
    }

    /// Gives back its number.
    fn push(&mut self, file: TreeFile) -> usize {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let index = self.files.len();
        self.by_name.entry(name).or_default().push(index);
        self.files.push(file);
        index
    }

    /// Adds the files of another tree.
    pub(crate) fn absorb(&mut self, other: Tree) {
        for file in other.files {
            self.push(file);
        }
    }

    /// Adds a module.
    pub(crate) fn add(&mut self, program: &Program, followed: &[Followed]) {
        let first = self.files.len();
        let visits = visits(followed);
        for (id, file) in program.file_ids().zip(&program.module().files) {
            self.push(TreeFile {
                path: file.path.display().to_string(),
                package: program.import_path(id),
                is_main: program.package_path(id) == "main",
                has_errors: file.file.errors > 0,
                functions: Vec::new(),
                uses: BTreeMap::new(),
            });
        }
        for id in program.function_ids() {
            let index = first + program.file_of(id).0 as usize;
            if let Some(file) = self.files.get_mut(index) {
                file.functions.push(TreeFunction {
                    first: program.function(id).span.line,
                    name: program.function_name(id),
                    visit: visits.get(&id).copied().unwrap_or(Visit::None),
                });
            }
        }
        for (file, line, one) in followed.iter().flat_map(|followed| &followed.uses) {
            if let Some(file) = self.files.get_mut(first + *file as usize) {
                file.uses.entry(*line).or_default().insert(one.clone());
            }
        }
    }

    /// The innermost call of a stack that stands in a scanned file.
    pub fn innermost<'s>(&self, stack: &'s [StackFrame]) -> Option<(TreeLine, &'s StackFrame)> {
        stack
            .iter()
            .find_map(|frame| Some((self.line_of(frame)?, frame)))
    }

    /// Where a frame stands. Its file may have lain elsewhere when the program was built, or be named
    /// by its import path (`-trimpath`): the package must be the same, and as much of the path as possible.
    pub fn line_of(&self, frame: &StackFrame) -> Option<TreeLine> {
        self.line_at(&frame.function, &frame.file, frame.line)
    }

    /// As [`Tree::line_of`], for a line of a function and a file that a program names.
    pub fn line_at(&self, function: &str, file_name: &str, line: u32) -> Option<TreeLine> {
        let name = file_name.rsplit('/').next()?;
        let package = unescaped(package_of(function));
        let mut best: Vec<usize> = Vec::new();
        let mut longest = 0;
        for &index in self.by_name.get(name)? {
            let Some(file) = self.files.get(index).filter(|file| file.is_of(&package)) else {
                continue;
            };
            let shared = shared_end(&file.path, file_name);
            // Every other program has a main.go of package main.
            if shared < 2 && package == "main" && !file.has(function) {
                continue;
            }
            if shared > longest {
                (best, longest) = (Vec::new(), shared);
            }
            if shared == longest {
                best.push(index);
            }
        }
        match best[..] {
            [file] => Some(TreeLine { file, line }),
            // Several files are as likely.
            _ => None,
        }
    }

    /// What the scanner makes of a line.
    pub fn known(&self, at: TreeLine) -> Known<'_> {
        let Some(file) = self.files.get(at.file) else {
            return Known::OutsideTree;
        };
        if let Some(uses) = file.uses.get(&at.line) {
            return Known::Uses(uses);
        }
        if file.has_errors {
            return Known::SyntaxErrors;
        }
        let around = file
            .functions
            .iter()
            .filter(|function| function.first <= at.line)
            .max_by_key(|function| function.first);
        match around {
            Some(function) if function.visit == Visit::None => Known::NotFollowed(&function.name),
            Some(function) if function.visit == Visit::Partly => Known::TooLarge(&function.name),
            _ => Known::NoOperation,
        }
    }
}

impl TreeFile {
    /// Declares the function, or the one that a literal stands in.
    fn has(&self, function: &str) -> bool {
        let is_in = |outer: &str| {
            function
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.functions.iter().any(|known| is_in(&known.name))
    }

    /// A main package is called `main` in a program, and by its import path in its own tests; tests in a package
    /// of their own have `_test` behind it.
    fn is_of(&self, package: &str) -> bool {
        let plain = package.strip_suffix("_test").unwrap_or(package);
        self.package == package
            || self.package == plain
            || self.is_main && (package == "main" || self.is_in(package))
            // Files that were named to the go command one by one.
            || package == "command-line-arguments"
    }

    /// Lies in a directory with the name of the package.
    fn is_in(&self, package: &str) -> bool {
        let last = package.rsplit('/').next();
        self.path.rsplit('/').nth(1) == last
    }
}

fn visits(followed: &[Followed]) -> HashMap<FuncId, Visit> {
    let mut visits: HashMap<FuncId, Visit> = HashMap::new();
    for one in followed {
        let visit = match one.complete {
            true => Visit::Whole,
            false => Visit::Partly,
        };
        for &id in &one.entered {
            let known = visits.entry(id).or_insert(visit);
            *known = visit.min(*known);
        }
    }
    visits
}

/// Elements that two paths have in common at their ends.
fn shared_end(a: &str, b: &str) -> usize {
    let same = a.rsplit('/').zip(b.rsplit('/'));
    same.take_while(|(a, b)| a == b).count()
}

/// Go's linker writes dots in the last element of a package's path as `%2e`.
fn unescaped(package: &str) -> String {
    let mut text = String::with_capacity(package.len());
    let mut rest = package;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                text.push('%');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str, bool)]) -> Tree {
        let mut tree = Tree::default();
        for (path, package, is_main) in files {
            tree.push(TreeFile {
                path: (*path).to_owned(),
                package: (*package).to_owned(),
                is_main: *is_main,
                has_errors: false,
                functions: vec![TreeFunction {
                    first: 1,
                    name: format!("{}.main", if *is_main { "main" } else { package }),
                    visit: Visit::None,
                }],
                uses: BTreeMap::new(),
            });
        }
        tree
    }

    #[test]
    fn a_place_is_found_wherever_the_program_was_built() {
        let tree = tree(&[
            ("/src/app/main.go", "example.org/app", true),
            ("/src/app/v1.2/a.go", "example.org/app/v1.2", false),
            ("/src/app/b/a.go", "example.org/app/b", false),
            ("/src/app/tool/main.go", "example.org/app/tool", true),
        ]);
        let cases = [
            ("main.main", "/src/app/main.go", Some(0)),
            ("main.main", "example.org/app/main.go", Some(0)),
            ("main.main", "/ci/app/main.go", Some(0)),
            ("main.main", "/ci/app/tool/main.go", Some(3)),
            ("main.main", "main.go", None),
            ("main.(*T).other", "/elsewhere/main.go", None),
            ("main.(*T).other", "/ci/tool/main.go", Some(3)),
            ("example.org/app.main", "/ci/other/main.go", Some(0)),
            ("example.org/app/v1%2e2.F", "/ci/v1.2/a.go", Some(1)),
            ("example.org/app/b_test.F", "/ci/b/a.go", Some(2)),
            ("example.org/app/b.(*T[...]).F", "/elsewhere/a.go", Some(2)),
            ("fmt.Println", "/go/src/fmt/a.go", None),
        ];
        for (function, file, expected) in cases {
            let found = tree.line_at(function, file, 7).map(|line| line.file);
            assert_eq!(found, expected, "{function} in {file}");
        }
    }
}
