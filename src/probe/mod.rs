//! A *probe* is a function of the Go runtime that performs a map operation: the catalogue of them,
//! as data, and its resolution to *sites*, the places of one executable where hooks go.

mod catalogue;

pub use catalogue::{MapArgument, Probe, ProbeKind, TypeArgument, catalogue};

use crate::golang::{Func, GoBinary};

/// A probe found in an executable.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// What it is.
    pub probe: &'static Probe,
    /// The function; `None` when this executable does not contain it (nothing calls it).
    pub function: Option<Func<'a>>,
}

/// The probes for this executable's Go version and map implementation.
fn applying(go: &GoBinary<'_>) -> impl Iterator<Item = &'static Probe> {
    let (minor, map_impl) = (go.version.minor, go.map_impl);
    catalogue()
        .iter()
        .filter(move |probe| probe.applies_to(minor, map_impl))
}

/// The names of those probes' functions.
pub fn names(go: &GoBinary<'_>) -> Vec<&'static str> {
    applying(go).map(|probe| probe.function).collect()
}

/// Looks up every probe that applies to this executable.
pub fn resolve<'a>(go: &GoBinary<'a>) -> Vec<Site<'a>> {
    resolve_among(go, &go.find_functions(&names(go)))
}

/// As [`resolve`], among functions that were found already: those of all [`names`].
pub fn resolve_among<'a>(go: &GoBinary<'a>, found: &[Func<'a>]) -> Vec<Site<'a>> {
    applying(go)
        .map(|probe| Site {
            probe,
            function: pick(found.iter().filter(|f| f.name == probe.function)),
        })
        .collect()
}

/// Of functions that share a name, the one that is no wrapper: an ABI0 wrapper shares its target's, and
/// FuncIDWrapper is the highest of the function ids (internal/abi/symtab.go).
fn pick<'f, 'a: 'f>(candidates: impl Iterator<Item = &'f Func<'a>>) -> Option<Func<'a>> {
    let mut candidates: Vec<&Func<'a>> = candidates.collect();
    candidates.sort_by_key(|function| function.func_id);
    candidates.first().map(|function| (*function).clone())
}
