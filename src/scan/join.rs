//! What ran laid over what the source says.
//!
//! A finding of a program that ran and one of its source are the same when they are about the same places: the
//! innermost call of each side that stands in a scanned file. Then the one that ran stays, with the scanner's
//! argument. A finding that only ran is told why the scanner does not show it; one that only the source shows,
//! what was recorded at its places, and it counts for less when they ran often without a collision.

use super::tree::{Known, Tree, TreeLine, Use};
use super::{Scanned, convert};
use crate::analyze::model::{
    Absence, Analysis, Confidence, Finding, Joined, Ran, Side, StackFrame,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Recorded operations at each of its places without a collision make a finding of the source less sure.
const MANY: u64 = 100;

/// Joins; of the findings that only the source shows, those of at least this confidence stay.
pub fn join(analysis: &mut Analysis, scanned: Scanned, least: Confidence) {
    analysis.source = Some(scanned.summary());
    let mut joining = Joining::new(scanned);
    for finding in &mut analysis.findings {
        joining.explain(finding);
    }
    for suspect in &mut analysis.suspects {
        joining.confirm(suspect);
    }
    let (likely, others) = std::mem::take(&mut analysis.suspects)
        .into_iter()
        .partition(|suspect| suspect.joined.is_some());
    analysis.suspects = others;
    analysis.findings.extend::<Vec<_>>(likely);
    let unseen = joining.unseen(analysis, least);
    analysis.findings.extend(unseen);
    // What is proven comes first; otherwise the order is that of above.
    analysis.findings.sort_by_key(|finding| finding.grade);
}

/// What the scanner found, while what ran is laid over it.
struct Joining {
    tree: Tree,
    stated: Vec<Stated>,
    ignored: Vec<Stated>,
    /// Places at which something was seen while it ran.
    touched: HashSet<TreeLine>,
}

impl Joining {
    fn new(scanned: Scanned) -> Joining {
        let tree = scanned.tree;
        let stated = |findings: Vec<Finding>| {
            let findings = findings.into_iter();
            findings
                .map(|finding| Stated::new(&tree, finding))
                .collect()
        };
        Joining {
            stated: stated(scanned.findings),
            ignored: stated(scanned.ignored),
            touched: HashSet::new(),
            tree,
        }
    }

    /// Notes with a finding what the source says of it, or why it says nothing.
    fn explain(&mut self, finding: &mut Finding) {
        let places = places_of(&self.tree, finding);
        self.touched.extend(places.iter().flatten());
        if !self.recognise(finding, &places) {
            finding.joined = Some(absent(&self.tree, &self.ignored, finding, &places));
        }
    }

    /// Notes with a suspect what the source says of it, if it does.
    fn confirm(&mut self, suspect: &mut Finding) {
        let places = places_of(&self.tree, suspect);
        if self.recognise(suspect, &places) {
            self.touched.extend(places.iter().flatten());
        }
    }

    fn recognise(&mut self, finding: &mut Finding, places: &Places) -> bool {
        let Some(known) = find(&mut self.stated, places) else {
            return false;
        };
        finding.scan = known.finding.scan.clone();
        finding.joined = Some(Joined::Both);
        true
    }

    /// What only the source shows, the likeliest first, with what was recorded there.
    fn unseen(self, analysis: &Analysis, least: Confidence) -> Vec<Finding> {
        let recorded = Recorded::new(&self.tree, analysis);
        let stated = self.stated.into_iter();
        let mut unseen: Vec<Finding> = stated
            .filter(|stated| !stated.seen && stated.confidence() >= least)
            .map(|stated| recorded.note(stated, &self.touched))
            .collect();
        unseen.sort_by_key(|finding| (is_ranked_down(finding), convert::order(finding)));
        unseen
    }
}

/// A finding of the source, and where it is.
struct Stated {
    finding: Finding,
    /// The place that it stands for.
    head: Option<TreeLine>,
    /// Those of its sides.
    sides: BTreeSet<TreeLine>,
    /// These, and others that conflict with the first of them.
    places: HashSet<TreeLine>,
    /// Something that ran is about the same.
    seen: bool,
}

impl Stated {
    fn new(tree: &Tree, finding: Finding) -> Stated {
        let line_of = |frame: &StackFrame| tree.line_of(frame);
        let firsts = finding.sides.iter().map(|side| side.stack.first());
        let lines: Vec<_> = firsts.map(|first| first.and_then(line_of)).collect();
        let sides: BTreeSet<TreeLine> = lines.iter().flatten().copied().collect();
        Stated {
            head: lines.first().copied().flatten(),
            places: finding.places().filter_map(line_of).collect(),
            sides,
            finding,
            seen: false,
        }
    }

    fn confidence(&self) -> Confidence {
        let scan = self.finding.scan.as_ref();
        scan.map_or(Confidence::Low, |scan| scan.confidence)
    }

    /// Whether the places of something that ran are this finding's, and how well. Places that conflict with
    /// the one that it stands for need not conflict with each other.
    fn fits(&self, places: &Places) -> Option<(bool, Confidence)> {
        let ran: BTreeSet<TreeLine> = places.iter().flatten().copied().collect();
        let is_known = !ran.is_empty() && ran.iter().all(|place| self.places.contains(place));
        let is_its_pair = ran == self.sides;
        let is_half = places.contains(&None) && ran.is_subset(&self.sides);
        let has_head = self.head.is_some_and(|head| ran.contains(&head));
        let fits = is_known && (is_its_pair || is_half || has_head);
        fits.then(|| (is_its_pair, self.confidence()))
    }
}

/// Where the two sides of something that ran are, where that is in the tree.
type Places = [Option<TreeLine>; 2];

fn places_of(tree: &Tree, finding: &Finding) -> Places {
    let line = |side: &Side| tree.innermost(&side.stack).map(|(line, _)| line);
    finding.sides.each_ref().map(line)
}

/// The finding of the source that is about these places; the best one.
fn find<'s>(stated: &'s mut [Stated], places: &Places) -> Option<&'s Stated> {
    let mut best = None;
    for one in stated.iter_mut() {
        let Some(fit) = one.fits(places) else {
            continue;
        };
        one.seen = true;
        if best.as_ref().is_none_or(|(known, _)| fit > *known) {
            best = Some((fit, &*one));
        }
    }
    best.map(|(_, one)| one)
}

/// Why the source shows nothing at these places.
fn absent(tree: &Tree, ignored: &[Stated], finding: &Finding, places: &Places) -> Joined {
    let (reason, because) = if ignored.iter().any(|one| one.fits(places).is_some()) {
        let because = "a //gocc:ignore in the source silences it".to_owned();
        (Absence::Ignored, because)
    } else if tree.is_of_report() {
        let because = "its report has nothing about these places (with the tree in place of the report \
                       it is known why)";
        (Absence::NotReported, because.to_owned())
    } else {
        why(tree, finding, places)
    };
    Joined::Runtime { reason, because }
}

fn why(tree: &Tree, finding: &Finding, places: &Places) -> (Absence, String) {
    let mut uses = Vec::new();
    for (side, place) in finding.sides.iter().zip(places) {
        let known = place.map_or(Known::OutsideTree, |place| tree.known(place));
        match known {
            Known::Uses(known) => uses.push(known),
            // Nothing was recorded about this goroutine; the other one is what there is.
            Known::OutsideTree if side.stack.is_empty() => {}
            other => return why_at(tree, side, &other),
        }
    }
    let ([first, .., second] | [first @ second]) = uses[..] else {
        let because = "nothing is known of where it happened".to_owned();
        return (Absence::NoPlace, because);
    };
    why_not_paired(first, second)
}

fn why_at(tree: &Tree, side: &Side, known: &Known<'_>) -> (Absence, String) {
    let at = match tree.innermost(&side.stack) {
        Some((_, frame)) => Some(frame),
        None => side.stack.iter().find(|frame| !frame.runtime),
    };
    let place = at.filter(|frame| !frame.file.is_empty());
    let place = place.map(|frame| format!("{}:{}", frame.file, frame.line));
    let Some(place) = place else {
        let because = "no file and line are known of one of the sides".to_owned();
        return (Absence::NoPlace, because);
    };
    let library = innermost_outside(tree, side);
    match (known, library) {
        (Known::OutsideTree, _) => (
            Absence::OutsideTree,
            format!("{place} is outside of what was scanned"),
        ),
        (Known::SyntaxErrors, _) => (
            Absence::SyntaxErrors,
            format!("the file of {place} has syntax errors"),
        ),
        (Known::NotFollowed(function), _) => (
            Absence::NotFollowed,
            format!("nothing that it follows leads to {function} ({place})"),
        ),
        (Known::TooLarge(function), _) => (
            Absence::TooLarge,
            format!("what leads to {function} ({place}) is too large to be followed to its end"),
        ),
        (_, Some(function)) => (
            Absence::OutsideTree,
            format!("{place} calls {function}, which is outside of what was scanned"),
        ),
        (_, None) => (
            Absence::NoOperation,
            format!("it sees no map operation in {place}; was the program built from this source?"),
        ),
    }
}

/// The function outside of the tree that a call in the tree led to.
fn innermost_outside<'s>(tree: &Tree, side: &'s Side) -> Option<&'s str> {
    let first = side.stack.iter().find(|frame| !frame.runtime)?;
    (tree.line_of(first).is_none()).then_some(first.function.as_str())
}

fn why_not_paired(first: &BTreeSet<Use>, second: &BTreeSet<Use>) -> (Absence, String) {
    let common = |a: &Use, b: &Use| a.locks.iter().find(|lock| b.locks.contains(lock)).cloned();
    let pairs = || {
        first
            .iter()
            .flat_map(|a| second.iter().map(move |b| (a, b)))
    };
    let locks: Vec<Option<String>> = pairs().map(|(a, b)| common(a, b)).collect();
    if let Some(Some(lock)) = locks.first()
        && locks.iter().all(Option::is_some)
    {
        let because = format!("as far as it sees, both hold {lock}");
        return (Absence::CommonLock, because);
    }
    let (map, rule) = first.first().map_or(("the map", "map-captured"), |one| {
        (one.map.as_str(), one.rule)
    });
    let because = format!(
        "it knows both operations, but sees no two goroutines with {map} in common (rule {rule})"
    );
    (Absence::NotPaired, because)
}

/// What was recorded, by place.
struct Recorded {
    by_place: HashMap<TreeLine, (u64, HashSet<(u32, u64)>)>,
}

impl Recorded {
    fn new(tree: &Tree, analysis: &Analysis) -> Recorded {
        let mut by_place: HashMap<TreeLine, (u64, HashSet<(u32, u64)>)> = HashMap::new();
        for recorded in &analysis.operations {
            if let Some((line, _)) = tree.innermost(&recorded.stack) {
                let (count, goroutines) = by_place.entry(line).or_default();
                *count = count.saturating_add(recorded.count);
                goroutines.extend(&recorded.goroutines);
            }
        }
        Recorded { by_place }
    }

    /// The finding with what ran at its places. `touched` are places at which something was seen after all.
    fn note(&self, stated: Stated, touched: &HashSet<TreeLine>) -> Finding {
        let at = |place: &TreeLine| self.by_place.get(place);
        let ran: Vec<_> = stated.sides.iter().filter_map(at).collect();
        let goroutines: HashSet<_> = ran.iter().flat_map(|(_, who)| who).collect();
        let often = ran.iter().all(|(count, _)| *count >= MANY);
        let is_whole = ran.len() == stated.sides.len() && !ran.is_empty();
        let is_touched = stated.places.iter().any(|place| touched.contains(place));
        let ranked_down = is_whole && often && goroutines.len() > 1 && !is_touched;
        let mut finding = stated.finding;
        if ranked_down && let Some(scan) = &mut finding.scan {
            scan.confidence = match scan.confidence {
                Confidence::High => Confidence::Medium,
                Confidence::Medium | Confidence::Low => Confidence::Low,
            };
        }
        finding.joined = Some(Joined::Source {
            ran: Ran {
                operations: ran.iter().map(|(count, _)| count).sum(),
                goroutines: goroutines.len() as u64,
                // At most two.
                places: ran.len() as u32,
                of_places: stated.sides.len() as u32,
                ranked_down,
            },
        });
        finding
    }
}

fn is_ranked_down(finding: &Finding) -> bool {
    matches!(&finding.joined, Some(Joined::Source { ran }) if ran.ranked_down)
}
