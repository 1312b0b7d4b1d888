//! Which locks the text shows to be held at a place: Lock and Unlock in the lists of statements around it.

use super::source::{GoFile, all_here, ancestors, function_around, named, statements};
use tree_sitter::Node;

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lock as written: `c.mu`; `c` when it is embedded.
    pub text: String,
    /// Not only for reading.
    pub exclusive: bool,
}

/// A call of a lock's method.
#[derive(Clone, Copy, Debug)]
pub struct LockCall<'t> {
    /// The lock.
    pub lock: Node<'t>,
    /// The method's name.
    pub method: Node<'t>,
}

/// The lock and method of `x.Lock()` and its kind.
pub fn lock_call<'t>(file: &GoFile, call: Node<'t>) -> Option<LockCall<'t>> {
    let function = call.child_by_field_name("function")?;
    let method = function.child_by_field_name("field")?;
    let lock = function.child_by_field_name("operand")?;
    let is_lock = matches!(
        file.text_of(method),
        "Lock" | "RLock" | "Unlock" | "RUnlock" | "TryLock" | "TryRLock"
    );
    is_lock.then_some(LockCall { lock, method })
}

/// The locks held when a node is reached, as far as its own function tells.
///
/// # Errors
/// When the text does not tell: a lock that is taken or released on one path only.
pub fn held_at(file: &GoFile, node: Node<'_>) -> Result<Vec<Held>, String> {
    let function = function_around(node);
    let mut path: Vec<(Node<'_>, Node<'_>)> = Vec::new();
    let mut below = node;
    for around in ancestors(node).skip(1) {
        if Some(around) == function {
            break;
        }
        if around.kind() == "statement_list" {
            path.push((around, below));
        }
        below = around;
    }
    let mut held = Vec::new();
    for (list, on_path) in path.into_iter().rev() {
        for statement in statements(list) {
            if statement.start_byte() >= on_path.start_byte() {
                break;
            }
            apply(file, statement, &mut held)?;
        }
    }
    Ok(held)
}

/// What a statement takes and releases.
///
/// # Errors
/// When the text does not tell.
pub fn apply(file: &GoFile, statement: Node<'_>, held: &mut Vec<Held>) -> Result<(), String> {
    if statement.kind() == "expression_statement" {
        let call = named(statement)
            .first()
            .and_then(|call| lock_call(file, *call));
        if let Some(call) = call {
            step(file, call, held);
        }
        return Ok(());
    }
    if matches!(statement.kind(), "defer_statement" | "go_statement") {
        return Ok(());
    }
    let inside: Vec<LockCall<'_>> = all_here(statement, &|node| node.kind() == "call_expression")
        .into_iter()
        .filter_map(|call| lock_call(file, call))
        .collect();
    if inside.is_empty() || leaves(file, statement) || is_balanced(file, &inside) {
        return Ok(());
    }
    Err("a lock is taken or released on one path only".to_owned())
}

fn step(file: &GoFile, call: LockCall<'_>, held: &mut Vec<Held>) {
    let text = file.text_of(call.lock).to_owned();
    match file.text_of(call.method) {
        "Lock" => held.push(Held {
            text,
            exclusive: true,
        }),
        "RLock" => held.push(Held {
            text,
            exclusive: false,
        }),
        _ => {
            if let Some(at) = held.iter().rposition(|known| known.text == text) {
                held.remove(at);
            }
        }
    }
}

/// An if without else that ends by leaving: who comes after it did not go through it.
fn leaves(file: &GoFile, statement: Node<'_>) -> bool {
    if statement.kind() != "if_statement" || statement.child_by_field_name("alternative").is_some()
    {
        return false;
    }
    let last = statement
        .child_by_field_name("consequence")
        .and_then(|block| statements(block).last().copied());
    let has_try =
        file.text_of(statement).contains("TryLock") || file.text_of(statement).contains("TryRLock");
    !has_try
        && last.is_some_and(|last| {
            matches!(
                last.kind(),
                "return_statement" | "break_statement" | "continue_statement" | "goto_statement"
            ) || file.text_of(last).starts_with("panic(")
        })
}

fn is_balanced(file: &GoFile, calls: &[LockCall<'_>]) -> bool {
    let mut held = Vec::new();
    for call in calls {
        if file.text_of(call.method).starts_with("Try") {
            return false;
        }
        let before = held.len();
        step(file, *call, &mut held);
        let is_release = file.text_of(call.method).ends_with("nlock");
        if is_release && held.len() == before {
            return false;
        }
    }
    held.is_empty()
}
