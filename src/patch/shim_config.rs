//! The shim's view of the executable; one definition with the shim itself.

#[path = "../../stubs/config.rs"]
mod definition;

pub use definition::{Config, DIR_LEN};

use definition::{FrameOf, LABELS_LIST, LABELS_MAP};

use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use crate::patch::planner::{PlanError, PlanOptions};
use zerocopy::FromZeros;

/// The directory for rings when nobody names one.
const DEFAULT_DIR: &str = "/dev/shm";

/// The runtime's functions that call hooked ones for the program (up to Go 1.27). They lie in packages that
/// the linker places beside each other, before everything that could use them.
const BETWEEN_RUNTIME: &[&str] = &[
    "runtime.mapaccess1",
    "runtime.mapaccess1_fast32",
    "runtime.mapaccess1_fast64",
    "runtime.mapaccess1_faststr",
    "runtime.mapaccess1_fat",
    "runtime.mapaccess2_fat",
    "runtime.mapdelete",
    "runtime.mapdelete_fast32",
    "runtime.mapdelete_fast64",
    "runtime.mapdelete_faststr",
    "runtime.mapclear",
    "runtime.mapiterinit",
    "runtime.mapiternext",
    "runtime.mapIterStart",
    "runtime.mapIterNext",
    "runtime.mapclone2",
    "reflect.mapaccess",
    "reflect.mapaccess_faststr",
    "reflect.mapassign0",
    "reflect.mapassign_faststr0",
    "reflect.mapassign",
    "reflect.mapassign_faststr",
    "reflect.mapclear",
    "reflect.mapdelete",
    "reflect.mapdelete_faststr",
    "reflect.mapiterinit",
    "reflect.mapiternext",
    "reflect.mapIterStart",
    "reflect.mapIterNext",
];

/// The same in package reflect.
const BETWEEN_REFLECT: &[&str] = &[
    "reflect.Value.MapIndex",
    "reflect.Value.MapKeys",
    "reflect.Value.SetMapIndex",
    "reflect.Value.Clear",
    "reflect.(*MapIter).Next",
];

/// Names of the functions between hooked ones and the code that wants an operation.
pub fn between() -> Vec<&'static str> {
    [BETWEEN_RUNTIME, BETWEEN_REFLECT].concat()
}

/// Where the program's own code begins for sure.
const MAIN: &str = "main.main";

/// What lies between Go code that C has called and the Go code that has called C; see `Config::through_c`.
const THROUGH_C: [&str; 3] = [
    "runtime.cgocallback",
    "runtime.systemstack_switch",
    "runtime.cgocall",
];

/// The names of the functions that [`for_executable`] wants to know.
pub fn names() -> Vec<&'static str> {
    [BETWEEN_RUNTIME, BETWEEN_REFLECT, &[MAIN], &THROUGH_C].concat()
}

/// A function's frame, where it has all of it: behind its prologue.
fn frame_of(go: &GoBinary<'_>, functions: &[Func<'_>], name: &str) -> FrameOf {
    let Some(function) = functions.iter().find(|f| f.name == name) else {
        return FrameOf::new_zeroed();
    };
    let code = function.entry.0..function.end.0;
    let depths = code.clone().filter_map(|pc| go.sp_delta_at(Vaddr(pc)));
    FrameOf {
        start: code.start,
        end: code.end,
        size: depths
            .max()
            .and_then(|most| u64::try_from(most).ok())
            .unwrap_or(0),
    }
}

/// From the first to the last of some functions; empty where the program's own code lies among them.
fn range_of(functions: &[Func<'_>], names: &[&str]) -> [u64; 2] {
    let found = || functions.iter().filter(|f| names.contains(&f.name));
    let first = found().map(|function| function.entry.0).min();
    let last = found().map(|function| function.end.0).max();
    let range = [first.unwrap_or(0), last.unwrap_or(0)];
    let mut mains = functions.iter().filter(|f| f.name == MAIN);
    if mains.any(|function| (range[0]..range[1]).contains(&function.entry.0)) {
        return [0; 2];
    }
    range
}

/// Everything but the addresses of injected things. `functions` are those of all [`names`].
pub fn for_executable(
    go: &GoBinary<'_>,
    functions: &[Func<'_>],
    options: &PlanOptions,
) -> Result<Config, PlanError> {
    let layout = &go.layout;
    let mut config = Config::new_zeroed();
    config.moduledata = go.first_moduledata.0;
    config.text_start = go.text_start.0;
    config.text_end = go.text_end.0;
    config.between = [BETWEEN_RUNTIME, BETWEEN_REFLECT].map(|names| range_of(functions, names));
    config.through_c = THROUGH_C.map(|name| frame_of(go, functions, name));
    config.default_gate = options.mode.gate();
    config.default_lane_size = options.ring_size.unwrap_or(0);
    config.g_stack_lo = layout.g_stack_lo;
    config.g_stack_hi = layout.g_stack_hi;
    config.g_goid = layout.g_goid;
    config.g_parent_goid = layout.g_parent_goid.unwrap_or(0);
    config.g_gopc = layout.g_gopc;
    config.g_startpc = layout.g_startpc;
    config.g_m = layout.g_m;
    config.m_curg = layout.m_curg;
    config.g_labels = layout.g_labels;
    config.labels_form = if go.version.minor >= 24 {
        LABELS_LIST
    } else {
        LABELS_MAP
    };
    config.map_seed = layout.map_seed;
    config.map_writing = layout.map_writing;
    config.map_writing_mask = u32::from(layout.map_writing_mask);
    let build_id = go.build_id.as_deref().unwrap_or_default();
    config.build_id_len = copy_cut(build_id, &mut config.build_id) as u32;
    let dir = options.dir.as_deref().unwrap_or(DEFAULT_DIR);
    if dir.len() >= DIR_LEN {
        return Err(PlanError::DirTooLong);
    }
    copy_cut(dir, &mut config.default_dir);
    Ok(config)
}

/// Copies as much of a text as fits; how much that was.
fn copy_cut(text: &str, to: &mut [u8]) -> usize {
    let len = text.len().min(to.len());
    to[..len].copy_from_slice(&text.as_bytes()[..len]);
    len
}
