//! Rewriting: sites to a plan, the plan to a file.
pub mod plan;
