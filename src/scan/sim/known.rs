//! What is known about Go's standard library and a few other modules: which of their functions look at maps, order
//! goroutines, or start them.

use super::readers::{filler, method_fills, method_reader, prints_values, reader};
use super::*;
use crate::scan::program::external;
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    pub(super) fn external_method(
        &mut self,
        receiver: Value,
        ty: &Ty,
        name: Name,
        args: Vec<Value>,
        place: Place,
    ) -> Vec<Value> {
        let (path, type_name) = ty.external().unwrap_or((Name::new(""), Name::new("")));
        if (ty.is_lock() || path.text().is_empty())
            && let Some(results) = self.lock_method(&receiver, name, place)
        {
            return results;
        }
        match (path.text(), type_name.text(), name.text()) {
            ("sync", "Map", _) => return self.sync_map(&receiver, name, &args, place),
            ("sync", "Pool", "Get") => {}
            ("sync", "Once", "Do") => return self.once(&receiver, &args, place),
            ("sync/atomic", ..) => return self.atomic_method(&receiver, ty, name, &args, place),
            (_, "WaitGroup", "Done") => self.release(&receiver.objs, Signal::Joined),
            (_, _, "Wait" | "StopAndWait" | "StopWait" | "Join") if type_name != "Cond" => {
                self.run_waiting();
                self.acquire(&receiver.objs, Signal::Joined);
            }
            (_, _, "Go" | "TryGo" | "Submit") => {
                let done = receiver.objs.first().copied();
                self.start_args(&args, place, start_name(type_name), done);
            }
            ("testing", ..) => self.testing_method(name, &args, place),
            (
                "net/http",
                "Server",
                "ListenAndServe" | "ListenAndServeTLS" | "Serve" | "ServeTLS",
            ) => self.serve(),
            ("reflect", "Value", _) => return self.reflected(&receiver, name, &args, place),
            (path, ty, method) => {
                if let Some(via) = method_reader(path, ty, method) {
                    self.read_args(&args, place, via);
                } else if method_fills(path, method) {
                    args.iter().for_each(|arg| self.fill(arg, place, "Decode"));
                } else {
                    self.unknown_call(&args, place);
                }
            }
        }
        Vec::new()
    }

    /// Code that is not known gets these values.
    pub(super) fn unknown_call(&mut self, args: &[Value], place: Place) {
        self.register(args, place);
        self.given_away(args, place);
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
            self.read_args(&args, place, via);
            return Vec::new();
        }
        if let Some(via) = filler(path.text(), name.text()) {
            args.iter().for_each(|arg| self.fill(arg, place, via));
            return Vec::new();
        }
        self.unknown_call(&args, place);
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
                self.start(code, symbols, place, how, false, done);
            }
            self.escape(arg);
        }
    }
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
