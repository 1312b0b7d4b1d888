//! Whether each field of the struct would be touched by one goroutine only, as far as the text shows.

use super::keys::{Access, access, key_text};
use crate::scan::fix::plan::Case;
use crate::scan::fix::source::{GoFile, ancestors, function_around, statements};
use crate::scan::fix::uses::{SubjectKind, Usage};
use tree_sitter::Node;

/// A touch of a key by a goroutine that the declaring function starts.
struct Touch<'p> {
    by: Node<'p>,
    key: String,
    sets: bool,
}

/// The declaring function touches the map before it starts goroutines and after it has waited for all of
/// them; what one of them sets, no other one touches.
///
/// # Errors
/// What is not so, or not seen.
pub fn check(case: &Case<'_, '_>) -> Result<(), String> {
    let shared = || "goroutines may share a key".to_owned();
    if !matches!(case.subject.kind, SubjectKind::Local(_)) {
        return Err(shared());
    }
    let owner = function_around(case.declared).ok_or_else(shared)?;
    let (mut touches, mut own) = (Vec::new(), Vec::new());
    for usage in case.usages {
        match function_around(usage.map) {
            Some(around) if around == owner => own.push(usage),
            Some(around) => touches.push(touch(case.file, usage, around, owner)?),
            None => return Err(shared()),
        }
    }
    let is_shared = touches.iter().any(|touch| {
        touch.sets
            && touches
                .iter()
                .any(|other| other.by != touch.by && other.key == touch.key)
    });
    if is_shared {
        return Err(shared());
    }
    let starts: Vec<Node<'_>> = touches.iter().map(|touch| touch.by).collect();
    own.into_iter().try_for_each(|usage| {
        let is_before = starts
            .iter()
            .all(|start| usage.map.end_byte() <= start.start_byte() && !in_loop(usage.map, owner));
        if is_before || is_after_all(case.file, usage.map, &starts) {
            Ok(())
        } else {
            Err(shared())
        }
    })
}

fn in_loop(node: Node<'_>, owner: Node<'_>) -> bool {
    ancestors(node)
        .take_while(|around| *around != owner)
        .any(|around| around.kind() == "for_statement")
}

fn touch<'p>(
    file: &GoFile,
    usage: &Usage<'p>,
    literal: Node<'p>,
    owner: Node<'p>,
) -> Result<Touch<'p>, String> {
    let starts_once = function_around(literal) == Some(owner)
        && is_started(file, literal)
        && !in_loop(literal, owner);
    if !starts_once {
        return Err("a goroutine that uses it may be one of many".to_owned());
    }
    let access = access(file, usage)?;
    let key = key_text(file, &access).ok_or("a goroutine replaces it")?;
    Ok(Touch {
        by: literal,
        key,
        sets: matches!(access, Access::Set { .. }),
    })
}

/// `go func() { ... }()`, or `wg.Go(func() { ... })`.
fn is_started(file: &GoFile, literal: Node<'_>) -> bool {
    let Some(parent) = literal.parent() else {
        return false;
    };
    if parent.kind() == "call_expression" {
        return parent
            .parent()
            .is_some_and(|around| around.kind() == "go_statement");
    }
    group_of_go(file, literal).is_some()
}

/// `wg` of `wg.Go(func() { ... })`.
fn group_of_go<'f>(file: &'f GoFile, literal: Node<'_>) -> Option<&'f str> {
    let call = literal.parent()?.parent()?;
    let function = call.child_by_field_name("function")?;
    file.text_of(function).strip_suffix(".Go")
}

/// In a statement before it, on the way that leads to it, all of them have been waited for.
fn is_after_all(file: &GoFile, node: Node<'_>, starts: &[Node<'_>]) -> bool {
    let owner = function_around(node);
    let last = starts.iter().map(|start| start.end_byte()).max();
    let waits: Vec<&str> = ancestors(node)
        .take_while(|around| Some(*around) != owner)
        .filter(|around| around.kind() == "statement_list")
        .flat_map(statements)
        .filter(|statement| {
            last.is_some_and(|last| last <= statement.start_byte())
                && statement.end_byte() <= node.start_byte()
        })
        .filter_map(|statement| file.text_of(statement).strip_suffix(".Wait()"))
        .collect();
    starts.iter().all(|start| {
        waits
            .iter()
            .any(|group| group_of_go(file, *start) == Some(group) || says_done(file, *start, group))
    })
}

/// It begins with `defer wg.Done()`.
fn says_done(file: &GoFile, literal: Node<'_>, group: &str) -> bool {
    let body = literal.child_by_field_name("body");
    let first = body.and_then(|body| statements(body).first().copied());
    first.is_some_and(|first| file.text_of(first) == format!("defer {group}.Done()"))
}
