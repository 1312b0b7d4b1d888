//! Operations and conflicts by stack: as folded stacks (`outer;inner;[assign] 7`, the format of
//! Brendan Gregg's flamegraph.pl) and as a flame graph.
//!
//! The innermost element of each stack is the operation in brackets. Frames of Go's runtime are left
//! out unless they are asked for.

use super::{Counting, ReportOptions};
use crate::analyze::frames;
use crate::analyze::model::{Analysis, StackFrame};
use crate::profile::Overlay;
use crate::ring::Operation;
use inferno::flamegraph::color::{Color, PaletteMap};
use inferno::flamegraph::{self, Palette};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Frames that stand in a confirmed or suspected conflict.
const CONFLICTING: Color = Color {
    r: 225,
    g: 60,
    b: 50,
};
/// Frames that the scanner flagged, and in which nobody collided.
const FLAGGED: Color = Color {
    r: 160,
    g: 95,
    b: 205,
};
/// All others.
const OTHER: Color = Color {
    r: 150,
    g: 190,
    b: 215,
};
/// Stands below the outermost recorded call of a stack that goes on.
const UNRECORDED: &str = "(callers not recorded)";

/// Counts by stack, each from its outermost element to the operation.
pub struct Flames {
    /// What is counted.
    pub counting: Counting,
    /// Stacks without an element are never in it.
    pub stacks: BTreeMap<Vec<String>, u64>,
}

impl Flames {
    /// Counts what the options ask for: a profile or operations, where there are any, else conflicts.
    pub fn new(analysis: &Analysis, options: &ReportOptions) -> Flames {
        let default = if analysis.profile.is_some() {
            Counting::Profile
        } else if analysis.operations.is_empty() {
            Counting::Conflicts
        } else {
            Counting::Operations
        };
        let counting = options.counting.unwrap_or(default);
        let mut flames = Flames {
            counting,
            stacks: BTreeMap::new(),
        };
        match counting {
            Counting::Operations => flames.add_operations(analysis, options.all_frames),
            Counting::Conflicts => flames.add_conflicts(analysis, options.all_frames),
            Counting::Profile => flames.add_profile(&analysis.overlay),
        }
        flames
    }

    fn add_operations(&mut self, analysis: &Analysis, all_frames: bool) {
        for recorded in &analysis.operations {
            let elements = elements(&recorded.stack, recorded.truncated, all_frames);
            self.add(elements, Some(recorded.operation), recorded.count);
        }
    }

    fn add_conflicts(&mut self, analysis: &Analysis, all_frames: bool) {
        for finding in &analysis.findings {
            for side in finding.sides.iter().filter(|side| !side.stack.is_empty()) {
                let elements = elements(&side.stack, side.truncated, all_frames);
                self.add(elements, side.operation, finding.count);
            }
        }
    }

    fn add_profile(&mut self, overlay: &Overlay) {
        for (stack, value) in &overlay.stacks {
            let elements = stack.iter().rev().map(|call| element(&call.function));
            let total = self.stacks.entry(elements.collect()).or_default();
            *total = total.saturating_add(*value);
        }
    }

    fn add(&mut self, mut elements: Vec<String>, operation: Option<Operation>, count: u64) {
        let operation = operation.map_or("unknown", Operation::name);
        elements.push(format!("[{operation}]"));
        let total = self.stacks.entry(elements).or_default();
        *total = total.saturating_add(count);
    }

    fn lines(&self) -> Vec<String> {
        let line =
            |(elements, count): (&Vec<String>, &u64)| format!("{} {count}", elements.join(";"));
        self.stacks.iter().map(line).collect()
    }
}

/// Why a function stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Goroutines collided in it.
    Collided,
    /// The scanner says that its source is wrong.
    Flagged,
}

/// The functions in which the sides of findings stand.
pub struct Marked<'a> {
    collided: BTreeSet<&'a str>,
    flagged: BTreeSet<&'a str>,
}

impl<'a> Marked<'a> {
    /// Those of an analysis.
    pub fn new(analysis: &'a Analysis) -> Marked<'a> {
        let of = |is_of_source: bool| {
            let all = analysis.findings.iter();
            all.filter(move |finding| finding.is_of_source() == is_of_source)
                .flat_map(|finding| &finding.sides)
                .filter_map(|side| frames::innermost_user(&side.stack))
                .map(|frame| frame.function.as_str())
                .collect()
        };
        Marked {
            collided: of(false),
            flagged: of(true),
        }
    }

    /// Why a function stands out, if it does.
    pub fn of(&self, function: &str) -> Option<Mark> {
        if self.collided.contains(function) {
            Some(Mark::Collided)
        } else if self.flagged.contains(function) {
            Some(Mark::Flagged)
        } else {
            None
        }
    }

    /// What the colours mean.
    pub fn legend(&self) -> &'static str {
        if self.flagged.is_empty() {
            "red: functions in which goroutines collided"
        } else {
            "red: functions in which goroutines collided; violet: functions that the scanner flagged"
        }
    }
}

/// A stack's functions, outermost first.
fn elements(stack: &[StackFrame], truncated: bool, all_frames: bool) -> Vec<String> {
    let unrecorded = truncated.then(|| UNRECORDED.to_owned());
    let shown = stack
        .iter()
        .rev()
        .filter(|frame| all_frames || !frame.runtime)
        .map(|frame| element(&frame.function));
    unrecorded.into_iter().chain(shown).collect()
}

/// A name that cannot be taken for two, nor for a line's end.
fn element(function: &str) -> String {
    let plain = |c: char| if c == ';' || c.is_control() { ':' } else { c };
    function.chars().map(plain).collect()
}

/// Writes a line for each stack.
pub fn write_folded(
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let flames = Flames::new(analysis, options);
    flames
        .lines()
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
}

/// Draws them. Functions in which goroutines collided are red, those that the scanner flagged violet.
pub fn write_svg(
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let flames = Flames::new(analysis, options);
    let marked = Marked::new(analysis);
    let colours = colours(&flames, &marked);
    // The map's type has a constructor for files only.
    let mut palette =
        PaletteMap::from_reader(&mut io::Cursor::new(colours)).map_err(io::Error::other)?;
    let mut style = flamegraph::Options::default();
    style.title = title(flames.counting, analysis);
    style.count_name = unit(flames.counting, analysis);
    style.subtitle = Some(marked.legend().to_owned());
    style.colors = Palette::default();
    style.palette_map = Some(&mut palette);
    let lines = flames.lines();
    if lines.is_empty() {
        return write_empty(&style.title, out);
    }
    flamegraph::from_lines(&mut style, lines.iter().map(String::as_str), out)
        .map_err(io::Error::other)
}

/// What a flame graph shows.
pub fn title(counting: Counting, analysis: &Analysis) -> String {
    match (counting, &analysis.profile) {
        (Counting::Operations, _) => "Map operations by stack".to_owned(),
        (Counting::Conflicts, _) => "Conflicts by stack".to_owned(),
        (Counting::Profile, Some(profile)) if !profile.kind.is_empty() => {
            format!("Profile by stack: {}", profile.kind)
        }
        (Counting::Profile, _) => "Profile by stack".to_owned(),
    }
}

/// What its numbers are.
pub fn unit(counting: Counting, analysis: &Analysis) -> String {
    match (counting, &analysis.profile) {
        (Counting::Operations, _) => "operations".to_owned(),
        (Counting::Conflicts, _) => "sides of conflicts".to_owned(),
        (Counting::Profile, Some(profile)) if profile.unit != "count" => profile.unit.clone(),
        (Counting::Profile, _) => "samples".to_owned(),
    }
}

/// A colour for each element, in the form that inferno reads.
fn colours(flames: &Flames, marked: &Marked<'_>) -> String {
    let mut all: BTreeSet<&str> = flames.stacks.keys().flatten().map(String::as_str).collect();
    // What inferno puts below everything.
    all.insert("all");
    let line = |name: &str| {
        let Color { r, g, b } = match marked.of(name) {
            Some(Mark::Collided) => CONFLICTING,
            Some(Mark::Flagged) => FLAGGED,
            None => OTHER,
        };
        format!("{name}->rgb({r},{g},{b})\n")
    };
    all.into_iter().map(line).collect()
}

/// A picture of nothing is still a picture.
fn write_empty(title: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\" height=\"60\"><text x=\"20\" y=\"35\" \
         font-family=\"sans-serif\" font-size=\"14\">{title}: none were recorded.</text></svg>"
    )
}
