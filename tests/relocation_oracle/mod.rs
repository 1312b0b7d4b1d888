//! The relocation oracle: sequences, and a sandbox that runs them twice.

pub mod generate;
pub mod sandbox;
