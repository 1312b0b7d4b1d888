//! Where the scanner suspects something: hunt holds operations there from the start.

use super::suspects::Suspects;
use super::{output, scanned};
use crate::analyze::model::Finding;
use crate::golang::Frame;
use crate::patch::Mode;
use crate::scan::tree::{Tree, TreeLine};
use anyhow::bail;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Hunting where the scanner suspects something.
#[derive(clap::Args)]
pub struct FocusArgs {
    /// Hunt first where gocc scan finds mistakes
    ///
    /// In this tree (default: .), or in the JSON report that it wrote. The mode is hunt then.
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "."
    )]
    pub focus: Option<PathBuf>,
}

impl FocusArgs {
    /// # Errors
    /// When another mode is asked for.
    pub fn check(&self, mode: Option<Mode>) -> anyhow::Result<()> {
        if self.focus.is_some() && mode.is_some_and(|mode| mode != Mode::Hunt) {
            bail!("--focus is for mode hunt (leave --mode out)");
        }
        Ok(())
    }
}

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
        let tree = &self.tree;
        let line_of = |frame: &Frame| tree.line_at(&frame.function, &frame.file, frame.line);
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
