//! Edits of files by byte ranges, and what they make of a text.

use super::source::GoFile;
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
}
