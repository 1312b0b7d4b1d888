//! Go's built-in functions.

use super::*;
use crate::scan::syntax::Call;
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
        if matches!(name.text(), "make" | "new") {
            return self.make(frame, name == "new", call);
        }
        let mut args: Vec<_> = call.args.iter().map(|arg| self.eval(frame, arg)).collect();
        match (name.text(), &args[..]) {
            ("delete", [map, ..]) => self.remove(map, Operation::Delete, args.get(1), place),
            ("clear", [map]) => self.remove(map, Operation::Clear, None, place),
            ("append", [first, rest @ ..]) => {
                self.append(first, rest, call.spread);
                return first.clone();
            }
            ("close", [channel]) => self.release(&channel.objs, Signal::Closed),
            ("copy", [to, from]) => {
                for (key, value) in self.elements_of(from) {
                    self.set_element(to, key, &value);
                }
            }
            // Reading the length is a race as well, but one that gocc's hooks cannot see, and that
            // corrupts nothing.
            ("len" | "cap", _) => {}
            (text, [_]) if text.chars().next().is_some_and(char::is_lowercase) => {
                // A conversion to a basic type.
                return args.pop().unwrap_or_else(Value::unknown);
            }
            _ => {}
        }
        Value::unknown()
    }

    fn remove(&mut self, map: &Value, operation: Operation, key: Option<&Value>, place: Place) {
        let map = self.as_map(map);
        self.touch(&map, operation, place, None);
        self.deleted(&map, key.and_then(|key| key.scalar));
    }

    fn append(&mut self, to: &Value, values: &[Value], spread: bool) {
        for value in values {
            if !spread {
                self.set_element(to, None, value);
                continue;
            }
            for (_, element) in self.elements_of(value) {
                self.set_element(to, None, &element);
            }
        }
    }

    fn elements_of(&self, value: &Value) -> Vec<(Option<Scalar>, Value)> {
        let objects = value.objs.iter();
        objects
            .filter_map(|id| self.objects.get(id.0 as usize))
            .flat_map(|object| object.elements.clone())
            .collect()
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
}
