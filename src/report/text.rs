//! The report as text, in the layout that Go's race detector has taught people to read.

use super::ReportOptions;
use super::source_text;
use super::wording::{
    Counted, capitalised, deed, grade_name, heat_line, joined_line, labels_line, making_line,
    name_of, sentence, side_note, suspicion_line,
};
use crate::analyze::model::{
    Analysis, EvidenceKind, Finding, Goroutine, Grade, Losses, MapIdentity, Side, StackFrame,
};
use anstyle::{AnsiColor, Style};
use std::fmt;
use std::io::{self, Write};

pub(super) const RULE: &str = "==================";
const WARNING: Style = AnsiColor::Red.on_default().bold();
pub(super) const SUSPICION: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const HEADING: Style = Style::new().bold();
const PLACE: Style = AnsiColor::Cyan.on_default();
pub(super) const FAINT: Style = Style::new().dimmed();

/// Writes all findings, then what is known to be missing.
pub fn write(analysis: &Analysis, options: &ReportOptions, out: &mut dyn Write) -> io::Result<()> {
    let suspects = analysis.suspects.iter().filter(|_| options.suspects);
    let (allowed, shown): (Vec<&Finding>, Vec<&Finding>) = analysis
        .findings
        .iter()
        .chain(suspects)
        .partition(|finding| finding.allowed.is_some());
    for finding in shown {
        write_finding(finding, analysis, options, out)?;
    }
    for finding in allowed {
        write_allowed(finding, out)?;
    }
    write_problems(analysis, out)?;
    write_losses(&analysis.lost, out)?;
    write_summary(analysis, out)?;
    write_suspects_summary(analysis, options, out)
}

fn write_finding(
    finding: &Finding,
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if let Some(scan) = &finding.scan
        && finding.is_of_source()
    {
        return source_text::write(finding, scan, options, out);
    }
    writeln!(out, "{RULE}")?;
    write_headline(finding, out)?;
    let [noticed, found] = &finding.sides;
    write_side("", noticed, options, out)?;
    write_heat(noticed, analysis, out)?;
    writeln!(out)?;
    write_side("previous ", found, options, out)?;
    write_heat(found, analysis, out)?;
    let mut shown = None;
    for goroutine in finding
        .sides
        .iter()
        .filter_map(|side| side.goroutine.as_ref())
    {
        if shown != Some(goroutine.id) {
            write_origin(goroutine, options, out)?;
        }
        shown = Some(goroutine.id);
    }
    writeln!(out)?;
    write_details(finding, out)?;
    writeln!(out, "{RULE}")
}

/// A line: it was looked at, and somebody said why it may be.
fn write_allowed(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let Some(allowed) = &finding.allowed else {
        return Ok(());
    };
    let sentence = sentence(finding);
    let until = allowed.until.as_ref();
    let until = until.map_or(String::new(), |day| format!(", until {day}"));
    writeln!(
        out,
        "{HEADING}Allowed:{HEADING:#} {} ({}: {}{until})",
        Printable(&sentence),
        Printable(&allowed.at),
        Printable(&allowed.reason)
    )
}

fn write_headline(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let style = match finding.grade {
        Grade::Confirmed => WARNING,
        Grade::Suspect => SUSPICION,
    };
    let grade = grade_name(finding.grade);
    let summary = &finding.evidence.summary;
    writeln!(
        out,
        "{style}WARNING: CONCURRENT MAP ACCESS{style:#} ({grade}: {summary})"
    )
}

fn write_side(
    previous: &str,
    side: &Side,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let heading = capitalised(&format!("{previous}{}", deed(side)));
    if side.goroutine.is_none() {
        return writeln!(
            out,
            "{HEADING}{heading}{HEADING:#} (nothing was recorded about it)"
        );
    }
    let note = side_note(side).map_or(String::new(), |note| format!(" ({note})"));
    writeln!(out, "{HEADING}{heading}{HEADING:#}{note}:")?;
    if let Some(labels) = side.goroutine.as_ref().and_then(labels_line) {
        writeln!(out, "  {FAINT}labels: {}{FAINT:#}", Printable(&labels))?;
    }
    write_frames(&side.stack, options, out)?;
    if side.truncated {
        writeln!(out, "  {FAINT}(further callers were not recorded){FAINT:#}")?;
    }
    Ok(())
}

fn write_heat(side: &Side, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    match heat_line(side, analysis.profile.as_ref()) {
        Some(line) => writeln!(out, "  {HEADING}Profile:{HEADING:#} {}", Printable(&line)),
        None => Ok(()),
    }
}

fn write_origin(
    goroutine: &Goroutine,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if goroutine.created_by.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{HEADING}{} created at:{HEADING:#}",
        capitalised(&name_of(goroutine))
    )?;
    write_frames(&goroutine.created_by, options, out)
}

pub(super) fn write_frames(
    frames: &[StackFrame],
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    for frame in frames
        .iter()
        .filter(|frame| options.all_frames || !frame.runtime)
    {
        writeln!(out, "  {}()", Printable(&frame.function))?;
        if !frame.file.is_empty() {
            writeln!(
                out,
                "      {PLACE}{}:{}{PLACE:#}",
                Printable(&frame.file),
                frame.line
            )?;
        }
    }
    Ok(())
}

fn write_details(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}, in process {}.",
        MapLine(&finding.map),
        finding.pid
    )?;
    writeln!(out, "{}.", Printable(&making_line(&finding.map)))?;
    writeln!(out, "{}.", capitalised(&finding.evidence.statement))?;
    if finding.fatal && finding.evidence.kind != EvidenceKind::RuntimeFatal {
        writeln!(out, "The Go runtime then stopped the program.")?;
    }
    if let Some(suspicion) = &finding.suspicion {
        writeln!(out, "{}.", suspicion_line(suspicion))?;
    }
    if let Some(line) = joined_line(finding) {
        writeln!(out, "{HEADING}{}.{HEADING:#}", Printable(&line))?;
    }
    let first = Seconds(finding.first.since_start_ns);
    if finding.count == 1 {
        return writeln!(out, "Seen once, {first} after the start.");
    }
    let span = Seconds(finding.last.unix_ns.saturating_sub(finding.first.unix_ns));
    let maps = Counted(finding.instances as u64, "map", "maps");
    let goroutines = Counted(finding.goroutines as u64, "goroutine", "goroutines");
    let count = finding.count;
    writeln!(
        out,
        "Seen {count} times within {span} ({maps}, {goroutines}), first {first} after the start."
    )
}

fn write_problems(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let mut shown: Vec<&str> = Vec::new();
    for problem in analysis.rings.iter().flat_map(|ring| &ring.problems) {
        if !shown.contains(&problem.as_str()) {
            writeln!(out, "Note: {}", Printable(problem))?;
            shown.push(problem);
        }
    }
    Ok(())
}

fn write_losses(lost: &Losses, out: &mut dyn Write) -> io::Result<()> {
    let lines = loss_lines(lost);
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "Lost: {line}."))
}

/// What is missing: `3 records make no sense`.
pub fn loss_lines(lost: &Losses) -> Vec<String> {
    let all = [
        (
            lost.conflicts_torn,
            "conflict record was begun and not completed",
            "conflict records were begun and not completed",
        ),
        (
            lost.conflicts_dropped,
            "conflict found no room in the ring",
            "conflicts found no room in the ring",
        ),
        (
            lost.overwritten,
            "recorded operation was overwritten by newer ones",
            "recorded operations were overwritten by newer ones",
        ),
        (
            lost.dropped_no_lane,
            "operation had no lane to go to",
            "operations had no lane to go to",
        ),
        (
            lost.dropped_no_p,
            "operation came from a thread without a P",
            "operations came from threads without a P",
        ),
        (
            lost.left_out,
            "operation at a busy place was left out to keep hunt's budget",
            "operations at busy places were left out to keep hunt's budget",
        ),
        (
            lost.damaged_lanes,
            "lane could not be read",
            "lanes could not be read",
        ),
        (
            lost.damaged_records,
            "record makes no sense",
            "records make no sense",
        ),
    ];
    all.into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| Counted(count, one, many).to_string())
        .collect()
}

fn write_summary(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    if let Some(source) = &analysis.source {
        let in_source = analysis
            .findings
            .iter()
            .filter(|finding| finding.scan.is_some() && finding.allowed.is_none());
        source_text::write_summary(source, in_source.count(), out)?;
        if analysis.rings.is_empty() {
            return Ok(());
        }
    }
    let processes = Counted(analysis.rings.len() as u64, "process", "processes");
    let failing = || {
        let all = analysis.findings.iter();
        all.filter(|finding| finding.allowed.is_none() && !finding.is_of_source())
    };
    let is_confirmed = |finding: &&Finding| finding.grade == Grade::Confirmed;
    let (found, confirmed) = (failing().count(), failing().filter(is_confirmed).count());
    let ran = analysis.findings.iter();
    let ran = ran.filter(|finding| !finding.is_of_source()).count();
    let allowed = ran - found;
    let besides = match allowed {
        0 => String::new(),
        more => format!(" besides {more} allowed"),
    };
    if found == 0 {
        return writeln!(
            out,
            "Found no concurrent map access in {processes}{besides}."
        );
    }
    let accesses = Counted(
        found as u64,
        "concurrent map access",
        "concurrent map accesses",
    );
    match found - confirmed {
        0 => writeln!(
            out,
            "Found {accesses} in {processes}{besides}: all confirmed."
        ),
        suspects => writeln!(
            out,
            "Found {accesses} in {processes}{besides}: {confirmed} confirmed, {}.",
            Counted(suspects as u64, "suspect", "suspects")
        ),
    }
}

fn write_suspects_summary(
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let listed = analysis.suspects.len() as u64;
    let all = listed.saturating_add(analysis.suspects_unlisted);
    if all == 0 {
        return Ok(());
    }
    let suspects = Counted(all, "suspect", "suspects");
    match (options.suspects, analysis.suspects_unlisted) {
        (false, _) => writeln!(
            out,
            "Also {suspects} of which nothing is proven (gocc report --suspects lists them)."
        ),
        (true, 0) => writeln!(out, "Also {suspects} of which nothing is proven."),
        (true, _) => writeln!(
            out,
            "Also {suspects} of which nothing is proven; listed are the {listed} likeliest."
        ),
    }
}

/// Nanoseconds as seconds: `1.204 s`.
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:03} s",
            self.0 / 1_000_000_000,
            self.0 / 1_000_000 % 1000
        )
    }
}

struct MapLine<'a>(&'a MapIdentity);

impl fmt::Display for MapLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MapIdentity {
            address,
            instance,
            type_name,
            ..
        } = self.0;
        match type_name {
            Some(name) => write!(f, "Map of type {}", Printable(name))?,
            None => write!(f, "Map of unknown type")?,
        }
        match address {
            Some(address) => write!(f, " at {address} (seed {instance})"),
            None => write!(f, " at an unknown address"),
        }
    }
}

/// Text from a file that is not trusted: what could steer a terminal is replaced.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0
            .chars()
            .try_for_each(|c| f.write_char(if c.is_control() { '\u{fffd}' } else { c }))
    }
}
