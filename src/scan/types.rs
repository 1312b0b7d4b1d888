//! Types as the scanner knows them: what was declared in the module is resolved, what comes from
//! outside is known by its import path and name only.

use super::names::Name;
use std::sync::Arc;

/// A type, shared.
pub type Ty = Arc<Type>;

/// A declared type of the module, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// What a type is.
#[derive(Debug)]
pub enum Type {
    /// Not known.
    Unknown,
    /// `int`, `string`.
    Basic(Name),
    /// Declared in the module, with type arguments.
    Named(TypeId, Vec<Ty>),
    /// Declared elsewhere: import path, name, type arguments.
    External(Name, Name, Vec<Ty>),
    /// `*T`.
    Pointer(Ty),
    /// `[]T`, `[N]T`.
    Slice(Ty, bool),
    /// `map[K]V`.
    Map(Ty, Ty),
    /// `chan T`.
    Chan(Ty),
    /// A function.
    Func(FuncType),
    /// `struct{...}`.
    Struct(Vec<Field>),
    /// An interface.
    Interface,
    /// Several results.
    Tuple(Vec<Ty>),
}

/// A function's type.
#[derive(Debug, Default)]
pub struct FuncType {
    /// Its parameters' types.
    pub params: Vec<Ty>,
    /// Its results' types.
    pub results: Vec<Ty>,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Ty,
    /// Embedded.
    pub embedded: bool,
}

impl Type {
    /// Import path and name of a type from outside the module, also behind a pointer.
    pub fn external(&self) -> Option<(Name, Name)> {
        match self {
            Type::External(path, name, _) => Some((*path, *name)),
            Type::Pointer(inner) => inner.external(),
            _ => None,
        }
    }

    /// It is `path.name`, or a pointer to it.
    pub fn is_external(&self, path: &str, name: &str) -> bool {
        self.external().is_some_and(|(p, n)| n == name && p == path)
    }

    /// The type pointed to, or itself.
    pub fn pointee(self: &Ty) -> Ty {
        match &**self {
            Type::Pointer(inner) => Arc::clone(inner),
            _ => Arc::clone(self),
        }
    }

    /// A function with the parameters of a http handler.
    pub fn is_handler(&self) -> bool {
        let Type::Func(function) = self else {
            return self.is_external("net/http", "HandlerFunc");
        };
        match &function.params[..] {
            [writer, request] => {
                writer.is_external("net/http", "ResponseWriter")
                    && request.is_external("net/http", "Request")
            }
            _ => false,
        }
    }

    /// `bool`.
    pub fn is_bool(&self) -> bool {
        matches!(self, Type::Basic(name) if name == "bool")
    }

    /// A mutex, wherever it comes from.
    pub fn is_lock(&self) -> bool {
        matches!(self, Type::External(_, name, _) if matches!(name.text(), "Mutex" | "RWMutex" | "Locker"))
            || matches!(self, Type::Pointer(inner) if inner.is_lock())
    }
}
