//! What was done to a file, in a few lines for whoever ran the patcher.

use super::plan::{Outcome, PatchPlan};
use super::write::WriteReport;
use crate::golang::GoBinary;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What was done to a file.
#[derive(Clone, Debug)]
pub struct PatchSummary {
    /// The instrumented executable.
    pub output: PathBuf,
    /// `go1.25.5, Swiss maps, layouts from DWARF`
    pub go: String,
    /// Functions hooked at their entry, by tactic.
    pub tactics: BTreeMap<String, usize>,
    /// Functions not hooked, by reason.
    pub skipped: BTreeMap<String, usize>,
    /// Returns hooked.
    pub exits: usize,
    /// Bytes changed in place.
    pub changed_bytes: usize,
    /// Size of the output in bytes.
    pub output_size: u64,
}

impl PatchSummary {
    /// Counts what a plan does.
    pub fn new(
        go: &GoBinary<'_>,
        plan: &PatchPlan,
        written: &WriteReport,
        output: &Path,
    ) -> PatchSummary {
        let mut tactics = BTreeMap::new();
        let mut skipped = BTreeMap::new();
        for site in &plan.sites {
            match &site.entry {
                Outcome::Patched(tactic) => *tactics.entry(tactic.clone()).or_default() += 1,
                Outcome::Skipped(reason) => *skipped.entry(reason.clone()).or_default() += 1,
            }
        }
        PatchSummary {
            output: output.to_owned(),
            go: format!(
                "{}, {:?} maps, layouts from {:?}",
                go.version.text, go.map_impl, go.layout_source
            ),
            tactics,
            skipped,
            exits: plan.sites.iter().map(|site| site.exits).sum(),
            changed_bytes: plan.edits.iter().map(|edit| edit.new.len()).sum(),
            output_size: written.output_size,
        }
    }
}

impl fmt::Display for PatchSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.output.display(), self.go)?;
        for (tactic, count) in &self.tactics {
            writeln!(f, "  {count} functions: {tactic}")?;
        }
        for (reason, count) in &self.skipped {
            writeln!(f, "  {count} functions: {reason}")?;
        }
        write!(
            f,
            "  {} returns hooked, {} bytes changed in place",
            self.exits, self.changed_bytes
        )
    }
}
