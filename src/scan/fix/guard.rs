//! Puts the uses of a subject under its guard, one function body after the other.
//!
//! In the order of preference: the rest of a body under `Lock` and `defer Unlock`, when it is quiet and
//! returns what it read; runs of quiet statements between `Lock` and `Unlock`; and where a statement is
//! not quiet, what it reads is read before it, and what it calls is called before it.

mod branches;

use self::branches::{is_range, jumps_inside};
use super::classify::statement_of;
use super::edit::Edit;
use super::quiet::Quiet;
use super::scope::{Declared, declaration};
use super::source::{GoFile, all, all_here, ancestors, bare, named, statements};
use super::uses::{Usage, Use};
use std::collections::HashSet;
use std::ops::Range;
use tree_sitter::Node;

/// How a guard is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What follows the value that the field is in: `.mu`, or nothing when it is embedded; for variables
    /// the whole name.
    pub name: String,
    /// It is beside a field of the same value.
    pub beside_field: bool,
    /// It can be held for reading.
    pub shared: bool,
}

impl Guard {
    /// The lock for a use.
    pub fn at(&self, file: &GoFile, usage: &Usage<'_>) -> Result<String, String> {
        if !self.beside_field {
            return Ok(self.name.clone());
        }
        let base = base_of(usage).ok_or("a field is used without its value")?;
        if !all(base, &|node| node.kind() == "call_expression").is_empty() {
            return Err("the value that the map is in comes from a call".to_owned());
        }
        Ok(format!("{}{}", file.text_of(bare(base)), self.name))
    }
}

fn base_of<'p>(usage: &Usage<'p>) -> Option<Node<'p>> {
    let of_field = || {
        (usage.map.kind() == "selector_expression")
            .then(|| usage.map.child_by_field_name("operand"))
            .flatten()
    };
    usage.base.or_else(of_field)
}

/// Statements that are held together.
struct Unit<'p> {
    first: Node<'p>,
    last: Node<'p>,
    lock: String,
    writes: bool,
}

/// Guards the uses in one file.
pub struct Guarding<'g, 'p> {
    /// The file's number in its package.
    pub number: usize,
    /// The file.
    pub file: &'p GoFile,
    /// What waits and what does not.
    pub quiet: Quiet<'g, 'p>,
    /// The uses that need the guard.
    pub open: Vec<&'g Usage<'p>>,
    /// The guard.
    pub guard: &'g Guard,
    /// `maps`, as imported here or as it will be.
    pub maps: Option<String>,
    /// What was decided so far.
    pub edits: Vec<Edit>,
    /// Bytes that are held, or copied, under the guard.
    pub regions: Vec<Range<usize>>,
    /// The maps package is needed.
    pub needs_maps: bool,
    /// A snapshot was made.
    pub snapshots: usize,
    /// Names that were given.
    pub given: HashSet<String>,
}

impl<'p> Guarding<'_, 'p> {
    /// Guards all uses of the file.
    ///
    /// # Errors
    /// Why one of them cannot be guarded.
    pub fn all(&mut self) -> Result<(), String> {
        let mut bodies: Vec<Node<'p>> = Vec::new();
        for usage in &self.open {
            let body = super::source::function_around(usage.map)
                .and_then(|function| function.child_by_field_name("body"))
                .ok_or("it is used in the initial value of a package variable")?;
            if !bodies.contains(&body) {
                bodies.push(body);
            }
        }
        bodies.into_iter().try_for_each(|body| self.body(body))
    }

    /// The uses that a node reaches itself, not in function literals in it.
    fn uses_in(&self, node: Node<'p>) -> Vec<&Usage<'p>> {
        let own = super::source::function_around(node);
        self.open
            .iter()
            .copied()
            .filter(|usage| {
                node.start_byte() <= usage.map.start_byte()
                    && usage.map.end_byte() <= node.end_byte()
                    && super::source::function_around(usage.map) == own
            })
            .collect()
    }

    fn body(&mut self, body: Node<'p>) -> Result<(), String> {
        let list = statements(body);
        if let Some(first) = self.tail(&list) {
            return self.deferred(&list, first);
        }
        self.list(&list)
    }

    /// Where the rest of a body begins that can be held to its end, if that is the way to do it.
    fn tail(&self, list: &[Node<'p>]) -> Option<usize> {
        let first = list
            .iter()
            .position(|statement| !self.uses_in(*statement).is_empty())?;
        let rest = list.get(first..)?;
        let returns = |node: Node<'p>| all_here(node, &|node| node.kind() == "return_statement");
        let reads_in_return = rest.iter().any(|statement| {
            let uses = !self.uses_in(*statement).is_empty();
            uses && !returns(*statement).is_empty()
        });
        let holds = rest
            .iter()
            .all(|statement| self.quiet.is_quiet(*statement) && !self.loops_over_a_use(*statement));
        let whole = (*rest.first()?, *rest.last()?);
        (reads_in_return && holds && self.one_lock(whole.0, whole.1).is_some()).then_some(first)
    }

    /// A loop that looks at the map again and again may wait for others to change it.
    fn loops_over_a_use(&self, node: Node<'p>) -> bool {
        all_here(node, &|node| node.kind() == "for_statement")
            .into_iter()
            .any(|each| !self.uses_in(each).is_empty() && !is_range(each))
    }

    fn deferred(&mut self, list: &[Node<'p>], first: usize) -> Result<(), String> {
        let (Some(start), Some(last)) = (list.get(first).copied(), list.last().copied()) else {
            return Ok(());
        };
        let (lock, writes) = self
            .one_lock(start, last)
            .ok_or("the uses belong to different values")?;
        self.regions.push(start.start_byte()..last.end_byte());
        let (take, release) = self.names(writes);
        let before = first.checked_sub(1).and_then(|at| list.get(at).copied());
        if let Some(unlock) = before.filter(|node| self.is_call(*node, &lock, release)) {
            self.edits.push(Edit::replace(
                self.number,
                unlock,
                format!("defer {lock}.{release}()"),
            ));
            return Ok(());
        }
        let lines = format!("{lock}.{take}()\ndefer {lock}.{release}()");
        self.before(start, &lines);
        Ok(())
    }

    fn is_call(&self, statement: Node<'p>, lock: &str, method: &str) -> bool {
        self.file.text_of(statement) == format!("{lock}.{method}()")
    }

    fn names(&self, writes: bool) -> (&'static str, &'static str) {
        if writes || !self.guard.shared {
            ("Lock", "Unlock")
        } else {
            ("RLock", "RUnlock")
        }
    }

    fn before(&mut self, statement: Node<'p>, lines: &str) {
        self.edits
            .push(Edit::before(self.number, self.file, statement, lines));
    }

    /// The one lock of all uses between two statements, and whether one of them writes. `None` when there
    /// are several, or when the value that it is in is not known before, may be nil or may change.
    fn one_lock(&self, first: Node<'p>, last: Node<'p>) -> Option<(String, bool)> {
        let inside = |node: Node<'p>| {
            first.start_byte() <= node.start_byte() && node.end_byte() <= last.end_byte()
        };
        let own = super::source::function_around(first);
        let uses: Vec<&&Usage<'p>> = self
            .open
            .iter()
            .filter(|usage| inside(usage.map))
            .filter(|usage| super::source::function_around(usage.map) == own)
            .collect();
        let lock = self.guard.at(self.file, uses.first()?).ok()?;
        let same = uses
            .iter()
            .all(|usage| self.guard.at(self.file, usage).as_ref() == Ok(&lock));
        let steady = uses.iter().all(|usage| self.is_steady(usage, first, last));
        (same && steady).then(|| (lock, uses.iter().any(|usage| usage.writes())))
    }

    fn is_steady(&self, usage: &Usage<'p>, first: Node<'p>, last: Node<'p>) -> bool {
        if usage.map.kind() != "selector_expression" {
            return true;
        }
        let mut root = bare(usage.map);
        while let Some(operand) = root.child_by_field_name("operand") {
            root = bare(operand);
        }
        let inside = |at: usize| (first.start_byte()..last.end_byte()).contains(&at);
        let declared = match declaration(self.file, root) {
            Declared::Local(name) => Some(name),
            _ => None,
        };
        if declared.is_some_and(|name| inside(name.start_byte())) {
            return false;
        }
        let Some(list) = first.parent() else {
            return false;
        };
        let text = self.file.text_of(root);
        all(list, &|node| {
            node.kind() == "identifier"
                && inside(node.start_byte())
                && self.file.text_of(node) == text
        })
        .into_iter()
        .all(|name| !self.is_assigned_or_compared(name))
    }

    fn is_assigned_or_compared(&self, name: Node<'p>) -> bool {
        name.parent().is_some_and(|parent| match parent.kind() {
            "expression_list" => parent.parent().is_some_and(|statement| {
                statement.kind() == "assignment_statement"
                    && statement.child_by_field_name("left") == Some(parent)
            }),
            "binary_expression" => self.file.text_of(parent).contains("nil"),
            _ => false,
        })
    }

    fn list(&mut self, list: &[Node<'p>]) -> Result<(), String> {
        let mut units: Vec<Unit<'p>> = Vec::new();
        let mut open: Option<Unit<'p>> = None;
        for statement in list {
            if self.uses_in(*statement).is_empty() {
                if !self.may_be_held(*statement) {
                    units.extend(open.take());
                }
                continue;
            }
            if !self.may_be_held(*statement) {
                units.extend(open.take());
                units.extend(self.loud(*statement)?);
                continue;
            }
            let joined = open
                .as_ref()
                .and_then(|unit| Some((unit.first, self.one_lock(unit.first, *statement)?)));
            let (first, (lock, writes)) = match joined {
                Some(joined) => joined,
                None => {
                    units.extend(open.take());
                    let lock = self.one_lock(*statement, *statement);
                    match lock {
                        Some(lock) => (*statement, lock),
                        None => {
                            units.extend(self.loud(*statement)?);
                            continue;
                        }
                    }
                }
            };
            open = Some(Unit {
                first,
                last: *statement,
                lock,
                writes,
            });
        }
        units.extend(open);
        units.into_iter().for_each(|unit| self.hold(unit));
        Ok(())
    }

    /// It can stand between Lock and Unlock.
    fn may_be_held(&self, statement: Node<'p>) -> bool {
        let is_block = !matches!(
            statement.kind(),
            "expression_statement"
                | "assignment_statement"
                | "short_var_declaration"
                | "var_declaration"
                | "inc_statement"
                | "dec_statement"
        );
        let leaves = || {
            let jumps = all_here(statement, &|node| {
                matches!(
                    node.kind(),
                    "return_statement" | "break_statement" | "continue_statement"
                )
            });
            jumps
                .into_iter()
                .any(|jump| jump.kind() == "return_statement" || !jumps_inside(jump, statement))
        };
        let can_panic = self.file.text_of(statement).contains("panic(");
        self.quiet.is_quiet(statement)
            && !can_panic
            && (!is_block || !leaves() && !self.loops_over_a_use(statement))
    }

    fn hold(&mut self, unit: Unit<'p>) {
        let (take, release) = self.names(unit.writes);
        self.regions
            .push(unit.first.start_byte()..unit.last.end_byte());
        self.before(unit.first, &format!("{}.{take}()", unit.lock));
        let line = format!("{}.{release}()", unit.lock);
        self.edits
            .push(Edit::after(self.number, self.file, unit.last, &line));
    }

    /// A statement that waits, calls, or leaves.
    fn loud(&mut self, statement: Node<'p>) -> Result<Option<Unit<'p>>, String> {
        match statement.kind() {
            "expression_statement"
            | "assignment_statement"
            | "short_var_declaration"
            | "var_declaration"
            | "inc_statement"
            | "dec_statement" => self.simple(statement),
            "return_statement" | "send_statement" | "go_statement" => {
                self.read_before(statement, statement).map(|()| None)
            }
            "if_statement" => self.if_statement(statement).map(|()| None),
            "for_statement" => self.for_statement(statement, statement).map(|()| None),
            "labeled_statement" => match named(statement).last() {
                Some(inner) if inner.kind() == "for_statement" => {
                    self.for_statement(*inner, statement).map(|()| None)
                }
                _ => Err("it is used in a labelled statement".to_owned()),
            },
            "block" => self.list(&statements(statement)).map(|()| None),
            "expression_switch_statement" | "type_switch_statement" | "select_statement" => {
                self.cases(statement).map(|()| None)
            }
            "defer_statement" => Err("it is used in a deferred call".to_owned()),
            kind => Err(format!("it is used in a {}", kind.replace('_', " "))),
        }
    }

    /// Calls are made before a write, reads before the rest.
    fn simple(&mut self, statement: Node<'p>) -> Result<Option<Unit<'p>>, String> {
        if !self.uses_in(statement).iter().any(|usage| usage.writes()) {
            return self.read_before(statement, statement).map(|()| None);
        }
        let calls = self.quiet.loud_calls(statement);
        let receives = all_here(statement, &|node| {
            node.kind() == "unary_expression" && self.file.text_of(node).starts_with("<-")
        });
        if !receives.is_empty() {
            return Err("it is written in a statement that receives".to_owned());
        }
        for call in &calls {
            let holds_use = self.open.iter().any(|usage| {
                call.start_byte() <= usage.map.start_byte()
                    && usage.map.end_byte() <= call.end_byte()
            });
            if holds_use || is_conditional(*call, statement) || is_whole_of_many(*call, statement) {
                return Err("a call that is not known is part of a write".to_owned());
            }
        }
        let (lock, writes) = self
            .one_lock(statement, statement)
            .ok_or("the uses belong to different values")?;
        for call in calls {
            let name = self.fresh(statement, &["key", "value", "arg"]);
            let text = self.file.text_of(call).to_owned();
            self.before(statement, &format!("{name} := {text}"));
            self.edits.push(Edit::replace(self.number, call, name));
        }
        Ok(Some(Unit {
            first: statement,
            last: statement,
            lock,
            writes,
        }))
    }

    /// What `part` of a statement reads is read before the statement.
    fn read_before(&mut self, part: Node<'p>, statement: Node<'p>) -> Result<(), String> {
        let uses: Vec<Usage<'p>> = self.uses_in(part).into_iter().cloned().collect();
        for usage in uses {
            let loud_before = self
                .quiet
                .loud_calls(part)
                .iter()
                .any(|call| call.end_byte() <= usage.whole.start_byte());
            if loud_before {
                return Err("a call that is not known comes before it in its statement".to_owned());
            }
            if is_conditional(usage.whole, statement) {
                return Err("it is only read under a condition".to_owned());
            }
            match usage.what {
                Use::Read if self.quiet.is_quiet(usage.whole) => {
                    self.read_one(&usage, statement)?
                }
                Use::QuietRead | Use::LoudRead => self.copy(&usage, usage.map, statement)?,
                _ => return Err("it is used in a statement that may wait".to_owned()),
            }
        }
        Ok(())
    }

    fn read_one(&mut self, usage: &Usage<'p>, statement: Node<'p>) -> Result<(), String> {
        let lock = self.guard.at(self.file, usage)?;
        let (take, release) = self.names(false);
        let text = self.file.text_of(usage.whole).to_owned();
        let is_len = text.starts_with("len(");
        let name = if is_len {
            self.fresh(statement, &["count", "size"])
        } else {
            self.fresh(statement, &["value", "entry", "got"])
        };
        let names = if has_ok(usage.whole) {
            let ok = self.fresh(statement, &["known", "isSet"]);
            format!("{name}, {ok}")
        } else {
            name
        };
        let lines = format!("{lock}.{take}()\n{names} := {text}\n{lock}.{release}()");
        self.regions
            .push(usage.whole.start_byte()..usage.whole.end_byte());
        self.before(statement, &lines);
        self.edits
            .push(Edit::replace(self.number, usage.whole, names));
        Ok(())
    }

    /// A copy of the map takes its place in a statement.
    fn copy(
        &mut self,
        usage: &Usage<'p>,
        map: Node<'p>,
        statement: Node<'p>,
    ) -> Result<(), String> {
        let lock = self.guard.at(self.file, usage)?;
        let maps = self
            .maps
            .clone()
            .ok_or("a copy needs maps.Clone, which the module's Go does not have")?;
        let (take, release) = self.names(false);
        let name = self.fresh(statement, &["snapshot", "copied"]);
        let text = self.file.text_of(map).to_owned();
        let lines = format!("{lock}.{take}()\n{name} := {maps}.Clone({text})\n{lock}.{release}()");
        self.regions.push(map.start_byte()..map.end_byte());
        self.before(statement, &lines);
        self.edits.push(Edit::replace(self.number, map, name));
        self.needs_maps = true;
        self.snapshots += 1;
        Ok(())
    }

    fn fresh(&mut self, statement: Node<'p>, wishes: &[&str]) -> String {
        super::source::fresh(self.file, statement, wishes, &mut self.given)
    }
}

/// It is evaluated only when something else holds.
pub(super) fn is_conditional(node: Node<'_>, within: Node<'_>) -> bool {
    let mut below = node;
    for around in ancestors(node).skip(1) {
        if around == within {
            break;
        }
        if around.kind() == "binary_expression" {
            let is_right = around.child_by_field_name("right") == Some(below);
            let operator = around.child_by_field_name("operator");
            if is_right && operator.is_some_and(|op| matches!(op.kind(), "&&" | "||")) {
                return true;
            }
        }
        below = around;
    }
    false
}

/// `a, m[k] = f()`, `f()` alone: there is no one value to keep.
fn is_whole_of_many(call: Node<'_>, statement: Node<'_>) -> bool {
    let Some(list) = call.parent() else {
        return true;
    };
    let left = statement
        .child_by_field_name("left")
        .map_or(1, |left| named(left).len());
    list.kind() == "expression_statement"
        || list.kind() == "expression_list" && named(list).len() == 1 && left > 1
}

/// `v, ok := m[k]`.
pub(super) fn has_ok(whole: Node<'_>) -> bool {
    let Some(list) = whole
        .parent()
        .filter(|list| list.kind() == "expression_list")
    else {
        return false;
    };
    let left = list
        .parent()
        .and_then(|statement| statement.child_by_field_name("left"));
    whole.kind() == "index_expression"
        && named(list).len() == 1
        && left.is_some_and(|left| left != list && named(left).len() == 2)
}

/// The statement that a variable's declaration is, for something to be declared before it.
pub fn declaring_statement(name: Node<'_>) -> Option<Node<'_>> {
    statement_of(name)
}
