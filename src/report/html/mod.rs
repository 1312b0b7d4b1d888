//! The report as one HTML file that needs nothing else: to look at, to search, to send around.

mod graph;
mod source;
mod timeline;

use super::flame::{Flames, Marked, title, unit};
use super::text::{Seconds, loss_lines};
use super::wording::{
    Counted, capitalised, deed, file_name, grade_name, heat_line, joined_line, labels_line,
    name_of, place_name, sentence, side_note, suspicion_line,
};
use super::{Counting, ReportOptions};
use crate::analyze::Chain;
use crate::analyze::frames;
use crate::analyze::model::{
    Analysis, Certainty, Finding, Goroutine, Grade, MapIdentity, RingSummary, Side, StackFrame,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use source::Sources;
use std::io::{self, Write};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Suspects that a page shows.
const MOST_SUSPECTS: usize = 50;
/// The page asks nobody for anything, whatever names it shows.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Writes the page.
pub fn write(analysis: &Analysis, options: &ReportOptions, out: &mut dyn Write) -> io::Result<()> {
    let page = Page {
        analysis,
        options,
        sources: Sources::new(options.source_root.as_deref()),
    };
    writeln!(out, "{}", page.whole().into_string())
}

struct Page<'a> {
    analysis: &'a Analysis,
    options: &'a ReportOptions,
    sources: Sources<'a>,
}

impl Page<'_> {
    fn whole(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    title { "gocc: " (self.headline()) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.header())
                    main {
                        (self.tiles())
                        (self.findings())
                        (self.suspects())
                        (self.graph(Counting::Conflicts))
                        (self.graph(Counting::Operations))
                        (self.graph(Counting::Profile))
                        (self.processes())
                        footer { "Written by gocc " (env!("CARGO_PKG_VERSION")) "." }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    fn headline(&self) -> String {
        let count = self.analysis.findings.len() as u64;
        match count {
            0 => "no concurrent map access found".to_owned(),
            _ => Counted(count, "concurrent map access", "concurrent map accesses").to_string(),
        }
    }

    fn header(&self) -> Markup {
        let mut programs: Vec<&str> = self
            .analysis
            .rings
            .iter()
            .filter_map(|ring| ring.executable.file_name()?.to_str())
            .collect();
        programs.sort_unstable();
        programs.dedup();
        html! {
            header {
                div {
                    h1 { (capitalised(&self.headline())) small { (programs.join(", ")) } }
                    span #found {}
                    input #search type="search" placeholder="Search functions, files, types  ( / )"
                        aria-label="Search findings";
                }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let findings = &self.analysis.findings;
        let confirmed = findings
            .iter()
            .filter(|finding| finding.grade == Grade::Confirmed)
            .count() as u64;
        let suspects = findings.len() as u64 - confirmed
            + self.analysis.suspects.len() as u64
            + self.analysis.suspects_unlisted;
        let conflicts: u64 = findings.iter().map(|finding| finding.count).sum();
        let operations: u64 = self
            .analysis
            .operations
            .iter()
            .map(|stack| stack.count)
            .sum();
        let tile = |value: u64, what: &str, bad: bool| {
            html! { div.tile.bad[bad] { b { (Grouped(value)) } span { (what) } } }
        };
        html! {
            div.tiles {
                (tile(confirmed, "confirmed", confirmed > 0))
                (tile(suspects, "suspects", false))
                (tile(conflicts, "times seen", false))
                (tile(operations, "operations recorded", false))
                (tile(self.analysis.rings.len() as u64, "processes", false))
            }
        }
    }

    fn findings(&self) -> Markup {
        html! {
            h2 { "Findings" }
            @if self.analysis.findings.is_empty() {
                p { "No goroutine came to a map while another one was writing to it." }
            }
            @for (at, finding) in self.analysis.findings.iter().enumerate() {
                (self.finding(at + 1, finding))
            }
        }
    }

    /// Folded: nothing of it is proven.
    fn suspects(&self) -> Markup {
        let all = self.analysis.suspects.len() as u64 + self.analysis.suspects_unlisted;
        let first = self.analysis.findings.len() + 1;
        html! {
            @if all > 0 {
                details #suspects {
                    summary { h2 { "Suspects (" (Grouped(all)) ")" } }
                    p.note {
                        "Two goroutines used one map shortly after each other and one of them wrote. Whether \
                         something keeps them apart is not known."
                    }
                    @for (at, suspect) in self.analysis.suspects.iter().take(MOST_SUSPECTS).enumerate() {
                        (self.finding(first + at, suspect))
                    }
                }
            }
        }
    }

    fn finding(&self, number: usize, finding: &Finding) -> Markup {
        let suspect = finding.grade == Grade::Suspect;
        html! {
            article.finding.suspect[suspect] id=(format!("finding-{number}")) {
                h3 {
                    span.badge { (grade_name(finding.grade)) ": " (finding.evidence.summary) }
                    (place_name(&finding.sides[0])) " / " (place_name(&finding.sides[1]))
                }
                p { (sentence(finding)) ". " @if !finding.is_of_source() { (capitalised(&finding.evidence.statement)) "." } }
                @if let Some(scan) = finding.scan.as_ref().filter(|_| finding.is_of_source()) {
                    @for reason in &scan.because { p.note { (capitalised(reason)) "." } }
                }
                @if let Some(why) = &finding.suspicion { p.note { (suspicion_line(why)) "." } }
                @if let Some(line) = joined_line(finding) { p.joined { (line) "." } }
                @if !finding.is_of_source() { (facts(finding)) }
                div.sides {
                    @for side in shown_sides(finding) { (self.side(side)) }
                }
                (self.chain(finding))
            }
        }
    }

    /// Who used the finding's map after whom, when that was recorded.
    fn chain(&self, finding: &Finding) -> Markup {
        let is_its =
            |chain: &&Chain| chain.pid == finding.pid && Some(chain.address) == finding.map.address;
        let recorded = |chain: &&Chain| chain.links.iter().any(|link| !link.conflict);
        let chain = self.analysis.chains.iter().find(is_its).filter(recorded);
        html! {
            @if let Some(chain) = chain.filter(|_| finding.grade == Grade::Confirmed) {
                details.chain {
                    summary { "Who used this map after whom" }
                    (timeline::draw(chain))
                }
            }
        }
    }

    fn side(&self, side: &Side) -> Markup {
        html! {
            section.side {
                h3 { (capitalised(&deed(side))) }
                @if side.goroutine.is_none() && side.certainty != Certainty::Possible { p.note { "Nothing was recorded about it." } }
                @if let Some(note) = side_note(side) { p.note { (note) } }
                @if let Some(labels) = side.goroutine.as_ref().and_then(labels_line) {
                    p.note { "Labels: " code { (labels) } }
                }
                @if let Some(heat) = heat_line(side, self.analysis.profile.as_ref()) {
                    p.note.heat[is_hot(side)] { (heat) "." }
                }
                (self.stack(&side.stack, true))
                @if side.truncated { p.note { "Further callers were not recorded." } }
                @if let Some(goroutine) = &side.goroutine { (self.origin(goroutine)) }
            }
        }
    }

    fn origin(&self, goroutine: &Goroutine) -> Markup {
        html! {
            @if !goroutine.created_by.is_empty() {
                h4 { (if goroutine.id == 0 { "Started".to_owned() } else { capitalised(&name_of(goroutine)) + " created" }) " at" }
                (self.stack(&goroutine.created_by, false))
            }
        }
    }

    /// The place of the operation is shown with its source, the callers' is folded.
    fn stack(&self, stack: &[StackFrame], open_first: bool) -> Markup {
        let all = self.options.all_frames;
        let innermost = frames::innermost_user(stack);
        html! {
            ol.stack {
                @for frame in stack.iter().filter(|frame| all || !frame.runtime) {
                    @let first = innermost.is_some_and(|innermost| std::ptr::eq(innermost, frame));
                    li { (self.frame(frame, open_first && first)) }
                }
            }
        }
    }

    fn frame(&self, frame: &StackFrame, open: bool) -> Markup {
        let lines = self.sources.around(&frame.file, frame.line);
        let name = html! {
            span.fn { (frame.function) }
            @if frame.inlined { span.inlined { "inlined" } }
            @if !frame.file.is_empty() {
                span.at title=(frame.file) { (frame.file) ":" (frame.line) }
            }
        };
        if lines.is_empty() {
            return name;
        }
        html! {
            details open[open] {
                summary { (name) }
                pre {
                    @for line in &lines {
                        span.here[line.here] { i { (line.number) } (line.text) }
                    }
                }
            }
        }
    }

    fn graph(&self, counting: Counting) -> Markup {
        let options = ReportOptions {
            counting: Some(counting),
            ..self.options.clone()
        };
        let flames = Flames::new(self.analysis, &options);
        let marked = Marked::new(self.analysis);
        if flames.stacks.is_empty() {
            return html! {};
        }
        html! {
            h2 { (title(counting, self.analysis)) }
            p.note { "Outermost call on top; " (marked.legend()) ". Click to widen." }
            (graph::draw(&flames, &unit(counting, self.analysis), &marked))
        }
    }

    fn processes(&self) -> Markup {
        html! {
            h2 { "Processes" }
            table {
                tr { th { "Process" } th { "Executable" } th { "Build ID" } th { "Ring" } th { "Remarks" } }
                @for ring in &self.analysis.rings { (process(ring)) }
            }
        }
    }
}

fn process(ring: &RingSummary) -> Markup {
    html! {
        tr {
            td { (ring.pid) @if ring.running { " (running)" } }
            td { (ring.executable.display()) }
            td { code title=(ring.build_id) { (shortened(&ring.build_id)) } }
            td { (file_name(&ring.path.to_string_lossy())) }
            td {
                @for problem in &ring.problems { div { (problem) } }
                @for loss in loss_lines(&ring.lost) { div { (loss) } }
            }
        }
    }
}

/// A mistake of the source can have one side only.
fn shown_sides(finding: &Finding) -> &[Side] {
    match &finding.sides {
        [first, second] if second.stack.is_empty() && finding.is_of_source() => {
            std::slice::from_ref(first)
        }
        both => both,
    }
}

/// A place that a hundredth of the profile runs through is worth a look.
fn is_hot(side: &Side) -> bool {
    side.heat.is_some_and(|heat| heat.function >= 0.01)
}

/// `in main.New (cache.go:7) by goroutine 1`
fn made(map: &MapIdentity) -> String {
    match &map.made {
        Some(making) => match frames::innermost_user(&making.stack) {
            Some(frame) => {
                let (file, line) = (file_name(&frame.file), frame.line);
                format!(
                    "in {} ({file}:{line}) by goroutine {}",
                    frame.function, making.goroutine
                )
            }
            None => format!("by goroutine {}", making.goroutine),
        },
        None => "at an unknown place".to_owned(),
    }
}

/// The start of a long identifier.
fn shortened(id: &str) -> String {
    match id.char_indices().nth(20) {
        Some((end, _)) => format!("{}\u{2026}", id.get(..end).unwrap_or(id)),
        None => id.to_owned(),
    }
}

fn facts(finding: &Finding) -> Markup {
    let fact = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    let map = &finding.map;
    let type_name = map.type_name.clone();
    let address = map
        .address
        .map(|address| format!("{address} (seed {})", map.instance));
    html! {
        dl.facts {
            (fact("Map", type_name.unwrap_or_else(|| "unknown type".to_owned())))
            (fact("at", address.unwrap_or_else(|| "an unknown address".to_owned())))
            (fact("Made", made(map)))
            (fact("Process", finding.pid.to_string()))
            (fact("Seen", Counted(finding.count, "time", "times").to_string()))
            (fact("on", Counted(finding.instances as u64, "map", "maps").to_string()))
            (fact("by", Counted(finding.goroutines as u64, "goroutine", "goroutines").to_string()))
            (fact("First", format!("{} after the start", Seconds(finding.first.since_start_ns))))
            @if finding.count > 1 {
                (fact("Within", Seconds(finding.last.unix_ns.saturating_sub(finding.first.unix_ns)).to_string()))
            }
            @if finding.fatal { (fact("Ended", "the Go runtime stopped the program".to_owned())) }
        }
    }
}

/// A number with its thousands apart: `1 234 567`, with narrow blanks.
struct Grouped(u64);

impl std::fmt::Display for Grouped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str("\u{202f}")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
