//! From rings to answers.
//!
//! A *finding* says that two places of a program work on one map without synchronisation. It is made
//! of the conflicts that the process itself recorded; conflicts at the same pair of places are one
//! finding with a count. (Suspects made of recorded operations will join here: they end in the same
//! [`model::Finding`]s.) *Statistics* say which functions perform how many operations.
//!
//! Reading never stops at the first damage: what cannot be read is counted or named beside what can.

mod clock;
mod conflicts;
mod executable;
mod findings;
pub mod frames;
mod grade;
pub mod model;
mod stacks;
mod stats;
mod stream;
mod symbols;

pub use executable::{AnalyzeError, Options};
pub use findings::analyze;
pub use stats::{FunctionCount, Stats, statistics};
pub use symbols::Symbolizer;
