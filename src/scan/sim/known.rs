//! What is known about Go's built-in functions, its standard library and a few others: which of their
//! functions look at maps, order goroutines, or start them.

use super::readers::{filler, prints_values, reader};
use super::*;
use crate::scan::program::external;
use crate::scan::syntax::{Call, ExprKind};
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    pub(super) fn builtin(
        &mut self,
        frame: &mut Frame<'p>,
        name: Name,
        call: &'p Call,
        place: Place,
    ) -> Value {
        match name.text() {
            "make" | "new" => self.make(frame, name == "new", call),
            "delete" | "clear" => {
                let args: Vec<_> = call.args.iter().map(|arg| self.eval(frame, arg)).collect();
                let operation = if name == "delete" {
                    Operation::Delete
                } else {
                    Operation::Clear
                };
                if let Some(map) = args.first() {
                    let map = self.as_map(map);
                    self.touch(&map, operation, place, None);
                    let key = args.get(1).and_then(|key| key.scalar);
                    self.deleted(&map, key);
                }
                Value::unknown()
            }
            "append" => {
                let args: Vec<_> = call.args.iter().map(|arg| self.eval(frame, arg)).collect();
                let Some((first, rest)) = args.split_first() else {
                    return Value::unknown();
                };
                if call.spread {
                    let elements = rest
                        .iter()
                        .flat_map(|value| value.objs.clone())
                        .collect::<Vec<_>>();
                    for id in elements {
                        let held: Vec<_> = self
                            .obj(id)
                            .map(|object| object.elements.clone())
                            .unwrap_or_default();
                        held.iter()
                            .for_each(|(_, value)| self.set_element(first, None, value));
                    }
                } else {
                    rest.iter()
                        .for_each(|value| self.set_element(first, None, value));
                }
                first.clone()
            }
            "close" => {
                for arg in &call.args {
                    let channel = self.eval(frame, arg);
                    self.release(&channel.objs, Signal::Closed);
                }
                Value::unknown()
            }
            "copy" => {
                let args: Vec<_> = call.args.iter().map(|arg| self.eval(frame, arg)).collect();
                if let [to, from] = &args[..] {
                    for id in from.objs.clone() {
                        let held: Vec<_> = self
                            .obj(id)
                            .map(|object| object.elements.clone())
                            .unwrap_or_default();
                        held.iter()
                            .for_each(|(key, value)| self.set_element(to, *key, value));
                    }
                }
                Value::unknown()
            }
            "len" | "cap" => {
                // Reading the length is a race as well, but one that gocc's hooks cannot see, and that
                // corrupts nothing.
                call.args.iter().for_each(|arg| {
                    self.eval(frame, arg);
                });
                Value::unknown()
            }
            text => {
                let mut values: Vec<_> =
                    call.args.iter().map(|arg| self.eval(frame, arg)).collect();
                let is_conversion =
                    text.chars().next().is_some_and(char::is_lowercase) && values.len() == 1;
                if is_conversion {
                    values.pop().unwrap_or_else(Value::unknown)
                } else {
                    Value::unknown()
                }
            }
        }
    }

    /// What was in an element belongs to who took it out.
    fn deleted(&mut self, map: &Value, key: Option<Scalar>) {
        let mut held = Value::unknown();
        for &id in &map.objs {
            let Some(object) = self.obj(id) else { continue };
            for (known, value) in &object.elements {
                if *known == key {
                    held.join(&value.clone());
                }
            }
        }
        self.take_away(&held, &Value::unknown());
    }

    pub(super) fn as_map(&self, value: &Value) -> Value {
        value
            .clone()
            .with_type(self.program.underlying(&value.ty.pointee()))
    }

    fn make(&mut self, frame: &mut Frame<'p>, is_new: bool, call: &'p Call) -> Value {
        let Some((first, rest)) = call.args.split_first() else {
            return Value::unknown();
        };
        let ty = self.eval(frame, first).ty;
        let sizes: Vec<_> = rest.iter().map(|arg| self.eval(frame, arg)).collect();
        let object = self.alloc(Arc::clone(&ty), Origin::Made(Name::new("make")));
        if matches!(&*self.program.underlying(&ty), Type::Chan(_)) {
            let room = match sizes.first() {
                None => Some(0),
                Some(size) => match size.scalar {
                    Some(Scalar::Int(number)) => Some(number),
                    _ => None,
                },
            };
            if let Some(object) = self.obj(object) {
                object.room = room;
            }
        }
        let ty = if is_new {
            Arc::new(Type::Pointer(ty))
        } else {
            ty
        };
        Value::object(ty, object)
    }

    /// The function that an object is, if it is one: it is called from here on.
    pub(super) fn function_called(&mut self, object: ObjId) -> Option<Code<'p>> {
        let found = self.obj(object)?;
        let code = found.code.clone()?;
        found.called = true;
        Some(code)
    }

    /// Values that go to code that is not known: functions among them may be called there.
    pub(super) fn given_away(&mut self, args: &[Value], place: Place) {
        for arg in args {
            for object in arg.objs.clone() {
                let Some(found) = self.obj(object) else {
                    continue;
                };
                let Some(code) = found.code.clone() else {
                    continue;
                };
                if found.called || found.ty.is_handler() {
                    continue;
                }
                found.called = true;
                let symbols = self.symbols_for(&code);
                self.branches += 1;
                self.call_code(code, symbols, place);
                self.branches -= 1;
            }
        }
    }

    pub(super) fn external_function(
        &mut self,
        path: Name,
        name: Name,
        args: Vec<Value>,
        place: Place,
    ) -> Vec<Value> {
        let first = args.first().cloned().unwrap_or_else(Value::unknown);
        match (path.text(), name.text()) {
            ("maps", _) | ("golang.org/x/exp/maps", _) => {
                return self.maps_function(name, &args, place);
            }
            ("reflect", "ValueOf" | "Indirect") => {
                return vec![Value {
                    ty: external("reflect", "Value"),
                    ..first
                }];
            }
            ("sync", "OnceFunc" | "OnceValue") => return vec![first],
            ("sync", "NewCond") => {
                let ty: Ty = Arc::new(Type::Pointer(external("sync", "Cond")));
                let cond = self.fresh(&ty, Name::new("cond"));
                for &id in &cond.objs {
                    if let Some(object) = self.obj(id) {
                        object.fields.insert(Name::new("L"), first.clone());
                    }
                }
                return vec![cond];
            }
            ("golang.org/x/sync/errgroup", "WithContext") => {
                let ty: Ty = Arc::new(Type::Pointer(external(path.text(), "Group")));
                return vec![self.fresh(&ty, Name::new("group")), first];
            }
            ("time" | "context", "AfterFunc") => {
                self.start_args(&args, place, name_of_start(path), None);
                return Vec::new();
            }
            ("sync/atomic", function) => return self.atomic_function(function, &args, place),
            ("net/http", "ListenAndServe" | "ListenAndServeTLS" | "Serve" | "ServeTLS") => {
                self.register(&args, place);
                self.serve();
                return Vec::new();
            }
            ("net/http/httptest", "NewServer" | "NewTLSServer" | "NewUnstartedServer") => {
                self.register(&args, place);
                self.serve();
                return Vec::new();
            }
            _ => {}
        }
        if is_starter(path.text(), name.text()) {
            self.start_args(&args, place, "helper", None);
            return Vec::new();
        }
        if let Some(ty) = result_type(path.text(), name.text()) {
            let ty: Ty = Arc::new(Type::Pointer(ty));
            return vec![self.fresh(&ty, name)];
        }
        if path == "fmt" && !prints_values(&args) {
            return Vec::new();
        }
        if let Some(via) = reader(path.text(), name.text()) {
            args.iter()
                .for_each(|arg| self.read_all(arg, place, via, 0));
            return Vec::new();
        }
        if let Some(via) = filler(path.text(), name.text()) {
            args.iter().for_each(|arg| self.fill(arg, place, via));
            return Vec::new();
        }
        self.register(&args, place);
        self.given_away(&args, place);
        Vec::new()
    }

    /// Values that are http handlers by their ServeHTTP method.
    fn register(&mut self, args: &[Value], place: Place) {
        let serve = Name::new("ServeHTTP");
        for arg in args {
            let found = self
                .program
                .method(&arg.ty, serve)
                .map(|(path, method)| (self.through(arg, &path), method));
            let Some((receiver, method)) = found else {
                continue;
            };
            if arg.objs.is_empty() {
                continue;
            }
            let ty = self.function_type(method);
            let value = self.code_value(Code::Declared(method, Some(Box::new(receiver))), ty);
            self.may_serve(&value, place);
        }
    }

    /// Starts a goroutine for each function among the arguments.
    pub(super) fn start_args(
        &mut self,
        args: &[Value],
        place: Place,
        how: &'static str,
        done: Option<ObjId>,
    ) {
        for arg in args {
            for object in arg.objs.clone() {
                let Some(code) = self.function_called(object) else {
                    continue;
                };
                let symbols = self.symbols_for(&code);
                self.start_with(code, symbols, place, how, false, done);
            }
            self.escape(arg);
        }
    }

    pub(super) fn external_method(
        &mut self,
        receiver: Value,
        ty: &Ty,
        name: Name,
        args: Vec<Value>,
        place: Place,
    ) -> Vec<Value> {
        let (path, type_name) = ty.external().unwrap_or((Name::new(""), Name::new("")));
        let is_lock = ty.is_lock() || path.text().is_empty();
        match (path.text(), type_name.text(), name.text()) {
            (_, _, "Lock" | "TryLock") if is_lock => self.lock(&receiver, Mode::Exclusive, place),
            (_, _, "RLock" | "TryRLock") if is_lock => self.lock(&receiver, Mode::Shared, place),
            (_, _, "Unlock" | "RUnlock") if is_lock => {
                for &object in &receiver.objs {
                    self.let_go(object);
                }
                Vec::new()
            }
            (_, _, "RLocker") if is_lock => vec![receiver],
            ("sync", "Map", _) => self.sync_map(&receiver, name, &args, place),
            ("sync", "Pool", "Get") => Vec::new(),
            ("sync", "Once", "Do") => self.once(&receiver, &args, place),
            ("sync/atomic", ..) => self.atomic_method(&receiver, ty, name, &args, place),
            (_, "WaitGroup", "Done") => {
                self.release(&receiver.objs, Signal::Joined);
                Vec::new()
            }
            (_, _, "Wait" | "StopAndWait" | "StopWait" | "Join") if type_name != "Cond" => {
                self.run_waiting();
                self.acquire(&receiver.objs, Signal::Joined);
                Vec::new()
            }
            (_, _, "Go" | "TryGo" | "Submit") => {
                self.start_args(
                    &args,
                    place,
                    start_name(type_name),
                    receiver.objs.first().copied(),
                );
                Vec::new()
            }
            ("testing", _, "Run") => self.subtest(&args, place),
            ("testing", "T", "Parallel") => Vec::new(),
            ("testing", "B", "RunParallel") => {
                let done = self.alloc(external("sync", "WaitGroup"), Origin::Made(Name::new("b")));
                for _ in 0..2 {
                    self.start_args(&args, place, "b.RunParallel", Some(done));
                }
                self.run_waiting();
                self.acquire(&[done], Signal::Joined);
                Vec::new()
            }
            ("testing", ..) if args.iter().all(|arg| self.code_count(arg) == 0) => {
                if matches!(
                    name.text(),
                    "Log" | "Logf" | "Error" | "Errorf" | "Fatal" | "Fatalf"
                ) {
                    args.iter()
                        .for_each(|arg| self.read_all(arg, place, "t.Log", 0));
                }
                Vec::new()
            }
            ("testing", _, "Cleanup") => Vec::new(),
            (
                "net/http",
                "Server",
                "ListenAndServe" | "ListenAndServeTLS" | "Serve" | "ServeTLS",
            ) => {
                self.serve();
                Vec::new()
            }
            ("reflect", "Value", _) => self.reflected(&receiver, name, &args, place),
            (_, _, "Encode")
                if matches!(
                    path.text(),
                    "encoding/json" | "encoding/gob" | "gopkg.in/yaml.v3"
                ) =>
            {
                args.iter()
                    .for_each(|arg| self.read_all(arg, place, "Encode", 0));
                Vec::new()
            }
            (_, _, "Decode")
                if matches!(
                    path.text(),
                    "encoding/json" | "encoding/gob" | "gopkg.in/yaml.v3"
                ) =>
            {
                args.iter().for_each(|arg| self.fill(arg, place, "Decode"));
                Vec::new()
            }
            ("text/template" | "html/template", _, "Execute" | "ExecuteTemplate") => {
                args.iter()
                    .for_each(|arg| self.read_all(arg, place, "a template", 0));
                Vec::new()
            }
            ("log", "Logger", method) if !method.starts_with("Set") => {
                args.iter()
                    .for_each(|arg| self.read_all(arg, place, "log.Logger", 0));
                Vec::new()
            }
            _ => {
                self.register(&args, place);
                self.given_away(&args, place);
                Vec::new()
            }
        }
    }

    fn code_count(&self, value: &Value) -> usize {
        value
            .objs
            .iter()
            .filter(|id| {
                self.objects
                    .get(id.0 as usize)
                    .is_some_and(|object| object.code.is_some())
            })
            .count()
    }

    /// t.Run: a parallel subtest runs when its parent is done, with the other ones.
    fn subtest(&mut self, args: &[Value], place: Place) -> Vec<Value> {
        for object in args.iter().flat_map(|arg| arg.objs.clone()) {
            let Some(code) = self.function_called(object) else {
                continue;
            };
            let symbols = self.symbols_for(&code);
            match &code {
                Code::Literal(literal, _) if is_parallel(literal) => {
                    self.escape(&Value {
                        objs: vec![object],
                        ..Value::unknown()
                    });
                    // It goes on when its parent has returned: what the parent still does comes before.
                    let path = self.path.clone();
                    self.at_end.push(Start {
                        thread: ThreadId(0),
                        code,
                        args: symbols,
                        at: place,
                        done: None,
                        path,
                        how: "parallel subtest",
                    });
                }
                _ => {
                    self.call_code(code, symbols, place);
                }
            }
        }
        Vec::new()
    }
}

fn is_parallel(literal: &FuncLit) -> bool {
    literal.body.iter().any(|statement| {
        let crate::scan::syntax::StmtKind::Expr(expr) = &statement.kind else {
            return false;
        };
        let ExprKind::Call(call) = &expr.kind else {
            return false;
        };
        matches!(&call.function.kind, ExprKind::Selector(_, name) if *name == "Parallel")
    })
}

fn name_of_start(path: Name) -> &'static str {
    if path == "time" {
        "time.AfterFunc"
    } else {
        "context.AfterFunc"
    }
}

fn start_name(ty: Name) -> &'static str {
    match ty.text() {
        "WaitGroup" => "WaitGroup.Go",
        "Group" => "errgroup.Group.Go",
        _ => "worker pool",
    }
}

/// Functions of other modules that run what they get in a goroutine.
fn is_starter(path: &str, name: &str) -> bool {
    matches!(name, "Go" | "GoSafe" | "SafeGo" | "RunAsync")
        || path.ends_with("/gopool") && name == "CtxGo"
        || path.ends_with("ants") && name == "Submit"
}

/// What functions give whose result's methods matter here.
fn result_type(path: &str, name: &str) -> Option<Ty> {
    Some(match (path, name) {
        ("text/template" | "html/template", "Must" | "New") => external(path, "Template"),
        ("encoding/json" | "encoding/gob", "NewEncoder") => external(path, "Encoder"),
        ("encoding/json" | "encoding/gob", "NewDecoder") => external(path, "Decoder"),
        ("log", "New" | "Default") => external(path, "Logger"),
        _ => return None,
    })
}
