//! From a subject to a patch: which lock guards it, where that lock is missing, and the edits. A plan
//! covers every use in the package, or there is none.

use super::edit::Edit;
use super::guard::{Guard, Guarding, declaring_statement};
use super::held::{self, Standing};
use super::quiet::Quiet;
use super::scope::Types;
use super::source::{GoFile, GoPackage, ancestors, named};
use super::uses::{self, Subject, SubjectKind, Usage, Use};
use std::collections::HashSet;
use std::ops::Range;
use tree_sitter::Node;

/// What a patch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FixKind {
    /// A new lock beside a field.
    GuardField,
    /// A new lock beside a package variable.
    GuardGlobal,
    /// A new lock beside a local variable.
    GuardLocal,
    /// The lock that other uses have already.
    ExistingLock,
    /// A copy in place of the map.
    Snapshot,
}

impl FixKind {
    /// In a few words.
    pub fn text(self) -> &'static str {
        match self {
            FixKind::GuardField => "guard a field with a new lock",
            FixKind::GuardGlobal => "guard a package variable with a new lock",
            FixKind::GuardLocal => "guard a local variable with a new lock",
            FixKind::ExistingLock => "take the lock that other uses take",
            FixKind::Snapshot => "copy the map under its lock",
        }
    }
}

/// A patch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it does.
    pub kind: FixKind,
    /// The lock.
    pub lock: String,
    /// What is edited.
    pub edits: Vec<Edit>,
    /// Edits that rename the subject everywhere: they compile only when no use was missed.
    pub proof: Vec<Edit>,
    /// Bytes of each file that are held under the lock.
    pub regions: Vec<(usize, Range<usize>)>,
    /// Uses that were put under the lock.
    pub places: usize,
}

/// Plans the fix of one subject.
///
/// # Errors
/// Why it is not fixed.
pub fn plan(package: &GoPackage, subject: &Subject, go_minor: u32) -> Result<Plan, String> {
    let types = Types::new(package);
    let (declared, ty) =
        uses::declared(package, &types, subject).ok_or("its declaration is not found")?;
    let file = package.files.get(subject.file).ok_or("its file is gone")?;
    check_visible(package, subject)?;
    if matches!(subject.kind, SubjectKind::Local(_)) {
        check_own(file, declared)?;
    }
    let ty = ty.unwrap_or_default();
    let map_type = asserted(package, &types, subject, &ty);
    let usages = uses::uses(package, &types, subject, &map_type)?;
    check_escapes(package, &usages)?;
    let standings = held::standings(package, &types, subject, &usages, file, declared)?;
    let mut draft = Draft {
        package,
        types: &types,
        subject,
        usages: &usages,
        go_minor,
        plan: Plan {
            kind: FixKind::Snapshot,
            lock: String::new(),
            edits: Vec::new(),
            proof: proof(subject, &usages),
            regions: Vec::new(),
            places: 0,
        },
    };
    let guard = draft.choose(&standings, file, declared)?;
    draft.plan.lock = guard.name.trim_start_matches('.').to_owned();
    draft.guard_all(&standings, &guard)?;
    if draft.plan.places == 0 {
        return Err("every use is under the lock already, as far as the text tells".to_owned());
    }
    Ok(draft.plan)
}

/// What others may use from other packages cannot be guarded here.
fn check_visible(package: &GoPackage, subject: &Subject) -> Result<(), String> {
    let is_exported = subject.name.chars().next().is_some_and(char::is_uppercase);
    let is_local = matches!(subject.kind, SubjectKind::Local(_));
    if is_exported && !is_local && package.name != "main" {
        return Err("it is exported: other packages may use it".to_owned());
    }
    Ok(())
}

/// A local variable whose map was made for it: a lock beside the variable guards no other way to the map.
fn check_own(file: &GoFile, declared: Node<'_>) -> Result<(), String> {
    let value = uses::value_of(declared).map(super::source::bare);
    let is_made = value.is_none_or(|value| match value.kind() {
        "composite_literal" => true,
        "call_expression" => file.text_of(value).starts_with("make("),
        _ => false,
    });
    let is_var = declared
        .parent()
        .is_some_and(|around| around.kind() == "var_spec");
    if is_made && (value.is_some() || is_var) {
        Ok(())
    } else {
        Err("the map comes from somewhere else, which may use it, too".to_owned())
    }
}

/// The map's type; for a variable of interface type the one that it is asserted to have.
fn asserted(package: &GoPackage, types: &Types<'_>, subject: &Subject, ty: &str) -> String {
    if !matches!(ty, "any" | "interface{}") {
        return underlying(package, ty);
    }
    let Ok(usages) = uses::uses(package, types, subject, ty) else {
        return ty.to_owned();
    };
    usages
        .iter()
        .find_map(|usage| {
            let assertion = usage.map.parent()?;
            let ty = assertion.child_by_field_name("type")?;
            let file = package.files.get(usage.file)?;
            (assertion.kind() == "type_assertion_expression").then(|| file.text_of(ty).to_owned())
        })
        .unwrap_or_else(|| ty.to_owned())
}

/// What a named map type stands for.
fn underlying(package: &GoPackage, ty: &str) -> String {
    for file in &package.files {
        let spec = super::source::all(file.root(), &|node| {
            node.kind() == "type_spec"
                && node
                    .child_by_field_name("name")
                    .is_some_and(|name| file.text_of(name) == ty)
        });
        if let Some(inner) = spec
            .first()
            .and_then(|spec| spec.child_by_field_name("type"))
        {
            return file.text_of(inner).to_owned();
        }
    }
    ty.to_owned()
}

fn check_escapes(package: &GoPackage, usages: &[Usage<'_>]) -> Result<(), String> {
    for usage in usages {
        if let Use::Escape(why) = &usage.what {
            let place = package
                .files
                .get(usage.file)
                .map_or_else(String::new, |file| {
                    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                    format!("{name}:{}", usage.map.start_position().row + 1)
                });
            return Err(format!("{why} ({place})"));
        }
    }
    Ok(())
}

fn proof(subject: &Subject, usages: &[Usage<'_>]) -> Vec<Edit> {
    usages
        .iter()
        .map(|usage| {
            Edit::replace(
                usage.file,
                usage.name,
                format!("{}GoccRenamed", subject.name),
            )
        })
        .collect()
}

struct Draft<'d, 'p> {
    package: &'p GoPackage,
    types: &'d Types<'p>,
    subject: &'d Subject,
    usages: &'d [Usage<'p>],
    go_minor: u32,
    plan: Plan,
}

impl<'p> Draft<'_, 'p> {
    /// The lock that the other uses have, or a new one.
    fn choose(
        &mut self,
        standings: &[Standing],
        file: &'p GoFile,
        declared: Node<'p>,
    ) -> Result<Guard, String> {
        let beside_field = matches!(self.subject.kind, SubjectKind::Field(_));
        if let Some(name) = held::common(standings) {
            self.plan.kind = FixKind::ExistingLock;
            held::check_callers(standings, &name)?;
            held::check_waiting(self.package, &name)?;
            let shared = held::is_shared(self.package, self.types, self.subject, &name);
            return Ok(Guard {
                name,
                beside_field,
                shared,
            });
        }
        let name = self.free_name();
        let sync = self.import(self.subject.file, file, "sync");
        let line = format!("{name} {sync}.RWMutex // guards {}", self.subject.name);
        let number = self.subject.file;
        match self.subject.kind {
            SubjectKind::Field(_) => {
                self.plan.kind = FixKind::GuardField;
                let declaration = around(declared, "field_declaration")?;
                self.plan
                    .edits
                    .push(Edit::after(number, file, declaration, &line));
            }
            SubjectKind::Global => {
                self.plan.kind = FixKind::GuardGlobal;
                let spec = around(declared, "var_spec")?;
                let in_list = spec
                    .parent()
                    .is_some_and(|list| list.kind() == "var_spec_list");
                let (before, line) = if in_list {
                    (spec, line)
                } else {
                    (
                        around(declared, "var_declaration")?,
                        format!("var {line}\n\n"),
                    )
                };
                self.plan
                    .edits
                    .push(Edit::before(number, file, before, &line));
            }
            SubjectKind::Local(_) => {
                self.plan.kind = FixKind::GuardLocal;
                let statement =
                    declaring_statement(declared).ok_or("its declaration is no statement")?;
                self.plan.edits.push(Edit::before(
                    number,
                    file,
                    statement,
                    &format!("var {line}"),
                ));
            }
        }
        Ok(Guard {
            name: if beside_field {
                format!(".{name}")
            } else {
                name
            },
            beside_field,
            shared: true,
        })
    }

    /// `fooMu`, or with a number when the package knows that name.
    fn free_name(&self) -> String {
        let known: HashSet<&str> = self
            .package
            .files
            .iter()
            .flat_map(|file| {
                super::source::all(file.root(), &|node| {
                    matches!(
                        node.kind(),
                        "identifier" | "field_identifier" | "type_identifier"
                    )
                })
                .into_iter()
                .map(|node| file.text_of(node))
            })
            .collect();
        let base = format!("{}Mu", self.subject.name);
        let numbered = (2..).map(|number| format!("{base}{number}"));
        std::iter::once(base.clone())
            .chain(numbered)
            .find(|name| !known.contains(&name[..]))
            .unwrap_or(base)
    }

    /// The name of an imported package, which is imported when it is not yet.
    fn import(&mut self, number: usize, file: &GoFile, path: &str) -> String {
        if let Some(name) = file.import_name(path) {
            return name;
        }
        let declarations: Vec<Node<'_>> = named(file.root())
            .into_iter()
            .filter(|node| matches!(node.kind(), "package_clause" | "import_declaration"))
            .collect();
        let list = declarations
            .iter()
            .filter_map(|node| {
                named(*node)
                    .into_iter()
                    .find(|n| n.kind() == "import_spec_list")
            })
            .find_map(|list| named(list).first().copied());
        let edit = match (list, declarations.last()) {
            (Some(first), _) => Edit::before(number, file, first, &format!("\"{path}\"")),
            (None, Some(last)) => Edit::after(number, file, *last, &format!("\nimport \"{path}\"")),
            (None, None) => return path.to_owned(),
        };
        if !self.plan.edits.contains(&edit) {
            self.plan.edits.push(edit);
        }
        path.to_owned()
    }

    fn guard_all(&mut self, standings: &[Standing], guard: &Guard) -> Result<(), String> {
        for (number, file) in self.package.files.iter().enumerate() {
            let own: Vec<Usage<'p>> = self
                .usages
                .iter()
                .filter(|usage| usage.file == number)
                .cloned()
                .collect();
            self.upgrade(number, file, standings, guard)?;
            let open: Vec<&Usage<'p>> = own
                .iter()
                .filter(|usage| held::is_open(usage, self.usages, standings, guard))
                .filter(|usage| !matches!(usage.what, Use::Snapshot | Use::Returned))
                .collect();
            self.snapshots(number, file, &own)?;
            if open.is_empty() {
                continue;
            }
            self.plan.places += open.len();
            let maps = (self.go_minor >= 21).then(|| {
                file.import_name("maps")
                    .unwrap_or_else(|| "maps".to_owned())
            });
            let mut guarding = Guarding {
                number,
                file,
                quiet: Quiet {
                    file,
                    types: self.types,
                    uses: &own,
                },
                open,
                guard,
                maps,
                edits: Vec::new(),
                regions: Vec::new(),
                needs_maps: false,
                snapshots: 0,
                given: HashSet::new(),
            };
            guarding.all()?;
            let (edits, regions) = (guarding.edits, guarding.regions);
            let needs_maps = guarding.needs_maps;
            self.plan.edits.extend(edits);
            self.plan
                .regions
                .extend(regions.into_iter().map(|range| (number, range)));
            if needs_maps {
                self.import(number, file, "maps");
            }
        }
        Ok(())
    }

    /// A map that is kept under another name under the lock and read after it is copied instead.
    fn snapshots(
        &mut self,
        number: usize,
        file: &'p GoFile,
        own: &[Usage<'p>],
    ) -> Result<(), String> {
        for usage in own.iter().filter(|usage| usage.what == Use::Snapshot) {
            let is_held = !super::locks::held_at(file, usage.map)?.is_empty();
            if !is_held {
                return Err("it is kept under another name without a lock".to_owned());
            }
            if self.go_minor < 21 {
                return Err(
                    "a copy needs maps.Clone, which the module's Go does not have".to_owned(),
                );
            }
            let maps = self.import(number, file, "maps");
            let text = format!("{maps}.Clone({})", file.text_of(usage.map));
            self.plan.edits.push(Edit::replace(number, usage.map, text));
            self.plan.kind = FixKind::Snapshot;
            self.plan.places += 1;
        }
        Ok(())
    }

    /// Functions that write while they hold the lock for reading hold it for writing.
    fn upgrade(
        &mut self,
        number: usize,
        file: &'p GoFile,
        standings: &[Standing],
        guard: &Guard,
    ) -> Result<(), String> {
        let mut done: HashSet<usize> = HashSet::new();
        for (usage, standing) in self.usages.iter().zip(standings) {
            if usage.file != number || !standing.needs_upgrade(usage, guard) {
                continue;
            }
            self.plan.places += 1;
            let lock = guard.at(file, usage)?;
            let function = super::source::function_around(usage.map).ok_or("it has no function")?;
            let calls = super::source::all_here(function, &|node| node.kind() == "call_expression");
            let calls: Vec<_> = calls
                .into_iter()
                .filter_map(|call| super::locks::lock_call(file, call))
                .filter(|call| file.text_of(call.lock) == lock)
                .collect();
            let takes = |name: &str| {
                calls
                    .iter()
                    .filter(|call| file.text_of(call.method) == name)
                    .count()
            };
            if takes("RLock") != 1 || takes("Lock") != 0 {
                return Err(
                    "it is written under a read lock that is taken in several places".to_owned(),
                );
            }
            for call in calls {
                let text = match file.text_of(call.method) {
                    "RLock" => "Lock",
                    "RUnlock" => "Unlock",
                    _ => continue,
                };
                if done.insert(call.method.start_byte()) {
                    self.plan
                        .edits
                        .push(Edit::replace(number, call.method, text));
                }
            }
        }
        Ok(())
    }
}

fn around<'p>(node: Node<'p>, kind: &str) -> Result<Node<'p>, String> {
    ancestors(node)
        .find(|around| around.kind() == kind)
        .ok_or_else(|| "its declaration has an unusual form".to_owned())
}
