//! What type expressions mean, and what types have: fields, methods, by way of embedded structs.

use super::*;
use crate::scan::syntax::FieldDecl;

impl Program {
    /// Resolves a type as written.
    pub fn resolve(&self, expr: &TypeExpr, scope: Scope<'_>) -> Ty {
        self.resolve_within(expr, scope, 0)
    }

    fn resolve_within(&self, expr: &TypeExpr, scope: Scope<'_>, depth: u32) -> Ty {
        if depth > 24 {
            return unknown();
        }
        let go = |inner: &TypeExpr| self.resolve_within(inner, scope, depth + 1);
        match expr {
            TypeExpr::Name(name) => self.named(*name, Vec::new(), scope, depth),
            TypeExpr::Qualified(package, name) => {
                self.qualified(*package, *name, Vec::new(), scope, depth)
            }
            TypeExpr::Generic(base, args) => {
                let args = args.iter().map(go).collect();
                match &**base {
                    TypeExpr::Name(name) => self.named(*name, args, scope, depth),
                    TypeExpr::Qualified(package, name) => {
                        self.qualified(*package, *name, args, scope, depth)
                    }
                    _ => unknown(),
                }
            }
            TypeExpr::Pointer(inner) => Arc::new(Type::Pointer(go(inner))),
            TypeExpr::Slice(inner) => Arc::new(Type::Slice(go(inner), false)),
            TypeExpr::Array(inner) => Arc::new(Type::Slice(go(inner), true)),
            TypeExpr::Map(key, value) => Arc::new(Type::Map(go(key), go(value))),
            TypeExpr::Chan(inner) => Arc::new(Type::Chan(go(inner))),
            TypeExpr::Func(signature) => Arc::new(Type::Func(FuncType {
                params: signature.params.iter().map(|param| go(&param.ty)).collect(),
                results: signature
                    .results
                    .iter()
                    .map(|param| go(&param.ty))
                    .collect(),
            })),
            TypeExpr::Struct(fields) => {
                let field = |field: &FieldDecl| Field {
                    name: field.name,
                    ty: go(&field.ty),
                    embedded: field.embedded,
                };
                Arc::new(Type::Struct(fields.iter().map(field).collect()))
            }
            TypeExpr::Interface => interface(),
            TypeExpr::Elided | TypeExpr::Other => unknown(),
        }
    }

    fn named(&self, name: Name, args: Vec<Ty>, scope: Scope<'_>, depth: u32) -> Ty {
        if let Some((_, ty)) = scope.local.iter().rev().find(|(known, _)| *known == name) {
            return Arc::clone(ty);
        }
        match self.lookup(scope.file, name) {
            Some(Decl::Type(id)) => self.declared(id, args, depth),
            Some(_) => unknown(),
            None if matches!(name.text(), "any" | "error" | "comparable") => interface(),
            None => Arc::new(Type::Basic(name)),
        }
    }

    fn qualified(
        &self,
        package: Name,
        name: Name,
        args: Vec<Ty>,
        scope: Scope<'_>,
        depth: u32,
    ) -> Ty {
        match self.import(scope.file, package) {
            Some(Imported::Package(id)) => match self.member(id, name) {
                Some(Decl::Type(id)) => self.declared(id, args, depth),
                _ => unknown(),
            },
            Some(Imported::External(path)) => Arc::new(Type::External(path, name, args)),
            // The package's name may differ from the last element of its path.
            None => Arc::new(Type::External(package, name, args)),
        }
    }

    fn declared(&self, id: TypeId, args: Vec<Ty>, depth: u32) -> Ty {
        match self.type_decl(id) {
            Some(declaration) if declaration.alias => {
                let local: Vec<_> = declaration.params.iter().copied().zip(args).collect();
                let scope = Scope {
                    file: self.file_of_type(id),
                    local: &local,
                };
                self.resolve_within(&declaration.is, scope, depth + 1)
            }
            _ if args.is_empty() => self.named_type(id),
            _ => Arc::new(Type::Named(id, args)),
        }
    }

    /// What a type is behind its names.
    pub fn underlying(&self, ty: &Ty) -> Ty {
        match &**ty {
            Type::Named(id, args) if args.is_empty() => match self.types.get(id.0 as usize) {
                Some(info) => Arc::clone(info.underlying.get_or_init(|| self.behind_names(ty))),
                None => Arc::clone(ty),
            },
            Type::Named(..) => self.behind_names(ty),
            _ => Arc::clone(ty),
        }
    }

    fn behind_names(&self, ty: &Ty) -> Ty {
        let mut ty = Arc::clone(ty);
        for _ in 0..DEEPEST {
            let Type::Named(id, args) = &*ty else { break };
            let Some(declaration) = self.type_decl(*id) else {
                break;
            };
            let local: Vec<_> = declaration
                .params
                .iter()
                .copied()
                .zip(args.iter().cloned())
                .collect();
            let scope = Scope {
                file: self.file_of_type(*id),
                local: &local,
            };
            ty = self.resolve(&declaration.is, scope);
        }
        ty
    }

    /// A declared type without type arguments, also behind a pointer: what it has is looked for once only.
    fn remembering(&self, ty: &Ty) -> Option<&TypeInfo> {
        let named = match &**ty {
            Type::Pointer(inner) => inner,
            _ => ty,
        };
        match &**named {
            Type::Named(id, args) if args.is_empty() => self.types.get(id.0 as usize),
            _ => None,
        }
    }

    /// What is remembered of a member, or found now. Whoever finds it at the same time finds the same.
    fn member_of<T: Clone>(
        &self,
        ty: &Ty,
        name: Name,
        remembered: impl Fn(&TypeInfo) -> &Remembered<T>,
        find: impl Fn(&Program, &Ty, Name) -> Member<T>,
    ) -> Member<T> {
        let Some(remembered) = self.remembering(ty).map(remembered) else {
            return find(self, ty, name);
        };
        let known = remembered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = known.get(&name) {
            return member.clone();
        }
        drop(known);
        let member = find(self, ty, name);
        let mut known = remembered.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, member.clone());
        member
    }

    /// A struct's own fields, also behind a pointer.
    pub fn struct_of(&self, ty: &Ty) -> Option<Ty> {
        let inner = match &**ty {
            Type::Pointer(inner) => self.underlying(inner),
            _ => self.underlying(ty),
        };
        matches!(&*inner, Type::Struct(_)).then_some(inner)
    }

    /// The embedded fields on the way to a field, and its type.
    pub fn field(&self, ty: &Ty, name: Name) -> Option<(Vec<Name>, Ty)> {
        self.member_of(ty, name, |info| &info.fields, Program::find_field)
    }

    fn find_field(&self, ty: &Ty, name: Name) -> Member<Ty> {
        let mut level: Vec<(Vec<Name>, Ty)> = vec![(Vec::new(), Arc::clone(ty))];
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for (path, ty) in &level {
                let Some(structure) = self.struct_of(ty) else {
                    continue;
                };
                let Type::Struct(fields) = &*structure else {
                    continue;
                };
                for field in fields {
                    if field.name == name {
                        return Some((path.clone(), Arc::clone(&field.ty)));
                    }
                    if field.embedded && next.len() < 64 {
                        let mut path = path.clone();
                        path.push(field.name);
                        next.push((path, Arc::clone(&field.ty)));
                    }
                }
            }
            level = next;
        }
        None
    }

    /// The embedded fields on the way to a method of the module.
    pub fn method(&self, ty: &Ty, name: Name) -> Option<(Vec<Name>, FuncId)> {
        self.member_of(ty, name, |info| &info.methods, Program::find_method)
    }

    fn find_method(&self, ty: &Ty, name: Name) -> Member<FuncId> {
        let mut level: Vec<(Vec<Name>, Ty)> = vec![(Vec::new(), Arc::clone(ty))];
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for (path, ty) in &level {
                if let Type::Named(id, _) = &*ty.pointee()
                    && let Some(&method) = self.methods.get(&(*id, name))
                {
                    return Some((path.clone(), method));
                }
                self.embedded(ty, path, &mut next);
            }
            level = next;
        }
        None
    }

    /// The embedded fields on the way to one from outside the module that may have a method.
    pub fn external_method(&self, ty: &Ty, name: Name) -> Option<(Vec<Name>, Ty)> {
        self.member_of(
            ty,
            name,
            |info| &info.external,
            Program::find_external_method,
        )
    }

    fn find_external_method(&self, ty: &Ty, name: Name) -> Member<Ty> {
        let is_lock_method = matches!(
            name.text(),
            "Lock" | "Unlock" | "RLock" | "RUnlock" | "TryLock" | "TryRLock"
        );
        let mut level: Vec<(Vec<Name>, Ty)> = vec![(Vec::new(), Arc::clone(ty))];
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for (path, ty) in &level {
                if ty.external().is_some() && (!is_lock_method || ty.is_lock()) {
                    return Some((path.clone(), Arc::clone(ty)));
                }
                self.embedded(ty, path, &mut next);
            }
            level = next;
        }
        None
    }

    fn embedded(&self, ty: &Ty, path: &[Name], into: &mut Vec<(Vec<Name>, Ty)>) {
        let Some(structure) = self.struct_of(ty) else {
            return;
        };
        let Type::Struct(fields) = &*structure else {
            return;
        };
        for field in fields.iter().filter(|field| field.embedded) {
            if into.len() < 64 {
                let mut path = path.to_vec();
                path.push(field.name);
                into.push((path, Arc::clone(&field.ty)));
            }
        }
    }
}
