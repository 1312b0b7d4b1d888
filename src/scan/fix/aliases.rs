//! Other names of a subject that can be followed: a pointer to a local map that is only followed, and a local name
//! for an inner map.

use super::classify::{alias, classify};
use super::scope::{Declared, declaration, element_of};
use super::source::{GoFile, all, ancestors, function_around, is_function};
use super::uses::{Usage, Use};
use tree_sitter::Node;

/// The use that gives another name, and all uses of that name; `None` when there is none, or when it leads to
/// something that cannot be followed.
pub fn of<'p>(file: &'p GoFile, usage: &Usage<'p>, map_type: &str) -> Option<Vec<Usage<'p>>> {
    if !matches!(usage.what, Use::Escape(_)) {
        return None;
    }
    by_pointer(file, usage, map_type).or_else(|| by_inner(file, usage, map_type))
}

/// `p := &m`, where `p` is only used as `*p`.
fn by_pointer<'p>(file: &'p GoFile, usage: &Usage<'p>, map_type: &str) -> Option<Vec<Usage<'p>>> {
    let address = usage.map.parent()?;
    let is_address = address.kind() == "unary_expression" && file.text_of(address).starts_with('&');
    if !is_address || usage.map.kind() != "identifier" {
        return None;
    }
    let name = name_of(address)?;
    let mut found = vec![made(usage, usage.name), made(usage, name)];
    for other in others(file, name)? {
        let map = other.parent()?;
        if map.kind() != "unary_expression" || !file.text_of(map).starts_with('*') {
            return None;
        }
        found.push(followed(file, usage, other, map, map_type)?);
    }
    Some(found)
}

/// `inner := s.users[user]`.
fn by_inner<'p>(file: &'p GoFile, usage: &Usage<'p>, map_type: &str) -> Option<Vec<Usage<'p>>> {
    let whole = usage.map.parent()?;
    let inner = element_of(map_type).filter(|ty| ty.starts_with("map["))?;
    let is_element = whole.kind() == "index_expression"
        && whole.child_by_field_name("operand") == Some(usage.map);
    if !is_element {
        return None;
    }
    let name = name_of(whole)?;
    let base = match usage.map.child_by_field_name("operand") {
        Some(base) => Some(steady(file, base)?),
        None => None,
    };
    let first = Usage {
        what: Use::Read,
        whole,
        ..usage.clone()
    };
    let mut found = vec![first, made(usage, name)];
    for other in others(file, name)? {
        let usage = followed(file, usage, other, other, inner)?;
        found.push(Usage { base, ..usage });
    }
    Some(found)
}

/// The name that `name := value` gives to a value.
pub fn name_of(value: Node<'_>) -> Option<Node<'_>> {
    let list = value.parent()?;
    let statement = list.parent()?;
    let is_it = statement.kind() == "short_var_declaration"
        && statement.child_by_field_name("right") == Some(list);
    is_it.then(|| alias(statement, list, value)).flatten()
}

fn made<'p>(usage: &Usage<'p>, name: Node<'p>) -> Usage<'p> {
    Usage {
        name,
        map: name,
        whole: name,
        what: Use::Made,
        ..usage.clone()
    }
}

fn followed<'p>(
    file: &'p GoFile,
    usage: &Usage<'p>,
    name: Node<'p>,
    map: Node<'p>,
    map_type: &str,
) -> Option<Usage<'p>> {
    let (whole, what) = classify(file, map, map_type);
    let is_known = matches!(
        what,
        Use::Read | Use::Range | Use::QuietRead | Use::LoudRead
    ) || what == Use::Write && whole != map;
    is_known.then(|| Usage {
        name,
        map,
        whole,
        what,
        ..usage.clone()
    })
}

/// The uses of a local variable after its declaration.
pub fn others<'p>(file: &GoFile, name: Node<'p>) -> Option<Vec<Node<'p>>> {
    let function = function_around(name)?;
    Some(all(function, &|node| {
        node.kind() == "identifier"
            && node != name
            && file.text_of(node) == file.text_of(name)
            && declaration(file, node) == Declared::Local(name)
    }))
}

/// A variable that nothing is assigned to in its function.
fn steady<'p>(file: &GoFile, base: Node<'p>) -> Option<Node<'p>> {
    let function = ancestors(base).filter(|node| is_function(*node)).last()?;
    let is_changed = |node: Node<'p>| {
        let left = match node.kind() {
            "assignment_statement" | "range_clause" | "short_var_declaration" => {
                node.child_by_field_name("left")
            }
            _ => None,
        };
        left.is_some_and(|left| {
            let same = |inner: Node<'_>| inner.kind() == "identifier";
            all(left, &same)
                .into_iter()
                .any(|name| file.text_of(name) == file.text_of(base) && name.parent() == Some(left))
        })
    };
    (base.kind() == "identifier" && all(function, &is_changed).is_empty()).then_some(base)
}
