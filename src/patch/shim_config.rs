//! The shim's view of the executable; one definition with the shim itself.

#[path = "../../stubs/config.rs"]
mod definition;

pub use definition::{Config, DIR_LEN};

use definition::{LABELS_LIST, LABELS_MAP};

use crate::golang::GoBinary;
use crate::patch::planner::{PlanError, PlanOptions};
use zerocopy::FromZeros;

/// The directory for rings when nobody names one.
const DEFAULT_DIR: &str = "/dev/shm";

/// Everything but the addresses of injected things.
pub fn for_executable(go: &GoBinary<'_>, options: &PlanOptions) -> Result<Config, PlanError> {
    let layout = &go.layout;
    let mut config = Config::new_zeroed();
    config.moduledata = go.first_moduledata.0;
    config.text_start = go.text_start.0;
    config.text_end = go.text_end.0;
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
