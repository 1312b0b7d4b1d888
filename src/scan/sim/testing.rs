//! Package testing: subtests, parallel ones and benchmarks start goroutines.

use super::*;
use crate::scan::program::external;
use crate::scan::syntax::ExprKind;

impl<'p> Sim<'p> {
    pub(super) fn testing_method(&mut self, name: Name, args: &[Value], place: Place) {
        let has_code = args.iter().any(|arg| self.code_count(arg) > 0);
        match name.text() {
            "Run" => self.subtest(args, place),
            "RunParallel" => self.run_parallel(args, place),
            "Parallel" | "Cleanup" => {}
            _ if has_code => self.unknown_call(args, place),
            "Log" | "Logf" | "Error" | "Errorf" | "Fatal" | "Fatalf" => {
                self.read_args(args, place, "t.Log");
            }
            _ => {}
        }
    }

    fn run_parallel(&mut self, args: &[Value], place: Place) {
        let done = self.alloc(external("sync", "WaitGroup"), Origin::Made(Name::new("b")));
        for _ in 0..2 {
            self.start_args(args, place, "b.RunParallel", Some(done));
        }
        self.run_waiting();
        self.acquire(&[done], Signal::Joined);
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
    fn subtest(&mut self, args: &[Value], place: Place) {
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
