//! Which lock the uses of a subject have in common already, and which uses are without it.

use super::guard::Guard;
use super::handover::Handovers;
use super::locks::{Held, held_at, lock_call};
use super::plan::Case;
use super::scope::{Declared, Types, declaration};
use super::source::{
    GoFile, GoPackage, all, all_here, ancestors, bare, function_around, is_function,
};
use super::uses::{Subject, SubjectKind, Usage, Use};
use tree_sitter::Node;

/// Callers are looked through this far.
const DEEPEST: u32 = 6;

/// The locks at one use, by the names that a [`Guard`] has.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The use needs none: nobody else can know the map.
    pub made: bool,
    /// Held there.
    pub held: Vec<Held>,
    /// Held by every caller.
    pub by_callers: Vec<Held>,
    /// Some callers hold a lock and others do not.
    pub mixed: bool,
}

impl Standing {
    fn find(&self, guard: &str) -> Option<&Held> {
        let all = self.held.iter().chain(&self.by_callers);
        all.into_iter().find(|held| held.text == guard)
    }

    /// It writes, and the lock is held in the same function, for reading.
    pub fn needs_upgrade(&self, usage: &Usage<'_>, guard: &Guard) -> bool {
        let own = self.held.iter().find(|held| held.text == guard.name);
        usage.writes() && own.is_some_and(|held| !held.exclusive)
    }
}

/// The use has to be put under the guard.
pub fn is_open(
    usage: &Usage<'_>,
    all: &[Usage<'_>],
    standings: &[Standing],
    guard: &Guard,
) -> bool {
    let standing = all
        .iter()
        .zip(standings)
        .find(|(known, _)| known.name == usage.name && known.file == usage.file)
        .map(|(_, standing)| standing);
    standing.is_none_or(|standing| !standing.made && standing.find(&guard.name).is_none())
}

/// The locks at each use.
///
/// # Errors
/// When the text does not tell.
pub fn standings(case: &Case<'_, '_>) -> Result<Vec<Standing>, String> {
    let Case {
        package,
        subject,
        file: declaring,
        declared,
        ..
    } = *case;
    let handovers = Handovers::of(package);
    let one = |usage: &Usage<'_>| {
        let file = package.file(usage.file)?;
        if usage.what == Use::Made {
            return Ok(Standing {
                made: true,
                ..Standing::default()
            });
        }
        handovers.check(file, usage.map)?;
        let held = held_at(file, usage.map)?
            .into_iter()
            .filter_map(|held| relative(package, subject, file, usage, held, declaring, declared))
            .collect::<Vec<_>>();
        let mut standing = Standing {
            held,
            ..Standing::default()
        };
        if standing.held.is_empty() {
            callers(package, &handovers, file, usage.map, 0, &mut standing)?;
            let base = base_text(file, usage);
            for held in &mut standing.by_callers {
                held.text = rename(&held.text, subject, &base);
            }
        }
        Ok(standing)
    };
    case.usages.iter().map(one).collect()
}

fn base_text(file: &GoFile, usage: &Usage<'_>) -> String {
    let of_field = || {
        (usage.map.kind() == "selector_expression")
            .then(|| usage.map.child_by_field_name("operand"))
            .flatten()
    };
    usage
        .base
        .or_else(of_field)
        .map(|base| file.text_of(bare(base)).to_owned())
        .unwrap_or_default()
}

/// A caller's lock by the name that it has beside the map: `p.lock` is `.lock`.
fn rename(text: &str, subject: &Subject, _base: &str) -> String {
    match (&subject.kind, text.split_once('.')) {
        (SubjectKind::Field(_), Some((_, field))) => format!(".{field}"),
        (SubjectKind::Field(_), None) => String::new(),
        _ => text.to_owned(),
    }
}

/// A lock by the name that a guard has, when it belongs to the map and is known wherever the map is.
fn relative(
    package: &GoPackage,
    subject: &Subject,
    file: &GoFile,
    usage: &Usage<'_>,
    held: Held,
    declaring: &GoFile,
    declared: Node<'_>,
) -> Option<Held> {
    let text = match &subject.kind {
        SubjectKind::Field(_) => {
            let base = base_text(file, usage);
            let rest = held.text.strip_prefix(&base)?;
            let is_field = rest.is_empty() || rest.starts_with('.') && !rest[1..].contains('.');
            is_field.then(|| rest.to_owned())?
        }
        SubjectKind::Global => {
            super::scope::global(package, &held.text)?;
            held.text.clone()
        }
        SubjectKind::Local(_) => {
            is_known_beside(package, declaring, declared, file, usage, &held.text)?;
            held.text.clone()
        }
    };
    Some(Held {
        text,
        exclusive: held.exclusive,
    })
}

/// A lock that is a package variable, or declared in the same statements as the map or around them.
fn is_known_beside(
    package: &GoPackage,
    declaring: &GoFile,
    declared: Node<'_>,
    file: &GoFile,
    usage: &Usage<'_>,
    lock: &str,
) -> Option<()> {
    let here = ancestors(usage.map).find(|node| node.kind() == "statement_list")?;
    let name = all(function_around(here).unwrap_or(here), &|node| {
        node.kind() == "identifier" && file.text_of(node) == lock
    });
    let at_lock = name.into_iter().find(|node| {
        node.parent()
            .is_some_and(|parent| parent.kind() == "selector_expression")
    })?;
    match declaration(file, at_lock) {
        Declared::Outside => super::scope::global(package, lock).map(|_| ()),
        Declared::Local(name) => {
            let list = ancestors(name).find(|node| node.kind() == "statement_list")?;
            let holds = std::ptr::eq(declaring, file)
                && list.start_byte() <= declared.start_byte()
                && declared.end_byte() <= list.end_byte();
            holds.then_some(())
        }
        Declared::Param(_) => None,
    }
}

/// What the callers of the function around a node hold.
fn callers(
    package: &GoPackage,
    handovers: &Handovers<'_>,
    file: &GoFile,
    node: Node<'_>,
    depth: u32,
    standing: &mut Standing,
) -> Result<(), String> {
    let Some(function) = function_around(node) else {
        return Ok(());
    };
    if function.kind() == "func_literal" {
        let starts = ancestors(function)
            .take(3)
            .any(|around| around.kind() == "go_statement");
        if !starts && !held_at(file, function)?.is_empty() {
            standing.mixed = true;
        }
        return Ok(());
    }
    let Some(name) = function.child_by_field_name("name") else {
        return Ok(());
    };
    let name = file.text_of(name);
    let mut seen: Option<Vec<Held>> = None;
    for caller in &package.files {
        let mentions = all(caller.root(), &|node| {
            matches!(node.kind(), "identifier" | "field_identifier")
                && caller.text_of(node) == name
                && is_call_of(node)
        });
        for call in mentions {
            handovers.check(caller, call)?;
            let mut held = held_at(caller, call)?;
            if held.is_empty() && depth < DEEPEST {
                let mut above = Standing::default();
                callers(package, handovers, caller, call, depth + 1, &mut above)?;
                standing.mixed |= above.mixed;
                held = above.by_callers;
            }
            match &mut seen {
                None => seen = Some(held),
                Some(known) if known.len() != held.len() => standing.mixed = true,
                Some(_) => {}
            }
        }
    }
    let is_exported = name.chars().next().is_some_and(char::is_uppercase);
    let seen = seen.unwrap_or_default();
    standing.mixed |= is_exported && !seen.is_empty();
    standing.by_callers = seen;
    Ok(())
}

fn is_call_of(name: Node<'_>) -> bool {
    let Some(parent) = name.parent() else {
        return false;
    };
    match parent.kind() {
        "selector_expression" => parent.child_by_field_name("field") == Some(name),
        "function_declaration" | "method_declaration" => false,
        "call_expression" => true,
        _ => false,
    }
}

/// The lock that all uses with a lock have.
pub fn common(standings: &[Standing]) -> Option<String> {
    let locked: Vec<&Standing> = standings
        .iter()
        .filter(|standing| !standing.held.is_empty())
        .collect();
    let first = locked.first()?;
    first
        .held
        .iter()
        .map(|held| &held.text)
        .find(|text| locked.iter().all(|standing| standing.find(text).is_some()))
        .cloned()
}

/// A lock that is taken where a caller may hold it, or another one, could lock itself out.
///
/// # Errors
/// Where that is possible.
pub fn check_callers(standings: &[Standing], lock: &str) -> Result<(), String> {
    for standing in standings.iter().filter(|standing| !standing.made) {
        if standing.held.iter().any(|held| held.text == lock) {
            continue;
        }
        if standing.mixed || standing.by_callers.iter().any(|held| held.text != lock) {
            return Err("a caller may hold a lock already".to_owned());
        }
    }
    Ok(())
}

/// Who waits for others while it holds the lock could wait for one who would now need it.
///
/// # Errors
/// Where somebody does.
pub fn check_waiting(case: &Case<'_, '_>, lock: &str) -> Result<(), String> {
    // A local variable's lock is not known outside of the function that declares both.
    let known_in = ancestors(case.declared)
        .filter(|node| is_function(*node))
        .last()
        .filter(|_| matches!(case.subject.kind, SubjectKind::Local(_)));
    let is_global = super::scope::global(case.package, lock).is_some();
    for (number, file) in case.package.files.iter().enumerate() {
        for function in all(file.root(), &|node| is_function(node)) {
            let is_outside = known_in.is_some_and(|known_in| {
                number != case.subject.file
                    || function.start_byte() < known_in.start_byte()
                    || known_in.end_byte() < function.end_byte()
            });
            if is_outside && !is_global {
                continue;
            }
            let Some(body) = function.child_by_field_name("body") else {
                continue;
            };
            let takes = all_here(body, &|node| node.kind() == "call_expression")
                .into_iter()
                .filter_map(|call| lock_call(file, call))
                .any(|call| {
                    file.text_of(call.method).ends_with("Lock")
                        && file.text_of(call.lock).ends_with(lock)
                        && !(lock.is_empty() && file.text_of(call.lock).contains('.'))
                });
            if takes && let Some(row) = waits(file, body) {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                return Err(format!(
                    "a function that takes its lock also waits for others ({name}:{})",
                    row + 1
                ));
            }
        }
    }
    Ok(())
}

/// The row where a goroutine waits while a lock is held.
fn waits(file: &GoFile, body: Node<'_>) -> Option<usize> {
    let waiting = all_here(body, &|node| match node.kind() {
        "send_statement" | "select_statement" | "receive_statement" => true,
        "unary_expression" => node
            .child_by_field_name("operator")
            .is_some_and(|operator| file.text_of(operator) == "<-"),
        "call_expression" => node
            .child_by_field_name("function")
            .is_some_and(|function| file.text_of(function).ends_with(".Wait")),
        _ => false,
    });
    waiting
        .into_iter()
        .find(|node| held_at(file, *node).map_or(true, |held| !held.is_empty()))
        .map(|node| node.start_position().row)
}

/// The lock can be held for reading.
pub fn is_shared(package: &GoPackage, types: &Types<'_>, subject: &Subject, lock: &str) -> bool {
    let is_rw = |ty: &str| ty.trim_start_matches('*').ends_with("RWMutex");
    match &subject.kind {
        SubjectKind::Field(structure) => {
            let Some(field) = lock.strip_prefix('.') else {
                return types.field(structure, "RWMutex").is_some();
            };
            types.field(structure, field).is_some_and(|(owner, node)| {
                let file = package.files.get(owner.file);
                let ty = node.child_by_field_name("type");
                file.zip(ty)
                    .is_some_and(|(file, ty)| is_rw(file.text_of(ty)))
            })
        }
        _ => {
            let specs = package.files.iter().flat_map(|file| {
                all(file.root(), &|node| node.kind() == "var_spec")
                    .into_iter()
                    .filter(|spec| {
                        super::scope::names_of(*spec)
                            .iter()
                            .any(|name| file.text_of(*name) == lock)
                    })
                    .map(|spec| spec.child_by_field_name("type").map(|ty| file.text_of(ty)))
            });
            // Several variables may have the name: the least that one of them can do.
            specs.into_iter().all(|ty| ty.is_some_and(is_rw))
        }
    }
}
