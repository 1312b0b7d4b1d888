//! Statements: in their order, branch by branch.

use super::*;
use crate::scan::program::unknown;
use crate::scan::syntax::{
    Block, Case, ExprKind, For, Global, If, Range, SelectCase, Stmt, StmtKind, Switch,
};
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    pub(super) fn block(&mut self, frame: &mut Frame<'p>, block: &'p Block) -> Flow {
        let env = frame.env.clone();
        let mut flow = Flow::Next;
        for statement in block {
            flow = self.statement(frame, statement);
            if flow == Flow::Stop {
                break;
            }
        }
        frame.env = env;
        flow
    }

    fn statement(&mut self, frame: &mut Frame<'p>, statement: &'p Stmt) -> Flow {
        if !self.step() {
            return Flow::Stop;
        }
        let place = frame.place(statement.span);
        match &statement.kind {
            StmtKind::Expr(expr) => {
                let ends = ends_here(expr);
                let outer = self.dying;
                self.dying |= ends;
                self.eval_all(frame, expr);
                self.dying = outer;
                return if ends { Flow::Stop } else { Flow::Next };
            }
            StmtKind::Send(channel, value) => {
                let channel = self.eval(frame, channel);
                let value = self.eval(frame, value);
                self.send(&channel, value, place);
            }
            StmtKind::Update(to, from) => {
                self.eval_read_write(frame, to);
                if let Some(from) = from {
                    self.eval(frame, from);
                }
            }
            StmtKind::Assign(left, right) => self.assign(frame, left, right),
            StmtKind::Define(left, right) => self.define(frame, left, right),
            StmtKind::Var(global) => self.variables(frame, global),
            StmtKind::Type(index) => self.local_type(frame, *index),
            StmtKind::Return(values) => {
                self.return_values(frame, values, statement.span);
                return Flow::Stop;
            }
            StmtKind::Go(call) => self.go(frame, call, place),
            StmtKind::Defer(call) => self.defer(frame, call),
            StmtKind::If(statement) => return self.if_statement(frame, statement),
            StmtKind::For(statement) => return self.for_statement(frame, statement),
            StmtKind::Range(statement) => self.range(frame, statement),
            StmtKind::Switch(statement) => return self.switch(frame, statement),
            StmtKind::Select(cases) => return self.select(frame, cases),
            StmtKind::Block(block) => return self.block(frame, block),
            StmtKind::Break | StmtKind::Jump => return Flow::Stop,
            StmtKind::Empty => {}
        }
        Flow::Next
    }

    /// The right sides, with as many values as there are left sides.
    fn values(&mut self, frame: &mut Frame<'p>, right: &'p [Expr], wanted: usize) -> Vec<Value> {
        let mut values = match right {
            [only] if wanted > 1 => self.eval_all(frame, only),
            _ => right.iter().map(|expr| self.eval(frame, expr)).collect(),
        };
        values.resize_with(wanted, Value::unknown);
        values.into_iter().map(|value| self.copied(value)).collect()
    }

    fn assign(&mut self, frame: &mut Frame<'p>, left: &'p [Expr], right: &'p [Expr]) {
        let values = self.values(frame, right, left.len());
        for (to, value) in left.iter().zip(values) {
            self.store(frame, to, value);
        }
    }

    fn define(&mut self, frame: &mut Frame<'p>, left: &'p [Expr], right: &'p [Expr]) {
        let values = self.values(frame, right, left.len());
        for (to, mut value) in left.iter().zip(values) {
            let ExprKind::Name(name) = &to.kind else {
                continue;
            };
            self.call_so(&mut value, *name);
            if value.objs.is_empty() && value.scalar.is_none() {
                value = self.fresh(&value.ty.clone(), *name);
            }
            self.bind(frame, *name, value);
        }
    }

    /// A map made just now is called as the variable that first held it.
    fn call_so(&mut self, value: &mut Value, name: Name) {
        for &object in &value.objs {
            if let Some(object) = self.obj(object)
                && let Origin::Made(known) = &mut object.origin
                && matches!(known.text(), "literal" | "make" | "copy")
            {
                *known = name;
            }
        }
    }

    fn variables(&mut self, frame: &mut Frame<'p>, global: &'p Global) {
        let declared = global.ty.as_ref().map(|ty| self.resolve(frame, ty));
        let mut values = self.values(frame, &global.values, global.names.len());
        for (name, mut value) in global.names.iter().zip(values.drain(..)) {
            if let Some(ty) = &declared {
                if !matches!(**ty, Type::Interface) || value.objs.is_empty() {
                    value.ty = Arc::clone(ty);
                }
                if value.objs.is_empty() {
                    value = self.fresh(ty, *name);
                }
            }
            self.call_so(&mut value, *name);
            self.bind(frame, *name, value);
        }
    }

    fn local_type(&mut self, frame: &mut Frame<'p>, index: u32) {
        let Some(id) = self.program.local_type(frame.file, index) else {
            return;
        };
        let Some(declaration) = self.program.type_decl(id) else {
            return;
        };
        let ty = match declaration.alias {
            true => self.resolve(frame, &declaration.is),
            false => Arc::new(Type::Named(id, Vec::new())),
        };
        Rc::make_mut(&mut frame.types).push((declaration.name, ty));
    }

    /// Stores a value where the expression says.
    fn store(&mut self, frame: &mut Frame<'p>, to: &'p Expr, mut value: Value) {
        match &to.kind {
            ExprKind::Name(name) => {
                self.call_so(&mut value, *name);
                if let Some(cell) = self.find(&frame.env, *name) {
                    self.write_cell(cell, value);
                } else if let Some(crate::scan::program::Decl::Global(id)) =
                    self.program.lookup(frame.file, *name)
                {
                    self.store_global(id, value);
                }
            }
            ExprKind::Selector(operand, field) => self.store_field(frame, operand, *field, value),
            ExprKind::Index(operand, index) => {
                let base = self.eval(frame, operand);
                let key = self.eval(frame, index);
                let inner = self.program.underlying(&base.ty.pointee());
                if matches!(*inner, Type::Map(..)) {
                    let base = base.clone().with_type(inner);
                    self.touch(&base, Operation::Assign, frame.place(to.span), None);
                }
                self.set_element(&base, key.scalar, &value);
            }
            ExprKind::Deref(operand) => {
                let target = self.eval(frame, operand);
                let ty = self.program.underlying(&target.ty.pointee());
                if matches!(*ty, Type::Struct(_)) {
                    self.copy_fields(&target, &value);
                }
            }
            _ => {
                self.eval(frame, to);
            }
        }
    }

    fn copy_fields(&mut self, target: &Value, value: &Value) {
        for &from in &value.objs {
            let fields: Vec<_> = self
                .obj(from)
                .map(|object| object.fields.clone().into_iter().collect())
                .unwrap_or_default();
            for (name, held) in fields {
                self.set_field(target, name, &held);
            }
        }
    }

    fn store_global(&mut self, id: GlobalId, mut value: Value) {
        let cell = self.global_cell(id);
        for object in value.objs.clone() {
            if let Some(object) = self.obj(object)
                && !object.escaped
                && matches!(object.origin, Origin::Made(_))
            {
                object.origin = Origin::Global(id);
            }
        }
        self.escape(&value);
        let old = self.read_cell(cell);
        self.take_away(&old, &value);
        if matches!(*value.ty, Type::Unknown) {
            value.ty = Arc::clone(&old.ty);
        }
        self.write_cell(cell, value);
    }

    fn store_field(
        &mut self,
        frame: &mut Frame<'p>,
        operand: &'p Expr,
        field: Name,
        mut value: Value,
    ) {
        if let Some(imported) = self.imported(frame, operand) {
            if let crate::scan::program::Imported::Package(id) = imported
                && let Some(crate::scan::program::Decl::Global(id)) = self.program.member(id, field)
            {
                self.store_global(id, value);
            }
            return;
        }
        let base = self.eval(frame, operand);
        let Some((path, ty)) = self.program.field(&base.ty, field) else {
            return;
        };
        let base = self.through(&base, &path);
        if matches!(*value.ty, Type::Unknown) {
            value.ty = Arc::clone(&ty);
        }
        if value.objs.is_empty() {
            return;
        }
        // Look first: what the field held before is then known by its own name.
        self.field(&base, field, &ty);
        self.set_field(&base, field, &value);
    }

    /// `x++`, `x += y`, `m[k]++`.
    fn eval_read_write(&mut self, frame: &mut Frame<'p>, to: &'p Expr) {
        if let ExprKind::Index(operand, index) = &to.kind {
            let base = self.eval(frame, operand);
            self.eval(frame, index);
            let inner = self.program.underlying(&base.ty.pointee());
            if matches!(*inner, Type::Map(..)) {
                let base = base.with_type(inner);
                self.touch(&base, Operation::Assign, frame.place(to.span), None);
            }
            return;
        }
        self.eval(frame, to);
    }

    fn return_values(&mut self, frame: &mut Frame<'p>, values: &'p [Expr], span: Span) {
        let results: Vec<Value> = match values {
            [only] => self.eval_all(frame, only),
            _ => values.iter().map(|value| self.eval(frame, value)).collect(),
        };
        let results: Vec<Value> = results
            .into_iter()
            .map(|value| self.copied(value))
            .collect();
        let results = if values.is_empty() {
            frame
                .named_results
                .clone()
                .into_iter()
                .map(|cell| self.read_cell(cell))
                .collect()
        } else {
            results
        };
        if frame.results.is_empty() {
            frame.results = results;
        } else {
            frame
                .results
                .iter_mut()
                .zip(&results)
                .for_each(|(known, value)| known.join(value));
        }
        frame.returns.push((span, self.locks.clone()));
    }

    fn defer(&mut self, frame: &mut Frame<'p>, call: &'p Expr) {
        // Arguments are evaluated now, the rest at the end; looking at all of it at the end differs only
        // for arguments that touch maps.
        frame.defers.push((call, frame.env.clone(), Vec::new()));
    }

    // Branches.

    /// Follows one branch; what it leaves held is added to the others'.
    fn branch(
        &mut self,
        entry: &[Held],
        exits: &mut Vec<Vec<Held>>,
        follow: impl FnOnce(&mut Self) -> Flow,
    ) -> Flow {
        self.locks = entry.to_vec();
        let begin = self.now();
        self.branches += 1;
        let outer = std::mem::replace(&mut self.branch_begin, self.steps);
        let flow = follow(self);
        self.branch_begin = outer;
        self.branches -= 1;
        match flow {
            Flow::Next => exits.push(std::mem::take(&mut self.locks)),
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

    /// After branches: held is what all of them hold that go on.
    fn meet(&mut self, entry: Vec<Held>, exits: Vec<Vec<Held>>) -> Flow {
        let mut exits = exits.into_iter();
        let Some(first) = exits.next() else {
            self.locks = entry;
            return Flow::Stop;
        };
        self.locks = exits.fold(first, |held, other| common(held, &other));
        Flow::Next
    }

    fn if_statement(&mut self, frame: &mut Frame<'p>, statement: &'p If) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        let tried = self.try_lock(frame, &statement.condition);
        if tried.is_none() {
            self.eval(frame, &statement.condition);
        }
        let entry = self.locks.clone();
        let (mut then_entry, mut else_entry) = (entry.clone(), entry.clone());
        if let Some((held, negated)) = tried {
            if negated {
                else_entry.push(held)
            } else {
                then_entry.push(held)
            }
        }
        let mut exits = Vec::new();
        self.branch(&then_entry, &mut exits, |sim| {
            sim.block(frame, &statement.then)
        });
        match &statement.otherwise {
            Some(otherwise) => {
                self.branch(&else_entry, &mut exits, |sim| {
                    sim.statement(frame, otherwise)
                });
            }
            None => exits.push(else_entry),
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

    fn for_statement(&mut self, frame: &mut Frame<'p>, statement: &'p For) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        let entry = self.locks.clone();
        let variables = loop_variables(statement.init.as_ref());
        let rounds = if statement.starts { 2 } else { 1 };
        let mut exits = vec![entry.clone()];
        let mut flags = Vec::new();
        for round in 0..rounds {
            let body_env = frame.env.clone();
            self.locks.clone_from(&entry);
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
            self.branch(&entry, &mut exits, |sim| {
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
            self.locks = entry;
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

    fn range(&mut self, frame: &mut Frame<'p>, statement: &'p Range) {
        let over = self.eval(frame, &statement.over);
        let env = frame.env.clone();
        let inner = self.program.underlying(&over.ty.pointee());
        let place = frame.place(statement.over.span);
        let is_channel = matches!(*inner, Type::Chan(_));
        let entry = self.locks.clone();
        let mut exits = vec![entry.clone()];
        let rounds = if statement.starts || is_channel { 2 } else { 1 };
        let over = over.with_type(Arc::clone(&inner));
        for round in 0..rounds {
            let body_env = frame.env.clone();
            self.locks.clone_from(&entry);
            let first = self.accesses.len();
            if matches!(*inner, Type::Map(..)) {
                self.touch(&over, Operation::Iterate, place, None);
            }
            let last = self.accesses.len();
            self.range_variables(frame, statement, &over, &inner, round);
            let before = exits.len();
            self.branch(&entry, &mut exits, |sim| sim.block(frame, &statement.body));
            let at_end = exits.get(before).cloned();
            self.iterated(first..last, at_end);
            frame.env = body_env;
        }
        if is_channel {
            self.receive(&over, place, true);
        }
        frame.env = env;
        self.meet(entry, exits);
    }

    /// An iteration lasts until the body ends; its next step is under the locks that are held there.
    fn iterated(&mut self, accesses: std::ops::Range<usize>, at_end: Option<Vec<Held>>) {
        let now = self.now();
        for access in self.accesses.get_mut(accesses).unwrap_or_default() {
            access.until = now;
            if let Some(held) = &at_end {
                access.locks = common(std::mem::take(&mut access.locks), held);
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

    fn switch(&mut self, frame: &mut Frame<'p>, statement: &'p Switch) -> Flow {
        let env = frame.env.clone();
        if let Some(init) = &statement.init {
            self.statement(frame, init);
        }
        let value = statement
            .value
            .as_ref()
            .map(|value| self.eval(frame, value));
        let entry = self.locks.clone();
        let mut exits = Vec::new();
        let has_default = statement.cases.iter().any(|case| case.default);
        for case in &statement.cases {
            let case_env = frame.env.clone();
            self.branch(&entry, &mut exits, |sim| {
                sim.case(frame, statement, case, value.as_ref())
            });
            frame.env = case_env;
        }
        if !has_default {
            exits.push(entry.clone());
        }
        frame.env = env;
        self.meet(entry, exits)
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

    fn select(&mut self, frame: &mut Frame<'p>, cases: &'p [SelectCase]) -> Flow {
        self.run_waiting();
        let entry = self.locks.clone();
        let mut exits = Vec::new();
        let mut going_on = Vec::new();
        for case in cases {
            let env = frame.env.clone();
            let begin = self.now();
            let flow = self.branch(&entry, &mut exits, |sim| {
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

/// Held on both, with the weaker mode.
fn common(held: Vec<Held>, other: &[Held]) -> Vec<Held> {
    held.into_iter()
        .filter_map(|mut lock| {
            let same = other.iter().find(|candidate| candidate.lock == lock.lock)?;
            lock.mode = lock.mode.min(same.mode);
            Some(lock)
        })
        .collect()
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

/// Calls after which nothing follows.
fn ends_here(expr: &Expr) -> bool {
    let ExprKind::Call(call) = &expr.kind else {
        return false;
    };
    match &call.function.kind {
        ExprKind::Name(name) => name == "panic",
        ExprKind::Selector(_, name) => matches!(
            name.text(),
            "Exit"
                | "Fatal"
                | "Fatalf"
                | "Fatalln"
                | "Goexit"
                | "FailNow"
                | "Skip"
                | "Skipf"
                | "SkipNow"
                | "Panic"
                | "Panicf"
        ),
        _ => false,
    }
}
