//! A *ring* is the shared-memory file that an instrumented process writes: one *lane* of records for
//! each P (a stream of which the newest part is kept), a table of *marks* (the last operation of each
//! goroutine) and a list of *conflicts* (which is only ever appended to).
//!
//! The process may be running while its ring is read, it may have ended, or it may have been killed
//! in the middle of a store. So the reader takes copies with `pread`, never references into a shared
//! mapping, and gives out only what was complete before *and* after the copy was taken. Everything
//! that was overwritten, dropped or torn is counted. Nothing in the file is trusted.

mod conflicts;
mod error;
mod event;
mod lane;
/// The file's layout, one definition for the reader and for the code inside the target.
#[path = "../../stubs/layout.rs"]
pub mod layout;
mod locate;
mod places;
mod reader;
mod tail;

pub use conflicts::{Conflicts, Made, labels_of, side_pcs};
pub use error::RingError;
pub use event::{Operation, goid_of, operation_of};
pub use lane::{Lane, LaneLoss, oldest_whole};
pub use locate::ring_files;
pub use reader::{Ring, RuntimeAddr};
pub use tail::{Advance, Tail};
