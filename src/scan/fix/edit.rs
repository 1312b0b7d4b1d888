//! Edits of files by byte ranges, and what they make of a text.

use super::source::GoFile;
use similar::{DiffTag, TextDiff};
use tree_sitter::Node;

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file's number in its package.
    pub file: usize,
    /// First byte that is replaced.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// What stands there afterwards.
    pub text: String,
}

impl Edit {
    /// Replaces a node.
    pub fn replace(file: usize, node: Node<'_>, text: impl Into<String>) -> Edit {
        Edit {
            file,
            start: node.start_byte(),
            end: node.end_byte(),
            text: text.into(),
        }
    }

    /// Adds lines before a statement or declaration.
    pub fn before(file: usize, source: &GoFile, node: Node<'_>, lines: &str) -> Edit {
        let at = node.start_byte();
        let text = match indent(source, at) {
            Some(indent) => {
                let own: Vec<&str> = lines.lines().collect();
                format!("{}\n{indent}", own.join(&format!("\n{indent}")))
            }
            None => format!("\n{lines}\n"),
        };
        Edit {
            file,
            start: at,
            end: at,
            text,
        }
    }

    /// Adds a line after a statement or declaration and its comment.
    pub fn after(file: usize, source: &GoFile, node: Node<'_>, line: &str) -> Edit {
        let end = node.end_byte();
        let rest = source.text.get(end..).unwrap_or("");
        let rest = rest.lines().next().unwrap_or("");
        let is_last = rest.trim().is_empty() || rest.trim_start().starts_with("//");
        let (at, text) = if is_last {
            let indent = line_start(source, node.start_byte());
            (
                end + rest.trim_end_matches('\r').len(),
                format!("\n{indent}{line}"),
            )
        } else {
            (end, format!("\n{line}\n"))
        };
        Edit {
            file,
            start: at,
            end: at,
            text,
        }
    }
}

impl Edit {
    /// Removes bytes, with their lines when nothing else stands there.
    pub fn remove(file: usize, source: &GoFile, range: std::ops::Range<usize>) -> Edit {
        let mut edit = Edit {
            file,
            start: range.start,
            end: range.end,
            text: String::new(),
        };
        let rest = source.text.get(range.end..).unwrap_or("");
        let line = rest.split_inclusive('\n').next().unwrap_or("");
        if let Some(indent) = indent(source, range.start)
            && line.trim().is_empty()
        {
            edit.start -= indent.len();
            edit.end += line.len();
        }
        edit
    }

    /// What turns one text of a file into another, line by line.
    pub fn between(file: usize, before: &str, after: &str) -> Vec<Edit> {
        let diff = TextDiff::from_lines(before, after);
        let starts = |text: &str| -> Vec<usize> {
            let mut at = 0;
            let lines = text.split_inclusive('\n').map(|line| {
                at += line.len();
                at
            });
            std::iter::once(0).chain(lines).collect()
        };
        let (old, new) = (starts(before), starts(after));
        let place = |starts: &[usize], line: usize| starts.get(line).copied().unwrap_or_default();
        diff.ops()
            .iter()
            .filter(|op| op.tag() != DiffTag::Equal)
            .map(|op| {
                let (lines, others) = (op.old_range(), op.new_range());
                let fresh = place(&new, others.start)..place(&new, others.end);
                Edit {
                    file,
                    start: place(&old, lines.start),
                    end: place(&old, lines.end),
                    text: after.get(fresh).unwrap_or("").to_owned(),
                }
            })
            .collect()
    }
}

/// The blanks before a place, when nothing else stands before it in its line.
fn indent(source: &GoFile, at: usize) -> Option<String> {
    let before = source.text.get(..at)?;
    let line = before.rsplit('\n').next()?;
    line.trim().is_empty().then(|| line.to_owned())
}

/// The blanks that a line begins with.
fn line_start(source: &GoFile, at: usize) -> String {
    let before = source.text.get(..at).unwrap_or("");
    let line = before.rsplit('\n').next().unwrap_or("");
    line.chars().take_while(|c| c.is_whitespace()).collect()
}

/// The text after the edits; `None` when two of them are about the same bytes.
pub fn apply(text: &str, edits: &[Edit]) -> Option<String> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    // Stable: what is added at one place stays in the order it was added in, before what replaces it.
    sorted.sort_by_key(|edit| (edit.start, edit.end));
    let mut out = String::new();
    let mut at = 0;
    for edit in sorted {
        out.push_str(text.get(at..edit.start)?);
        out.push_str(&edit.text);
        at = edit.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: usize, end: usize, text: &str) -> Edit {
        Edit {
            file: 0,
            start,
            end,
            text: text.to_owned(),
        }
    }

    #[test]
    fn additions_keep_their_order_and_come_before_replacements() {
        let edits = [edit(2, 3, "C"), edit(2, 2, "1"), edit(2, 2, "2")];
        assert_eq!(apply("abcd", &edits).as_deref(), Some("ab12Cd"));
    }

    #[test]
    fn overlaps_are_refused() {
        assert_eq!(apply("abcd", &[edit(0, 3, "x"), edit(1, 2, "y")]), None);
    }

    #[test]
    fn two_texts_and_the_edits_between_them() {
        let (before, after) = ("a\nb\nc\nd\n", "a\nx\ny\nc\n");
        let edits = Edit::between(0, before, after);
        assert_eq!(edits.len(), 2);
        assert_eq!(apply(before, &edits).as_deref(), Some(after));
        assert_eq!(apply("", &Edit::between(0, "", "a")).as_deref(), Some("a"));
    }
}
