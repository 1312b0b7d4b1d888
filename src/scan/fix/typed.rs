//! A `map[string]any` with known keys that becomes a struct.
//!
//! It is right where every use names its key as a constant, and every key has one type: what is read is asserted
//! to have it, or was there from the beginning. A struct alone removes a race only where no two goroutines share
//! a field ([`alone`]); else the map is put under a lock first, and the struct is what the lock guards.

mod alone;
mod keys;

use super::edit::{self, Edit};
use super::plan::{Case, FixKind, Plan, lock};
use super::scope::{Types, key_of};
use super::source::{GoFile, GoPackage, ancestors, free_name};
use super::uses::{self, Subject, SubjectKind};
use keys::{Access, Keys, access};
use tree_sitter::Node;

/// A struct, with a lock where fields are shared.
///
/// # Errors
/// Why the map is no struct, or cannot be guarded.
pub fn plan(case: &Case<'_, '_>) -> Result<Plan, String> {
    without_lock(case).or_else(|_| with_lock(case))
}

/// A struct whose fields no two goroutines share.
///
/// # Errors
/// Why the map is no struct, or who may share a field.
pub fn without_lock(case: &Case<'_, '_>) -> Result<Plan, String> {
    let keys = Keys::of(case)?;
    alone::check(case)?;
    let mut plan = case.empty(FixKind::TypedStruct);
    let name = type_name(case);
    plan.edits = edits(case, &keys, &name)?;
    plan.places = keys.places;
    plan.name = name;
    let ranges = case.usages.iter().map(|usage| {
        let statement = super::classify::statement_of(usage.map).unwrap_or(usage.map);
        (usage.file, statement.byte_range())
    });
    plan.regions.extend(ranges);
    Ok(plan)
}

/// The lock first; in the texts that it leads to, the struct.
fn with_lock(case: &Case<'_, '_>) -> Result<Plan, String> {
    // What is no struct is not worth a lock.
    Keys::of(case)?;
    let guarded = lock(case)?;
    let package = patched(case.package, &guarded.edits)?;
    let subject = moved(case.subject, &guarded.edits);
    let types = Types::new(&package);
    let (declared, _) =
        uses::declared(&package, &types, &subject).ok_or("its declaration is not found")?;
    let file = package.file(subject.file)?;
    let usages = uses::uses(&package, &types, &subject, case.map_type)?;
    let after = Case {
        package: &package,
        types: &types,
        subject: &subject,
        declared,
        file,
        map_type: case.map_type,
        usages: &usages,
        go_minor: case.go_minor,
    };
    let name = type_name(case);
    let typed = patched(&package, &edits(&after, &Keys::of(&after)?, &name)?)?;
    let mut plan = case.empty(FixKind::TypedGuarded);
    for (number, (before, after)) in case.package.files.iter().zip(&typed.files).enumerate() {
        plan.edits
            .extend(Edit::between(number, &before.text, &after.text));
    }
    let ranges = plan
        .edits
        .iter()
        .map(|edit| (edit.file, edit.start..edit.end));
    plan.regions = ranges.chain(guarded.regions).collect();
    plan.places = guarded.places;
    plan.name = format!("{name} and {}", guarded.name);
    Ok(plan)
}

/// The package after edits.
fn patched(package: &GoPackage, edits: &[Edit]) -> Result<GoPackage, String> {
    let mut files = Vec::new();
    for (number, file) in package.files.iter().enumerate() {
        let own: Vec<Edit> = edits
            .iter()
            .filter(|edit| edit.file == number)
            .cloned()
            .collect();
        let text = edit::apply(&file.text, &own).ok_or("two edits are about the same text")?;
        let parsed = GoFile::parse(file.path.clone(), text);
        files.push(parsed.ok_or("what the lock leads to is no Go")?);
    }
    Ok(GoPackage {
        name: package.name.clone(),
        files,
    })
}

/// Where a local variable is declared after edits.
fn moved(subject: &Subject, edits: &[Edit]) -> Subject {
    let mut moved = subject.clone();
    if let SubjectKind::Local(at) = &mut moved.kind {
        let before = edits
            .iter()
            .filter(|edit| edit.file == subject.file && edit.end <= *at);
        let (more, less) = before.fold((0, 0), |(more, less), edit| {
            (more + edit.text.len(), less + edit.end - edit.start)
        });
        *at = *at + more - less;
    }
    moved
}

/// `statsValues` for `stats`.
fn type_name(case: &Case<'_, '_>) -> String {
    let mut letters = case.subject.name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    let own: String = first.into_iter().chain(letters).collect();
    free_name(case.package, &format!("{own}Values"))
}

fn edits(case: &Case<'_, '_>, keys: &Keys, name: &str) -> Result<Vec<Edit>, String> {
    let mut out = vec![declaration(case, keys, name)?];
    for usage in case.usages {
        let file = case.package.file(usage.file)?;
        let number = usage.file;
        let map = file.text_of(usage.map);
        let field = |key: Node<'_>| -> Result<String, String> {
            Ok(format!("{map}.{}", keys.field(file, key)?))
        };
        match access(file, usage)? {
            Access::Typed(node) => out.push(Edit::replace(number, node, name)),
            Access::Made(value) => out.extend(literal(file, number, keys, value, name)?),
            Access::Set { whole, key, .. } | Access::Shown { whole, key } => {
                out.push(Edit::replace(number, whole, field(key)?));
            }
            Access::Get { assertion, key, .. } => {
                out.push(Edit::replace(number, assertion, field(key)?));
            }
            Access::GetOk {
                assertion,
                key,
                names,
                ok,
                ..
            } => {
                let is_unused = file.text_of(ok) == "_";
                let value = field(key)?;
                if is_unused {
                    let first = super::source::named(names).first().copied();
                    let text = first.map_or("_", |first| file.text_of(first));
                    out.push(Edit::replace(number, names, text));
                    out.push(Edit::replace(number, assertion, value));
                } else {
                    out.push(Edit::replace(number, assertion, format!("{value}, true")));
                }
            }
            Access::Declared => {}
        }
    }
    Ok(out)
}

/// `map[string]any{"a": 1}` as a value of the struct.
fn literal(
    file: &GoFile,
    number: usize,
    keys: &Keys,
    value: Node<'_>,
    name: &str,
) -> Result<Vec<Edit>, String> {
    if value.kind() != "composite_literal" {
        return Ok(vec![Edit::replace(number, value, format!("{name}{{}}"))]);
    }
    let ty = value
        .child_by_field_name("type")
        .ok_or("its first value has no type")?;
    let mut out = vec![Edit::replace(number, ty, name)];
    for (key, _) in keys::elements(value) {
        out.push(Edit::replace(number, key, keys.field(file, key)?));
    }
    Ok(out)
}

/// The struct type: beside the package's declaration, or before that of a local variable.
fn declaration(case: &Case<'_, '_>, keys: &Keys, name: &str) -> Result<Edit, String> {
    let text = format!("type {name} struct {{\n{}\n}}", keys.fields());
    let number = case.subject.file;
    if let SubjectKind::Local(_) = case.subject.kind {
        let statement = super::classify::statement_of(case.declared)
            .ok_or("its declaration is no statement")?;
        return Ok(Edit::before(number, case.file, statement, &text));
    }
    let outermost = ancestors(case.declared)
        .find(|node| {
            node.parent()
                .is_some_and(|parent| parent.kind() == "source_file")
        })
        .ok_or("its declaration has an unusual form")?;
    Ok(Edit::after(
        number,
        case.file,
        outermost,
        &format!("\n{text}"),
    ))
}

/// It maps strings to anything.
fn is_record(map_type: &str) -> bool {
    key_of(map_type) == Some("string")
        && super::scope::element_of(map_type).is_some_and(super::constants::is_interface)
}
