//! Functions that return with other locks than they were called with: behind a call of one, the text around it does not
//! tell which locks are held.

use super::locks::{LockCall, apply, held_at, lock_call};
use super::source::{GoFile, GoPackage, all, all_here, ancestors, is_function, named, statements};
use std::collections::HashSet;
use tree_sitter::Node;

/// Their names, and the types whose methods they are.
pub struct Handovers<'p>(HashSet<(Option<&'p str>, &'p str)>);

impl<'p> Handovers<'p> {
    /// Those of a package.
    pub fn of(package: &'p GoPackage) -> Handovers<'p> {
        let named = package.files.iter().flat_map(|file| {
            all(file.root(), &|node| {
                is_function(node) && node.kind() != "func_literal" && hands_over(file, node)
            })
            .into_iter()
            .filter_map(|function| {
                let name = function.child_by_field_name("name")?;
                let of = receiver(file, function).map(|(_, of)| of);
                Some((of, file.text_of(name)))
            })
        });
        Handovers(named.collect())
    }

    /// No such function is called around a place.
    ///
    /// # Errors
    /// When one is.
    pub fn check(&self, file: &GoFile, node: Node<'_>) -> Result<(), String> {
        let Some(function) = ancestors(node).filter(|node| is_function(*node)).last() else {
            return Ok(());
        };
        let receiver = receiver(file, function);
        let called = all(function, &|node| node.kind() == "call_expression")
            .into_iter()
            .filter(|call| lock_call(file, *call).is_none())
            .filter_map(|call| call.child_by_field_name("function"))
            .find(|callee| self.holds(file, *callee, receiver));
        match called {
            Some(callee) => Err(format!(
                "{} returns with other locks than it was called with",
                file.text_of(callee)
            )),
            None => Ok(()),
        }
    }

    /// A call's function is one of them. Whose method it is, is known where it is called on the receiver; elsewhere
    /// the name decides, when only this package can have methods of that name.
    fn holds(&self, file: &GoFile, callee: Node<'_>, receiver: Option<(&str, &str)>) -> bool {
        let Some(method) = callee.child_by_field_name("field") else {
            return self.0.contains(&(None, file.text_of(callee)));
        };
        let name = file.text_of(method);
        let on = callee
            .child_by_field_name("operand")
            .map(|operand| file.text_of(operand));
        match receiver {
            Some((own, of)) if on == Some(own) => self.0.contains(&(Some(of), name)),
            _ => {
                let is_of_package = name.starts_with(|first: char| !first.is_uppercase());
                is_of_package
                    && self
                        .0
                        .iter()
                        .any(|(of, known)| of.is_some() && *known == name)
            }
        }
    }
}

/// A method's receiver: its name, and its type's.
fn receiver<'f>(file: &'f GoFile, function: Node<'_>) -> Option<(&'f str, &'f str)> {
    let parameter = named(function.child_by_field_name("receiver")?)
        .first()
        .copied()?;
    let name = parameter.child_by_field_name("name")?;
    let of = all(parameter.child_by_field_name("type")?, &|node| {
        node.kind() == "type_identifier"
    });
    // The type's own name comes before those of its parameters.
    let of = of.into_iter().min_by_key(|node| node.start_byte())?;
    Some((file.text_of(name), file.text_of(of)))
}

/// Some way through the function ends with a lock that was taken on it, or releases one that was not.
fn hands_over(file: &GoFile, function: Node<'_>) -> bool {
    let Some(body) = function.child_by_field_name("body") else {
        return false;
    };
    let calls: Vec<LockCall<'_>> = all_here(body, &|node| node.kind() == "call_expression")
        .into_iter()
        .filter_map(|call| lock_call(file, call))
        .collect();
    let (deferred, direct): (Vec<_>, Vec<_>) =
        calls.into_iter().partition(|call| is_deferred(call.lock));
    let is_deferred_for = |lock: &str| deferred.iter().any(|call| file.text_of(call.lock) == lock);
    let keeps = |at: Node<'_>| {
        held_at(file, at).map_or(true, |held| {
            held.iter().any(|held| !is_deferred_for(&held.text))
        })
    };
    let releases = |call: &LockCall<'_>| {
        let lock = file.text_of(call.lock);
        file.text_of(call.method).ends_with("nlock")
            && held_at(file, call.lock).is_ok_and(|held| held.iter().all(|held| held.text != lock))
    };
    if direct.is_empty() && deferred.is_empty() {
        return false;
    }
    let returns = all_here(body, &|node| node.kind() == "return_statement");
    direct.iter().any(releases)
        || returns.into_iter().any(keeps)
        || keeps_at_the_end(file, body, &is_deferred_for)
}

/// The same at the end of the body, when that is reached.
fn keeps_at_the_end(file: &GoFile, body: Node<'_>, is_deferred_for: &dyn Fn(&str) -> bool) -> bool {
    let mut held = Vec::new();
    for statement in statements(body) {
        if statement.kind() == "return_statement" {
            return false;
        }
        if apply(file, statement, &mut held).is_err() {
            return true;
        }
    }
    held.iter().any(|held| !is_deferred_for(&held.text))
}

fn is_deferred(node: Node<'_>) -> bool {
    ancestors(node)
        .take_while(|around| !is_function(*around))
        .any(|around| around.kind() == "defer_statement")
}
