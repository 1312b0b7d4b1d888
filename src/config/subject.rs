//! What suppressions and baselines look at in a finding.

use crate::analyze::frames;
use crate::analyze::model::{Finding, Side};

/// A finding, seen at run time or in source, as far as it decides what it is the same as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The two goroutines' operations, in any order; a finding in source may know only one.
    pub sides: Vec<SubjectSide>,
    /// The map's Go type, where it is known.
    pub map_type: Option<String>,
}

/// One operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectSide {
    /// `assign`; empty when unknown.
    pub operation: String,
    /// The function that performs it, `main.(*Cache).Put`; empty when unknown.
    pub function: String,
    /// Its source file; empty when unknown.
    pub file: String,
    /// Its line; 0 when unknown.
    pub line: u32,
    /// The functions that called this one, the nearest first.
    pub callers: Vec<String>,
}

impl From<&Finding> for Subject {
    fn from(finding: &Finding) -> Subject {
        Subject {
            sides: finding.sides.iter().map(SubjectSide::from).collect(),
            map_type: finding.map.type_name.clone(),
        }
    }
}

impl From<&Side> for SubjectSide {
    fn from(side: &Side) -> SubjectSide {
        let operation = side.operation.map(|operation| operation.name().to_owned());
        let Some(place) = frames::innermost_user(&side.stack) else {
            return SubjectSide {
                operation: operation.unwrap_or_default(),
                ..SubjectSide::default()
            };
        };
        let inner = side.stack.iter().skip_while(|frame| *frame != place);
        let callers = inner.skip(1).filter(|frame| !frame.runtime);
        SubjectSide {
            operation: operation.unwrap_or_default(),
            function: place.function.clone(),
            file: place.file.clone(),
            line: place.line,
            callers: callers.map(|frame| frame.function.clone()).collect(),
        }
    }
}
