//! From what the scanner found to findings of the common model, without what nobody wants to see.

use super::found::{Found, FoundSide};
use super::program::Program;
use super::{ScanOptions, Scanned};
use crate::analyze::model::{
    Certainty, Confidence, Evidence, EvidenceKind, Finding, Goroutine, Grade, Hex, MapIdentity,
    Moment, ScanArgument, ScanSide, Severity, Side, StackFrame,
};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Other places that are noted with a finding.
const MOST_OTHERS: usize = 50;

/// Adds what is wanted of it.
pub fn convert(
    program: &Program,
    mut found: Vec<Found>,
    options: &ScanOptions,
    scanned: &mut Scanned,
) {
    // The surest and shortest argument for a pair of places is the one to print.
    found.sort_by_key(|found| {
        (
            Reverse(found.confidence),
            found
                .sides
                .iter()
                .map(|side| side.stack.len())
                .sum::<usize>(),
        )
    });
    let mut seen: HashMap<_, Kept> = HashMap::new();
    for found in found {
        if options.disabled.iter().any(|id| id == found.rule.id)
            || !is_wanted(program, &found, options)
        {
            continue;
        }
        if let Some(kept) = seen.get(&key(&found)) {
            kept.add(&found, scanned);
            continue;
        }
        let key = key(&found);
        let kept = if is_ignored(program, &found) {
            scanned.ignored.push(finding(found));
            Kept::Ignored(scanned.ignored.len() - 1)
        } else if found.confidence < options.confidence {
            scanned.hidden += 1;
            Kept::Hidden
        } else {
            scanned.findings.push(finding(found));
            Kept::Shown(scanned.findings.len() - 1)
        };
        seen.insert(key, kept);
    }
}

/// Where the finding went that stands for a place.
enum Kept {
    Shown(usize),
    Ignored(usize),
    Hidden,
}

impl Kept {
    /// Notes another place that conflicts with the one that the finding stands for.
    fn add(&self, found: &Found, scanned: &mut Scanned) {
        let finding = match *self {
            Kept::Shown(index) => scanned.findings.get_mut(index),
            Kept::Ignored(index) => scanned.ignored.get_mut(index),
            Kept::Hidden => None,
        };
        let other = found.sides.get(1).and_then(|side| side.stack.first());
        let (Some(finding), Some(other)) = (finding, other) else {
            return;
        };
        let shown = finding.sides.iter().filter_map(|side| side.stack.first());
        let Some(scan) = &mut finding.scan else {
            return;
        };
        let mut known = shown.chain(&scan.also);
        let same = |frame: &StackFrame| (frame.line, &frame.file) == (other.line, &other.file);
        if scan.also.len() < MOST_OTHERS && !known.any(same) {
            scan.also.push(other.clone());
        }
    }
}

/// One place that is wrong is one finding, however many others it conflicts with.
fn key(found: &Found) -> (Vec<u32>, u32, String) {
    let first = found
        .sides
        .first()
        .map(|side| (side.place.file.0, side.place.span.line));
    let (file, line) = first.unwrap_or_default();
    (
        vec![file],
        line,
        found.map.rsplit('.').next().unwrap_or("").to_owned(),
    )
}

fn is_wanted(program: &Program, found: &Found, options: &ScanOptions) -> bool {
    let generated = |side: &FoundSide| program.file(side.place.file).generated;
    options.generated || !found.sides.iter().all(generated)
}

/// A comment in the line of a side, in the line before it, or before the function that it is in.
fn is_ignored(program: &Program, found: &Found) -> bool {
    found.sides.iter().any(|side| {
        let file = program.file(side.place.file);
        let line = side.place.span.line;
        let function = file.functions.iter().find(|function| {
            function.span.start <= side.place.span.start && side.place.span.end <= function.span.end
        });
        let first = function.map_or(0, |function| function.span.line);
        file.ignores.iter().any(|ignore| {
            [line, line.saturating_sub(1), first, first.saturating_sub(1)].contains(&ignore.line)
        })
    })
}

fn finding(found: Found) -> Finding {
    let side = |index: usize| found.sides.get(index).map_or_else(no_side, model_side);
    let sides = [side(0), side(1)];
    let scan_side = |side: &FoundSide| ScanSide {
        how: Cow::Borrowed(side.how),
        locks: side.locks.clone(),
        via: side.via.map(Cow::Borrowed),
    };
    let argument = ScanArgument {
        rule: Cow::Borrowed(found.rule.id),
        title: Cow::Borrowed(found.rule.title),
        severity: found.rule.severity,
        confidence: found.confidence,
        map: found.map,
        sides: found.sides.iter().map(scan_side).collect(),
        because: found.because,
        also: Vec::new(),
    };
    Finding {
        grade: Grade::Suspect,
        evidence: Evidence {
            kind: EvidenceKind::Source,
            summary: Cow::Borrowed(found.rule.id),
            statement: Cow::Borrowed(found.rule.title),
        },
        map: MapIdentity {
            address: None,
            made: None,
            instance: Hex(0),
            type_name: Some(found.map_type),
        },
        sides,
        pid: 0,
        fatal: false,
        count: 0,
        instances: 0,
        goroutines: 0,
        first: Moment {
            unix_ns: 0,
            since_start_ns: 0,
        },
        last: Moment {
            unix_ns: 0,
            since_start_ns: 0,
        },
        suspicion: None,
        allowed: None,
        scan: Some(argument),
        joined: None,
    }
}

fn model_side(side: &FoundSide) -> Side {
    Side {
        operation: side.operation,
        certainty: Certainty::Possible,
        goroutine: (!side.created.is_empty()).then(|| Goroutine {
            id: 0,
            parent: None,
            labels: std::collections::BTreeMap::new(),
            labels_left_out: 0,
            created_by: side.created.clone(),
            start: side.stack.last().map(|frame| frame.function.clone()),
        }),
        stack: side.stack.clone(),
        truncated: false,
        heat: None,
    }
}

fn no_side() -> Side {
    Side {
        operation: None,
        certainty: Certainty::Unknown,
        goroutine: None,
        stack: Vec::new(),
        truncated: false,
        heat: None,
    }
}

/// Worst and surest first, then by place.
pub fn order(finding: &Finding) -> (Reverse<Option<(Severity, Confidence)>>, String, u32) {
    let argument = finding
        .scan
        .as_ref()
        .map(|scan| (scan.severity, scan.confidence));
    let [first, _] = &finding.sides;
    let place = first
        .stack
        .first()
        .map(|frame| (frame.file.clone(), frame.line));
    let (file, line) = place.unwrap_or_default();
    (Reverse(argument), file, line)
}
