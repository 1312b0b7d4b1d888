//! A *plan* is everything a patched file will differ in, as data: it can be printed, serialised and
//! compared before a byte is written.

use crate::image::Vaddr;
use serde::{Deserialize, Serialize};

/// Everything the writer needs to turn the input into the output.
#[derive(Clone, Debug, Serialize)]
pub struct PatchPlan {
    /// Bytes to change in mapped parts of the input; sorted by address, never overlapping.
    pub edits: Vec<Edit>,
    /// Segments to append, ascending by address, above every segment of the input.
    pub segments: Vec<NewSegment>,
    /// Symbols to add to the symbol table; each lies in a new segment.
    pub symbols: Vec<NewSymbol>,
    /// The new `e_entry`.
    pub entry: Vaddr,
    /// Where in the new segments the writer puts the 32 bytes of the input's SHA-256, which is
    /// computed while the file is copied.
    pub input_sha256_at: Vec<Vaddr>,
    /// What the note section tells about how this file was made.
    pub provenance: Provenance,
    /// Every site of the catalogue with what became of it.
    pub sites: Vec<SiteOutcome>,
}

/// A change in place.
#[derive(Clone, Debug, Serialize)]
pub struct Edit {
    /// Where.
    pub at: Vaddr,
    /// The bytes there now.
    pub old: Vec<u8>,
    /// The bytes to write; as long as `old`.
    pub new: Vec<u8>,
    /// What it is for, in words: `entry of runtime.mapassign_fast64`.
    pub purpose: String,
}

/// A PT_LOAD to append, with one section of its own.
#[derive(Clone, Debug, Serialize)]
pub struct NewSegment {
    /// The section's name, `.gocc.text`.
    pub name: String,
    /// Page-aligned address.
    pub vaddr: Vaddr,
    /// Its bytes; empty for a NOBITS section.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Size in memory; at least `bytes.len()`.
    pub mem_size: u64,
    /// PF_R, PF_W, PF_X; never both W and X.
    pub flags: u32,
}

/// A symbol of the injected code or data.
#[derive(Clone, Debug, Serialize)]
pub struct NewSymbol {
    /// `gocc.hook_mapassign_fast64`.
    pub name: String,
    /// Its address.
    pub vaddr: Vaddr,
    /// Its size in bytes.
    pub size: u64,
    /// STT_FUNC or STT_OBJECT.
    pub is_function: bool,
}

/// How this file was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// gocc's own version.
    pub gocc_version: String,
    /// Options that shaped the output, as `key=value`.
    pub options: Vec<String>,
}

/// What became of one function of the catalogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteOutcome {
    /// The Go function.
    pub function: String,
    /// Where it starts; `None` when the binary does not have it.
    pub vaddr: Option<Vaddr>,
    /// The operation it performs, in words.
    pub operation: String,
    /// How its entry is patched, or why not.
    pub entry: Outcome,
    /// How many exits are patched.
    pub exits: usize,
}

/// A tactic, or the reason why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Patched with the tactic of that name.
    Patched(String),
    /// Skipped, with the reason.
    Skipped(String),
}
