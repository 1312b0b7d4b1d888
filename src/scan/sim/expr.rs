//! Expressions: what they can be, and what they touch.

use super::*;
use crate::scan::program::{Decl, Imported, Scope, string, unknown};
use crate::scan::syntax::{Element, ExprKind, TypeExpr};
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    /// An expression with one value.
    pub(super) fn eval(&mut self, frame: &mut Frame<'p>, expr: &'p Expr) -> Value {
        let values = self.eval_all(frame, expr);
        values.into_iter().next().unwrap_or_else(Value::unknown)
    }

    /// An expression, a call with several results included.
    pub(super) fn eval_all(&mut self, frame: &mut Frame<'p>, expr: &'p Expr) -> Vec<Value> {
        if !self.step() {
            return Vec::new();
        }
        if let ExprKind::Call(call) = &expr.kind {
            return self.call(frame, call, expr.span);
        }
        let mut value = self.eval_one(frame, expr);
        // What lies in memory that others reach can change.
        if matches!(
            &expr.kind,
            ExprKind::Selector(..) | ExprKind::Index(..) | ExprKind::Receive(_)
        ) {
            value = value.without_truth();
        }
        vec![value]
    }

    fn eval_one(&mut self, frame: &mut Frame<'p>, expr: &'p Expr) -> Value {
        match &expr.kind {
            ExprKind::Name(name) => self.name(frame, *name),
            ExprKind::Int(number) => Value::scalar(number.map(Scalar::Int)),
            ExprKind::Bool(value) => Value::scalar(Some(Scalar::Bool(*value))),
            ExprKind::Str(text) => Value {
                ty: string(),
                ..Value::scalar(Some(Scalar::Str(*text)))
            },
            ExprKind::Selector(operand, field) => self.selector(frame, operand, *field, expr.span),
            ExprKind::Index(operand, index) => self.index(frame, operand, index, expr.span),
            ExprKind::Slice(operand) => self.eval(frame, operand),
            ExprKind::Assert(operand, ty) => {
                let value = self.eval(frame, operand);
                let ty = self.resolve(frame, ty);
                self.asserted(value, ty)
            }
            ExprKind::Convert(ty, operand) => {
                let value = self.eval(frame, operand);
                let ty = self.resolve(frame, ty);
                value.with_type(ty)
            }
            ExprKind::Composite(ty, elements) => {
                let ty = self.resolve(frame, ty);
                self.composite(frame, ty, elements, expr.span)
            }
            ExprKind::Func(literal) => self.literal(frame, literal),
            ExprKind::Address(operand) => {
                let value = self.eval(frame, operand);
                let value = self.addressed(frame, operand, value);
                Value {
                    ty: Arc::new(Type::Pointer(Arc::clone(&value.ty))),
                    ..value
                }
            }
            ExprKind::Deref(operand) => {
                let value = self.eval(frame, operand);
                let ty = value.ty.pointee();
                value.with_type(ty)
            }
            ExprKind::Receive(operand) => {
                let channel = self.eval(frame, operand);
                self.receive(&channel, frame.place(expr.span), false)
            }
            ExprKind::Not(operand) => match self.eval(frame, operand).scalar {
                Some(Scalar::Bool(value)) => Value::scalar(Some(Scalar::Bool(!value))),
                _ => Value::unknown(),
            },
            ExprKind::Operator(_, operands) => {
                let values: Vec<_> = operands
                    .iter()
                    .map(|operand| self.eval(frame, operand))
                    .collect();
                let is_round = |value: &Value| matches!(value.scalar, Some(Scalar::Round(..)));
                let round = values
                    .iter()
                    .find(|value| is_round(value))
                    .and_then(|value| value.scalar);
                Value::scalar(round)
            }
            ExprKind::Type(ty) => Value::of(self.resolve(frame, ty)),
            ExprKind::Call(_) | ExprKind::Literal | ExprKind::Nil => Value::unknown(),
        }
    }

    fn name(&mut self, frame: &mut Frame<'p>, name: Name) -> Value {
        if let Some(cell) = self.find(&frame.env, name) {
            return self.filled_cell(cell, name);
        }
        if frame.types.iter().any(|(known, _)| *known == name) {
            let scope = Scope {
                file: frame.file,
                local: &frame.types,
            };
            return Value::of(self.program.resolve(&TypeExpr::Name(name), scope));
        }
        match self.program.lookup(frame.file, name) {
            Some(decl) => self.declared(decl).without_truth(),
            None => Value::unknown(),
        }
    }

    /// A variable whose address is taken has an identity, also when it is a number.
    fn addressed(&mut self, frame: &Frame<'p>, operand: &Expr, mut value: Value) -> Value {
        let ExprKind::Name(name) = &operand.kind else {
            return value;
        };
        let Some(cell) = self.find(&frame.env, *name) else {
            return value;
        };
        self.share_assigned(frame, &[*name]);
        if value.objs.is_empty() {
            value
                .objs
                .push(self.alloc(Arc::clone(&value.ty), Origin::Made(*name)));
            if let Some(cell) = self.cells.get_mut(cell.0 as usize) {
                cell.value.objs = value.objs.clone();
            }
        }
        value
    }

    /// A variable's value; one that never got an object gets one now.
    fn filled_cell(&mut self, cell: CellId, name: Name) -> Value {
        let value = self.read_cell(cell);
        if !value.objs.is_empty() || value.scalar.is_some() {
            return value;
        }
        let fresh = self.fresh(&value.ty.clone(), name);
        if let Some(cell) = self.cells.get_mut(cell.0 as usize)
            && !fresh.objs.is_empty()
        {
            cell.value = fresh.clone();
        }
        fresh
    }

    fn declared(&mut self, decl: Decl) -> Value {
        match decl {
            Decl::Global(id) => {
                let cell = self.global_cell(id);
                self.read_cell(cell)
            }
            Decl::Func(id) => {
                let ty = self.function_type(id);
                let is_handler = ty.is_handler();
                let value = self.code_value(Code::Declared(id, None), ty);
                if is_handler {
                    self.may_serve(
                        &value,
                        Place {
                            file: self.program.file_of(id),
                            span: self.program.function(id).span,
                        },
                    );
                }
                value
            }
            Decl::Type(id) => Value::of(self.program.named_type(id)),
        }
    }

    /// The type of a declared function.
    pub(super) fn function_type(&self, id: FuncId) -> Ty {
        let program = self.program;
        let signature = &program.function(id).signature;
        self.signature_type(program.file_of(id), &[], signature)
    }

    pub(super) fn code_value(&mut self, code: Code<'p>, ty: Ty) -> Value {
        let object = self.alloc(Arc::clone(&ty), Origin::Made(Name::new("func")));
        if let Some(object) = self.obj(object) {
            object.code = Some(code);
        }
        Value::object(ty, object)
    }

    /// `x.f` that is not called.
    fn selector(
        &mut self,
        frame: &mut Frame<'p>,
        operand: &'p Expr,
        field: Name,
        span: Span,
    ) -> Value {
        if let Some(imported) = self.imported(frame, operand) {
            return match imported {
                Imported::Package(id) => match self.program.member(id, field) {
                    Some(decl) => self.declared(decl),
                    None => Value::unknown(),
                },
                Imported::External(path) => {
                    Value::of(Arc::new(Type::External(path, field, Vec::new())))
                }
            };
        }
        let base = self.eval(frame, operand);
        if let Some(value) = self.select_field(&base, field) {
            return value;
        }
        if let Some((path, method)) = self.program.method(&base.ty, field) {
            let receiver = self.through(&base, &path);
            let ty = self.function_type(method);
            let is_handler = ty.is_handler();
            let value = self.code_value(Code::Declared(method, Some(Box::new(receiver))), ty);
            if is_handler {
                self.may_serve(&value, frame.place(span));
            }
            return value;
        }
        self.field_outside(&base, field)
    }

    /// A field of a type from outside: of which kind is not known, but which one it is.
    fn field_outside(&mut self, base: &Value, field: Name) -> Value {
        if base.ty.external().is_none() || base.objs.is_empty() {
            return Value::unknown();
        }
        self.field(base, field, &unknown())
    }

    /// A field, by way of embedded ones.
    pub(super) fn select_field(&mut self, base: &Value, field: Name) -> Option<Value> {
        let (path, ty) = self.program.field(&base.ty, field)?;
        let base = self.through(base, &path);
        Some(self.field(&base, field, &ty))
    }

    pub(super) fn through(&mut self, base: &Value, path: &[Name]) -> Value {
        let mut value = base.clone();
        for &name in path {
            let Some((_, ty)) = self.program.field(&value.ty, name) else {
                break;
            };
            value = self.field(&value, name, &ty);
        }
        value
    }

    /// The package that a name stands for, unless a variable hides it.
    pub(super) fn imported(&self, frame: &Frame<'p>, operand: &Expr) -> Option<Imported> {
        let ExprKind::Name(name) = &operand.kind else {
            return None;
        };
        if self.find(&frame.env, *name).is_some() {
            return None;
        }
        self.program.import(frame.file, *name)
    }

    fn index(
        &mut self,
        frame: &mut Frame<'p>,
        operand: &'p Expr,
        index: &'p Expr,
        span: Span,
    ) -> Value {
        let base = self.eval(frame, operand);
        if matches!(&*base.ty, Type::Func(_)) {
            return base;
        }
        let key = self.eval(frame, index);
        let inner = self.program.underlying(&base.ty.pointee());
        match &*inner {
            Type::Map(_, element) => {
                let base = base.with_type(Arc::clone(&inner));
                self.touch(&base, Operation::Read, frame.place(span), None);
                self.element(&base, key.scalar, element)
            }
            Type::Slice(element, _) => self.element(&base, key.scalar, element),
            Type::Named(..) | Type::External(..) => base,
            _ => Value::unknown(),
        }
    }

    fn asserted(&mut self, value: Value, ty: Ty) -> Value {
        let objects = value.objs.clone();
        for object in objects {
            let Some(object) = self.obj(object) else {
                continue;
            };
            if matches!(*object.ty, Type::Unknown | Type::Interface) {
                object.ty = ty.pointee();
            }
        }
        value.with_type(ty)
    }

    fn literal(&mut self, frame: &mut Frame<'p>, literal: &'p FuncLit) -> Value {
        let closure = Closure {
            scope: frame.env.clone(),
            file: frame.file,
            types: Rc::clone(&frame.types),
            outer: frame.function,
        };
        let ty = self.signature_type(frame.file, &frame.types, &literal.signature);
        let is_handler = ty.is_handler();
        let value = self.code_value(Code::Literal(literal, Rc::new(closure)), ty);
        if is_handler {
            self.may_serve(&value, frame.place(literal.span));
        }
        self.share_assigned(frame, &literal.assigns);
        self.literals.extend(value.objs.iter().copied());
        value
    }

    /// `T{...}`.
    pub(super) fn composite(
        &mut self,
        frame: &mut Frame<'p>,
        ty: Ty,
        elements: &'p [Element],
        span: Span,
    ) -> Value {
        let object = self.alloc(ty.pointee(), Origin::Made(Name::new("literal")));
        let value = Value::object(Arc::clone(&ty), object);
        let inner = self.program.underlying(&ty.pointee());
        match &*inner {
            Type::Struct(fields) => {
                for (position, element) in elements.iter().enumerate() {
                    let name = match element.key.as_ref().map(|key| &key.kind) {
                        Some(ExprKind::Name(name)) => Some(*name),
                        _ => fields.get(position).map(|field| field.name),
                    };
                    let field =
                        name.and_then(|name| fields.iter().find(|field| field.name == name));
                    let field_ty = field.map_or_else(unknown, |field| Arc::clone(&field.ty));
                    let held = self.element_value(frame, &element.value, &field_ty, span);
                    if let (Some(name), Some(object)) = (name, self.obj(object)) {
                        object.fields.insert(name, held);
                    }
                }
            }
            Type::Map(_, element_ty) | Type::Slice(element_ty, _) => {
                for element in elements {
                    let key = element.key.as_ref().map(|key| self.element_key(frame, key));
                    let held = self.element_value(frame, &element.value, element_ty, span);
                    self.set_element(&value, key.flatten(), &held);
                }
            }
            _ => {
                for element in elements {
                    let held = self.eval(frame, &element.value);
                    self.set_element(&value, None, &held);
                }
            }
        }
        value
    }

    fn element_key(&mut self, frame: &mut Frame<'p>, key: &'p Expr) -> Option<Scalar> {
        match &key.kind {
            ExprKind::Composite(..) => None,
            _ => self.eval(frame, key).scalar,
        }
    }

    fn element_value(
        &mut self,
        frame: &mut Frame<'p>,
        expr: &'p Expr,
        ty: &Ty,
        span: Span,
    ) -> Value {
        let value = match &expr.kind {
            ExprKind::Composite(written, elements) if matches!(**written, TypeExpr::Elided) => {
                self.composite(frame, Arc::clone(ty), elements, span)
            }
            _ => self.eval(frame, expr),
        };
        let value = self.copied(value);
        // What it is declared as says more than what an external call is known to give.
        if matches!(*value.ty, Type::Unknown) {
            self.named_unless_known(value, ty)
        } else {
            value
        }
    }

    fn named_unless_known(&mut self, value: Value, ty: &Ty) -> Value {
        if value.objs.is_empty() && value.scalar.is_none() {
            return self.fresh(ty, Name::new("value"));
        }
        value.with_type(Arc::clone(ty))
    }
}
