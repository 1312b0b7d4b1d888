//! Baselines: the findings that were known on some day, so that only new ones fail.
//!
//! The file is JSON, sorted, one finding in a few lines, made to be kept beside the source. A finding is known
//! again by what survives edits and rebuilds elsewhere: operation, function and file name of both sides, and the
//! map's type. Lines and directories are left out. Two operations of one kind in one function, on maps of one
//! type, are therefore the same to it.

use super::subject::Subject;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Name and version of the file's form.
const SCHEMA: &str = "gocc-baseline/1";
/// A larger file is none, in bytes.
const MOST: u64 = 64 << 20;

/// Known findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: BTreeSet<Known>,
}

/// What a finding is known again by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Known {
    /// Its operations, sorted.
    pub sides: Vec<BaselineEntry>,
    /// The map's Go type; empty when unknown.
    pub map: String,
}

/// One operation of a known finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BaselineEntry {
    /// `assign`.
    pub operation: String,
    /// `main.(*Cache).Put`.
    pub function: String,
    /// `cache.go`.
    pub file: String,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file.
    #[error("cannot read the baseline {path} (gocc baseline writes one)")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{path} is no baseline: {reason} (gocc baseline writes one)")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: String,
    known: BTreeSet<Known>,
}

impl From<&Subject> for Known {
    fn from(subject: &Subject) -> Known {
        let entry = |side: &super::SubjectSide| BaselineEntry {
            operation: side.operation.clone(),
            function: side.function.clone(),
            file: side.file.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let mut sides: Vec<_> = subject.sides.iter().map(entry).collect();
        sides.sort();
        Known {
            sides,
            map: subject.map_type.clone().unwrap_or_default(),
        }
    }
}

impl Baseline {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Baseline, BaselineError> {
        let unreadable = |source| BaselineError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let form = |reason: String| BaselineError::Form {
            path: path.to_owned(),
            reason,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MOST {
            return Err(form(format!("it has {size} bytes")));
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        let document: Document =
            serde_json::from_slice(&text).map_err(|error| form(error.to_string()))?;
        if document.schema != SCHEMA {
            let found = document.schema;
            return Err(form(format!(
                "its schema is {found:?}, this gocc reads {SCHEMA:?}"
            )));
        }
        Ok(Baseline {
            known: document.known,
        })
    }

    /// Adds a finding; false when it was known.
    pub fn add(&mut self, subject: &Subject) -> bool {
        self.known.insert(Known::from(subject))
    }

    /// The finding is known.
    pub fn has(&self, subject: &Subject) -> bool {
        self.known.contains(&Known::from(subject))
    }

    /// How many findings are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The file's text, the same for the same findings.
    ///
    /// # Errors
    /// Those of serialisation.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let document = Document {
            schema: SCHEMA.to_owned(),
            known: self.known.clone(),
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::SubjectSide;
    use super::*;

    fn side(operation: &str, directory: &str, line: u32) -> SubjectSide {
        SubjectSide {
            operation: operation.into(),
            function: format!("main.{operation}"),
            file: format!("{directory}/cache.go"),
            line,
            callers: vec![],
        }
    }

    fn subject(directory: &str, line: u32) -> Subject {
        Subject {
            sides: vec![
                side("assign", directory, line),
                side("read", directory, line + 3),
            ],
            map_type: Some("map[int]int".into()),
        }
    }

    #[test]
    fn a_finding_is_known_wherever_it_moves() {
        let mut baseline = Baseline::default();
        assert!(baseline.add(&subject("/home/a", 10)));
        let mut moved = subject("/home/b", 200);
        moved.sides.reverse();
        assert!(baseline.has(&moved) && !baseline.add(&moved));
        moved.map_type = Some("map[int]bool".into());
        assert!(!baseline.has(&moved));
    }

    #[test]
    fn a_file_says_what_was_written() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("baseline.json");
        let mut baseline = Baseline::default();
        baseline.add(&subject("/a", 1));
        std::fs::write(&path, baseline.to_text()?)?;
        assert_eq!(Baseline::read(&path)?, baseline);
        for (text, says) in [
            ("{}", "missing field"),
            ("notes", "expected"),
            (
                "{\"schema\":\"gocc-report/1\",\"known\":[]}",
                "its schema is",
            ),
        ] {
            std::fs::write(&path, text)?;
            let error = Baseline::read(&path).map_err(|error| error.to_string());
            assert!(
                error.as_ref().is_err_and(|error| error.contains(says)),
                "{error:?}"
            );
        }
        Ok(())
    }
}
