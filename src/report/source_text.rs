//! Findings of the scanner as text: the two goroutines as in the other findings, and the argument.

use super::ReportOptions;
use super::text::{FAINT, HEADING, RULE, SUSPICION, write_frames};
use super::wording::{Counted, capitalised, confidence_name, joined_line, severity_name};
use crate::analyze::model::{Finding, ScanArgument, ScanSide, Side, SourceSummary};
use std::io::{self, Write};

/// Writes one finding.
pub fn write(
    finding: &Finding,
    scan: &ScanArgument,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{RULE}")?;
    writeln!(
        out,
        "{SUSPICION}{}{SUSPICION:#} (in the source: {}, {}, confidence {})",
        headline(scan),
        scan.rule,
        severity_name(scan.severity),
        confidence_name(scan.confidence)
    )?;
    for (side, known) in finding.sides.iter().zip(&scan.sides) {
        write_side(side, known, options, out)?;
    }
    writeln!(out)?;
    let of_type = finding
        .map
        .type_name
        .as_ref()
        .map_or(String::new(), |name| format!(", a {name}"));
    writeln!(out, "{}{of_type}: {}.", scan.map, lower_first(&scan.title))?;
    for reason in &scan.because {
        writeln!(out, "{}.", capitalised(reason))?;
    }
    if let Some(line) = joined_line(finding) {
        writeln!(out, "{HEADING}{line}.{HEADING:#}")?;
    }
    writeln!(out, "{RULE}")
}

fn headline(scan: &ScanArgument) -> &'static str {
    if scan.sides.len() > 1 {
        "WARNING: CONCURRENT MAP ACCESS"
    } else {
        "WARNING: SYNCHRONISATION"
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

/// `Write by a http handler`.
pub fn deed(side: &Side, known: &ScanSide) -> String {
    let operation = side.operation.map_or("use", |operation| operation.noun());
    let by = match known.how.as_ref() {
        "caller" => "the caller's goroutine".to_owned(),
        "go" => "a goroutine".to_owned(),
        "callback" => "whoever calls the function literal".to_owned(),
        how => format!("a goroutine of {how}"),
    };
    let via = known
        .via
        .as_ref()
        .map_or(String::new(), |via| format!(", through {via}"));
    format!("{operation} by {by}{via}")
}

fn write_side(
    side: &Side,
    known: &ScanSide,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let locks = match &known.locks[..] {
        [] => "no lock held".to_owned(),
        locks => format!("holding {}", locks.join(", ")),
    };
    writeln!(
        out,
        "{HEADING}{}{HEADING:#} ({locks}):",
        capitalised(&deed(side, known))
    )?;
    write_frames(&side.stack, options, out)?;
    if let Some(goroutine) = &side.goroutine {
        writeln!(out, "  {FAINT}started at:{FAINT:#}")?;
        write_frames(&goroutine.created_by, options, out)?;
    }
    Ok(())
}

/// Writes what was scanned and found.
pub fn write_summary(source: &SourceSummary, found: usize, out: &mut dyn Write) -> io::Result<()> {
    let lines = Counted(source.lines, "line", "lines");
    match found {
        0 => writeln!(out, "Found nothing in {lines} of source."),
        found => writeln!(
            out,
            "Found {} in {lines} of source.",
            Counted(found as u64, "mistake", "mistakes")
        ),
    }
}
