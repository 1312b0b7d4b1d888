//! What is known of functions by their names in pclntab.

use crate::analyze::frames::package_of;
use crate::ring::Operation;
use iced_x86::Register;

/// A function whose calls mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Compiled code calls it for a map operation.
    Map(Operation),
    /// `runtime.newproc`: a `go` statement.
    Go,
    /// Takes a lock; for reading when it is shared.
    Lock(Mode),
    /// Gives it back.
    Unlock(Mode),
    /// Leaves all registers but R11 alone; up to Go 1.20 it stores the register to where RDI points
    /// (runtime/asm_amd64.s, `gcWriteBarrier`).
    WriteBarrier(Option<Register>),
    /// Does not return.
    Ends,
    /// Runs deferred calls.
    RunsDeferred,
}

/// How a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Lock.
    Exclusive,
    /// RLock.
    Shared,
}

/// The runtime's functions that compiled code calls for map operations, up to what varies with the key's type
/// (cmd/compile/internal/typecheck/builtin.go). A range is one operation here: its first step has the
/// map's type.
const MAP_FUNCTIONS: [(&str, Operation); 8] = [
    ("mapaccess1", Operation::Read),
    ("mapaccess2", Operation::Read),
    ("mapassign", Operation::Assign),
    ("mapdelete", Operation::Delete),
    ("mapclear", Operation::Clear),
    ("mapiterinit", Operation::Iterate),
    ("mapIterStart", Operation::Iterate),
    ("mapclone", Operation::Clone),
];

/// Functions of the runtime that code does not come back from.
const ENDINGS: [&str; 6] = ["panic", "goPanic", "gopanic", "throw", "fatal", "block"];

impl Known {
    /// What is known of a function with this name.
    pub(super) fn by_name(name: &str) -> Option<Known> {
        if let Some(lock) = Known::lock(name) {
            return Some(lock);
        }
        if name == "maps.clone" {
            return Some(Known::Map(Operation::Clone));
        }
        let own = name.strip_prefix("runtime.")?;
        match own {
            "newproc" => return Some(Known::Go),
            "deferreturn" => return Some(Known::RunsDeferred),
            _ => {}
        }
        if let Some(which) = own.strip_prefix("gcWriteBarrier") {
            return Some(Known::WriteBarrier(stored(which)));
        }
        if let Some((_, operation)) = MAP_FUNCTIONS.iter().find(|(stem, _)| is_variant(own, stem)) {
            return Some(Known::Map(*operation));
        }
        let ends = ENDINGS.iter().any(|stem| own.starts_with(stem));
        ends.then_some(Known::Ends)
    }

    /// Locks of package sync, whose parts moved to internal/sync in Go 1.24.
    pub(super) fn lock(name: &str) -> Option<Known> {
        let name = name.strip_prefix("internal/").unwrap_or(name);
        let method = name
            .strip_prefix("sync.(*Mutex).")
            .or_else(|| name.strip_prefix("sync.(*RWMutex)."))?;
        match method {
            "Lock" => Some(Known::Lock(Mode::Exclusive)),
            "RLock" => Some(Known::Lock(Mode::Shared)),
            "Unlock" => Some(Known::Unlock(Mode::Exclusive)),
            "RUnlock" => Some(Known::Unlock(Mode::Shared)),
            _ => None,
        }
    }
}

/// What `gcWriteBarrierCX` stores; `gcWriteBarrier2` of Go 1.21 and later stores nothing.
fn stored(suffix: &str) -> Option<Register> {
    Some(match suffix {
        "" => Register::RAX,
        "CX" => Register::RCX,
        "DX" => Register::RDX,
        "BX" => Register::RBX,
        "BP" => Register::RBP,
        "SI" => Register::RSI,
        "R8" => Register::R8,
        "R9" => Register::R9,
        _ => return None,
    })
}

/// `mapaccess1`, `mapaccess1_fast64`, `mapaccess1_fat`.
fn is_variant(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Packages whose functions say nothing of the program: they are called, not looked into.
pub(super) fn is_runtime(name: &str) -> bool {
    let package = package_of(name);
    package == "runtime"
        || package == "reflect"
        || package.starts_with("runtime/")
        || package.starts_with("internal/")
}

/// A function of the standard library that runs its arguments while it is called, and not later.
pub(super) fn calls_at_once(name: &str) -> bool {
    ["sort", "slices", "strings", "bytes", "maps", "sync"].contains(&package_of(name))
}

/// A function of the standard library that has a goroutine of its own run its arguments.
pub(super) fn starts_arguments(name: &str) -> bool {
    [
        "time.AfterFunc",
        "context.AfterFunc",
        "runtime.AddCleanup",
        "runtime.SetFinalizer",
    ]
    .contains(&name)
        || package_of(name) == "net/http"
}

/// A method that a server calls from goroutines of its own.
pub(super) fn is_handler(name: &str) -> bool {
    name.ends_with(".ServeHTTP") && !name.contains(".ServeHTTP.")
}

/// Where the main goroutine begins with the program's own code.
pub(super) fn is_main(name: &str) -> bool {
    let is_init = |text: &str| {
        text.strip_prefix(".init")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && !rest.contains("func"))
    };
    name == "main.main" || name.strip_prefix(package_of(name)).is_some_and(is_init)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_name() {
        let map = |operation| Some(Known::Map(operation));
        assert_eq!(
            Known::by_name("runtime.mapaccess1_faststr"),
            map(Operation::Read)
        );
        assert_eq!(
            Known::by_name("runtime.mapIterStart"),
            map(Operation::Iterate)
        );
        assert_eq!(Known::by_name("runtime.mapaccessK"), None);
        assert_eq!(Known::by_name("main.mapclear"), None);
        assert_eq!(
            Known::by_name("internal/sync.(*Mutex).Unlock"),
            Some(Known::Unlock(Mode::Exclusive))
        );
        assert_eq!(Known::by_name("sync.(*Mutex).TryLock"), None);
    }

    #[test]
    fn the_main_goroutine_runs_main_and_init() {
        for name in [
            "main.main",
            "main.init",
            "example.org/shop/cart.init.0",
            "net/http.init",
        ] {
            assert!(is_main(name), "{name}");
        }
        for name in [
            "main.main.func1",
            "main.(*T).init",
            "main.initialise",
            "main.init.0.func1",
        ] {
            assert!(!is_main(name), "{name}");
        }
    }
}
