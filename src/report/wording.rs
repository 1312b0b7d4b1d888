//! Sentences that several formats share.

use crate::analyze::frames;
use crate::analyze::model::{
    Certainty, Confidence, Finding, Goroutine, Grade, Joined, MapIdentity, ProfileSummary, Ran,
    ScanArgument, Severity, Side, StackFrame, Suspicion,
};
use crate::ring::Operation;
use std::fmt;

/// `main goroutine`, `goroutine 7`. The main goroutine has number 1 in every Go program.
pub fn name_of(goroutine: &Goroutine) -> String {
    if goroutine.id == 1 {
        "main goroutine".to_owned()
    } else {
        format!("goroutine {}", goroutine.id)
    }
}

/// `write by goroutine 7`.
pub fn deed(side: &Side) -> String {
    let operation = side.operation.map_or("operation", Operation::noun);
    match &side.goroutine {
        // The source has goroutines, but no numbers for them.
        Some(_) if side.certainty == Certainty::Possible => format!("{operation} by a goroutine"),
        None if side.certainty == Certainty::Possible => format!("{operation} by the caller"),
        Some(goroutine) => format!("{operation} by {}", name_of(goroutine)),
        None => format!("{operation} by an unknown goroutine"),
    }
}

/// How a side is known, unless it was seen in the operation itself.
pub fn side_note(side: &Side) -> Option<&'static str> {
    let writes = side.operation.is_some_and(Operation::writes);
    match (side.certainty, writes) {
        (Certainty::Held, _) => Some("held at the door"),
        (Certainty::JustLeft, _) => Some("it had just left the operation"),
        (Certainty::Latest, true) => Some("the last one known to have written to the map"),
        (Certainty::Latest, false) => Some("the last one known to have used the map"),
        _ => None,
    }
}

/// Where a side's operation stands in the source.
pub fn place(side: &Side) -> Option<&StackFrame> {
    frames::innermost_user(&side.stack)
}

/// `main.(*Cache).Put (cache.go:41)`.
pub fn place_name(side: &Side) -> String {
    match place(side) {
        Some(frame) if frame.file.is_empty() => frame.function.clone(),
        Some(frame) => format!(
            "{} ({}:{})",
            frame.function,
            file_name(&frame.file),
            frame.line
        ),
        None => "an unknown place".to_owned(),
    }
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The whole finding in a sentence, without a full stop.
pub fn sentence(finding: &Finding) -> String {
    let [noticed, found] = &finding.sides;
    if let Some(scan) = &finding.scan
        && finding.is_of_source()
    {
        let (map, rule) = (&scan.map, &scan.rule);
        return format!("{map} in {}, {rule}: {}", place_name(noticed), scan.title);
    }
    let map = finding
        .map
        .type_name
        .as_ref()
        .map_or_else(|| "one map".to_owned(), |name| format!("one {name}"));
    format!(
        "{} and {} on {map} without synchronisation",
        capitalised(&deed_in_place(noticed)),
        deed_in_place(found),
    )
}

/// `write by goroutine 7 in main.(*Cache).Put (cache.go:41)`.
fn deed_in_place(side: &Side) -> String {
    match place(side) {
        Some(_) => format!("{} in {}", deed(side), place_name(side)),
        None => deed(side),
    }
}

/// `confirmed` or `suspect`.
pub fn grade_name(grade: Grade) -> &'static str {
    match grade {
        Grade::Confirmed => "confirmed",
        Grade::Suspect => "suspect",
    }
}

/// With a capital letter.
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// What makes a suspect suspect.
pub fn suspicion_line(why: &Suspicion) -> String {
    let gap = match why.gap_ns / 1000 {
        0 => "less than a microsecond".to_owned(),
        us => format!("{us} microseconds"),
    };
    let (score, turns, common) = (why.score, why.alternations, 100.0 * why.similarity);
    let hunted = match 100.0 * why.untried {
        left if left < 100.0 => {
            format!("; hunting held operations there in vain, which leaves {left:.0}% of the score")
        }
        _ => String::new(),
    };
    format!(
        "Score {score:.2} of 1: {gap} apart at the closest, took turns {turns} times, {common:.0}% of the \
         functions in common{hunted}"
    )
}

/// `note`, `warning`, `error`.
pub fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// `low`, `medium`, `high`.
pub fn confidence_name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    }
}

/// What the other mode says of a finding, in a sentence without a full stop.
pub fn joined_line(finding: &Finding) -> Option<String> {
    Some(match (finding.joined.as_ref()?, &finding.scan) {
        (Joined::Both, Some(scan)) => format!("The source shows it too: {}", argument(scan)),
        (Joined::Both, None) => "The source shows it too".to_owned(),
        (Joined::Runtime { because, .. }, _) => format!("The scanner does not show it: {because}"),
        (Joined::Source { ran }, _) => ran_line(ran),
    })
}

fn argument(scan: &ScanArgument) -> String {
    let because = match scan.because.first() {
        Some(reason) => format!("; {reason}"),
        None => String::new(),
    };
    format!(
        "{} ({}, confidence {}), {}{because}",
        scan.rule,
        severity_name(scan.severity),
        confidence_name(scan.confidence),
        scan.map
    )
}

fn ran_line(ran: &Ran) -> String {
    let operations = Counted(ran.operations, "operation", "operations");
    let goroutines = Counted(ran.goroutines, "goroutine", "goroutines");
    let recorded = format!("Recorded there while it ran: {operations} by {goroutines}");
    match (ran.places, ran.ranked_down) {
        (0, _) => "Nothing was recorded there while it ran".to_owned(),
        (_, true) => format!("{recorded}, no two at once; it is ranked down"),
        (places, false) if places < ran.of_places => {
            format!("{recorded}, all at one of its two places")
        }
        (_, false) => format!("{recorded}, no two at once"),
    }
}

/// `2 maps`, `1 map`.
pub struct Counted<'a>(pub u64, pub &'a str, pub &'a str);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.0,
            if self.0 == 1 { self.1 } else { self.2 }
        )
    }
}

/// How hot a side's place is, by the profile that was laid over.
pub fn heat_line(side: &Side, profile: Option<&ProfileSummary>) -> Option<String> {
    let (heat, profile) = (side.heat?, profile?);
    let kind = if profile.kind.is_empty() {
        "profile".to_owned()
    } else {
        format!("{} profile", profile.kind)
    };
    let (function, line) = (100.0 * heat.function, 100.0 * heat.line);
    Some(format!(
        "{function:.1}% of the {kind} runs through this function, {line:.1}% through this line"
    ))
}

/// Where a map was made, without a full stop.
pub fn making_line(map: &MapIdentity) -> String {
    let Some(making) = &map.made else {
        return "Where the map was made is not known".to_owned();
    };
    let by = match making.goroutine {
        1 => "the main goroutine".to_owned(),
        id => format!("goroutine {id}"),
    };
    match frames::innermost_user(&making.stack) {
        Some(frame) if frame.file.is_empty() => format!("Map made in {} by {by}", frame.function),
        Some(frame) => {
            let (function, file, line) = (&frame.function, &frame.file, frame.line);
            format!("Map made at {file}:{line} in {function} by {by}")
        }
        None => format!("Map made by {by}"),
    }
}

/// `trace_id=4bf9, span_id=00f0`; nothing when there are none.
pub fn labels_line(goroutine: &Goroutine) -> Option<String> {
    let mut parts: Vec<String> = goroutine
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if goroutine.labels_left_out > 0 {
        parts.push(format!("({} not recorded)", goroutine.labels_left_out));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
