//! From rings to answers.
//!
//! A *finding* says that two places of a program work on one map without synchronisation. It is made
//! of the conflicts that the process itself recorded; conflicts at the same pair of places are one
//! finding with a count. A *suspect* is made of recorded operations that came close to each other, of
//! which nothing is proven. *Statistics* say which functions perform how many operations, which maps
//! are shared, and who touched a map after whom.
//!
//! Reading never stops at the first damage: what cannot be read is counted or named beside what can.

mod chains;
mod clock;
mod conflicts;
mod digests;
mod events;
mod executable;
mod findings;
pub mod frames;
mod grade;
mod hunted;
mod instances;
mod live;
mod locks;
mod merge;
pub mod model;
mod near;
mod overlay;
mod stacks;
mod stats;
mod stream;
mod suspects;
mod symbols;

pub use chains::{Chain, Chains, Link, chains};
pub use digests::{Difference, add_digests, differences};
pub use events::{Event, EventSink, events};
pub use executable::{AnalyzeError, Hunted, Options, is_running};
pub use findings::analyze;
pub use instances::{InstanceCount, Instances, instances};
pub use live::{HotFunction, HotMap, Live, OPERATIONS, Snapshot, live};
pub use merge::{MergeError, Merger};
pub use overlay::lay_over;
pub use stats::{FunctionCount, Stats, statistics};
pub use symbols::Symbolizer;
