//! From a subject to a patch: a lock, where it is missing and the edits; or a [`sync_map`] or a [`typed`] struct
//! where that is wanted, or right without a lock. A plan covers every use in the package, or there is none.

use super::edit::Edit;
use super::guard::{Guard, Guarding, declaring_statement};
use super::held::{self, Standing};
use super::imports::import;
use super::quiet::Quiet;
use super::scope::Types;
use super::source::{GoFile, GoPackage, ancestors};
use super::uses::{self, Subject, SubjectKind, Usage, Use};
use super::{sync_map, typed};
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
    /// A copy is sent in place of the map.
    SentCopy,
    /// A sync.Map in place of the map.
    SyncMap,
    /// A struct in place of the map, whose fields no two goroutines share.
    TypedStruct,
    /// A struct in place of the map, under a lock.
    TypedGuarded,
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
            FixKind::SentCopy => "send a copy",
            FixKind::SyncMap => "switch to sync.Map",
            FixKind::TypedStruct => "a typed struct with a field for each goroutine",
            FixKind::TypedGuarded => "a typed struct under a lock",
        }
    }
}

/// A patch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it does.
    pub kind: FixKind,
    /// The lock, the sync.Map or the struct type.
    pub name: String,
    /// Why it is not of the kind that was wanted first.
    pub instead: Option<String>,
    /// What is edited.
    pub edits: Vec<Edit>,
    /// Edits that rename the subject everywhere: they compile only when no use was missed.
    pub proof: Vec<Edit>,
    /// Bytes of each file that are held under the lock.
    pub regions: Vec<(usize, Range<usize>)>,
    /// Uses that were put under the lock.
    pub places: usize,
}

/// What is wanted where several kinds of patch are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preference {
    /// A lock, with the map as it is.
    Lock,
    /// A sync.Map, where all that is done with the map is done by its methods.
    #[value(name = "sync.Map", alias = "sync-map")]
    SyncMap,
    /// A struct in place of a map[string]any with known keys.
    Struct,
}

impl Preference {
    fn text(self) -> &'static str {
        match self {
            Preference::Lock => "no lock",
            Preference::SyncMap => "no sync.Map",
            Preference::Struct => "no struct",
        }
    }
}

/// One subject, with all that plans look at.
pub struct Case<'c, 'p> {
    /// Its package.
    pub package: &'p GoPackage,
    /// The package's types.
    pub types: &'c Types<'p>,
    /// The variable or field.
    pub subject: &'c Subject,
    /// The identifier that declares it.
    pub declared: Node<'p>,
    /// The file that does.
    pub file: &'p GoFile,
    /// The map's type.
    pub map_type: &'c str,
    /// All uses.
    pub usages: &'c [Usage<'p>],
    /// The minor version of Go that the module asks for.
    pub go_minor: u32,
}

impl Case<'_, '_> {
    /// A plan without edits.
    pub fn empty(&self, kind: FixKind) -> Plan {
        Plan {
            kind,
            name: self.subject.name.clone(),
            instead: None,
            edits: Vec::new(),
            proof: proof(self.package, self.usages),
            regions: Vec::new(),
            places: 0,
        }
    }
}

/// Plans the fix of one subject: as preferred where that is possible; else a lock, else what is right without
/// one.
///
/// # Errors
/// Why it is not fixed.
pub fn plan(
    package: &GoPackage,
    subject: &Subject,
    go_minor: u32,
    preferred: &[Preference],
) -> Result<Plan, String> {
    let types = Types::new(package);
    let (declared, ty) =
        uses::declared(package, &types, subject).ok_or("its declaration is not found")?;
    let file = package.file(subject.file)?;
    check_visible(package, subject)?;
    if matches!(subject.kind, SubjectKind::Local(_)) {
        check_own(file, declared)?;
    }
    let ty = ty.unwrap_or_default();
    let map_type = asserted(package, &types, subject, &ty);
    let usages = uses::uses(package, &types, subject, &map_type)?;
    let case = Case {
        package,
        types: &types,
        subject,
        declared,
        file,
        map_type: &map_type,
        usages: &usages,
        go_minor,
    };
    first_of(&case, preferred)
}

/// The first kind of patch that is possible. A struct that is not asked for must need no lock: with one, the
/// lock alone does.
fn first_of(case: &Case<'_, '_>, preferred: &[Preference]) -> Result<Plan, String> {
    let mut instead = None;
    for preference in preferred {
        match of_kind(case, *preference) {
            Ok(plan) => return Ok(Plan { instead, ..plan }),
            Err(why) => instead = Some(format!("{}: {why}", preference.text())),
        }
    }
    let why = match lock(case) {
        Ok(plan) => return Ok(Plan { instead, ..plan }),
        Err(why) => why,
    };
    typed::without_lock(case)
        .or_else(|_| sync_map::plan(case))
        .map(|plan| Plan {
            instead: Some(format!("no lock: {why}")),
            ..plan
        })
        .map_err(|other| {
            let is_new = sync_map::is_worth_saying(case) && other != why;
            let more = if is_new {
                format!("; no sync.Map: {other}")
            } else {
                String::new()
            };
            format!("{why}{more}")
        })
}

fn of_kind(case: &Case<'_, '_>, preference: Preference) -> Result<Plan, String> {
    match preference {
        Preference::Lock => lock(case),
        Preference::SyncMap => sync_map::plan(case),
        Preference::Struct => typed::plan(case),
    }
}

/// A lock at every use that has none.
///
/// # Errors
/// Why that is not possible.
pub fn lock(case: &Case<'_, '_>) -> Result<Plan, String> {
    check_escapes(case.package, case.usages)?;
    if case.usages.iter().any(|usage| usage.what == Use::Sent) {
        return sent(case);
    }
    let standings = held::standings(case)?;
    let mut draft = Draft {
        case,
        plan: case.empty(FixKind::Snapshot),
    };
    let guard = draft.choose(&standings)?;
    draft.plan.name = guard.name.trim_start_matches('.').to_owned();
    draft.guard_all(&standings, &guard)?;
    if draft.plan.places == 0 {
        return Err("every use is under the lock already, as far as the text tells".to_owned());
    }
    Ok(draft.plan)
}

/// A map that is sent to those who only read it, by a function that alone uses it otherwise: a copy is sent.
fn sent(case: &Case<'_, '_>) -> Result<Plan, String> {
    let owner = super::source::function_around(case.declared);
    let is_own = |usage: &Usage<'_>| super::source::function_around(usage.map) == owner;
    if !matches!(case.subject.kind, SubjectKind::Local(_)) || !case.usages.iter().all(is_own) {
        return Err("it is sent over a channel, and used by several goroutines".to_owned());
    }
    check_clone(case.go_minor)?;
    let mut plan = case.empty(FixKind::SentCopy);
    for usage in case.usages.iter().filter(|usage| usage.what == Use::Sent) {
        let maps = import(&mut plan.edits, usage.file, case.file, "maps");
        let text = format!("{maps}.Clone({})", case.file.text_of(usage.map));
        plan.edits.push(Edit::replace(usage.file, usage.map, text));
        plan.regions.push((usage.file, usage.map.byte_range()));
        plan.places += 1;
    }
    Ok(plan)
}

fn check_clone(go_minor: u32) -> Result<(), String> {
    if go_minor < 21 {
        return Err("a copy needs maps.Clone, which the module's Go does not have".to_owned());
    }
    Ok(())
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

/// All names of the subject, renamed.
fn proof(package: &GoPackage, usages: &[Usage<'_>]) -> Vec<Edit> {
    let renamed = |usage: &Usage<'_>| {
        let file = package.files.get(usage.file)?;
        let text = format!("{}GoccRenamed", file.text_of(usage.name));
        Some(Edit::replace(usage.file, usage.name, text))
    };
    usages.iter().filter_map(renamed).collect()
}

struct Draft<'d, 'c, 'p> {
    case: &'d Case<'c, 'p>,
    plan: Plan,
}

impl<'p> Draft<'_, '_, 'p> {
    /// The lock that the other uses have, or a new one.
    fn choose(&mut self, standings: &[Standing]) -> Result<Guard, String> {
        let (file, declared) = (self.case.file, self.case.declared);
        let beside_field = matches!(self.case.subject.kind, SubjectKind::Field(_));
        if let Some(name) = held::common(standings) {
            self.plan.kind = FixKind::ExistingLock;
            held::check_callers(standings, &name)?;
            held::check_waiting(self.case, &name)?;
            let shared =
                held::is_shared(self.case.package, self.case.types, self.case.subject, &name);
            return Ok(Guard {
                name,
                beside_field,
                shared,
            });
        }
        let name =
            super::source::free_name(self.case.package, &format!("{}Mu", self.case.subject.name));
        let sync = import(&mut self.plan.edits, self.case.subject.file, file, "sync");
        let line = format!("{name} {sync}.RWMutex // guards {}", self.case.subject.name);
        let number = self.case.subject.file;
        match self.case.subject.kind {
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

    fn guard_all(&mut self, standings: &[Standing], guard: &Guard) -> Result<(), String> {
        for (number, file) in self.case.package.files.iter().enumerate() {
            let own: Vec<Usage<'p>> = self
                .case
                .usages
                .iter()
                .filter(|usage| usage.file == number)
                .cloned()
                .collect();
            self.upgrade(number, file, standings, guard)?;
            let open: Vec<&Usage<'p>> = own
                .iter()
                .filter(|usage| held::is_open(usage, self.case.usages, standings, guard))
                .filter(|usage| !matches!(usage.what, Use::Snapshot | Use::Returned))
                .collect();
            self.snapshots(number, file, &own)?;
            if open.is_empty() {
                continue;
            }
            self.plan.places += open.len();
            let maps = (self.case.go_minor >= 21).then(|| {
                file.import_name("maps")
                    .unwrap_or_else(|| "maps".to_owned())
            });
            let mut guarding = Guarding {
                number,
                file,
                quiet: Quiet {
                    file,
                    types: self.case.types,
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
                import(&mut self.plan.edits, number, file, "maps");
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
            check_clone(self.case.go_minor)?;
            let maps = import(&mut self.plan.edits, number, file, "maps");
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
        for (usage, standing) in self.case.usages.iter().zip(standings) {
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
