//! Code is *quiet* when it neither waits for anybody nor calls anything of the program: a lock that is
//! held only while quiet code runs is held for a bounded time, and nothing is locked while it is held. So
//! it cannot be part of a deadlock.

use super::classify::is_builtin;
use super::scope::Types;
use super::source::{GoFile, all, all_here, named};
use super::uses::{Usage, Use};
use tree_sitter::Node;

/// Functions of the standard library that neither wait nor call back, by import path.
const QUIET_PACKAGES: &[&str] = &[
    "strings",
    "strconv",
    "math",
    "math/bits",
    "unicode",
    "unicode/utf8",
    "path",
    "path/filepath",
    "errors",
];
const QUIET_FUNCTIONS: &[&str] = &["time.Now", "time.Since", "maps.Copy", "maps.Clone"];
/// Of the quiet packages: they call what they are given.
const CALLING_BACK: &[&str] = &[
    "strings.Map",
    "strings.IndexFunc",
    "strings.LastIndexFunc",
    "strings.FieldsFunc",
    "strings.FieldsFuncSeq",
    "strings.TrimFunc",
    "strings.TrimLeftFunc",
    "strings.TrimRightFunc",
    "strings.ContainsFunc",
    "errors.Is",
    "errors.As",
    "filepath.Walk",
    "filepath.WalkDir",
    "filepath.EvalSymlinks",
    "filepath.Abs",
    "filepath.Glob",
];

/// What quietness is judged with.
pub struct Quiet<'q, 'p> {
    /// The file.
    pub file: &'p GoFile,
    /// Types.
    pub types: &'q Types<'p>,
    /// Uses of the subject in this file.
    pub uses: &'q [Usage<'p>],
}

impl<'p> Quiet<'_, 'p> {
    /// Nothing in it waits or calls; function literals in it are not run by it.
    pub fn is_quiet(&self, node: Node<'p>) -> bool {
        all_here(node, &|inner| self.is_loud(inner)).is_empty()
    }

    /// The outermost loud calls, in the order of the text.
    pub fn loud_calls(&self, node: Node<'p>) -> Vec<Node<'p>> {
        let loud = all_here(node, &|inner| {
            inner.kind() == "call_expression" && self.is_loud(inner)
        });
        let is_inner = |call: &Node<'p>| {
            loud.iter().any(|other| {
                other != call
                    && other.start_byte() <= call.start_byte()
                    && call.end_byte() <= other.end_byte()
            })
        };
        loud.iter()
            .copied()
            .filter(|call| !is_inner(call))
            .collect()
    }

    fn is_loud(&self, node: Node<'p>) -> bool {
        match node.kind() {
            "send_statement" | "receive_statement" | "go_statement" | "defer_statement"
            | "select_statement" | "goto_statement" | "labeled_statement" => true,
            "unary_expression" => node
                .child_by_field_name("operator")
                .is_some_and(|operator| self.file.text_of(operator) == "<-"),
            "call_expression" => !self.is_quiet_call(node),
            "for_statement" => !self.is_bounded(node),
            _ => false,
        }
    }

    fn is_quiet_call(&self, call: Node<'p>) -> bool {
        let Some(function) = call.child_by_field_name("function") else {
            return false;
        };
        let name = self.file.text_of(function);
        match function.kind() {
            "identifier" => is_builtin(name),
            "parenthesized_expression" => false,
            "selector_expression" => self.is_quiet_function(name) || self.is_quiet_use(call),
            // `[]byte(x)`.
            _ => function.kind().ends_with("_type"),
        }
    }

    fn is_quiet_function(&self, name: &str) -> bool {
        let Some((package, _)) = name.split_once('.') else {
            return false;
        };
        let imports = self.file.imports();
        let path = imports
            .iter()
            .find(|(known, _)| known == package)
            .map(|(_, path)| path.as_str());
        path.is_some_and(|path| {
            QUIET_PACKAGES.contains(&path) && !CALLING_BACK.contains(&name)
                || QUIET_FUNCTIONS.contains(&name)
        })
    }

    /// It only looks at the subject's own map, whose keys and values have no methods.
    fn is_quiet_use(&self, call: Node<'p>) -> bool {
        let is_use = self.uses.iter().any(|usage| {
            usage.what == Use::QuietRead && usage.whole == call
                || usage.writes() && self.is_decoding(call, usage)
        });
        let others = call.child_by_field_name("arguments").map(named);
        is_use
            && others.unwrap_or_default().into_iter().all(|argument| {
                let names = all(argument, &|node| node.kind() == "identifier");
                let holds_use = self.uses.iter().any(|usage| {
                    argument.start_byte() <= usage.whole.start_byte()
                        && usage.map.end_byte() <= argument.end_byte()
                        || usage.map == argument
                });
                holds_use || names.is_empty() || self.is_conversion_of_bytes(argument)
            })
    }

    fn is_decoding(&self, call: Node<'p>, usage: &Usage<'p>) -> bool {
        let function = call.child_by_field_name("function");
        function.is_some_and(|function| self.file.text_of(function) == "json.Unmarshal")
            && call.start_byte() <= usage.map.start_byte()
            && usage.map.end_byte() <= call.end_byte()
    }

    fn is_conversion_of_bytes(&self, argument: Node<'p>) -> bool {
        argument.kind() == "type_conversion_expression"
            || self.file.text_of(argument).starts_with("[]byte(")
    }

    /// A loop that ends whatever other goroutines do.
    fn is_bounded(&self, node: Node<'p>) -> bool {
        let clause = named(node)
            .into_iter()
            .find(|child| matches!(child.kind(), "for_clause" | "range_clause"));
        match clause {
            Some(clause) if clause.kind() == "range_clause" => {
                let over = clause.child_by_field_name("right");
                over.is_some_and(|over| self.is_countable(over))
            }
            Some(clause) => {
                clause.child_by_field_name("condition").is_some()
                    && clause.child_by_field_name("update").is_some()
            }
            None => false,
        }
    }

    fn is_countable(&self, over: Node<'p>) -> bool {
        let is_subject = self.uses.iter().any(|usage| usage.map == over);
        let ty = self.types.of(self.file, over);
        is_subject
            || over.kind() == "int_literal"
            || ty.is_some_and(|ty| {
                let ty = ty.trim();
                ty.starts_with("map[") || ty.starts_with('[') || matches!(ty, "string" | "int")
            })
    }
}
