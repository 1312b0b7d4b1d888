//! Statements in their order, and what they store where.

use super::call::deferred_bit;
use super::state::Dependency;
use super::*;
use crate::scan::syntax::{Block, ExprKind, Global, Stmt, StmtKind};
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

    pub(super) fn statement(&mut self, frame: &mut Frame<'p>, statement: &'p Stmt) -> Flow {
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
                if global.values.is_empty() && ty.is_bool() {
                    value.scalar = Some(Scalar::Bool(false));
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
            false => self.program.named_type(id),
        };
        Rc::make_mut(&mut frame.types).push((declaration.name, ty));
    }

    /// Stores a value where the expression says.
    pub(super) fn store(&mut self, frame: &mut Frame<'p>, to: &'p Expr, mut value: Value) {
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
            let Some(object) = self.objects.get(from.0 as usize) else {
                continue;
            };
            let fields = object.fields_by_name().into_iter();
            let fields: Vec<_> = fields.map(|(name, held)| (name, held.clone())).collect();
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
        self.note_once(&value);
        self.forget(Dependency::Global(id));
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
        self.forget(Dependency::Field(field));
        let Some((path, ty)) = self.program.field(&base.ty, field) else {
            return;
        };
        let base = self.through(&base, &path);
        if matches!(*value.ty, Type::Unknown) {
            value.ty = Arc::clone(&ty);
        }
        // Look first: what the field held before is then known by its own name.
        let old = self.field(&base, field, &ty);
        if value.objs.is_empty() {
            // `old := s.m; s.m = nil`
            self.take_away(&old, &value);
            return;
        }
        self.set_field(&base, field, &value);
        self.note_once(&value);
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
        let results = self.told_apart(frame, results);
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
        frame.returns.push((span, self.states.clone()));
    }

    /// A result that is true here and false elsewhere: whoever looks at it knows which way was taken.
    fn told_apart(&mut self, frame: &mut Frame<'p>, mut results: Vec<Value>) -> Vec<Value> {
        frame.result_objects.resize(results.len(), None);
        for (result, known) in results.iter_mut().zip(&mut frame.result_objects) {
            if !matches!(result.scalar, Some(Scalar::Bool(_))) {
                continue;
            }
            let ty = Arc::clone(&result.ty);
            let object =
                *known.get_or_insert_with(|| self.alloc(ty, Origin::Made(Name::new("result"))));
            result.objs = vec![object];
            self.learn_result(object, result.scalar);
        }
        results
    }

    fn defer(&mut self, frame: &mut Frame<'p>, call: &'p Expr) {
        // Arguments are evaluated now, the rest at the end; looking at all of it at the end differs only
        // for arguments that touch maps.
        frame.defers.push((call, frame.env.clone(), self.deferred));
        for state in &mut self.states {
            state.deferred |= deferred_bit(self.deferred);
        }
        self.deferred += 1;
    }
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
