//! gocc finds concurrent map misuse in Go programs that are already compiled.
//!
//! The work runs in phases; each may assume what the ones before it established.
//!
//! patch:   [`image`] -> [`golang`] -> [`probe`] -> [`patch`] -> verified file
//! observe: the hooks write [`ring`]s in shared memory (code in `stubs/`, run by the target itself)
//! explain: [`ring`] -> [`analyze`] -> [`report`]
//! warn:    source tree -> [`scan`] -> [`report`]
//!
//! 1. [`image`] maps the file, parses ELF and translates between virtual addresses and file
//!    offsets. Nothing else in the program does.
//! 2. [`golang`] says what Go binary this is: version, pclntab, moduledata, struct layouts, which
//!    map implementation; and turns program counters into functions, files and lines.
//! 3. [`probe`] holds the catalogue of hookable functions as data and resolves it to sites.
//! 4. [`patch`] decodes the sites, chooses a tactic for each, emits trampolines and lays out the new
//!    segments. The result is a [`patch::plan::PatchPlan`], plain data; only then is a file written,
//!    and read back by a second disassembler.
//! 5. [`ring`] is the shared-memory format and its reader, for live and dead processes.
//! 6. [`analyze`] makes findings out of a ring; [`report`] prints them. [`profile`] reads and writes pprof
//!    files, for both.
//! 7. [`config`] reads `gocc.toml` and says what becomes of findings.
//! 8. [`scan`] finds the same mistakes in Go source, for the same findings model.
//! 9. [`cli`] is the command line of the two executables, `gocc-patch` and `gocc`.
//!
//! [`identity`] tells contents, files and builds of gocc apart, for all of them.

pub mod analyze;
pub mod cli;
pub mod config;
pub mod golang;
pub mod identity;
pub mod image;
pub mod patch;
pub mod probe;
pub mod profile;
pub mod report;
pub mod ring;
pub mod scan;
