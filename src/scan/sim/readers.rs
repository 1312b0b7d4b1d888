//! Functions of other modules that read or fill the maps that they are given: encoders, printers, package maps, reflection.

use super::*;
use crate::scan::program::{external, interface};
use crate::scan::types::Type;
use std::sync::Arc;

/// How deep readers such as json.Marshal are followed into values.
const DEEPEST_READ: u32 = 3;

impl<'p> Sim<'p> {
    pub(super) fn maps_function(&mut self, name: Name, args: &[Value], place: Place) -> Vec<Value> {
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

    pub(super) fn reflected(
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
                    ty: interface(),
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
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn value_type(&self, value: &Value) -> Ty {
        value
            .objs
            .first()
            .map_or_else(|| Arc::clone(&value.ty), |object| self.ty(*object))
    }

    pub(super) fn read_args(&mut self, args: &[Value], place: Place, via: &'static str) {
        for arg in args {
            self.read_all(arg, place, via, 0);
        }
    }

    /// A function that looks at everything in a value reads all maps in it.
    pub(super) fn read_all(&mut self, value: &Value, place: Place, via: &'static str, depth: u32) {
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
    pub(super) fn fill(&mut self, value: &Value, place: Place, via: &'static str) {
        let ty = self.value_type(value);
        let inner = self.program.underlying(&ty.pointee());
        if matches!(&*inner, Type::Map(..)) {
            let map = value.clone().with_type(inner);
            self.touch(&map, Operation::Assign, place, Some(via));
        }
    }
}

/// A format without a verb that prints maps.
pub(super) fn prints_values(args: &[Value]) -> bool {
    let formats = args.iter().filter_map(|arg| match arg.scalar {
        Some(Scalar::Str(text)) => Some(text.text()),
        _ => None,
    });
    let mut formats = formats.filter(|text| text.contains('%')).peekable();
    formats.peek().is_none()
        || formats.any(|text| ["%v", "%+v", "%#v"].iter().any(|verb| text.contains(verb)))
}

/// Functions that read everything in their arguments.
pub(super) fn reader(path: &str, name: &str) -> Option<&'static str> {
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
pub(super) fn filler(path: &str, name: &str) -> Option<&'static str> {
    match (path, name) {
        ("encoding/json", "Unmarshal") => Some("json.Unmarshal"),
        ("gopkg.in/yaml.v3" | "gopkg.in/yaml.v2" | "sigs.k8s.io/yaml", "Unmarshal") => {
            Some("yaml.Unmarshal")
        }
        _ => None,
    }
}

/// Methods that read everything in their arguments.
pub(super) fn method_reader(path: &str, ty: &str, method: &str) -> Option<&'static str> {
    Some(match (path, ty, method) {
        ("encoding/json" | "encoding/gob" | "gopkg.in/yaml.v3", _, "Encode") => "Encode",
        ("text/template" | "html/template", _, "Execute" | "ExecuteTemplate") => "a template",
        ("log", "Logger", method) if !method.starts_with("Set") => "log.Logger",
        _ => return None,
    })
}

/// Methods that write into the maps among their arguments.
pub(super) fn method_fills(path: &str, method: &str) -> bool {
    method == "Decode" && matches!(path, "encoding/json" | "encoding/gob" | "gopkg.in/yaml.v3")
}
