//! Rewriting: sites to a plan, the plan to a file.
pub mod options;
pub mod plan;

pub use options::{Mode, PatchRequest};

/// Why a file was not patched.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// Placeholder until the emission lands.
    #[error("patching is not implemented")]
    NotImplemented,
}

/// What was done to a file.
#[derive(Clone, Debug)]
pub struct PatchSummary {}

impl std::fmt::Display for PatchSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("patched")
    }
}

/// Patches one file.
///
/// # Errors
/// When the input is refused or a file cannot be written; no output is left behind.
pub fn patch_file(_request: &PatchRequest) -> Result<PatchSummary, PatchError> {
    Err(PatchError::NotImplemented)
}
