//! Conditions: which are the same, and what is known of them on the ways that lead to them.

use super::state::{Condition, Decides, Dependency, State, merged};
use super::*;
use crate::scan::program::{Decl, Imported};
use crate::scan::syntax::{Call, ExprKind};

/// Nesting of a condition beyond this is not looked at.
const DEEPEST_CONDITION: u32 = 6;

/// Calls with more arguments than these are not taken for questions.
const MOST_ARGUMENTS: usize = 3;

/// What is doubted of what is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Nothing.
    Nothing,
    /// What others can change.
    Others,
}

/// A condition while its parts are looked at.
struct Parts {
    depends: Vec<Dependency>,
    newest_cell: Option<CellId>,
    newest_object: Option<ObjId>,
    is_certain: bool,
    decides: Decides,
}

impl Parts {
    fn outside(&mut self, decides: Decides) {
        self.decides = self.decides.max(decides);
    }

    fn of_field(&mut self, dependency: Dependency) {
        self.depends.push(dependency);
        self.is_certain = false;
        self.outside(Decides::Field);
    }
}

/// One more thing in a key.
fn mixed(key: u64, part: u64) -> u64 {
    (key.rotate_left(7) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn key_of(kind: u64, part: u64) -> u64 {
    mixed(mixed(1, kind), part)
}

fn key_of_object(object: ObjId) -> u64 {
    key_of(12, u64::from(object.0))
}

fn key_of_name(kind: u64, name: Name) -> u64 {
    key_of(kind, u64::from(name.number()))
}

impl<'p> Sim<'p> {
    /// Those of the states in which a condition can be true (or false), which they know from now on.
    pub(super) fn assume(
        &mut self,
        frame: &Frame<'p>,
        states: Vec<State>,
        condition: &'p Expr,
        truth: bool,
    ) -> Vec<State> {
        let known = self.assume_within(frame, states.clone(), condition, truth, Doubt::Nothing);
        if !known.is_empty() {
            return known;
        }
        // What others can change may have changed. With any other way to go there, it has not.
        self.assume_within(frame, states, condition, truth, Doubt::Others)
    }

    fn assume_within(
        &mut self,
        frame: &Frame<'p>,
        states: Vec<State>,
        condition: &'p Expr,
        truth: bool,
        doubt: Doubt,
    ) -> Vec<State> {
        match &condition.kind {
            ExprKind::Not(inner) => self.assume_within(frame, states, inner, !truth, doubt),
            ExprKind::Bool(value) if *value != truth => Vec::new(),
            ExprKind::Operator(operator, operands)
                if matches!(operator.text(), "&&" | "||") && operands.len() == 2 =>
            {
                let both = (operator == "&&") == truth;
                let states = self.assume_plain(frame, states, condition, truth, doubt);
                let [first, second] = &operands[..] else {
                    return states;
                };
                if both {
                    let states = self.assume_within(frame, states, first, truth, doubt);
                    return self.assume_within(frame, states, second, truth, doubt);
                }
                let mut either = self.assume_within(frame, states.clone(), first, truth, doubt);
                let rest = self.assume_within(frame, states, first, !truth, doubt);
                either.extend(self.assume_within(frame, rest, second, truth, doubt));
                merged(either, self.thread)
            }
            _ => self.assume_plain(frame, states, condition, truth, doubt),
        }
    }

    fn assume_plain(
        &mut self,
        frame: &Frame<'p>,
        states: Vec<State>,
        expr: &'p Expr,
        truth: bool,
        doubt: Doubt,
    ) -> Vec<State> {
        let (expr, truth) = match &expr.kind {
            ExprKind::Operator(operator, _) if operator == "!=" => (expr, !truth),
            _ => (expr, truth),
        };
        let Some(condition) = self.condition(frame, expr).map(Rc::new) else {
            return states;
        };
        let constant = self.constant(frame, expr);
        let (mut kept, mut doubted) = (Vec::new(), Vec::new());
        for mut state in states {
            let known = state.fact(condition.key).map(|fact| fact.holds);
            match known.or(constant) {
                Some(holds) if holds != truth => {
                    // It goes there without believing it, so that it comes back as it went.
                    if doubt == Doubt::Others && !condition.is_certain {
                        doubted.push(state);
                    }
                }
                _ => {
                    state.learn(&condition, truth);
                    kept.push(state);
                }
            }
        }
        if kept.is_empty() { doubted } else { kept }
    }

    /// The value of a variable that holds a constant.
    fn constant(&self, frame: &Frame<'p>, expr: &Expr) -> Option<bool> {
        let ExprKind::Name(name) = &expr.kind else {
            return None;
        };
        let cell = self.find(&frame.env, *name)?;
        match self.cells.get(cell.0 as usize)?.value.scalar {
            Some(Scalar::Bool(value)) => Some(value),
            _ => None,
        }
    }

    fn condition(&self, frame: &Frame<'p>, expr: &Expr) -> Option<Condition> {
        let mut parts = Parts {
            depends: Vec::new(),
            newest_cell: None,
            newest_object: None,
            is_certain: true,
            decides: Decides::Code,
        };
        let key = self.key(frame, expr, &mut parts, 0)?;
        Some(Condition {
            key,
            depends: parts.depends,
            newest_cell: parts.newest_cell,
            newest_object: parts.newest_object,
            is_certain: parts.is_certain,
            decides: parts.decides,
        })
    }

    fn key(&self, frame: &Frame<'p>, expr: &Expr, parts: &mut Parts, depth: u32) -> Option<u64> {
        if depth > DEEPEST_CONDITION {
            return None;
        }
        match &expr.kind {
            ExprKind::Name(name) => self.key_of_variable(frame, *name, parts),
            ExprKind::Int(number) => Some(key_of(1, (*number)?)),
            ExprKind::Str(text) => Some(key_of_name(2, *text)),
            ExprKind::Bool(value) => Some(key_of(3, u64::from(*value))),
            ExprKind::Nil => Some(key_of(4, 0)),
            ExprKind::Not(inner) => Some(key_of(5, self.key(frame, inner, parts, depth + 1)?)),
            ExprKind::Selector(operand, field) => match self.imported(frame, operand) {
                Some(Imported::Package(package)) => match self.program.member(package, *field) {
                    Some(Decl::Global(id)) => Some(key_of_global(id, parts)),
                    _ => Some(key_of_name(6, *field)),
                },
                Some(Imported::External(path)) => {
                    parts.of_field(Dependency::Field(*field));
                    Some(mixed(key_of_name(7, path), key_of_name(7, *field)))
                }
                None => {
                    let base = self.key(frame, operand, parts, depth + 1)?;
                    parts.of_field(Dependency::Field(*field));
                    Some(mixed(base, key_of_name(8, *field)))
                }
            },
            ExprKind::Operator(operator, operands) => {
                let is_negated = operator == "!=";
                let operator = if is_negated { "==" } else { operator.text() };
                let mut key = key_of_name(9, Name::new(operator));
                for operand in operands {
                    key = mixed(key, self.key(frame, operand, parts, depth + 1)?);
                }
                // Whoever asks at the top turns the answer round instead.
                Some(if is_negated && depth > 0 {
                    key_of(5, key)
                } else {
                    key
                })
            }
            ExprKind::Call(call) => match self.answers.get(&frame.place(expr.span)) {
                Some(&object) => {
                    parts.newest_object = parts.newest_object.max(Some(object));
                    Some(key_of_object(object))
                }
                None => self.key_of_question(frame, call, parts, depth),
            },
            _ => None,
        }
    }

    /// `address.IsUnix()`: asked twice, it is answered the same way, as far as anybody can tell who writes so.
    fn key_of_question(
        &self,
        frame: &Frame<'p>,
        call: &Call,
        parts: &mut Parts,
        depth: u32,
    ) -> Option<u64> {
        let (ExprKind::Name(name) | ExprKind::Selector(_, name)) = &call.function.kind else {
            return None;
        };
        if !is_question(name.text()) || call.args.len() > MOST_ARGUMENTS {
            return None;
        }
        parts.is_certain = false;
        parts.outside(Decides::Field);
        let mut key = key_of_name(14, *name);
        if let ExprKind::Selector(operand, _) = &call.function.kind {
            let base = match self.imported(frame, operand) {
                Some(_) => 0,
                None => self.key(frame, operand, parts, depth + 1)?,
            };
            key = mixed(key, base);
        }
        for arg in &call.args {
            key = mixed(key, self.key(frame, arg, parts, depth + 1)?);
        }
        Some(key)
    }

    fn key_of_variable(&self, frame: &Frame<'p>, name: Name, parts: &mut Parts) -> Option<u64> {
        let Some(id) = self.find(&frame.env, name) else {
            return match self.program.lookup(frame.file, name) {
                Some(Decl::Global(id)) => Some(key_of_global(id, parts)),
                // A constant.
                _ => Some(key_of_name(10, name)),
            };
        };
        let cell = self.cells.get(id.0 as usize)?;
        if cell.is_shared || cell.owner != self.thread && cell.is_rewritten {
            return None;
        }
        parts.depends.push(Dependency::Cell(id));
        let [object] = cell.value.objs[..] else {
            parts.newest_cell = parts.newest_cell.max(Some(id));
            return Some(key_of(11, u64::from(id.0)));
        };
        let object = self.copied_from(object);
        parts.newest_object = parts.newest_object.max(Some(object));
        match self.origin(object) {
            Some(Origin::Made(_)) => {}
            Some(Origin::Param(name)) if self.says_whether_locked(name) => {
                parts.outside(Decides::Caller)
            }
            Some(Origin::Param(_) | Origin::Receiver(_)) => {}
            _ => {
                parts.is_certain = false;
                parts.outside(Decides::Field);
            }
        }
        Some(key_of_object(object))
    }

    /// A call whose result is true on some ways through the function and false on others: a condition that is this call
    /// asks which way was taken.
    pub(super) fn note_answer(&mut self, place: Place, results: &[Value]) {
        self.answers.remove(&place);
        if let [result] = results
            && let [object] = result.objs[..]
        {
            let key = key_of_object(object);
            if self.states.iter().any(|state| state.fact(key).is_some()) {
                self.answers.insert(place, object);
            }
        }
    }

    /// By this parameter the entry's callers say that they hold the lock. Callers outside the module have no
    /// lock of its, so that to them it can only mean that none is needed, unless it is called so.
    fn says_whether_locked(&self, name: Name) -> bool {
        !self.is_visible || name.text().to_ascii_lowercase().contains("lock")
    }

    /// The struct that this one is a copy of, if it is one: what is asked of one can be asked of the other.
    fn copied_from(&self, mut object: ObjId) -> ObjId {
        // A copy is newer than what it is a copy of, so that this ends.
        while let Some(original) = self
            .objects
            .get(object.0 as usize)
            .and_then(|copy| copy.copy_of)
        {
            object = original;
        }
        object
    }

    /// A variable that is true or false from here on, for the states that are followed.
    pub(super) fn learn_value(&mut self, id: CellId, value: &Value) {
        let (object, cell) = match value.objs[..] {
            [object] => (Some(object), None),
            _ => (None, Some(id)),
        };
        self.learn_constant(value.scalar, object, cell, vec![Dependency::Cell(id)]);
    }

    /// The same for what stands for a result.
    pub(super) fn learn_result(&mut self, object: ObjId, scalar: Option<Scalar>) {
        self.learn_constant(scalar, Some(object), None, Vec::new());
    }

    fn learn_constant(
        &mut self,
        scalar: Option<Scalar>,
        newest_object: Option<ObjId>,
        newest_cell: Option<CellId>,
        depends: Vec<Dependency>,
    ) {
        let Some(Scalar::Bool(holds)) = scalar else {
            return;
        };
        let key = match (newest_object, newest_cell) {
            (Some(object), _) => key_of_object(object),
            (None, Some(cell)) => key_of(11, u64::from(cell.0)),
            (None, None) => return,
        };
        let condition = Rc::new(Condition {
            key,
            depends,
            newest_cell,
            newest_object,
            is_certain: true,
            decides: Decides::Code,
        });
        for state in &mut self.states {
            state.learn(&condition, holds);
        }
    }

    /// Before a loop: what its rounds store to is not what it was before the first one.
    pub(super) fn forget_assigned(&mut self, frame: &Frame<'p>, names: &[Name]) {
        for &name in names {
            self.forget(Dependency::Field(name));
            let Some(id) = self.find(&frame.env, name) else {
                continue;
            };
            self.forget(Dependency::Cell(id));
            if let Some(cell) = self.cells.get_mut(id.0 as usize)
                && matches!(cell.value.scalar, Some(Scalar::Bool(_)))
            {
                cell.value.scalar = None;
            }
        }
    }

    /// What a function literal stores to can be another thing whenever it has run.
    pub(super) fn share_assigned(&mut self, frame: &Frame<'p>, names: &[Name]) {
        self.forget_assigned(frame, names);
        for &name in names {
            if let Some(id) = self.find(&frame.env, name)
                && let Some(cell) = self.cells.get_mut(id.0 as usize)
            {
                cell.is_shared = true;
            }
        }
    }
}

/// Names of functions that only look.
fn is_question(name: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "is", "has", "should", "can", "need", "use", "support", "must", "want",
    ];
    let name = name.to_ascii_lowercase();
    BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

fn key_of_global(id: GlobalId, parts: &mut Parts) -> u64 {
    parts.of_field(Dependency::Global(id));
    key_of(13, u64::from(id.0))
}
