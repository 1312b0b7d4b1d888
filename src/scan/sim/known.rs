//! What is known about Go's built-in functions, its standard library and a few others: which of their
//! functions look at maps, order goroutines, or start them.

use super::*;
use crate::scan::program::external;
use crate::scan::syntax::{Call, ExprKind};
use crate::scan::types::Type;
use std::sync::Arc;

/// How deep readers such as json.Marshal are followed into values.
const DEEPEST_READ: u32 = 3;

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
    fn function_called(&mut self, object: ObjId) -> Option<Code<'p>> {
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

    fn maps_function(&mut self, name: Name, args: &[Value], place: Place) -> Vec<Value> {
        let first = args.first().cloned().unwrap_or_else(Value::unknown);
        let map = self.as_map(&first);
        match name.text() {
            "Clone" => {
                self.touch(&map, Operation::Clone, place, Some("maps.Clone"));
                return vec![self.fresh(&first.ty, Name::new("clone"))];
            }
            "Copy" => {
                self.touch(&map, Operation::Assign, place, Some("maps.Copy"));
                if let Some(from) = args.get(1) {
                    let from = self.as_map(from);
                    self.touch(&from, Operation::Iterate, place, Some("maps.Copy"));
                }
            }
            "DeleteFunc" => {
                self.touch(&map, Operation::Delete, place, Some("maps.DeleteFunc"));
                self.given_away(args, place);
            }
            "Insert" => {
                self.touch(&map, Operation::Assign, place, Some("maps.Insert"));
            }
            "Clear" => {
                self.touch(&map, Operation::Clear, place, Some("maps.Clear"));
            }
            "Equal" | "EqualFunc" => {
                for arg in args {
                    let map = self.as_map(arg);
                    self.touch(&map, Operation::Iterate, place, Some("maps.Equal"));
                }
            }
            _ => {
                self.touch(&map, Operation::Iterate, place, Some("an iterator of maps"));
            }
        }
        Vec::new()
    }

    fn atomic_function(&mut self, function: &str, args: &[Value], place: Place) -> Vec<Value> {
        let Some(flag) = args.first() else {
            return Vec::new();
        };
        if function.starts_with("Load") {
            self.run_waiting();
            self.acquire(&flag.objs.clone(), Signal::Flag);
        } else if function.starts_with("Store") || function.starts_with("Swap") {
            self.release(&flag.objs.clone(), Signal::Flag);
            self.drop_flags(&flag.objs);
        } else if function.starts_with("CompareAndSwap") {
            for &object in &flag.objs.clone() {
                self.hold(object, Mode::Exclusive, place);
            }
        }
        Vec::new()
    }

    /// A flag that was set with CompareAndSwap and is stored to is given back.
    fn drop_flags(&mut self, objects: &[ObjId]) {
        self.locks.retain(|held| !objects.contains(&held.lock));
    }

    /// Starts a goroutine for each function among the arguments.
    fn start_args(&mut self, args: &[Value], place: Place, how: &'static str, done: Option<ObjId>) {
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

    fn lock(&mut self, receiver: &Value, mode: Mode, place: Place) -> Vec<Value> {
        for &object in &receiver.objs {
            self.hold(object, mode, place);
        }
        Vec::new()
    }

    fn once(&mut self, receiver: &Value, args: &[Value], place: Place) -> Vec<Value> {
        let Some(&once) = receiver.objs.first() else {
            return Vec::new();
        };
        self.hold(once, Mode::Exclusive, place);
        for arg in args {
            for object in arg.objs.clone() {
                let Some(code) = self.function_called(object) else {
                    continue;
                };
                self.call_code(code, Vec::new(), place);
            }
        }
        self.let_go(once);
        self.release(&[once], Signal::Flag);
        self.acquire(&[once], Signal::Flag);
        Vec::new()
    }

    fn atomic_method(
        &mut self,
        receiver: &Value,
        ty: &Ty,
        name: Name,
        args: &[Value],
        place: Place,
    ) -> Vec<Value> {
        let held = match &*ty.pointee() {
            Type::External(_, _, types) => types
                .first()
                .map(|ty| Arc::new(Type::Pointer(Arc::clone(ty)))),
            _ => None,
        };
        let held = held.unwrap_or_else(|| Arc::new(Type::Interface));
        match name.text() {
            "Load" => {
                self.run_waiting();
                self.acquire(&receiver.objs, Signal::Flag);
                vec![self.element(receiver, None, &held)]
            }
            "Store" | "Swap" => {
                let old = self.element(receiver, None, &held);
                if let Some(value) = args.first() {
                    self.escape(value);
                    self.set_element(receiver, None, value);
                    self.take_away(&old, value);
                }
                self.release(&receiver.objs, Signal::Flag);
                self.drop_flags(&receiver.objs);
                vec![old]
            }
            "CompareAndSwap" => {
                if let Some(value) = args.get(1) {
                    self.escape(value);
                    self.set_element(receiver, None, value);
                }
                self.release(&receiver.objs, Signal::Flag);
                for &object in &receiver.objs {
                    self.hold(object, Mode::Exclusive, place);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn sync_map(&mut self, map: &Value, name: Name, args: &[Value], place: Place) -> Vec<Value> {
        let any: Ty = Arc::new(Type::Interface);
        match name.text() {
            "Load" | "LoadAndDelete" => {
                self.run_waiting();
                self.acquire(&map.objs, Signal::Flag);
                vec![
                    self.element(map, args.first().and_then(|key| key.scalar), &any),
                    Value::unknown(),
                ]
            }
            "Store" | "Swap" | "LoadOrStore" => {
                let key = args.first().and_then(|key| key.scalar);
                if let Some(value) = args.get(1) {
                    self.escape(value);
                    self.set_element(map, key, value);
                }
                self.release(&map.objs, Signal::Flag);
                if name == "LoadOrStore" {
                    self.acquire(&map.objs, Signal::Flag);
                    return vec![self.element(map, key, &any), Value::unknown()];
                }
                Vec::new()
            }
            "Range" => {
                self.acquire(&map.objs, Signal::Flag);
                let value = self.element(map, None, &any);
                for arg in args {
                    for object in arg.objs.clone() {
                        let Some(code) = self.function_called(object) else {
                            continue;
                        };
                        self.call_code(code, vec![Value::unknown(), value.clone()], place);
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
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

    fn reflected(
        &mut self,
        receiver: &Value,
        name: Name,
        args: &[Value],
        place: Place,
    ) -> Vec<Value> {
        let map = Value {
            ty: self.value_type(receiver),
            ..receiver.clone()
        };
        match name.text() {
            "SetMapIndex" => self.touch(
                &map,
                Operation::Assign,
                place,
                Some("reflect.Value.SetMapIndex"),
            ),
            "MapRange" | "MapKeys" => self.touch(
                &map,
                Operation::Iterate,
                place,
                Some("reflect.Value.MapRange"),
            ),
            "MapIndex" => self.touch(&map, Operation::Read, place, Some("reflect.Value.MapIndex")),
            "Clear" => self.touch(&map, Operation::Clear, place, Some("reflect.Value.Clear")),
            "Elem" | "Convert" => return vec![receiver.clone()],
            "Interface" => {
                return vec![Value {
                    ty: Arc::new(Type::Interface),
                    ..receiver.clone()
                }];
            }
            "FieldByName" => {
                let Some(Scalar::Str(field)) = args.first().and_then(|arg| arg.scalar) else {
                    return Vec::new();
                };
                let base = Value {
                    ty: self.value_type(receiver),
                    ..receiver.clone()
                };
                let field = self.select_field(&base, Name::new(field.text().trim_matches('"')));
                let value = field.unwrap_or_else(Value::unknown);
                return vec![Value {
                    ty: external("reflect", "Value"),
                    ..value
                }];
            }
            _ => None,
        };
        Vec::new()
    }

    fn value_type(&self, value: &Value) -> Ty {
        value
            .objs
            .first()
            .map_or_else(|| Arc::clone(&value.ty), |object| self.ty(*object))
    }

    /// A function that looks at everything in a value reads all maps in it.
    fn read_all(&mut self, value: &Value, place: Place, via: &'static str, depth: u32) {
        if depth > DEEPEST_READ || !self.step() {
            return;
        }
        // What package fmt and its like meet behind a pointer they print as an address.
        let is_encoder = matches!(
            via,
            "json.Marshal" | "xml.Marshal" | "yaml.Marshal" | "Encode" | "a template"
        );
        let is_pointer = matches!(*value.ty, Type::Pointer(_));
        if depth > 0 && !is_encoder && (is_pointer || via == "reflect.DeepEqual") {
            return;
        }
        let ty = self.value_type(value);
        // What prints itself decides itself what it looks at.
        let own = ["MarshalJSON", "String", "Error", "MarshalText", "Format"];
        for method in own {
            if let Some((path, method)) = self.program.method(&ty, Name::new(method)) {
                let receiver = self.through(&value.clone().with_type(ty), &path);
                self.call_code(
                    Code::Declared(method, Some(Box::new(receiver))),
                    Vec::new(),
                    place,
                );
                return;
            }
        }
        let inner = self.program.underlying(&ty.pointee());
        match &*inner {
            Type::Map(_, element) => {
                let map = value.clone().with_type(Arc::clone(&inner));
                self.touch(&map, Operation::Iterate, place, Some(via));
                let held = self.element(&map, None, element);
                self.read_all(&held, place, via, depth + 1);
            }
            Type::Slice(element, _) => {
                let held = self.element(value, None, element);
                self.read_all(&held, place, via, depth + 1);
            }
            Type::Struct(fields) => {
                for field in fields
                    .iter()
                    .filter(|field| !is_encoder || field.name.is_exported())
                {
                    if matches!(&*field.ty, Type::Basic(_)) {
                        continue;
                    }
                    let base = value.clone().with_type(Arc::clone(&ty));
                    let held = self.field(&base, field.name, &field.ty);
                    self.read_all(&held, place, via, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// A function that fills a map.
    fn fill(&mut self, value: &Value, place: Place, via: &'static str) {
        let ty = self.value_type(value);
        let inner = self.program.underlying(&ty.pointee());
        if matches!(&*inner, Type::Map(..)) {
            let map = value.clone().with_type(inner);
            self.touch(&map, Operation::Assign, place, Some(via));
        }
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

/// A format without a verb that prints maps.
fn prints_values(args: &[Value]) -> bool {
    let formats = args.iter().filter_map(|arg| match arg.scalar {
        Some(Scalar::Str(text)) => Some(text.text()),
        _ => None,
    });
    let mut formats = formats.filter(|text| text.contains('%')).peekable();
    formats.peek().is_none()
        || formats.any(|text| ["%v", "%+v", "%#v"].iter().any(|verb| text.contains(verb)))
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

/// Functions that read everything in their arguments.
fn reader(path: &str, name: &str) -> Option<&'static str> {
    Some(match (path, name) {
        ("encoding/json", "Marshal" | "MarshalIndent") => "json.Marshal",
        ("encoding/xml", "Marshal" | "MarshalIndent") => "xml.Marshal",
        ("gopkg.in/yaml.v3" | "gopkg.in/yaml.v2" | "sigs.k8s.io/yaml", "Marshal") => "yaml.Marshal",
        ("fmt", "Print" | "Printf" | "Println") => "fmt.Print",
        ("fmt", "Sprint" | "Sprintf" | "Sprintln") => "fmt.Sprint",
        ("fmt", "Fprint" | "Fprintf" | "Fprintln") => "fmt.Fprint",
        ("fmt", "Errorf") => "fmt.Errorf",
        ("log", "Print" | "Printf" | "Println" | "Fatal" | "Fatalf" | "Panicf") => "log.Print",
        ("log/slog", "Info" | "Debug" | "Warn" | "Error") => "slog",
        ("reflect", "DeepEqual") => "reflect.DeepEqual",
        _ => return None,
    })
}

/// Functions that write into the maps among their arguments.
fn filler(path: &str, name: &str) -> Option<&'static str> {
    match (path, name) {
        ("encoding/json", "Unmarshal") => Some("json.Unmarshal"),
        ("gopkg.in/yaml.v3" | "gopkg.in/yaml.v2" | "sigs.k8s.io/yaml", "Unmarshal") => {
            Some("yaml.Unmarshal")
        }
        _ => None,
    }
}
