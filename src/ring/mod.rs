//! A *ring* is the shared-memory file that an instrumented process writes: lanes of records, marks,
//! conflicts.

#[path = "../../stubs/layout.rs"]
pub mod layout;
