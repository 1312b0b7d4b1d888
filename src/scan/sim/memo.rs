//! What written types mean, remembered from one entry to the next: the same declarations are met again and again.

use super::*;
use crate::scan::program::Scope;
use crate::scan::syntax::{Param, Signature, TypeExpr};
use crate::scan::types::{FuncType, Type};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What one worker remembers of a module's types.
#[derive(Debug, Default)]
pub struct TypeMemo<'p> {
    written: RefCell<Map<ByAddress<'p, TypeExpr>, Ty>>,
    signatures: RefCell<Map<ByAddress<'p, Signature>, Ty>>,
}

/// A piece of the module's syntax, known by where it lies: it stays there as long as `'p` lasts, and the cells
/// around it keep that from being shortened.
#[derive(Clone, Copy, Debug)]
struct ByAddress<'p, T>(&'p T);

impl<T> PartialEq for ByAddress<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl<T> Eq for ByAddress<'_, T> {}

impl<T> Hash for ByAddress<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl<'p> Sim<'p> {
    /// What a type means where the frame is.
    pub(super) fn resolve(&self, frame: &Frame<'p>, ty: &'p TypeExpr) -> Ty {
        self.resolve_in(frame.file, &frame.types, ty)
    }

    /// The same in a file, with what type parameters and types declared in the function stand for.
    pub(super) fn resolve_in(&self, file: FileId, local: &[(Name, Ty)], ty: &'p TypeExpr) -> Ty {
        let anew = || self.program.resolve(ty, Scope { file, local });
        if !local.is_empty() {
            return anew();
        }
        if let Some(known) = self.memo.written.borrow().get(&ByAddress(ty)) {
            return Arc::clone(known);
        }
        let found = anew();
        let mut written = self.memo.written.borrow_mut();
        written.insert(ByAddress(ty), Arc::clone(&found));
        found
    }

    /// The type of a function that is declared so.
    pub(super) fn signature_type(
        &self,
        file: FileId,
        local: &[(Name, Ty)],
        signature: &'p Signature,
    ) -> Ty {
        if local.is_empty()
            && let Some(known) = self.memo.signatures.borrow().get(&ByAddress(signature))
        {
            return Arc::clone(known);
        }
        let types = |params: &'p [Param]| {
            let types = params.iter();
            types
                .map(|param| self.resolve_in(file, local, &param.ty))
                .collect()
        };
        let ty = Arc::new(Type::Func(FuncType {
            params: types(&signature.params),
            results: types(&signature.results),
        }));
        if local.is_empty() {
            let mut signatures = self.memo.signatures.borrow_mut();
            signatures.insert(ByAddress(signature), Arc::clone(&ty));
        }
        ty
    }
}
