//! Rewriting: sites to a plan, the plan to a file. [`patch_file`] is the order of the work.
//!
//! [`planner`] decides everything: it decodes the sites ([`decode`]), emits the hooks ([`hooks`],
//! through [`asm`]) beside the [`shim`], describes them to Go's runtime ([`moduledata`]) and puts it all
//! into a [`plan::PatchPlan`]. [`write`] carries the plan out and decides nothing; [`verify`] reads
//! the result back, its bytes as they are written and its code with another disassembler.

mod addresses;
pub mod asm;
pub mod decode;
mod elf_out;
mod hooks;
mod injected_code;
mod made;
mod moduledata;
pub mod note;
mod operation_hook;
pub mod options;
pub mod plan;
pub mod planner;
mod shim;
pub mod shim_config;
pub mod space;
mod summary;
pub mod unpatch;
pub mod verify;
pub mod verify_bytes;
mod verify_code;
mod verify_elf;
mod walk;
pub mod write;
mod write_file;
mod write_hash;
mod write_layout;
mod write_sections;

pub use elf_out::HeaderError;
pub use options::{Mode, PatchRequest};
pub use summary::PatchSummary;

use crate::golang::{GoBinary, GoError};
use crate::image::{Image, ImageError};
use planner::{PlanError, PlanOptions};
use std::path::PathBuf;
use verify::VerifyError;
use verify_bytes::Comparison;
use write::{InputHash, WriteError};

/// Why a file was not patched.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The input is not an executable that gocc can work on.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The input is not a Go executable that gocc understands.
    #[error("{path}: {source}")]
    Go {
        /// The input.
        path: PathBuf,
        /// What is wrong with it.
        source: GoError,
    },
    /// The input is the output of an earlier run.
    #[error("{0} is already patched; patch the original, or get it back with gocc unpatch")]
    AlreadyPatched(PathBuf),
    /// There is no way to hook it.
    #[error("{path}: {source}")]
    Plan {
        /// The input.
        path: PathBuf,
        /// What is wrong.
        source: PlanError,
    },
    /// The plan's own file could not be written.
    #[error("cannot write the plan to {path}: {source}")]
    PlanFile {
        /// Where it should go.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The output could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was written is not what was planned: a bug in gocc.
    #[error(
        "{path}: the result failed verification, so it was not kept (please report this): {source}"
    )]
    Verify {
        /// The input.
        path: PathBuf,
        /// What is wrong.
        source: VerifyError,
    },
}

/// Patches one file.
///
/// # Errors
/// When the input is refused or a file cannot be written; no output is left behind.
pub fn patch_file(request: &PatchRequest) -> Result<PatchSummary, PatchError> {
    let image = Image::open(&request.input)?;
    let path = || request.input.clone();
    if image.is_already_patched() {
        return Err(PatchError::AlreadyPatched(path()));
    }
    // Nothing else takes as long.
    let hash = InputHash::start(&image);
    let go = GoBinary::parse(&image).map_err(|source| PatchError::Go {
        path: path(),
        source,
    })?;
    let options = PlanOptions {
        mode: request.mode,
        dir: request.dir.clone(),
        ring_size: request.ring_size,
    };
    let plan = planner::plan(&go, &options).map_err(|source| PatchError::Plan {
        path: path(),
        source,
    })?;
    if let Some(to) = &request.plan {
        write_plan(&plan, to).map_err(|source| PatchError::PlanFile {
            path: to.clone(),
            source,
        })?;
    }
    let mut comparison = request.verify.then(|| Comparison::new(&image, &plan));
    let draft = write::draft(&image, &plan, &request.output, hash, |end, read| {
        if let Some(comparison) = &mut comparison {
            comparison.advance(end, read);
        }
    })?;
    if let Some(comparison) = comparison {
        let verified = verify::finish(&go, &plan, draft.path(), comparison);
        verified.map_err(|source| PatchError::Verify {
            path: path(),
            source,
        })?;
    }
    let written = draft.publish()?;
    Ok(PatchSummary::new(&go, &plan, &written, &request.output))
}

fn write_plan(plan: &plan::PatchPlan, to: &std::path::Path) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(plan)?;
    text.push(b'\n');
    std::fs::write(to, text)
}
