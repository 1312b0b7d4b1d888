//! `gocc.toml`: what a project asks of gocc.
//!
//! ```toml
//! baseline = "gocc-baseline.json"   # findings that were there before: only new ones fail
//!
//! [run]                             # how programs run that do not say otherwise
//! mode = "hunt"
//!
//! [decide]                          # what becomes of a finding
//! source = "fail"                   # found in the source by gocc scan: fail or log
//! confirmed = "stop"                # proven while the program ran: stop (mode block), fail or log
//! suspect = "log"                   # nothing is proven: fail or log
//!
//! [[suppress]]                      # allowed: logged, whatever is decided above
//! function = "main.(*Cache).*"
//! reason = "single-threaded until start() returns"
//! expires = 2027-03-31
//! ```
//!
//! The file is that of the directory where gocc runs, or of the nearest one above it; so `go test`, which runs
//! each test binary in its package's directory, finds the module's. What it says yields to the variable `GOCC`,
//! and that to the command line.
//!
//! A *suppression* allows the findings that it matches, until it expires; from then on it is itself a reason
//! to fail. A *baseline* is a file of findings that were known when it was written; they are allowed. A
//! *verdict* is what all of this makes of an analysis.

mod baseline;
mod file;
mod pattern;
mod policy;
mod run;
mod subject;
mod suppress;
mod time;

pub use baseline::{Baseline, BaselineEntry, BaselineError, Known};
pub use file::{Config, ConfigError, NAME};
pub use policy::{Decision, Decisions, Expired, Policy, Verdict};
pub use run::{RunSettings, Setting};
pub use subject::{Subject, SubjectSide};
pub use suppress::Suppression;
pub use time::{delay, duration};
