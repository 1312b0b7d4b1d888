//! Two steps that a sync.Map does in one: an element that is stored when there is none, and one that is read and
//! deleted.

use super::super::classify::{is_builtin, statement_of};
use super::super::scope::{Declared, declaration};
use super::super::source::{GoFile, all, ancestors, bare, function_around, named, statements};
use super::{Access, Shape, Step, contents, holds};
use std::collections::HashSet;
use tree_sitter::Node;

/// A step's part in a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'p> {
    /// None.
    Alone,
    /// Another step does it: the statement goes.
    Gone,
    /// A check that also stores: `if _, loaded := m.LoadOrStore(k, v); loaded`.
    Claim {
        check: Node<'p>,
        key: Node<'p>,
        value: Node<'p>,
        is_negative: bool,
    },
    /// A check with nothing but the store in it: `m.LoadOrStore(k, v)`.
    Ensure {
        check: Node<'p>,
        key: Node<'p>,
        value: Node<'p>,
    },
    /// A store after a check that found nothing: who comes second takes what the first one has stored.
    Agree { name: Option<Node<'p>> },
    /// A read that also deletes.
    Take,
}

/// An `if` that asks whether there is an element.
struct Check<'p> {
    statement: Node<'p>,
    /// There is none.
    is_negative: bool,
    /// The element is not looked at.
    is_blind: bool,
    /// `v, ok := m[k]` is a statement of its own, before it.
    is_apart: bool,
}

/// Finds pairs, and says so in the steps' roles.
pub fn assign<'p>(shape: &Shape<'_>, steps: &mut [Step<'_, 'p>]) {
    let is_flags = shape.value == "bool" && is_only_true(steps);
    for index in 0..steps.len() {
        let Some(pair) = steps.get(index).and_then(|load| {
            let Access::Load { whole, key } = load.access else {
                return None;
            };
            let pairs = Pairs {
                steps,
                load,
                whole,
                key,
            };
            pairs.taken().or_else(|| {
                let check = pairs.check(is_flags)?;
                pairs.claimed(&check).or_else(|| pairs.agreed(&check))
            })
        }) else {
            continue;
        };
        let (own, other, role) = pair;
        if let Some(step) = steps.get_mut(index) {
            step.role = own;
        }
        if let Some(step) = steps.get_mut(other) {
            step.role = role;
        }
    }
}

/// Every element that is ever stored is `true`: a read says whether there is one.
fn is_only_true(steps: &[Step<'_, '_>]) -> bool {
    steps.iter().all(|step| match step.access {
        Access::Store { value, .. } => step.file.text_of(value) == "true",
        Access::Declared => super::super::uses::value_of(step.usage.name)
            .is_none_or(|value| contents(bare(value)).is_empty()),
        _ => true,
    })
}

struct Pairs<'a, 's, 'p> {
    steps: &'a [Step<'s, 'p>],
    load: &'a Step<'s, 'p>,
    whole: Node<'p>,
    key: Node<'p>,
}

type Pair<'p> = (Role<'p>, usize, Role<'p>);

impl<'p> Pairs<'_, '_, 'p> {
    fn file(&self) -> &'p GoFile {
        self.load.file
    }

    /// `v, ok := m[k]`, as a statement or before the condition of an `if`.
    fn short_declaration(&self) -> Option<(Node<'p>, Vec<Node<'p>>)> {
        let list = self.whole.parent()?;
        let statement = list.parent()?;
        let is_it = statement.kind() == "short_var_declaration"
            && statement.child_by_field_name("right") == Some(list)
            && named(list).len() == 1;
        is_it.then(|| {
            let left = statement.child_by_field_name("left");
            (statement, left.map(named).unwrap_or_default())
        })
    }

    fn check(&self, is_flags: bool) -> Option<Check<'p>> {
        let check = match self.short_declaration() {
            Some((declaration, names)) => self.check_of_ok(declaration, &names)?,
            None if is_flags => self.check_of_flag()?,
            None => return None,
        };
        let is_statement = statement_of(check.statement) == Some(check.statement);
        is_statement.then_some(check)
    }

    fn check_of_ok(&self, declaration: Node<'p>, names: &[Node<'p>]) -> Option<Check<'p>> {
        let [value, ok] = names else { return None };
        let around = declaration.parent()?;
        let is_apart = around.kind() == "statement_list";
        let statement = if is_apart {
            following(declaration)?
        } else {
            around
        };
        let initializer = statement.child_by_field_name("initializer");
        if statement.kind() != "if_statement" || is_apart && initializer.is_some() {
            return None;
        }
        let condition = self
            .file()
            .text_of(statement.child_by_field_name("condition")?);
        let ok = self.file().text_of(*ok);
        let is_negative = condition == format!("!{ok}");
        (is_negative || condition == ok).then(|| Check {
            statement,
            is_negative,
            is_blind: self.file().text_of(*value) == "_",
            is_apart,
        })
    }

    fn check_of_flag(&self) -> Option<Check<'p>> {
        let parent = self.whole.parent()?;
        let is_negative = parent.kind() == "unary_expression";
        let statement = if is_negative {
            parent.parent()?
        } else {
            parent
        };
        let condition = if is_negative { parent } else { self.whole };
        let is_it = statement.kind() == "if_statement"
            && statement.child_by_field_name("initializer").is_none()
            && statement.child_by_field_name("condition") == Some(condition)
            && (!is_negative || self.file().text_of(parent).starts_with('!'));
        is_it.then_some(Check {
            statement,
            is_negative,
            is_blind: true,
            is_apart: false,
        })
    }

    /// The step with the same map and key that a statement is.
    fn step_at(&self, statement: Node<'p>) -> Option<(usize, Access<'p>)> {
        let map = self.file().text_of(self.load.usage.map);
        let (index, step) = self.steps.iter().enumerate().find(|(_, step)| {
            step.usage.file == self.load.usage.file
                && holds(statement, step.usage.map)
                && step.role == Role::Alone
                && self.file().text_of(step.usage.map) == map
        })?;
        let (node, key) = match step.access {
            Access::Store { statement, key, .. } => (statement, key),
            Access::Delete { call, key } => (call, key),
            _ => return None,
        };
        let is_it = node == statement || named(statement).first() == Some(&node);
        let is_same = self.file().text_of(key) == self.file().text_of(self.key);
        (is_it && is_same && self.is_steady(node)).then_some((index, step.access))
    }

    /// Map and key are the same at both places.
    fn is_steady(&self, until: Node<'p>) -> bool {
        let file = self.file();
        let mut names: HashSet<&str> = HashSet::new();
        for part in [self.key, self.load.usage.map] {
            if !all(part, &|node| node.kind() == "call_expression").is_empty() {
                return false;
            }
            let identifiers = all(part, &|node| node.kind() == "identifier");
            names.extend(identifiers.into_iter().map(|node| file.text_of(node)));
        }
        let between = self.whole.end_byte()..until.start_byte();
        let Some(function) = function_around(self.whole) else {
            return false;
        };
        let changes = all(function, &|node| {
            between.contains(&node.start_byte())
                && matches!(
                    node.kind(),
                    "assignment_statement"
                        | "inc_statement"
                        | "dec_statement"
                        | "short_var_declaration"
                        | "range_clause"
                )
        });
        changes.into_iter().all(|change| {
            let left = change.child_by_field_name("left").unwrap_or(change);
            all(left, &|node| node.kind() == "identifier")
                .into_iter()
                .all(|name| !names.contains(file.text_of(name)))
        })
    }

    /// `v := m[k]` and `delete(m, k)`; `if v, ok := m[k]; ok { delete(m, k) }`.
    fn taken(&self) -> Option<Pair<'p>> {
        let (declaration, _) = self.short_declaration()?;
        let around = declaration.parent()?;
        let next = if around.kind() == "if_statement" {
            let check = self.check(false).filter(|check| !check.is_negative)?;
            first_of(check.statement.child_by_field_name("consequence")?)?
        } else {
            following(declaration)?
        };
        let (other, access) = self.step_at(next)?;
        matches!(access, Access::Delete { .. }).then_some((Role::Take, other, Role::Gone))
    }

    /// A check and the store that follows when there is nothing, where the element is not looked at.
    fn claimed(&self, check: &Check<'p>) -> Option<Pair<'p>> {
        let consequence = check.statement.child_by_field_name("consequence")?;
        let has_else = check.statement.child_by_field_name("alternative").is_some();
        if check.is_apart || !check.is_blind || has_else {
            return None;
        }
        let store = if check.is_negative {
            first_of(consequence)?
        } else if leaves(consequence) && !self.is_used_in(consequence) {
            following(check.statement)?
        } else {
            return None;
        };
        let (other, access) = self.step_at(store)?;
        let Access::Store { key, value, .. } = access else {
            return None;
        };
        if !self.is_harmless(value) {
            return None;
        }
        let is_all = check.is_negative && statements(consequence).len() == 1;
        let own = if is_all {
            Role::Ensure {
                check: check.statement,
                key,
                value,
            }
        } else {
            Role::Claim {
                check: check.statement,
                key,
                value,
                is_negative: check.is_negative,
            }
        };
        Some((own, other, Role::Gone))
    }

    /// A store after a check that found nothing, of a variable that can take what others have stored.
    fn agreed(&self, check: &Check<'p>) -> Option<Pair<'p>> {
        let consequence = check.statement.child_by_field_name("consequence")?;
        let candidates: Vec<Node<'p>> = if check.is_negative {
            statements(consequence)
        } else if leaves(consequence) {
            let list = check.statement.parent()?;
            let later = |node: &Node<'p>| node.start_byte() > check.statement.end_byte();
            statements(list).into_iter().filter(later).collect()
        } else {
            return None;
        };
        let is_only = check.is_negative && candidates.len() == 1;
        candidates.into_iter().find_map(|statement| {
            let (other, access) = self.step_at(statement)?;
            let Access::Store { value, .. } = access else {
                return None;
            };
            let is_name = value.kind() == "identifier"
                && declaration(self.file(), value) != Declared::Outside;
            let name = is_name.then_some(value);
            (is_name || is_only).then_some((Role::Alone, other, Role::Agree { name }))
        })
    }

    fn is_used_in(&self, node: Node<'p>) -> bool {
        let mut all = self.steps.iter();
        all.any(|step| step.usage.file == self.load.usage.file && holds(node, step.usage.map))
    }

    /// It can be computed though it may not be needed.
    fn is_harmless(&self, value: Node<'p>) -> bool {
        let file = self.file();
        let is_bad = |node: Node<'p>| match node.kind() {
            "index_expression" | "slice_expression" | "type_assertion_expression" => true,
            "unary_expression" => file.text_of(node).starts_with(['<', '*']),
            "binary_expression" => node
                .child_by_field_name("operator")
                .is_none_or(|operator| matches!(operator.kind(), "/" | "%" | "<<" | ">>")),
            "call_expression" => {
                let function = node.child_by_field_name("function");
                let name = function.map_or("", |function| file.text_of(function));
                !is_builtin(name) && name != "time.Now"
            }
            _ => false,
        };
        all(value, &is_bad).is_empty()
    }
}

/// The statement after one in its list.
fn following(statement: Node<'_>) -> Option<Node<'_>> {
    let list = statement.parent()?;
    let mut all = statements(list).into_iter();
    all.find(|other| *other == statement)?;
    all.next()
}

fn first_of(block: Node<'_>) -> Option<Node<'_>> {
    statements(block).first().copied()
}

/// Who is in this block does not come to what follows it.
fn leaves(block: Node<'_>) -> bool {
    let last = statements(block).last().copied();
    let is_labelled = |node: Node<'_>| ancestors(node).any(|n| n.kind() == "labeled_statement");
    last.is_some_and(|last| match last.kind() {
        "return_statement" => true,
        "break_statement" | "continue_statement" => !is_labelled(last),
        _ => false,
    })
}
