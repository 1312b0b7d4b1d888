//! A map that becomes a `sync.Map`.
//!
//! It is right where each thing that is done with the map is one method of a sync.Map: an element read, assigned
//! or deleted, all elements looked at one by one. What is done in two steps must be one of the pairs for which
//! there is a method ([`pairs`]); an element that is computed from its old value, a length, and a map that others
//! are given are not.

mod pairs;
mod rewrite;

use super::plan::{Case, Plan};
use super::scope::{element_of, key_of};
use super::source::{GoFile, all, ancestors, bare, function_around, named};
use super::uses::{Usage, Use};
use pairs::Role;
use rewrite::Rewrite;
use tree_sitter::Node;

/// What a use does with the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access<'p> {
    /// Its declaration.
    Declared,
    /// `T{m: value}`: the element with the key, and its value.
    Literal { keyed: Node<'p>, value: Node<'p> },
    /// `m[k]`, read.
    Load { whole: Node<'p>, key: Node<'p> },
    /// `m[k] = value`.
    Store {
        statement: Node<'p>,
        key: Node<'p>,
        value: Node<'p>,
    },
    /// `delete(m, k)`.
    Delete { call: Node<'p>, key: Node<'p> },
    /// `clear(m)`, or `m = map[K]V{}`.
    Clear { node: Node<'p> },
    /// `range m`.
    Range { clause: Node<'p>, each: Node<'p> },
}

impl Access<'_> {
    fn reads(&self) -> bool {
        matches!(self, Access::Load { .. } | Access::Range { .. })
    }

    fn writes(&self) -> bool {
        matches!(
            self,
            Access::Store { .. } | Access::Delete { .. } | Access::Clear { .. }
        )
    }
}

/// A use, what it does, and its part in a pair.
struct Step<'s, 'p> {
    usage: &'s Usage<'p>,
    file: &'p GoFile,
    access: Access<'p>,
    role: Role<'p>,
}

/// The types of the map.
#[derive(Clone, Copy)]
struct Shape<'c> {
    key: &'c str,
    value: &'c str,
}

/// Without a lock's reason: a sync.Map was thinkable.
pub fn is_worth_saying(case: &Case<'_, '_>) -> bool {
    !case
        .usages
        .iter()
        .any(|usage| matches!(usage.what, Use::Escape(_)))
}

/// Plans the change of all uses.
///
/// # Errors
/// Why the map is not one for a sync.Map.
pub fn plan(case: &Case<'_, '_>) -> Result<Plan, String> {
    let shape = shape(case)?;
    let mut steps = Vec::new();
    for usage in case.usages {
        let file = case.package.file(usage.file)?;
        check_unlocked(file, usage)?;
        let access = access(file, usage).map_err(|why| {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            format!("{why} ({name}:{})", usage.map.start_position().row + 1)
        })?;
        steps.push(Step {
            usage,
            file,
            access,
            role: Role::Alone,
        });
    }
    check_apart(&steps)?;
    pairs::assign(&shape, &mut steps);
    check_steps(&steps)?;
    let mut rewrite = Rewrite::new(case, shape, &steps);
    rewrite.all()?;
    Ok(rewrite.plan)
}

fn shape<'c>(case: &Case<'c, '_>) -> Result<Shape<'c>, String> {
    let (Some(key), Some(value)) = (key_of(case.map_type), element_of(case.map_type)) else {
        return Err("the types of its keys and values are not known".to_owned());
    };
    if value.starts_with("map[") {
        return Err("its values are maps, which a sync.Map does not protect".to_owned());
    }
    if key.starts_with("float") || key.starts_with("complex") {
        return Err("a key may be no number, which a sync.Map treats otherwise".to_owned());
    }
    Ok(Shape { key, value })
}

/// A lock that is held at a use guards more than one element: what, the text does not tell.
fn check_unlocked(file: &GoFile, usage: &Usage<'_>) -> Result<(), String> {
    let is_declared = usage.what == Use::Made;
    if is_declared || super::locks::held_at(file, usage.map)?.is_empty() {
        Ok(())
    } else {
        Err("a lock is held at some of its uses".to_owned())
    }
}

fn access<'p>(file: &'p GoFile, usage: &Usage<'p>) -> Result<Access<'p>, String> {
    let map = usage.map;
    let parent = map.parent().ok_or("it stands outside of any statement")?;
    let other = || match &usage.what {
        Use::Escape(why) => why.clone(),
        Use::Returned => "it is returned".to_owned(),
        Use::Snapshot => "it is kept under another name".to_owned(),
        _ => "it is used in a way that no method of a sync.Map has".to_owned(),
    };
    match parent.kind() {
        "index_expression" => element(file, parent),
        "var_spec" | "field_declaration" => Ok(Access::Declared),
        "range_clause" => range(parent).ok_or_else(other),
        "literal_element" => literal(parent).ok_or_else(other),
        "argument_list" => builtin(file, map, parent).ok_or_else(other)?,
        "expression_list" => whole(file, map, parent).ok_or_else(other),
        "binary_expression" => Err("it is compared with nil".to_owned()),
        _ => Err(other()),
    }
}

fn element<'p>(file: &'p GoFile, whole: Node<'p>) -> Result<Access<'p>, String> {
    let key = whole
        .child_by_field_name("index")
        .ok_or("it has no index")?;
    let Some(parent) = whole.parent() else {
        return Err("it stands outside of any statement".to_owned());
    };
    match parent.kind() {
        "inc_statement" | "dec_statement" => return Err(computed()),
        "unary_expression" if file.text_of(parent).starts_with('&') => {
            return Err("the address of an element is taken".to_owned());
        }
        _ => {}
    }
    let left = ancestors(whole).find(|around| {
        around.parent().is_some_and(|statement| {
            matches!(statement.kind(), "assignment_statement" | "range_clause")
                && statement.child_by_field_name("left") == Some(*around)
        })
    });
    let Some(list) = left else {
        return Ok(Access::Load { whole, key });
    };
    let statement = list.parent().ok_or("it is assigned nowhere")?;
    let operator = statement.child_by_field_name("operator");
    let (left, right) = (named(list), statement.child_by_field_name("right"));
    let right = right.map(named).unwrap_or_default();
    let ([only], [value]) = (&left[..], &right[..]) else {
        return Err("it is assigned together with something else".to_owned());
    };
    if *only != whole {
        // An index inside of what is assigned is only read.
        let is_inside = all(*only, &|node| {
            node.kind() == "index_expression"
                && node
                    .child_by_field_name("index")
                    .is_some_and(|index| holds(index, whole))
        });
        return if is_inside.is_empty() {
            Err("a part of an element is assigned".to_owned())
        } else {
            Ok(Access::Load { whole, key })
        };
    }
    if operator.is_none_or(|operator| file.text_of(operator) != "=") {
        return Err(computed());
    }
    Ok(Access::Store {
        statement,
        key,
        value: *value,
    })
}

fn computed() -> String {
    "an element is computed from its old value".to_owned()
}

fn range(clause: Node<'_>) -> Option<Access<'_>> {
    let each = clause.parent()?;
    Some(Access::Range { clause, each })
}

fn literal(element: Node<'_>) -> Option<Access<'_>> {
    let keyed = element.parent()?;
    let value = keyed.child_by_field_name("value")?;
    let value = named(value).first().copied()?;
    (keyed.child_by_field_name("key")? == element).then_some(Access::Literal { keyed, value })
}

fn builtin<'p>(
    file: &'p GoFile,
    map: Node<'p>,
    list: Node<'p>,
) -> Option<Result<Access<'p>, String>> {
    let call = list.parent()?;
    let function = file.text_of(call.child_by_field_name("function")?);
    let arguments = named(list);
    if arguments.first() != Some(&map) {
        return None;
    }
    match (function, &arguments[..]) {
        ("delete", [_, key]) => Some(Ok(Access::Delete { call, key: *key })),
        ("clear", _) => Some(Ok(Access::Clear { node: call })),
        ("len", _) => Some(Err(
            "its length is asked for, which a sync.Map does not know".to_owned(),
        )),
        _ => Some(Err(format!("it is passed to {function}"))),
    }
}

/// The map itself, declared or replaced by an empty one.
fn whole<'p>(file: &'p GoFile, map: Node<'p>, list: Node<'p>) -> Option<Access<'p>> {
    let statement = list.parent()?;
    if statement.child_by_field_name("left")? != list {
        return None;
    }
    match statement.kind() {
        "short_var_declaration" => Some(Access::Declared),
        "assignment_statement" => {
            let values = named(statement.child_by_field_name("right")?);
            let [value] = values[..] else { return None };
            (named(list) == [map] && is_empty(file, value))
                .then_some(Access::Clear { node: statement })
        }
        _ => None,
    }
}

/// `map[K]V{}` or `make(map[K]V)`.
fn is_empty(file: &GoFile, value: Node<'_>) -> bool {
    let value = bare(value);
    match value.kind() {
        "composite_literal" => contents(value).is_empty(),
        "call_expression" => file.text_of(value).starts_with("make("),
        _ => false,
    }
}

/// The elements of a composite literal.
fn contents(literal: Node<'_>) -> Vec<Node<'_>> {
    literal
        .child_by_field_name("body")
        .map(named)
        .unwrap_or_default()
}

fn holds(outer: Node<'_>, inner: Node<'_>) -> bool {
    outer.start_byte() <= inner.start_byte() && inner.end_byte() <= outer.end_byte()
}

/// No use is part of another one: `m[m[k]]`, `m[k] = append(m[k], v)`.
fn check_apart(steps: &[Step<'_, '_>]) -> Result<(), String> {
    for step in steps {
        let parts: Vec<Node<'_>> = match step.access {
            Access::Load { key, .. } | Access::Delete { key, .. } => vec![key],
            Access::Store { key, value, .. } => vec![key, value],
            _ => Vec::new(),
        };
        let is_computed = steps.iter().any(|other| {
            other.usage.file == step.usage.file
                && parts.iter().any(|part| holds(*part, other.usage.map))
        });
        if is_computed {
            return Err(computed());
        }
    }
    Ok(())
}

/// What is read first and written then in one function is decided by what was read, which may be out of
/// date by then.
fn check_steps(steps: &[Step<'_, '_>]) -> Result<(), String> {
    for read in steps.iter().filter(|step| step.access.reads()) {
        let function = function_around(read.usage.map);
        let writes = steps.iter().filter(|step| {
            step.access.writes()
                && step.role == Role::Alone
                && step.usage.file == read.usage.file
                && function_around(step.usage.map) == function
        });
        for write in writes {
            let is_before = read.usage.map.start_byte() < write.usage.map.start_byte();
            if is_before || share_a_loop(read.usage.map, write.usage.map) {
                return Err(format!(
                    "{} reads and then writes it: both together are no method of a sync.Map",
                    name_of(read.file, function)
                ));
            }
        }
    }
    Ok(())
}

fn name_of(file: &GoFile, function: Option<Node<'_>>) -> String {
    let name = function.and_then(|function| function.child_by_field_name("name"));
    name.map_or_else(
        || "one function".to_owned(),
        |name| file.text_of(name).to_owned(),
    )
}

fn share_a_loop(a: Node<'_>, b: Node<'_>) -> bool {
    let function = function_around(a);
    ancestors(a)
        .take_while(|around| Some(*around) != function)
        .any(|around| around.kind() == "for_statement" && holds(around, b))
}
