//! Branches and loops: each way is followed, one after the other, with the states in which it is taken.

use super::state::{common, merged};
use super::*;
use crate::scan::program::unknown;
use crate::scan::syntax::{
    Block, Case, ExprKind, For, If, Range, SelectCase, Stmt, StmtKind, Switch,
};
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    /// Follows one branch; what it leaves held is added to the others'.
    fn branch(
        &mut self,
        entry: Vec<State>,
        exits: &mut Vec<State>,
        follow: impl FnOnce(&mut Self) -> Flow,
    ) -> Flow {
        // No way leads there.
        if entry.is_empty() {
            return Flow::Stop;
        }
        self.states = entry;
        let begin = self.now();
        self.branches += 1;
        let outer = std::mem::replace(&mut self.branch_begin, self.steps);
        let flow = follow(self);
        self.branch_begin = outer;
        self.branches -= 1;
        match flow {
            Flow::Next => exits.append(&mut self.states),
            Flow::Stop => self.limit_acquires(begin),
        }
        flow
    }

    /// What a branch that does not go on has waited for orders nothing after it.
    fn limit_acquires(&mut self, begin: u32) {
        let end = self.tick();
        self.limit_acquires_in(begin, end);
    }

    fn limit_acquires_in(&mut self, begin: u32, end: u32) {
        let Some(thread) = self.threads.get_mut(self.thread.0 as usize) else {
            return;
        };
        for (at, event) in thread.events.iter_mut().rev() {
            if *at <= begin {
                break;
            }
            if let Event::Acquire(.., until) = event
                && *at <= end
            {
                *until = (*until).min(end);
            }
        }
    }

    /// After branches: the states of all of them that go on.
    fn meet(&mut self, entry: Vec<State>, exits: Vec<State>) -> Flow {
        if exits.is_empty() {
            self.states = entry;
            return Flow::Stop;
        }
        self.states = merged(exits, self.thread);
        Flow::Next
    }

    pub(super) fn if_statement(&mut self, frame: &mut Frame<'p>, statement: &'p If) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        let tried = self.try_lock(frame, &statement.condition);
        if tried.is_none() {
            self.eval(frame, &statement.condition);
        }
        let entry = self.states.clone();
        let mut sides = [true, false].map(|truth| match tried {
            None => self.assume(frame, entry.clone(), &statement.condition, truth),
            Some(_) => entry.clone(),
        });
        if let Some((held, negated)) = tried {
            let [then_entry, else_entry] = &mut sides;
            let taken = if negated { else_entry } else { then_entry };
            taken.iter_mut().for_each(|state| state.locks.push(held));
        }
        let [then_entry, else_entry] = sides;
        let mut exits = Vec::new();
        let begin = self.steps;
        let leaves = statement.then.last().is_some_and(returns);
        let counts = leaves.then(|| self.message_counts());
        self.branch(then_entry, &mut exits, |sim| {
            sim.block(frame, &statement.then)
        });
        // What was sent on the way out comes instead of what is sent later, not before it.
        if let Some(counts) = counts {
            self.count_from(counts);
        }
        let outer = self.not_taken.len();
        self.not_taken.push(begin + 1..self.steps + 1);
        match &statement.otherwise {
            Some(otherwise) => {
                self.branch(else_entry, &mut exits, |sim| {
                    sim.statement(frame, otherwise)
                });
            }
            None => exits.extend(else_entry),
        }
        // Who has returned does not come here.
        if !leaves {
            self.not_taken.truncate(outer);
        }
        frame.env = env;
        self.meet(entry, exits)
    }

    /// `if mu.TryLock()`, `if !busy.CompareAndSwap(false, true)`: what is held, and that it is in the else
    /// branch.
    fn try_lock(&mut self, frame: &mut Frame<'p>, condition: &'p Expr) -> Option<(Held, bool)> {
        let (call, negated) = match &condition.kind {
            ExprKind::Not(inner) => (&inner.kind, true),
            kind => (kind, false),
        };
        let ExprKind::Call(call) = call else {
            return None;
        };
        let ExprKind::Selector(operand, method) = &call.function.kind else {
            return None;
        };
        let mode = match method.text() {
            "TryLock" | "CompareAndSwap" => Mode::Exclusive,
            "TryRLock" => Mode::Shared,
            _ => return None,
        };
        let base = self.eval(frame, operand);
        let (path, ty) = self.program.external_method(&base.ty, *method)?;
        if !ty.is_lock() && method != "CompareAndSwap" {
            return None;
        }
        let lock = self.through(&base, &path).objs.first().copied()?;
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        // Setting a flag for good is not taking a lock, but orders nothing less than that.
        Some((
            Held {
                lock,
                mode,
                place: frame.place(condition.span),
                depth: depth + 1,
            },
            negated,
        ))
    }

    pub(super) fn for_statement(&mut self, frame: &mut Frame<'p>, statement: &'p For) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        self.forget_assigned(frame, &statement.assigns);
        let entry = self.states.clone();
        let variables = loop_variables(statement.init.as_ref());
        let rounds = if statement.starts { 2 } else { 1 };
        let mut exits = entry.clone();
        let mut flags = Vec::new();
        for round in 0..rounds {
            let body_env = frame.env.clone();
            self.states.clone_from(&entry);
            self.mark_round(
                frame,
                &variables,
                statement.body.first().map_or(0, |first| first.span.start),
                round,
            );
            if let Some(condition) = &statement.condition {
                let begin = self.now();
                self.eval(frame, condition);
                flags = self.flags_since(begin);
            }
            self.branch(entry.clone(), &mut exits, |sim| {
                let flow = sim.block(frame, &statement.body);
                if let (Flow::Next, Some(post)) = (flow, &statement.post) {
                    sim.statement(frame, post);
                }
                flow
            });
            frame.env = body_env;
        }
        frame.env = env;
        if statement.condition.is_none() && !breaks(&statement.body) {
            self.states = entry;
            return Flow::Stop;
        }
        let flow = self.meet(entry, exits);
        // Spinning until an atomic value says that it is one's turn is as good as a lock, which
        // storing to the value releases.
        if statement.init.is_none() {
            let span = statement
                .condition
                .as_ref()
                .map_or(Span::default(), |condition| condition.span);
            let place = frame.place(span);
            flags
                .into_iter()
                .for_each(|flag| self.hold(flag, Mode::Exclusive, place));
        }
        flow
    }

    fn flags_since(&self, begin: u32) -> Vec<ObjId> {
        let Some(thread) = self.threads.get(self.thread.0 as usize) else {
            return Vec::new();
        };
        let flag = |(at, event): &(u32, Event)| match event {
            Event::Acquire(object, Signal::Flag, ..) if *at > begin => Some(*object),
            _ => None,
        };
        thread.events.iter().filter_map(flag).collect()
    }

    /// The loop's variables differ from round to round; from Go 1.22 on they are new ones, too.
    fn mark_round(&mut self, frame: &mut Frame<'p>, variables: &[Name], site: u32, round: u32) {
        for &name in variables {
            let Some(cell) = self.find(&frame.env, name) else {
                continue;
            };
            let mut value = self.read_cell(cell);
            value.scalar = Some(Scalar::Round(
                site,
                if self.program.go() >= 22 { round } else { 0 },
            ));
            self.bind(frame, name, value);
        }
    }

    pub(super) fn range(&mut self, frame: &mut Frame<'p>, statement: &'p Range) {
        let over = self.eval(frame, &statement.over);
        let env = frame.env.clone();
        let inner = self.program.underlying(&over.ty.pointee());
        let place = frame.place(statement.over.span);
        let is_channel = matches!(*inner, Type::Chan(_));
        self.forget_assigned(frame, &statement.assigns);
        let entry = self.states.clone();
        let mut exits = entry.clone();
        let rounds = if statement.starts || is_channel { 2 } else { 1 };
        let over = over.with_type(Arc::clone(&inner));
        for round in 0..rounds {
            let body_env = frame.env.clone();
            self.states.clone_from(&entry);
            let first = self.accesses.len();
            if matches!(*inner, Type::Map(..)) {
                self.touch(&over, Operation::Iterate, place, None);
            }
            let last = self.accesses.len();
            self.range_variables(frame, statement, &over, &inner, round);
            let before = exits.len();
            self.branch(entry.clone(), &mut exits, |sim| {
                sim.block(frame, &statement.body)
            });
            self.iterated(first..last, exits.get(before..).unwrap_or_default());
            frame.env = body_env;
        }
        if is_channel {
            self.receive(&over, place, true);
        }
        frame.env = env;
        self.meet(entry, exits);
    }

    /// An iteration lasts until the body ends; its next step is under the locks that are held there.
    fn iterated(&mut self, accesses: std::ops::Range<usize>, at_end: &[State]) {
        let now = self.now();
        let always = Self::held_always(at_end);
        for access in self.accesses.get_mut(accesses).unwrap_or_default() {
            access.until = now;
            // A way that holds the same at the end is the way that began so.
            let is_kept = |state: &State| {
                let is_held = |lock: &Held| state.locks.iter().any(|held| held.lock == lock.lock);
                access.locks.iter().all(is_held)
            };
            if !at_end.is_empty() && !at_end.iter().any(is_kept) {
                access.locks = common(std::mem::take(&mut access.locks), &always);
            }
        }
    }

    fn range_variables(
        &mut self,
        frame: &mut Frame<'p>,
        statement: &'p Range,
        over: &Value,
        inner: &Ty,
        round: u32,
    ) {
        let site = statement.over.span.start;
        let round = if self.program.go() >= 22 { round } else { 0 };
        let scalar = Some(Scalar::Round(site, round));
        let place = frame.place(statement.over.span);
        let (key, value) = match &**inner {
            Type::Map(key, element) => {
                let key_ty = Arc::clone(key);
                (
                    Value {
                        ty: key_ty,
                        ..Value::scalar(scalar)
                    },
                    self.element(over, scalar, element),
                )
            }
            Type::Slice(element, _) => (Value::scalar(scalar), self.element(over, scalar, element)),
            Type::Chan(_) => (self.receive(over, place, false), Value::unknown()),
            Type::Func(_) => {
                let inner = Value::unknown();
                (inner.clone(), inner)
            }
            _ => (Value::scalar(scalar), Value::of(unknown())),
        };
        for (to, value) in statement.left.iter().zip([key, value]) {
            match &to.kind {
                ExprKind::Name(name) if statement.define => {
                    let value = self.copied(value);
                    self.bind(frame, *name, value);
                }
                _ => self.store(frame, to, value),
            }
        }
    }

    pub(super) fn switch(&mut self, frame: &mut Frame<'p>, statement: &'p Switch) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        let value = statement
            .value
            .as_ref()
            .map(|value| self.eval(frame, value));
        let entry = self.states.clone();
        let mut exits = Vec::new();
        let (entries, mut others) = self.case_entries(frame, statement);
        let has_default = statement.cases.iter().any(|case| case.default);
        for (case, taken) in statement.cases.iter().zip(entries) {
            let case_env = frame.env.clone();
            self.branch(taken, &mut exits, |sim| {
                sim.case(frame, statement, case, value.as_ref())
            });
            frame.env = case_env;
        }
        if !has_default {
            exits.append(&mut others);
        }
        frame.env = env;
        self.meet(entry, exits)
    }

    /// The states in which each case is taken, and those in which none is: of a switch without a value the cases are
    /// conditions.
    fn case_entries(
        &mut self,
        frame: &Frame<'p>,
        statement: &'p Switch,
    ) -> (Vec<Vec<State>>, Vec<State>) {
        let mut left = self.states.clone();
        if statement.value.is_some() || statement.alias.is_some() {
            return (vec![left.clone(); statement.cases.len()], left);
        }
        let mut entries = Vec::new();
        for case in &statement.cases {
            let mut taken = Vec::new();
            for value in &case.values {
                taken.extend(self.assume(frame, left.clone(), value, true));
                left = self.assume(frame, left, value, false);
            }
            entries.push(merged(taken, self.thread));
        }
        for (entry, case) in entries.iter_mut().zip(&statement.cases) {
            if case.default {
                entry.clone_from(&left);
            }
        }
        (entries, left)
    }

    fn case(
        &mut self,
        frame: &mut Frame<'p>,
        statement: &'p Switch,
        case: &'p Case,
        value: Option<&Value>,
    ) -> Flow {
        for value in &case.values {
            self.eval(frame, value);
        }
        if let (Some(alias), Some(value)) = (statement.alias, value) {
            let mut value = value.clone();
            if let [only] = &case.types[..] {
                value.ty = self.resolve(frame, only);
            }
            self.bind(frame, alias, value);
        }
        self.case_body(frame, &case.body)
    }

    /// A `break` at its end leaves the switch or select only.
    fn case_body(&mut self, frame: &mut Frame<'p>, body: &'p Block) -> Flow {
        let breaks = |last: &Stmt| matches!(last.kind, StmtKind::Break);
        match self.block(frame, body) {
            Flow::Stop if body.last().is_some_and(breaks) => Flow::Next,
            flow => flow,
        }
    }

    pub(super) fn select(&mut self, frame: &mut Frame<'p>, cases: &'p [SelectCase]) -> Flow {
        self.run_waiting();
        let entry = self.states.clone();
        let mut exits = Vec::new();
        let mut going_on = Vec::new();
        for case in cases {
            let env = frame.env.clone();
            let begin = self.now();
            let flow = self.branch(entry.clone(), &mut exits, |sim| {
                if let Some(communication) = &case.communication {
                    sim.statement(frame, communication);
                }
                sim.case_body(frame, &case.body)
            });
            if flow == Flow::Next {
                going_on.push((begin, self.now()));
            }
            frame.env = env;
        }
        // After the select it is not known which of several cases it was.
        if going_on.len() > 1 {
            going_on
                .into_iter()
                .for_each(|(begin, end)| self.limit_acquires_in(begin, end));
        }
        self.meet(entry, exits)
    }
}

fn returns(last: &Stmt) -> bool {
    matches!(last.kind, StmtKind::Return(_))
}

/// The variables of `for i := 0; ...`.
fn loop_variables(init: Option<&Stmt>) -> Vec<Name> {
    let Some(Stmt {
        kind: StmtKind::Define(left, _),
        ..
    }) = init
    else {
        return Vec::new();
    };
    left.iter()
        .filter_map(|expr| match expr.kind {
            ExprKind::Name(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// There is a way out of an endless loop. A `break` in a nested loop or switch counts too: better to
/// follow code that is not reached than to miss what is.
fn breaks(block: &Block) -> bool {
    block.iter().any(|statement| match &statement.kind {
        StmtKind::Break | StmtKind::Jump => true,
        StmtKind::Block(block) => breaks(block),
        StmtKind::If(inner) => {
            breaks(&inner.then)
                || inner
                    .otherwise
                    .as_ref()
                    .is_some_and(|otherwise| match &otherwise.kind {
                        StmtKind::Block(block) => breaks(block),
                        StmtKind::If(nested) => breaks(&nested.then),
                        _ => false,
                    })
        }
        StmtKind::For(inner) => breaks(&inner.body),
        StmtKind::Range(inner) => breaks(&inner.body),
        StmtKind::Switch(inner) => inner.cases.iter().any(|case| breaks(&case.body)),
        StmtKind::Select(cases) => cases.iter().any(|case| breaks(&case.body)),
        _ => false,
    })
}
