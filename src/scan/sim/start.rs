//! Goroutines: who starts them, with what, and when they are followed.

use super::call::{Callee, MOST_CALLEES};
use super::*;
use crate::scan::syntax::{ExprKind, Param};

impl<'p> Sim<'p> {
    pub(super) fn go(&mut self, frame: &mut Frame<'p>, call: &'p Expr, place: Place) {
        let ExprKind::Call(call) = &call.kind else {
            return;
        };
        match self.callee(frame, &call.function) {
            Callee::Code(codes) => {
                let is_task = call.args.iter().any(|arg| self.is_param(frame, arg));
                let args = self.args(frame, call);
                for code in codes.into_iter().take(MOST_CALLEES) {
                    let started = self.start(code, args.clone(), place, "go", false, None);
                    self.note_task(started, is_task);
                }
            }
            Callee::Method(receiver, ty, name) => {
                let args = self.args(frame, call);
                self.external_method(receiver, &ty, name, args, place);
            }
            Callee::Function(path, name) => {
                let args = self.args(frame, call);
                self.external_function(path, name, args, place);
            }
            _ => {
                let args = self.args(frame, call);
                args.iter().for_each(|arg| self.escape(arg));
            }
        }
    }

    fn is_param(&self, frame: &Frame<'p>, arg: &Expr) -> bool {
        let ExprKind::Name(name) = &arg.kind else {
            return false;
        };
        self.find(&frame.env, *name)
            .is_some_and(|cell| self.params.contains(&cell))
    }

    /// The goroutine works on what its entry was given.
    fn note_task(&mut self, started: Option<ThreadId>, is_task: bool) {
        if let Some(thread) = started.and_then(|id| self.threads.get_mut(id.0 as usize)) {
            thread.is_task |= is_task;
        }
    }

    /// Starts a goroutine. It is followed when the one that started it waits; `done` says so when it is over.
    pub(super) fn start(
        &mut self,
        code: Code<'p>,
        args: Vec<Value>,
        at: Place,
        how: &'static str,
        detached: bool,
        done: Option<ObjId>,
    ) -> Option<ThreadId> {
        if self.threads.len() >= MOST_THREADS {
            return None;
        }
        args.iter().for_each(|arg| self.escape(arg));
        match &code {
            Code::Declared(_, Some(receiver)) => self.escape(receiver),
            Code::Literal(literal, closure) => {
                self.was_called(literal);
                let objs = self.captured(literal, closure);
                self.escape(&Value {
                    objs,
                    ..Value::unknown()
                });
            }
            Code::Declared(_, None) => {}
        }
        let thread = ThreadId(u32::try_from(self.threads.len()).unwrap_or(u32::MAX));
        self.threads.push(Thread {
            started: Some((at, self.path.clone())),
            how,
            parent: Some(self.thread),
            detached,
            is_task: self.captures_param(&code),
            events: Vec::new(),
            next: 0,
            covers: self.covers_here(),
            started_at: 0,
            released: Vec::new(),
            is_cut: false,
            counts: Map::default(),
        });
        self.start_event(thread);
        let now = self.now();
        if let Some(started) = self.threads.get_mut(thread.0 as usize) {
            started.started_at = now;
        }
        self.waiting.push(Start {
            thread,
            code,
            args,
            at,
            done,
            path: None,
            how,
        });
        Some(thread)
    }

    fn captures_param(&self, code: &Code<'p>) -> bool {
        let Code::Literal(literal, closure) = code else {
            return false;
        };
        let cells = literal.mentions.iter();
        cells
            .filter_map(|name| self.find(&closure.scope, *name))
            .any(|cell| self.params.contains(&cell))
    }

    /// A function that a http server will call, once it serves.
    pub(super) fn may_serve(&mut self, value: &Value, at: Place) {
        for object in value.objs.clone() {
            let Some(code) = self
                .objects
                .get(object.0 as usize)
                .and_then(|object| object.code.clone())
            else {
                continue;
            };
            let twice = self.at_end.iter().filter(|start| start.at == at).count() >= 2;
            if twice || self.served(&code) {
                continue;
            }
            self.escape(value);
            let args = self.symbols_for(&code);
            for _ in 0..2 {
                self.at_end.push(Start {
                    thread: ThreadId(0),
                    code: code.clone(),
                    args: args.clone(),
                    at,
                    done: None,
                    path: self.path.clone(),
                    how: "http handler",
                });
            }
        }
    }

    fn served(&self, code: &Code<'p>) -> bool {
        self.at_end.iter().any(|start| match (&start.code, code) {
            (Code::Declared(a, _), Code::Declared(b, _)) => a == b,
            (Code::Literal(a, _), Code::Literal(b, _)) => std::ptr::eq(*a, *b),
            _ => false,
        })
    }

    /// From here on requests come.
    pub(super) fn serve(&mut self) {
        for start in std::mem::take(&mut self.at_end) {
            let outer = std::mem::replace(&mut self.path, start.path);
            self.start(start.code, start.args, start.at, start.how, false, None);
            self.path = outer;
        }
    }

    pub(super) fn run_left_at_end(&mut self) {
        let is_outermost = self.path.as_ref().is_none_or(|link| link.depth <= 1);
        if is_outermost {
            self.serve();
        }
    }

    /// Follows the goroutines that were started and not yet followed.
    pub(super) fn run_waiting(&mut self) {
        while !self.waiting.is_empty() {
            for start in std::mem::take(&mut self.waiting) {
                self.follow(start);
            }
        }
    }

    fn follow(&mut self, start: Start<'p>) {
        let saved = (
            self.thread,
            std::mem::replace(&mut self.states, vec![State::default()]),
            std::mem::take(&mut self.path),
            self.branches,
            std::mem::take(&mut self.deferred),
        );
        let unlocked = std::mem::take(&mut self.unlocked);
        let lent = std::mem::take(&mut self.lent);
        let not_taken = std::mem::take(&mut self.not_taken);
        self.thread = start.thread;
        self.call_code(start.code, start.args, start.at);
        let is_cut = !self.is_complete();
        if let Some(thread) = self.threads.get_mut(start.thread.0 as usize) {
            thread.is_cut = is_cut;
        }
        if let Some(done) = start.done {
            self.release(&[done], Signal::Joined);
        }
        (
            self.thread,
            self.states,
            self.path,
            self.branches,
            self.deferred,
        ) = saved;
        self.unlocked = unlocked;
        self.lent = lent;
        self.not_taken = not_taken;
    }

    // Symbols.

    /// The receiver and parameters that somebody outside calls an entry with.
    pub(super) fn symbols(&mut self, entry: FuncId) -> (Option<Value>, Vec<Value>) {
        let receiver = self.receiver_symbol(entry);
        let args = self.symbols_for(&Code::Declared(entry, None));
        (receiver, args)
    }

    pub(super) fn receiver_symbol(&mut self, entry: FuncId) -> Option<Value> {
        let program = self.program;
        let param = program.function(entry).receiver.as_ref()?;
        let ty = self.resolve_in(program.file_of(entry), &[], &param.ty);
        let id = program.receiver(entry)?;
        let known = self
            .objects
            .iter()
            .position(|object| object.origin == Origin::Receiver(id));
        match known {
            Some(index) => Some(Value::object(ty, ObjId(u32::try_from(index).ok()?))),
            None => Some(self.symbol(&ty, Origin::Receiver(id))),
        }
    }

    pub(super) fn symbols_for(&mut self, code: &Code<'p>) -> Vec<Value> {
        let program = self.program;
        let (params, file, types): (&'p [Param], _, _) = match code {
            Code::Declared(id, _) => (
                &program.function(*id).signature.params,
                program.file_of(*id),
                Rc::default(),
            ),
            Code::Literal(literal, closure) => (
                &literal.signature.params,
                closure.file,
                Rc::clone(&closure.types),
            ),
        };
        let mut values = Vec::new();
        for param in params {
            let ty = self.resolve_in(file, &types, &param.ty);
            let origin = Origin::Param(param.name.unwrap_or_else(|| Name::new("_")));
            values.push(self.symbol(&ty, origin));
        }
        values
    }
}
