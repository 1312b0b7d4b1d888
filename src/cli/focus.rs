//! Where the scanner suspects something: hunt holds operations there from the start.

use super::suspects::Suspects;
use super::{output, scanned};
use crate::analyze::model::{Finding, StackFrame};
use crate::golang::Frame;
use crate::scan::tree::{Tree, TreeLine};
use std::collections::HashSet;
use std::path::Path;

/// The places of a scan's findings.
pub struct Focus {
    tree: Tree,
    places: HashSet<TreeLine>,
}

impl Focus {
    /// Takes the findings of a JSON report, or scans a tree. Hints count as well.
    ///
    /// # Errors
    /// When it can be neither read nor scanned.
    pub fn of(path: &Path) -> anyhow::Result<Focus> {
        Ok(Focus::new(&scanned::of(path, false)?.findings))
    }

    fn new(findings: &[Finding]) -> Focus {
        let frames = || findings.iter().flat_map(Finding::places);
        let tree = Tree::of_frames(frames());
        let places = frames().filter_map(|frame| tree.line_of(frame)).collect();
        Focus { tree, places }
    }

    /// Where the scanner suspects something, if a call with these frames (innermost first) is there.
    pub fn place(&self, frames: &[Frame]) -> Option<TreeLine> {
        let line_of = |frame: &Frame| {
            self.tree.line_of(&StackFrame {
                function: frame.function.clone(),
                file: frame.file.clone(),
                line: frame.line,
                inlined: false,
                runtime: false,
            })
        };
        frames
            .iter()
            .find_map(line_of)
            .filter(|line| self.places.contains(line))
    }

    /// Adds the places to those that a program hunts at, and says how many of them it has.
    ///
    /// # Errors
    /// When the suspects file or the executable cannot be read or written.
    pub fn hand_to(&self, suspects: &Suspects) -> anyhow::Result<()> {
        let found = suspects.focus(self)?;
        let all = self.places.len();
        output::note_line(&format!(
            "hunting at {found} of {all} places that the scanner suspects"
        ));
        Ok(())
    }
}
