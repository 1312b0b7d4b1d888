//! Analyses of many processes, hosts and builds, made one.
//!
//! Findings are the same when function, file name, line and operation of both sides are: where the
//! sources lay when each build was made does not matter.

use super::conflicts::{Place, place_of, rank};
use super::model::{Analysis, Finding, RingSummary};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// Why analyses cannot be made one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Two of them share some processes, but not all: what both counted cannot be told apart.
    #[error(
        "process {pid} ({executable}) is in several reports that are not about the same processes"
    )]
    Overlap {
        /// The process.
        pid: u32,
        /// What it ran.
        executable: PathBuf,
    },
}

/// A process, on whatever host.
type Process = (u32, u64, PathBuf);

/// Which process wrote a ring.
pub fn process_of(ring: &RingSummary) -> Process {
    (ring.pid, ring.started_unix_ns, ring.executable.clone())
}

/// Collects analyses.
#[derive(Default)]
pub struct Merger {
    processes: HashSet<Process>,
    findings: BTreeMap<[Place; 2], Finding>,
    suspects: BTreeMap<[Place; 2], Finding>,
    merged: Analysis,
}

impl Merger {
    /// Adds an analysis; false when all its processes are known already, so that nothing was added.
    ///
    /// # Errors
    /// When some of its processes are known already, and others are not.
    pub fn add(&mut self, analysis: Analysis) -> Result<bool, MergeError> {
        let known = |ring: &&RingSummary| self.processes.contains(&process_of(ring));
        let shared = analysis.rings.iter().filter(known).count();
        if shared > 0 && shared == analysis.rings.len() {
            return Ok(false);
        }
        if let Some(ring) = analysis.rings.iter().find(known) {
            return Err(MergeError::Overlap {
                pid: ring.pid,
                executable: ring.executable.clone(),
            });
        }
        self.processes.extend(analysis.rings.iter().map(process_of));
        add_all(&mut self.findings, analysis.findings);
        add_all(&mut self.suspects, analysis.suspects);
        self.merged.lost.add(&analysis.lost);
        self.merged.suspects_unlisted += analysis.suspects_unlisted;
        self.merged.rings.extend(analysis.rings);
        self.merged.operations.extend(analysis.operations);
        Ok(true)
    }

    /// All of them as one: findings in the order of an analysis, suspects that one of the processes
    /// proved left out.
    pub fn finish(self) -> Analysis {
        let mut merged = self.merged;
        let proven = &self.findings;
        let suspects = self.suspects.into_iter();
        merged.suspects = suspects
            .filter(|(places, _)| !proven.contains_key(places))
            .map(|(_, suspect)| suspect)
            .collect();
        merged
            .suspects
            .sort_by(|a, b| score(b).total_cmp(&score(a)));
        merged.findings = self.findings.into_values().collect();
        merged
            .findings
            .sort_by_key(|finding| (finding.grade, finding.first));
        merged
            .rings
            .sort_by(|a, b| (a.started_unix_ns, &a.path).cmp(&(b.started_unix_ns, &b.path)));
        merged
    }
}

fn score(suspect: &Finding) -> f64 {
    suspect.suspicion.map_or(0.0, |why| why.score)
}

fn add_all(known: &mut BTreeMap<[Place; 2], Finding>, new: Vec<Finding>) {
    for finding in new {
        let mut places = finding
            .sides
            .each_ref()
            .map(|side| place_of(side).anywhere());
        places.sort();
        match known.get_mut(&places) {
            Some(same) => combine(same, finding),
            None => {
                known.insert(places, finding);
            }
        }
    }
}

/// The better-proven one is shown, with the numbers of both. They are of different processes, so
/// their maps and goroutines are different as well.
fn combine(known: &mut Finding, new: Finding) {
    let count = known.count.saturating_add(new.count);
    let instances = known.instances.saturating_add(new.instances);
    let goroutines = known.goroutines.saturating_add(new.goroutines);
    let fatal = known.fatal || new.fatal;
    let (first, last) = (known.first.min(new.first), known.last.max(new.last));
    let better = match (&known.suspicion, &new.suspicion) {
        (Some(_), Some(_)) => score(&new) > score(known),
        _ => rank(&new) < rank(known),
    };
    if better {
        *known = new;
    }
    known.count = count;
    known.instances = instances;
    known.goroutines = goroutines;
    known.fatal = fatal;
    (known.first, known.last) = (first, last);
}
