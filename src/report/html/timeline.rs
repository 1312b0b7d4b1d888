//! The chain of one map as a timeline: a row for each goroutine, a mark for each run of operations in
//! their order, and where conflicts were noticed.

use crate::analyze::{Chain, Link};
use crate::ring::Operation;
use maud::{Markup, html};

/// Rows; what other goroutines did shares the last one.
const MOST_ROWS: usize = 12;
const ROW: usize = 26;
const STEP: usize = 16;
/// Room for the goroutines' names.
const MARGIN: usize = 110;
const TOP: usize = 10;
const RADIUS: usize = 5;

/// Draws a chain, and lists it below.
pub fn draw(chain: &Chain) -> Markup {
    let rows = rows(chain);
    let width = MARGIN + STEP * (chain.links.len() + 1);
    let height = TOP + ROW * rows.len();
    html! {
        div.timeline {
            svg width=(width) height=(height) role="img" aria-label="who used the map after whom" {
                @for (row, name) in rows.iter().enumerate() {
                    @let y = TOP + ROW * row + ROW / 2;
                    text.lane x="0" y=(y + 4) { (name.1) }
                    line.lane x1=(MARGIN) y1=(y) x2=(width) y2=(y) {}
                }
                @for (at, link) in chain.links.iter().enumerate() {
                    (mark(link, MARGIN + STEP * (at + 1), row_of(&rows, link), height))
                }
            }
        }
        p.note.legend {
            span.key.reads {} "read " span.key.writes {} "write " span.key.clash {} "conflict noticed "
            @if chain.earlier > 0 { "(" (chain.earlier) " earlier links are not kept)" }
        }
        details {
            summary { "As a list" }
            table {
                tr { th { "ms" } th { "Goroutine" } th { "Operation" } th { "Times" } th { "Place" } }
                @for link in &chain.links { (row(link)) }
            }
        }
    }
}

/// Goroutines in the order of their first link, with names.
fn rows(chain: &Chain) -> Vec<(u64, String)> {
    let mut rows: Vec<(u64, String)> = Vec::new();
    for link in &chain.links {
        if rows.iter().any(|(known, _)| *known == link.goroutine) {
            continue;
        }
        if rows.len() == MOST_ROWS {
            if let Some(last) = rows.last_mut() {
                last.1 = "others".to_owned();
            }
            break;
        }
        rows.push((link.goroutine, format!("goroutine {}", link.goroutine)));
    }
    rows
}

fn row_of(rows: &[(u64, String)], link: &Link) -> usize {
    let own = rows
        .iter()
        .position(|(goroutine, _)| *goroutine == link.goroutine);
    own.unwrap_or(rows.len().saturating_sub(1))
}

fn mark(link: &Link, x: usize, row: usize, height: usize) -> Markup {
    let y = TOP + ROW * row + ROW / 2;
    let writes = link.operation.is_some_and(Operation::writes);
    html! {
        @if link.conflict {
            line.clash x1=(x) y1=(TOP) x2=(x) y2=(height) {}
            circle.clash cx=(x) cy=(y) r=(RADIUS) { title { (told(link)) } }
        } @else {
            circle.writes[writes].reads[!writes] cx=(x) cy=(y) r=(RADIUS) { title { (told(link)) } }
        }
    }
}

fn told(link: &Link) -> String {
    let ms = milliseconds(link);
    let operation = link.operation.map_or("?", Operation::name);
    if link.conflict {
        return format!(
            "{ms} ms: goroutine {} noticed a conflict ({operation})",
            link.goroutine
        );
    }
    let Link {
        goroutine,
        count,
        function,
        ..
    } = link;
    format!("{ms} ms: goroutine {goroutine}, {operation} x{count} in {function}")
}

fn milliseconds(link: &Link) -> String {
    format!("{:.3}", link.since_start_ns as f64 / 1e6)
}

fn row(link: &Link) -> Markup {
    html! {
        tr.clash[link.conflict] {
            td { (milliseconds(link)) }
            td { (link.goroutine) }
            td { (link.operation.map_or("?", Operation::name)) }
            @if link.conflict {
                td {}
                td { "noticed the conflict" }
            } @else {
                td { (link.count) }
                td { code { (link.function) } " " span.place { (link.file) ":" (link.line) } }
            }
        }
    }
}
