//! Patches for what the scanner finds, complete and checked, or none.
//!
//! findings -> [`uses`] (subjects and all their uses) -> [`plan`] (which lock, which edits) -> [`check`] -> texts
//!
//! 1. [`uses`] finds the variable or field that a finding is about, and every place of its package that
//!    names it. [`classify`] says what each does; a map that leaves sight (returned, sent, stored, passed
//!    on) is not fixed.
//! 2. [`held`] looks which lock the uses have already: with one in common, the others get it too; else the
//!    map gets a lock of its own.
//!    Or the map becomes a [`sync_map`], or a struct ([`typed`]), where every use fits.
//! 3. [`guard`] puts the open uses under the lock. What is held is [`quiet`]: it waits for nobody and
//!    calls nothing of the program, so that a new lock cannot be part of a deadlock.
//! 4. [`check`] proves it in a copy of the module: with the subject renamed at all uses it must compile, so
//!    none was missed; with the patch it must compile, vet and pass its tests; and the scanner must have
//!    nothing to say about the map any more.
//!
//! Without a Go toolchain nothing is proposed, since nothing can be proved.

mod aliases;
mod check;
mod classify;
mod constants;
mod edit;
mod guard;
mod handover;
mod held;
mod imports;
mod locks;
mod plan;
mod quiet;
mod scope;
mod source;
mod sync_map;
mod typed;
mod uses;

use super::files::{self, Module};
use super::{ScanError, ScanOptions, scan};
use crate::analyze::model::Finding;
use check::{Texts, Workshop};
use plan::Plan;
use source::GoPackage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uses::Subject;

pub use plan::{FixKind, Preference};

/// What became of one map.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The map, as `Type.field` or by its variable's name.
    pub map: String,
    /// Where it is touched first: `file:line`.
    pub place: String,
    /// What the patch does, or why there is none.
    pub result: Result<Fixed, String>,
}

/// A patch that was accepted.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// What it does.
    pub kind: FixKind,
    /// The lock, the sync.Map or the struct type.
    pub name: String,
    /// Uses that changed.
    pub places: usize,
    /// Why it is not of the kind that was wanted first.
    pub instead: Option<String>,
}

/// A file, before and after.
#[derive(Clone, Debug)]
pub struct Patched {
    /// Where it lies.
    pub path: PathBuf,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// All patches.
#[derive(Debug, Default)]
pub struct Fixes {
    /// Files that change.
    pub files: Vec<Patched>,
    /// The maps.
    pub outcomes: Vec<Outcome>,
}

/// Scans, plans and checks. Of several kinds of patch the first preferred one that is possible is taken, and
/// a lock where none is preferred.
///
/// # Errors
/// As [`scan`].
pub fn propose(options: &ScanOptions, preferred: &[Preference]) -> Result<Fixes, ScanError> {
    let findings = scan(options)?.findings;
    let mut fixes = Fixes::default();
    if findings.is_empty() {
        return Ok(fixes);
    }
    for module in files::load(options)? {
        let own: Vec<&Finding> = findings
            .iter()
            .filter(|finding| {
                place_of(finding).is_some_and(|(path, _)| path.starts_with(&module.root))
            })
            .collect();
        if !own.is_empty() {
            Bench::new(&module, options, preferred).run(&own, &mut fixes);
        }
    }
    Ok(fixes)
}

fn place_of(finding: &Finding) -> Option<(PathBuf, u32)> {
    let [side, _] = &finding.sides;
    let frame = side.stack.first()?;
    Some((PathBuf::from(&frame.file), frame.line))
}

/// The maps of one module, on their way to patches.
struct Bench<'m> {
    module: &'m Module,
    options: &'m ScanOptions,
    preferred: &'m [Preference],
    packages: BTreeMap<PathBuf, Option<GoPackage>>,
}

/// A subject in its package, which is named by one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    package: PathBuf,
    subject: Subject,
}

struct Candidate {
    named: Named,
    place: String,
    plan: Plan,
}

impl<'m> Bench<'m> {
    fn new(module: &'m Module, options: &'m ScanOptions, preferred: &'m [Preference]) -> Bench<'m> {
        Bench {
            module,
            options,
            preferred,
            packages: BTreeMap::new(),
        }
    }

    fn run(mut self, findings: &[&Finding], fixes: &mut Fixes) {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut refused: Vec<(Named, String)> = Vec::new();
        for finding in findings {
            let Some((path, line)) = place_of(finding) else {
                continue;
            };
            let place = format!("{}:{line}", self.relative(&path).display());
            let map = finding.scan.as_ref().map_or("", |scan| &scan.map);
            let named = match self.subject(finding) {
                Ok(named) => named,
                Err(why) => {
                    fixes.outcomes.push(refusal(map, place, why));
                    continue;
                }
            };
            let is_known = candidates.iter().any(|known| known.named == named)
                || refused.iter().any(|(known, _)| *known == named);
            if is_known {
                continue;
            }
            match self.plan(&named) {
                Ok(plan) => candidates.push(Candidate { named, place, plan }),
                Err(why) => {
                    let map = uses::describe(&named.subject);
                    fixes.outcomes.push(refusal(&map, place, why.clone()));
                    refused.push((named, why));
                }
            }
        }
        self.settle(candidates, fixes);
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.module.root).unwrap_or(path)
    }

    /// The subject of a finding: of the first side that has one.
    fn subject(&mut self, finding: &Finding) -> Result<Named, String> {
        let mut why = "no side of it has a place in the source".to_owned();
        for frame in finding.sides.iter().filter_map(|side| side.stack.first()) {
            match subject_at(finding, Path::new(&frame.file), frame.line) {
                Ok((package, subject)) => {
                    let key = Path::new(&frame.file).with_file_name(&package.name);
                    self.packages.insert(key.clone(), Some(package));
                    return Ok(Named {
                        package: key,
                        subject,
                    });
                }
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    fn plan(&self, named: &Named) -> Result<Plan, String> {
        let package = self.packages.get(&named.package).and_then(Option::as_ref);
        let package = package.ok_or("its package is gone")?;
        plan::plan(package, &named.subject, self.module.go, self.preferred)
    }

    /// Proves and checks the candidates, and keeps the ones that pass.
    fn settle(&self, candidates: Vec<Candidate>, fixes: &mut Fixes) {
        let candidates = self.without_overlaps(candidates, fixes);
        if candidates.is_empty() {
            return;
        }
        let workshop = match Workshop::new(&self.module.root) {
            Ok(workshop) => workshop,
            Err(why) => {
                let refuse = |candidate: Candidate| candidate.refuse(why.clone());
                fixes.outcomes.extend(candidates.into_iter().map(refuse));
                return;
            }
        };
        let mut kept = self.proved(&workshop, candidates, fixes);
        kept = self.alone_good(&workshop, kept, fixes);
        self.deliver(&workshop, kept, fixes);
    }

    /// Two locks that are held at one place are taken in an order: that is not decided here.
    fn without_overlaps(&self, candidates: Vec<Candidate>, fixes: &mut Fixes) -> Vec<Candidate> {
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            let overlaps = kept.iter().any(|other| other.overlaps(&candidate));
            if overlaps {
                let why = "another patch changes the same statements: run again after it";
                fixes.outcomes.push(candidate.refuse(why.to_owned()));
            } else {
                kept.push(candidate);
            }
        }
        kept
    }

    /// With all subjects renamed at once, or, when that fails, one after the other.
    fn proved(
        &self,
        workshop: &Workshop,
        candidates: Vec<Candidate>,
        fixes: &mut Fixes,
    ) -> Vec<Candidate> {
        let proves = |some: &[&Candidate]| {
            let edits = some
                .iter()
                .map(|candidate| (&candidate.named, &candidate.plan.proof));
            workshop.compiles(&self.texts(edits.collect())?)
        };
        if proves(&candidates.iter().collect::<Vec<_>>()).is_ok() {
            return candidates;
        }
        let mut kept = Vec::new();
        for candidate in candidates {
            match proves(&[&candidate]) {
                Ok(()) => kept.push(candidate),
                Err(why) => {
                    let why = format!("not every use of it was found ({why})");
                    fixes.outcomes.push(candidate.refuse(why));
                }
            }
        }
        kept
    }

    /// Leaves out what does not pass: first those that do not compile, then those that the scanner still
    /// finds, then those in packages where a test fails.
    fn alone_good(
        &self,
        workshop: &Workshop,
        candidates: Vec<Candidate>,
        fixes: &mut Fixes,
    ) -> Vec<Candidate> {
        let kept = self.leave_out(candidates, fixes, |some| {
            workshop.vets(&workshop.formatted(&self.patched(some)?)?)
        });
        self.leave_out(kept, fixes, |some| {
            self.is_silent(some, &workshop.formatted(&self.patched(some)?)?)
        })
    }

    /// All together first; when that fails, one more at a time.
    fn leave_out(
        &self,
        candidates: Vec<Candidate>,
        fixes: &mut Fixes,
        check: impl Fn(&[&Candidate]) -> Result<(), String>,
    ) -> Vec<Candidate> {
        if check(&candidates.iter().collect::<Vec<_>>()).is_ok() {
            return candidates;
        }
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            let with: Vec<&Candidate> = kept.iter().chain([&candidate]).collect();
            match check(&with) {
                Ok(()) => kept.push(candidate),
                Err(why) => fixes.outcomes.push(candidate.refuse(why)),
            }
        }
        kept
    }

    fn patched(&self, some: &[&Candidate]) -> Result<Texts, String> {
        let edits = some
            .iter()
            .map(|candidate| (&candidate.named, &candidate.plan.edits));
        self.texts(edits.collect())
    }

    /// The files that edits change, by path below the root.
    fn texts(&self, edits: Vec<(&Named, &Vec<edit::Edit>)>) -> Result<Texts, String> {
        let mut by_file: BTreeMap<PathBuf, (&str, Vec<edit::Edit>)> = BTreeMap::new();
        for (named, edits) in edits {
            let package = self.packages.get(&named.package).and_then(Option::as_ref);
            let package = package.ok_or("its package is gone")?;
            for edit in edits {
                let file = package.file(edit.file)?;
                let path = self.relative(&file.path).to_owned();
                let (_, known) = by_file.entry(path).or_insert((&file.text, Vec::new()));
                // Imports that several patches need are added once.
                let is_import = edit.start == edit.end && edit.text.contains('"');
                if !(is_import && known.contains(edit)) {
                    known.push(edit.clone());
                }
            }
        }
        by_file
            .into_iter()
            .map(|(path, (text, edits))| {
                let text = edit::apply(text, &edits).ok_or("two patches change the same text")?;
                Ok((path, text))
            })
            .collect()
    }

    /// The scanner has nothing to say about the maps that were fixed.
    fn is_silent(&self, some: &[&Candidate], texts: &Texts) -> Result<(), String> {
        let place = tempfile::Builder::new().prefix("gocc-fix-").tempdir();
        let place = place.map_err(|error| format!("no temporary directory: {error}"))?;
        let findings = self
            .rescan(place.path(), texts)
            .map_err(|error| error.to_string())?;
        for candidate in some {
            let map = uses::describe(&candidate.named.subject);
            if findings
                .iter()
                .any(|finding| self.is_about(finding, candidate, place.path()))
            {
                return Err(format!("the scanner still finds {map} with it"));
            }
        }
        Ok(())
    }

    /// The scanned files with their new texts, and nothing else.
    fn rescan(&self, place: &Path, texts: &Texts) -> anyhow::Result<Vec<Finding>> {
        let mut paths: Vec<&Path> = self.module.files.iter().map(|file| &*file.path).collect();
        let go_mod = self.module.root.join("go.mod");
        paths.extend(go_mod.is_file().then_some(&*go_mod));
        for path in paths {
            let below = self.relative(path);
            let target = place.join(below);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match texts.get(below) {
                Some(text) => std::fs::write(&target, text)?,
                None => {
                    std::fs::copy(path, &target)?;
                }
            }
        }
        let options = ScanOptions {
            paths: vec![place.to_owned()],
            ..self.options.clone()
        };
        Ok(scan(&options)?.findings)
    }

    /// A finding in the patched files is about a subject of the unpatched ones.
    fn is_about(&self, finding: &Finding, candidate: &Candidate, place: &Path) -> bool {
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        let subject = &candidate.named.subject;
        let directory = candidate.named.package.parent();
        finding
            .sides
            .iter()
            .filter_map(|side| side.stack.first())
            .any(|frame| {
                let path = PathBuf::from(&frame.file);
                let old = path
                    .strip_prefix(&place)
                    .map(|below| self.module.root.join(below));
                let same_place = old.is_ok_and(|old| old.parent() == directory);
                same_place
                    && subject_at(finding, &path, frame.line).is_ok_and(|(_, found)| {
                        same(&found, subject) && self.is_in(candidate, &frame.function)
                    })
            })
    }

    /// A local variable's finding must be in the function that declares it.
    fn is_in(&self, candidate: &Candidate, function: &str) -> bool {
        let package = self.packages.get(&candidate.named.package);
        package
            .and_then(Option::as_ref)
            .is_some_and(|package| is_in(package, &candidate.named.subject, function_of(function)))
    }

    fn deliver(&self, workshop: &Workshop, kept: Vec<Candidate>, fixes: &mut Fixes) {
        if kept.is_empty() {
            return;
        }
        let all: Vec<&Candidate> = kept.iter().collect();
        let texts = self
            .patched(&all)
            .and_then(|texts| workshop.formatted(&texts))
            .and_then(|texts| workshop.accepts(&texts).map(|()| texts));
        match texts {
            Ok(texts) => {
                for (below, after) in texts {
                    let path = self.module.root.join(&below);
                    let before = std::fs::read_to_string(&path).unwrap_or_default();
                    fixes.files.push(Patched {
                        path,
                        before,
                        after,
                    });
                }
                fixes
                    .outcomes
                    .extend(kept.into_iter().map(Candidate::fixed));
            }
            Err(why) => {
                let refuse = |candidate: Candidate| candidate.refuse(why.clone());
                fixes.outcomes.extend(kept.into_iter().map(refuse));
            }
        }
    }
}

/// The subject that a finding is about at one place, and its package.
fn subject_at(finding: &Finding, path: &Path, line: u32) -> Result<(GoPackage, Subject), String> {
    let map = finding.scan.as_ref().map_or("", |scan| &scan.map);
    let map = map.replace("[...]", "");
    let wanted = map.rsplit('.').next().unwrap_or("");
    let package = package_of(path).ok_or("its package has a syntax error")?;
    let file = package.files.iter().position(|file| file.path == path);
    let file = file.ok_or("its file is gone")?;
    let subject = uses::find(&package, &scope::Types::new(&package), file, line, wanted)?;
    Ok((package, subject))
}

/// All files of the package count, also those that were not to be scanned.
fn package_of(file: &Path) -> Option<GoPackage> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(file.parent()?)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "go"))
        .collect();
    all.sort();
    GoPackage::around(file, &all)
}

/// Patches move local variables.
fn same(found: &Subject, subject: &Subject) -> bool {
    let same_kind = match (&found.kind, &subject.kind) {
        (uses::SubjectKind::Local(_), uses::SubjectKind::Local(_)) => true,
        (a, b) => a == b,
    };
    same_kind && found.name == subject.name
}

/// The function's own name: `Get` of `main.(*T).Get.func1`.
fn function_of(full: &str) -> &str {
    full.rsplit('/').next().unwrap_or(full)
}

/// A local variable's finding must be in the function that declares it.
fn is_in(package: &GoPackage, subject: &Subject, function: &str) -> bool {
    let uses::SubjectKind::Local(at) = subject.kind else {
        return true;
    };
    let Some(file) = package.files.get(subject.file) else {
        return false;
    };
    let node = file.root().descendant_for_byte_range(at, at + 1);
    let outermost = node.and_then(|node| {
        source::ancestors(node)
            .filter(|around| around.kind().ends_with("_declaration"))
            .filter_map(|around| around.child_by_field_name("name"))
            .last()
    });
    outermost.is_some_and(|name| {
        function
            .split('.')
            .any(|part| part.trim_end_matches("[...]") == file.text_of(name))
    })
}

impl Candidate {
    fn overlaps(&self, other: &Candidate) -> bool {
        self.named.package == other.named.package
            && self.plan.regions.iter().any(|(file, range)| {
                other.plan.regions.iter().any(|(other_file, other_range)| {
                    file == other_file
                        && range.start < other_range.end
                        && other_range.start < range.end
                })
            })
    }

    fn refuse(self, why: String) -> Outcome {
        refusal(&uses::describe(&self.named.subject), self.place, why)
    }

    fn fixed(self) -> Outcome {
        Outcome {
            map: uses::describe(&self.named.subject),
            place: self.place,
            result: Ok(Fixed {
                kind: self.plan.kind,
                name: self.plan.name,
                places: self.plan.places,
                instead: self.plan.instead,
            }),
        }
    }
}

fn refusal(map: &str, place: String, why: String) -> Outcome {
    Outcome {
        map: map.to_owned(),
        place,
        result: Err(why),
    }
}
