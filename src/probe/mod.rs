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

/// Looks up every probe that applies to this executable's Go version and map implementation.
pub fn resolve<'a>(go: &GoBinary<'a>) -> Vec<Site<'a>> {
    let probes: Vec<&'static Probe> = catalogue()
        .iter()
        .filter(|probe| probe.applies_to(go.version.minor, go.map_impl))
        .collect();
    let names: Vec<&str> = probes.iter().map(|probe| probe.function).collect();
    let found = go.find_functions(&names);
    probes
        .into_iter()
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
