//! A flame graph as nested boxes, each as wide as its share of the one below it.

use super::super::flame::{Flames, Mark, Marked};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Boxes narrower than this share of the whole are left out.
const NARROWEST: f64 = 0.0005;
/// Boxes narrower than this share of the whole have no room for text.
const NO_ROOM: f64 = 0.01;

/// A function with everything that was called from it.
#[derive(Default)]
struct Node<'a> {
    total: u64,
    called: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, elements: &'a [String], count: u64) {
        self.total = self.total.saturating_add(count);
        if let Some((first, rest)) = elements.split_first() {
            self.called.entry(first).or_default().add(rest, count);
        }
    }
}

/// Draws stacks, the outermost call on top. `unit` names what is counted.
pub fn draw(flames: &Flames, unit: &str, marked: &Marked<'_>) -> Markup {
    let mut root = Node::default();
    for (elements, count) in &flames.stacks {
        root.add(elements, *count);
    }
    let whole = root.total;
    let drawing = Drawing {
        whole,
        unit,
        marked,
    };
    html! {
        div.flame { (drawing.node("all", &root, whole)) }
    }
}

struct Drawing<'a> {
    whole: u64,
    unit: &'a str,
    marked: &'a Marked<'a>,
}

impl Drawing<'_> {
    /// Stacks are at most as deep as a side of a conflict, so this ends.
    fn node(&self, name: &str, node: &Node<'_>, below: u64) -> Markup {
        let share = node.total as f64 / self.whole.max(1) as f64;
        let width = 100.0 * node.total as f64 / below.max(1) as f64;
        let mark = self.marked.of(name);
        let (bad, flagged) = (mark == Some(Mark::Collided), mark == Some(Mark::Flagged));
        let shown = |(_, called): &(&&str, &Node<'_>)| {
            called.total as f64 / self.whole.max(1) as f64 >= NARROWEST
        };
        html! {
            div.f.bad[bad].flagged[flagged].thin[share < NO_ROOM] style=(format!("width:{width:.3}%")) {
                a title=(format!("{name}: {} {} ({:.1}%)", node.total, self.unit, 100.0 * share)) { (name) }
                @for (name, called) in node.called.iter().filter(shown) {
                    (self.node(name, called, node.total))
                }
            }
        }
    }
}
