//! The catalogue: which functions to hook, in which Go versions, and where their arguments are.
//!
//! One user-level map operation must pass exactly one of them. `mapaccess*_fat` and `mapaccessK` are
//! left out because they call (or are called by) hooked functions, and so is, from Go 1.27 on,
//! `mapaccess1*`, which calls `mapaccess2*` (internal/runtime/maps/runtime.go). From Go 1.24 on the
//! deletes, clears and iterations of the Swiss map, those of reflect included, all end in methods of
//! `maps.Map` and `maps.Iter`.

use crate::golang::MapImpl;
use crate::ring::Operation;

/// Where the map is at the function's entry (ABIInternal, Go 1.17 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapArgument {
    /// In RAX: the receiver of a method of `maps.Map`.
    Rax,
    /// In RBX: the second argument.
    Rbx,
    /// In the iterator that RAX points to (hiter.h, Iter.m).
    Iterator,
}

/// Where the map's type descriptor is at the function's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeArgument {
    /// In RAX.
    Rax,
    /// In RBX.
    Rbx,
    /// In the iterator that RAX points to (hiter.t, Iter.typ).
    Iterator,
}

/// What kind of function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A map operation.
    Operation {
        /// Which.
        operation: Operation,
        /// Where its map is.
        map: MapArgument,
        /// Where its map's type is.
        map_type: TypeArgument,
    },
    /// `runtime.fatal` or `runtime.throw`: the program dies, perhaps of `concurrent map ...`.
    Death,
    /// A function that does not perform the operation as users see it, but makes the runtime's own
    /// check for it.
    Check {
        /// The operation whose check it is.
        operation: Operation,
    },
    /// A map's constructor, which returns the map.
    Constructor,
    /// `runtime.main`: the runtime is set up, user code has not run yet.
    Start,
    /// `runtime.sighandler`: a thread has got a signal, perhaps because the ring was cut off.
    Signal,
    /// `runtime.gopanic`: the goroutine leaves the map operation it is in, if any, without passing
    /// an exit.
    Panic,
}

/// One function of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name in pclntab.
    pub function: &'static str,
    /// What it is.
    pub kind: ProbeKind,
    /// First and last Go minor that has it.
    minors: (u32, u32),
    /// The map implementation it belongs to; `None` for both.
    map_impl: Option<MapImpl>,
}

impl Probe {
    /// Whether an executable of that Go version may have it.
    pub fn applies_to(&self, minor: u32, map_impl: MapImpl) -> bool {
        (self.minors.0..=self.minors.1).contains(&minor)
            && self.map_impl.is_none_or(|wanted| wanted == map_impl)
    }

    /// Return addresses to keep in a mark beside the function's own, so that one of them is in code that the
    /// user knows: reflection (reflect/map.go) and the runtime's own wrappers call all functions but those for
    /// integer keys, which compiled code calls directly.
    pub fn mark_frames(&self) -> usize {
        let is_for_integers =
            self.function.contains("_fast32") || self.function.contains("_fast64");
        if is_for_integers { 1 } else { 3 }
    }
}

/// No last version known.
const ON: u32 = u32::MAX;

const fn operation(function: &'static str, operation: Operation) -> Probe {
    let kind = ProbeKind::Operation {
        operation,
        map: MapArgument::Rbx,
        map_type: TypeArgument::Rax,
    };
    Probe {
        function,
        kind,
        minors: (18, ON),
        map_impl: None,
    }
}

const fn method(function: &'static str, operation: Operation) -> Probe {
    let kind = ProbeKind::Operation {
        operation,
        map: MapArgument::Rax,
        map_type: TypeArgument::Rbx,
    };
    Probe {
        function,
        kind,
        minors: (24, ON),
        map_impl: Some(MapImpl::Swiss),
    }
}

const fn iteration(function: &'static str, map_impl: MapImpl) -> Probe {
    let kind = ProbeKind::Operation {
        operation: Operation::Iterate,
        map: MapArgument::Iterator,
        map_type: TypeArgument::Iterator,
    };
    Probe {
        function,
        kind,
        minors: (18, ON),
        map_impl: Some(map_impl),
    }
}

const fn hmap_only(probe: Probe) -> Probe {
    Probe {
        map_impl: Some(MapImpl::Hmap),
        ..probe
    }
}

const fn between(first: u32, last: u32, probe: Probe) -> Probe {
    Probe {
        minors: (first, last),
        ..probe
    }
}

const fn other(function: &'static str, kind: ProbeKind) -> Probe {
    Probe {
        function,
        kind,
        minors: (18, ON),
        map_impl: None,
    }
}

const fn check(function: &'static str, operation: Operation) -> Probe {
    other(function, ProbeKind::Check { operation })
}

static CATALOGUE: [Probe; 34] = {
    use Operation::*;
    [
        // runtime/map.go, map_fast32.go, map_fast64.go, map_faststr.go; in Go 1.27 linknamed from
        // internal/runtime/maps.
        between(18, 26, operation("runtime.mapaccess1", Read)),
        between(18, 26, operation("runtime.mapaccess1_fast32", Read)),
        between(18, 26, operation("runtime.mapaccess1_fast64", Read)),
        between(18, 26, operation("runtime.mapaccess1_faststr", Read)),
        operation("runtime.mapaccess2", Read),
        operation("runtime.mapaccess2_fast32", Read),
        operation("runtime.mapaccess2_fast64", Read),
        operation("runtime.mapaccess2_faststr", Read),
        operation("runtime.mapassign", Assign),
        operation("runtime.mapassign_fast32", Assign),
        operation("runtime.mapassign_fast32ptr", Assign),
        operation("runtime.mapassign_fast64", Assign),
        operation("runtime.mapassign_fast64ptr", Assign),
        operation("runtime.mapassign_faststr", Assign),
        hmap_only(operation("runtime.mapdelete", Delete)),
        hmap_only(operation("runtime.mapdelete_fast32", Delete)),
        hmap_only(operation("runtime.mapdelete_fast64", Delete)),
        hmap_only(operation("runtime.mapdelete_faststr", Delete)),
        hmap_only(operation("runtime.mapclear", Clear)),
        iteration("runtime.mapiternext", MapImpl::Hmap),
        method("internal/runtime/maps.(*Map).Delete", Delete),
        method("internal/runtime/maps.(*Map).Clear", Clear),
        iteration("internal/runtime/maps.(*Iter).Next", MapImpl::Swiss),
        // runtime/map.go: mapclone, linknamed to maps.clone; its argument is the map in an interface.
        between(21, ON, operation("maps.clone", Clone)),
        // runtime/panic.go. Up to 1.18 `throw` is what map code calls.
        between(19, ON, other("runtime.fatal", ProbeKind::Death)),
        between(18, 18, other("runtime.throw", ProbeKind::Death)),
        other("runtime.gopanic", ProbeKind::Panic),
        // runtime/signal_unix.go: what sigtrampgo calls for every signal that no C code has to handle.
        other("runtime.sighandler", ProbeKind::Signal),
        // runtime/map.go, map_swiss.go and map_noswiss.go: makemap64 and reflection call makemap. Maps on
        // the stack and clones pass neither.
        other("runtime.makemap", ProbeKind::Constructor),
        other("runtime.makemap_small", ProbeKind::Constructor),
        // runtime/proc.go: runs after schedinit.
        other("runtime.main", ProbeKind::Start),
        // runtime/map.go up to 1.23, runtime/map_noswiss.go; internal/runtime/maps/map.go: what maps.clone
        // calls checks the flag.
        between(21, 25, check("runtime.mapclone2", Clone)),
        between(24, ON, check("internal/runtime/maps.(*Map).Clone", Clone)),
        // internal/runtime/maps/table.go: an iteration over a table that has grown looks the key up again.
        between(
            24,
            ON,
            check("internal/runtime/maps.(*Map).getWithKey", Iterate),
        ),
    ]
};

/// All probes.
pub fn catalogue() -> &'static [Probe] {
    &CATALOGUE
}
