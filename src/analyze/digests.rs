//! Integrity: what a report was made of, and whether it still says the same.

use super::model::{Analysis, Finding, RingSummary};
use crate::identity;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Puts the digests of rings and of the executables behind them into an analysis. The ring of a process that still
/// runs changes, and has none; nor has a file that cannot be read any more.
pub fn add_digests(analysis: &mut Analysis) {
    // Many processes may have run one executable of 100 MB.
    let mut known: HashMap<PathBuf, Option<String>> = HashMap::new();
    for ring in &mut analysis.rings {
        if !ring.running {
            ring.ring_sha256 = sha256_of(&ring.path).ok();
        }
        if let Some(path) = &ring.symbols {
            let digest = known.entry(path.clone());
            ring.symbols_sha256 = digest.or_insert_with(|| sha256_of(path).ok()).clone();
        }
    }
}

fn sha256_of(path: &Path) -> io::Result<String> {
    identity::sha256_of(File::open(path)?)
}

/// How a report differs from what rings and executables say now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// A ring of the report is not there.
    #[error("the report was made of {path} (process {pid}) too, which is missing here")]
    Missing {
        /// Where it was.
        path: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// A ring that the report does not know.
    #[error("the report was not made of {path} (process {pid})")]
    Unknown {
        /// Where it is.
        path: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// Something about a ring or its executable.
    #[error("{path}: {what} is {found}, and {reported} in the report")]
    Ring {
        /// The ring.
        path: PathBuf,
        /// What is different.
        what: &'static str,
        /// As it is.
        found: String,
        /// As the report says.
        reported: String,
    },
    /// The report was made while the process ran: what was in the ring then is not known.
    #[error(
        "{path}: its process was still running when the report was made, so the report holds no digest of it"
    )]
    NoDigest {
        /// The ring.
        path: PathBuf,
    },
    /// What the report claims is not what the rings prove.
    #[error(
        "{what} of the report are not those that the rings give ({reported} there, {found} here)"
    )]
    Claims {
        /// Findings, suspects or losses.
        what: &'static str,
        /// As many as the report has.
        reported: usize,
        /// As many as there are.
        found: usize,
    },
    /// What is missing is not the same.
    #[error("what the report says is lost is not what is lost in the rings")]
    Losses,
}

/// Everything in which a report differs from an analysis of the same rings, both with digests. What depends on the
/// reader and not on the rings is left aside: paths, what `gocc.toml` allows, profiles laid over.
pub fn differences(report: &Analysis, now: &Analysis) -> Vec<Difference> {
    let mut found = Vec::new();
    for old in &report.rings {
        match now.rings.iter().find(|new| is_same_process(old, new)) {
            Some(new) => compare_rings(old, new, &mut found),
            None => found.push(Difference::Missing {
                path: old.path.clone(),
                pid: old.pid,
            }),
        }
    }
    for new in &now.rings {
        if !report.rings.iter().any(|old| is_same_process(old, new)) {
            found.push(Difference::Unknown {
                path: new.path.clone(),
                pid: new.pid,
            });
        }
    }
    compare_claims(report, now, &mut found);
    found
}

fn is_same_process(old: &RingSummary, new: &RingSummary) -> bool {
    (old.pid, old.started_unix_ns) == (new.pid, new.started_unix_ns)
}

fn compare_rings(old: &RingSummary, new: &RingSummary, found: &mut Vec<Difference>) {
    let path = || new.path.clone();
    let text = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut compare = |what, found_now: String, reported: String| {
        if found_now != reported {
            found.push(Difference::Ring {
                path: path(),
                what,
                found: found_now,
                reported,
            });
        }
    };
    compare(
        "its program's Go build ID",
        new.build_id.clone(),
        old.build_id.clone(),
    );
    compare(
        "its program's SHA-256 before patching",
        new.input_sha256.clone(),
        old.input_sha256.clone(),
    );
    compare(
        "the SHA-256 of its executable",
        text(&new.symbols_sha256),
        text(&old.symbols_sha256),
    );
    if old.ring_sha256.is_some() {
        compare(
            "its SHA-256",
            text(&new.ring_sha256),
            text(&old.ring_sha256),
        );
    } else {
        found.push(Difference::NoDigest { path: path() });
    }
}

fn compare_claims(report: &Analysis, now: &Analysis, found: &mut Vec<Difference>) {
    let lists = [
        ("the findings", &report.findings, &now.findings),
        ("the suspects", &report.suspects, &now.suspects),
    ];
    if report.lost != now.lost {
        found.push(Difference::Losses);
    }
    for (what, reported, new) in lists {
        if claims(reported) != claims(new) {
            found.push(Difference::Claims {
                what,
                reported: reported.len(),
                found: new.len(),
            });
        }
    }
}

/// What a list of findings says, without what the reader added.
fn claims(findings: &[Finding]) -> Vec<serde_json::Value> {
    let bare = findings.iter().cloned().map(|mut finding| {
        finding.allowed = None;
        finding.sides.iter_mut().for_each(|side| side.heat = None);
        serde_json::to_value(finding).unwrap_or_default()
    });
    bare.collect()
}
