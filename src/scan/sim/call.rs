//! Calls of the module's own functions, function values, goroutine starts.

use super::state::{Fact, merged};
use super::*;
use crate::scan::program::{Decl, Imported};
use crate::scan::syntax::{Block, Call, ExprKind, Signature};
use crate::scan::types::Type;
use std::sync::Arc;

/// A call of one of more functions than these is not followed for the rest.
pub(super) const MOST_CALLEES: usize = 6;

/// Function literals are entered that much deeper than functions: what they do belongs to the function around them,
/// such as taking its lock.
const LITERALS_BEYOND: usize = 2;

/// What a call's function is.
pub(super) enum Callee<'p> {
    /// Code of the module.
    Code(Vec<Code<'p>>),
    /// A function of another module: import path and name.
    Function(Name, Name),
    /// A method of a type from outside: the value it is called on, the type, the name.
    Method(Value, Ty, Name),
    /// A conversion to this type.
    Conversion(Ty),
    /// A built-in function.
    Builtin(Name),
    /// Nothing is known about it.
    Unknown,
}

/// What was there before a call: its own is newer.
struct Before {
    cells: usize,
    objects: usize,
    deferred: u32,
    /// Conditions that were asked.
    known: Vec<u64>,
}

impl<'p> Sim<'p> {
    pub(super) fn call(&mut self, frame: &mut Frame<'p>, call: &'p Call, span: Span) -> Vec<Value> {
        let place = frame.place(span);
        match self.callee(frame, &call.function) {
            Callee::Builtin(name) => vec![self.builtin(frame, name, call, place)],
            Callee::Conversion(ty) => {
                let value = call.args.first().map(|arg| self.eval(frame, arg));
                vec![value.unwrap_or_else(Value::unknown).with_type(ty)]
            }
            Callee::Code(codes) => {
                let args = self.args(frame, call);
                let results = self.call_any(codes, args, place);
                self.note_answer(place, &results);
                results
            }
            Callee::Function(path, name) => {
                let args = self.args(frame, call);
                self.external_function(path, name, args, place)
            }
            Callee::Method(receiver, ty, name) => {
                if ty.is_external("sync", "Map") {
                    self.note_map_call(&receiver, name, call, place);
                }
                let args = self.args(frame, call);
                self.external_method(receiver, &ty, name, args, place)
            }
            Callee::Unknown => {
                let args = self.args(frame, call);
                self.given_away(&args, place);
                Vec::new()
            }
        }
    }

    fn note_map_call(&mut self, receiver: &Value, method: Name, call: &Call, place: Place) {
        let key = call.args.first().and_then(|key| match &key.kind {
            ExprKind::Name(name) | ExprKind::Str(name) | ExprKind::Selector(_, name) => Some(*name),
            _ => None,
        });
        for &object in &receiver.objs {
            if self.map_calls.len() < MOST_ACCESSES {
                self.map_calls.push(MapCall {
                    object,
                    method,
                    key,
                    place,
                    path: self.path.clone(),
                    locks: Self::held_always(&self.states),
                });
            }
        }
    }

    pub(super) fn args(&mut self, frame: &mut Frame<'p>, call: &'p Call) -> Vec<Value> {
        match &call.args[..] {
            [only] => self.eval_all(frame, only),
            args => args.iter().map(|arg| self.eval(frame, arg)).collect(),
        }
        .into_iter()
        .map(|value| self.copied(value))
        .collect()
    }

    pub(super) fn callee(&mut self, frame: &mut Frame<'p>, function: &'p Expr) -> Callee<'p> {
        match &function.kind {
            ExprKind::Name(name) => self.named_callee(frame, *name, function),
            ExprKind::Selector(operand, name) => self.selected_callee(frame, operand, *name),
            ExprKind::Index(operand, index) => match self.callee(frame, operand) {
                Callee::Unknown => {
                    self.eval(frame, index);
                    self.value_callee(frame, function)
                }
                callee => callee,
            },
            ExprKind::Type(ty) => Callee::Conversion(self.resolve(frame, ty)),
            _ => self.value_callee(frame, function),
        }
    }

    fn value_callee(&mut self, frame: &mut Frame<'p>, function: &'p Expr) -> Callee<'p> {
        let value = self.eval(frame, function);
        self.code_of(&value)
    }

    fn code_of(&mut self, value: &Value) -> Callee<'p> {
        let codes: Vec<_> = value
            .objs
            .iter()
            .filter_map(|id| self.objects.get(id.0 as usize)?.code.clone())
            .collect();
        if codes.is_empty() {
            Callee::Unknown
        } else {
            Callee::Code(codes)
        }
    }

    fn named_callee(
        &mut self,
        frame: &mut Frame<'p>,
        name: Name,
        function: &'p Expr,
    ) -> Callee<'p> {
        if self.find(&frame.env, name).is_some() {
            return self.value_callee(frame, function);
        }
        if frame.types.iter().any(|(known, _)| *known == name) {
            return Callee::Conversion(self.eval(frame, function).ty);
        }
        match self.program.lookup(frame.file, name) {
            Some(Decl::Func(id)) => Callee::Code(vec![Code::Declared(id, None)]),
            Some(Decl::Type(id)) => Callee::Conversion(self.program.named_type(id)),
            Some(Decl::Global(_)) => self.value_callee(frame, function),
            None => Callee::Builtin(name),
        }
    }

    fn selected_callee(
        &mut self,
        frame: &mut Frame<'p>,
        operand: &'p Expr,
        name: Name,
    ) -> Callee<'p> {
        match self.imported(frame, operand) {
            Some(Imported::External(path)) => return Callee::Function(path, name),
            Some(Imported::Package(id)) => {
                return match self.program.member(id, name) {
                    Some(Decl::Func(id)) => Callee::Code(vec![Code::Declared(id, None)]),
                    Some(Decl::Type(id)) => Callee::Conversion(self.program.named_type(id)),
                    Some(Decl::Global(id)) => {
                        let cell = self.global_cell(id);
                        let value = self.read_cell(cell);
                        self.code_of(&value)
                    }
                    None => Callee::Unknown,
                };
            }
            None => {}
        }
        let base = self.eval(frame, operand);
        self.method_callee(base, name)
    }

    fn method_callee(&mut self, base: Value, name: Name) -> Callee<'p> {
        if let Some((path, method)) = self.program.method(&base.ty, name) {
            let receiver = self.through(&base, &path);
            return Callee::Code(vec![Code::Declared(method, Some(Box::new(receiver)))]);
        }
        if let Some(value) = self.select_field(&base, name) {
            return self.code_of(&value);
        }
        if let Some((path, ty)) = self.program.external_method(&base.ty, name) {
            let receiver = self.through(&base, &path);
            return Callee::Method(receiver, ty, name);
        }
        self.dynamic_callee(base, name)
    }

    /// A method called through an interface: of the types that are known to be there, else of the only
    /// one in the module that has such a method.
    fn dynamic_callee(&mut self, base: Value, name: Name) -> Callee<'p> {
        let mut codes = Vec::new();
        for &object in &base.objs {
            let ty = self.ty(object);
            if let Some((path, method)) = self.program.method(&ty, name) {
                let receiver = Value::object(Arc::new(Type::Pointer(ty)), object);
                let receiver = self.through(&receiver, &path);
                codes.push(Code::Declared(method, Some(Box::new(receiver))));
            }
        }
        if !codes.is_empty() {
            return Callee::Code(codes);
        }
        let ty = base
            .objs
            .first()
            .map_or_else(|| Arc::clone(&base.ty), |object| self.ty(*object));
        let is_lock = matches!(name.text(), "Lock" | "Unlock" | "RLock" | "RUnlock");
        if ty.external().is_some() || is_lock {
            return Callee::Method(base, ty, name);
        }
        Callee::Unknown
    }

    pub(super) fn call_any(
        &mut self,
        codes: Vec<Code<'p>>,
        args: Vec<Value>,
        place: Place,
    ) -> Vec<Value> {
        let mut results: Vec<Value> = Vec::new();
        let several = codes.len() > 1;
        let entry = self.states.clone();
        for code in codes.into_iter().take(MOST_CALLEES) {
            if several {
                self.states.clone_from(&entry);
                self.branches += 1;
            }
            let values = self.call_code(code, args.clone(), place);
            if several {
                self.branches -= 1;
            }
            if results.is_empty() {
                results = values;
            } else {
                results
                    .iter_mut()
                    .zip(&values)
                    .for_each(|(known, value)| known.join(value));
            }
        }
        results
    }

    /// Runs a function with arguments; gives its results.
    pub(super) fn call_code(
        &mut self,
        code: Code<'p>,
        args: Vec<Value>,
        place: Place,
    ) -> Vec<Value> {
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        let program = self.program;
        match code {
            Code::Declared(id, receiver) => {
                let function = program.function(id);
                let file = program.file_of(id);
                let types = self.type_arguments(id, receiver.as_deref());
                let mut frame = Frame::new(file, Some(id), None, Rc::new(types));
                let recursive = self.is_running(id);
                let Some(body) = function
                    .body
                    .as_ref()
                    .filter(|_| depth < DEEPEST_CALL && !recursive && self.step())
                else {
                    return self.results_unseen(&frame, &function.signature);
                };
                self.entered.insert(id);
                if let Some(param) = &function.receiver {
                    let mut receiver = receiver.map_or_else(Value::unknown, |receiver| *receiver);
                    if !matches!(&*self.resolve(&frame, &param.ty), Type::Pointer(_)) {
                        receiver.ty = receiver.ty.pointee();
                        receiver = self.copied(receiver);
                        for object in receiver.objs.clone() {
                            if let Some(object) = self.obj(object) {
                                object.is_receiver_copy = object.copy_of.is_some();
                            }
                        }
                    }
                    if let Some(name) = param.name {
                        self.bind(&mut frame, name, receiver);
                    }
                }
                let link = Link {
                    function: Some(id),
                    suffix: None,
                    file,
                    called: Some(place),
                    caller: self.path.clone(),
                    depth: depth + 1,
                };
                self.enter(frame, link, &function.signature, body, args)
            }
            Code::Literal(literal, closure) => {
                let frame = Frame::new(
                    closure.file,
                    closure.outer,
                    closure.scope.clone(),
                    Rc::clone(&closure.types),
                );
                if depth >= DEEPEST_CALL + LITERALS_BEYOND || !self.step() {
                    return self.results_unseen(&frame, &literal.signature);
                }
                self.was_called(literal);
                let link = Link {
                    function: closure.outer,
                    suffix: Some(literal.suffix),
                    file: closure.file,
                    called: Some(place),
                    caller: self.path.clone(),
                    depth: depth + 1,
                };
                self.enter(frame, link, &literal.signature, &literal.body, args)
            }
        }
    }

    pub(super) fn was_called(&mut self, literal: &FuncLit) {
        for index in 0..self.literals.len() {
            let Some(&id) = self.literals.get(index) else {
                break;
            };
            if let Some(object) = self.obj(id)
                && let Some(Code::Literal(known, _)) = &object.code
                && std::ptr::eq(*known, literal)
            {
                object.called = true;
            }
        }
    }

    fn is_running(&self, id: FuncId) -> bool {
        let mut at = self.path.as_ref();
        let mut count = 0;
        while let Some(link) = at {
            count += u32::from(link.function == Some(id) && link.suffix.is_none());
            at = link.caller.as_ref();
        }
        count > 0
    }

    /// What type parameters stand for: those of the receiver's type.
    fn type_arguments(&self, id: FuncId, receiver: Option<&Value>) -> Vec<(Name, Ty)> {
        let function = self.program.function(id);
        let Some(receiver) = receiver else {
            return Vec::new();
        };
        let Type::Named(_, args) = &*receiver.ty.pointee() else {
            return Vec::new();
        };
        function
            .type_params
            .iter()
            .copied()
            .zip(args.iter().cloned())
            .collect()
    }

    fn results_unseen(&mut self, frame: &Frame<'p>, signature: &'p Signature) -> Vec<Value> {
        let types: Vec<_> = signature
            .results
            .iter()
            .map(|result| self.resolve(frame, &result.ty))
            .collect();
        types
            .iter()
            .map(|ty| self.fresh(ty, Name::new("result")))
            .collect()
    }

    fn enter(
        &mut self,
        mut frame: Frame<'p>,
        link: Link,
        signature: &'p Signature,
        body: &'p Block,
        args: Vec<Value>,
    ) -> Vec<Value> {
        let outer = self.path.replace(Rc::new(link));
        let branches = self.branches;
        let env_before = frame.env.clone();
        let facts = self.states.iter().flat_map(|state| &state.facts);
        let before = Before {
            cells: self.cells.len(),
            objects: self.objects.len(),
            deferred: self.deferred,
            known: facts.map(|fact| fact.condition.key).collect(),
        };
        self.bind_params(&mut frame, signature, args);
        for result in &signature.results {
            let Some(name) = result.name else { continue };
            let ty = self.resolve(&frame, &result.ty);
            let value = self.fresh(&ty, name);
            self.bind(&mut frame, name, value);
            frame.named_results.extend(self.find(&frame.env, name));
        }
        let entry = self.states.clone();
        let not_taken = self.not_taken.len();
        if self.block(&mut frame, body) == Flow::Next {
            let end = body.last().map_or(Span::default(), |last| last.span);
            frame.returns.push((end, self.states.clone()));
        }
        self.not_taken.truncate(not_taken);
        frame.env = env_before;
        self.leave(&mut frame, entry);
        self.forget_call(&frame, &before);
        self.run_left_at_end();
        self.branches = branches;
        self.path = outer;
        let declared: Vec<_> = signature
            .results
            .iter()
            .map(|result| self.resolve(&frame, &result.ty))
            .collect();
        self.results(frame.results, &declared)
    }

    /// Results that were not seen (`return nil`) are fresh ones of their type.
    fn results(&mut self, mut results: Vec<Value>, declared: &[Ty]) -> Vec<Value> {
        results.resize_with(declared.len(), Value::unknown);
        results
            .into_iter()
            .zip(declared)
            .map(
                |(value, ty)| match (value.objs.is_empty() && value.scalar.is_none(), &**ty) {
                    (true, _) => self.fresh(ty, Name::new("result")),
                    (false, Type::Interface | Type::Unknown) => value,
                    (false, _) => value.with_type(Arc::clone(ty)),
                },
            )
            .collect()
    }

    fn bind_params(&mut self, frame: &mut Frame<'p>, signature: &'p Signature, args: Vec<Value>) {
        let mut args = args.into_iter();
        let last = signature.params.len().saturating_sub(1);
        for (index, param) in signature.params.iter().enumerate() {
            let ty = self.resolve(frame, &param.ty);
            let value = if signature.variadic && index == last {
                self.rest(&ty, args.by_ref().collect())
            } else {
                args.next()
            };
            let Some(name) = param.name else { continue };
            let is_context = ty.is_external("context", "Context");
            let is_bool = ty.is_bool();
            let value = match value {
                Some(value) if value.objs.is_empty() && value.scalar.is_none() => {
                    self.fresh(&ty, name)
                }
                Some(value) if matches!(*ty, Type::Interface | Type::Unknown) => value,
                Some(value) if is_parameter(&ty) => value,
                Some(value) => value.with_type(ty),
                None => self.fresh(&ty, name),
            };
            let value = if is_bool {
                self.identified(value, name)
            } else {
                value
            };
            self.bind(frame, name, value);
            if self.is_entry() && !is_context {
                self.params.extend(self.find(&frame.env, name));
            }
        }
    }

    /// What is true or false stays the same thing wherever it is handed on.
    fn identified(&mut self, mut value: Value, name: Name) -> Value {
        if value.objs.is_empty() && value.scalar.is_none() {
            let origin = match self.is_entry() {
                true => Origin::Param(name),
                false => Origin::Made(name),
            };
            value.objs.push(self.alloc(Arc::clone(&value.ty), origin));
        }
        value
    }

    /// What is entered is the entry itself.
    fn is_entry(&self) -> bool {
        self.thread == ThreadId(0) && self.path.as_ref().is_some_and(|link| link.depth == 1)
    }

    /// The last arguments of a variadic function, as a slice.
    fn rest(&mut self, ty: &Ty, args: Vec<Value>) -> Option<Value> {
        if let [only] = &args[..]
            && matches!(*only.ty, Type::Slice(..))
        {
            return Some(only.clone());
        }
        let slice = self.fresh(ty, Name::new("arguments"));
        args.iter()
            .for_each(|arg| self.set_element(&slice, None, arg));
        Some(slice)
    }

    /// Deferred calls, and what is held after all ways out.
    fn leave(&mut self, frame: &mut Frame<'p>, entry: Vec<State>) {
        let returns = std::mem::take(&mut frame.returns);
        let ends: Vec<State> = returns.iter().flat_map(|(_, end)| end.clone()).collect();
        self.states = match ends.is_empty() {
            true => entry.clone(),
            false => merged(ends, self.thread),
        };
        let outer = std::mem::take(&mut self.unlocked);
        for (call, env, number) in std::mem::take(&mut frame.defers).into_iter().rev() {
            frame.env = env;
            let bit = deferred_bit(number);
            let states = std::mem::take(&mut self.states);
            let (with, without): (Vec<State>, Vec<State>) = states
                .into_iter()
                .partition(|state| state.deferred & bit != 0);
            // What was deferred on a way that does not end with a return runs as well.
            let is_lost = with.is_empty();
            self.states = if is_lost { entry.clone() } else { with };
            self.eval_all(frame, call);
            if is_lost {
                self.states = without;
            } else {
                self.states.extend(without);
            }
        }
        let deferred = std::mem::replace(&mut self.unlocked, outer);
        self.find_left_locked(frame, &returns, &deferred);
        self.unlocked.extend(deferred);
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        self.lent.retain(|(known, _)| *known < depth);
        frame.env = None;
    }

    /// What the call alone has asked is forgotten, but for what tells ways out apart.
    fn forget_call(&mut self, frame: &Frame<'p>, before: &Before) {
        let results = frame.results.iter().flat_map(|value| &value.objs);
        let results: Vec<ObjId> = results.copied().collect();
        let states = std::mem::take(&mut self.states);
        let is_kept = |fact: &Fact| {
            let asked = &*fact.condition;
            let lives = asked
                .newest_cell
                .is_none_or(|cell| (cell.0 as usize) < before.cells)
                && asked.newest_object.is_none_or(|object| {
                    (object.0 as usize) < before.objects || results.contains(&object)
                });
            let differs = |state: &State| {
                state
                    .fact(asked.key)
                    .is_some_and(|known| known.holds != fact.holds)
            };
            lives && (before.known.contains(&asked.key) || states.iter().any(differs))
        };
        let kept = states.iter().cloned().map(|mut state| {
            state.facts.retain(is_kept);
            state.deferred &= deferred_bit(before.deferred) - 1;
            state
        });
        self.states = merged(kept.collect(), self.thread);
        self.deferred = before.deferred;
    }

    /// A lock taken in this call, not released by a deferred call, held on one way out and released on
    /// another.
    fn find_left_locked(
        &mut self,
        frame: &Frame<'p>,
        returns: &[(Span, Vec<State>)],
        deferred: &Set<ObjId>,
    ) {
        let Some(path) = self.path.clone() else {
            return;
        };
        if self.is_about_locks(frame) {
            return;
        }
        let held = |(span, states): &(Span, Vec<State>)| {
            (*span, states.clone(), Self::held_always(states))
        };
        let returns: Vec<(Span, Vec<State>, Vec<Held>)> = returns.iter().map(held).collect();
        for (span, states, held) in &returns {
            for lock in held
                .iter()
                .filter(|lock| lock.depth == path.depth && !deferred.contains(&lock.lock))
                .filter(|lock| !self.lent.contains(&(path.depth, lock.lock)))
            {
                let is_mutex = self.ty(lock.lock).is_lock();
                let elsewhere = returns.iter().any(|(_, others, other)| {
                    other.iter().all(|other| other.lock != lock.lock)
                        && !state::is_told(&frame.result_objects, states, others)
                });
                if is_mutex && elsewhere && self.unlocked.contains(&lock.lock) {
                    self.left_locked.push(LeftLocked {
                        lock: lock.lock,
                        taken: lock.place,
                        left: Place {
                            file: path.file,
                            span: *span,
                        },
                        path: Some(Rc::clone(&path)),
                    });
                }
            }
        }
    }

    /// Its name says that whoever calls it gets a lock.
    fn is_about_locks(&self, frame: &Frame<'p>) -> bool {
        frame.function.is_some_and(|function| {
            let name = self
                .program
                .function(function)
                .name
                .text()
                .to_ascii_lowercase();
            name.starts_with("lock") || name.starts_with("rlock") || name.starts_with("acquire")
        })
    }
}

/// Calls that are deferred at the same time beyond as many as there are bits share the last one.
pub(super) fn deferred_bit(number: u32) -> u64 {
    1 << number.min(u64::BITS - 1)
}

/// A type parameter that nothing was put in for looks like a basic type with a capital letter.
fn is_parameter(ty: &Ty) -> bool {
    matches!(&**ty, Type::Basic(name) if name.is_exported())
}
