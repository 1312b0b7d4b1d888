//! What type a value has when it is stored in an interface. Assigned to a map's element, an untyped constant
//! gets the element's type; stored in an interface it gets its default type.

use super::classify::is_number;
use super::scope::{Declared, Types, declaration, global};
use super::source::{GoFile, GoPackage, all, bare};
use tree_sitter::Node;

/// Where an expression stands.
pub struct Values<'v, 'p> {
    /// The package.
    pub package: &'p GoPackage,
    /// Its types.
    pub types: &'v Types<'p>,
    /// The expression's file.
    pub file: &'p GoFile,
}

impl<'p> Values<'_, 'p> {
    /// An expression that can be assigned to a type, as text that has exactly this type in an interface.
    pub fn exactly(&self, expression: Node<'p>, ty: &str) -> String {
        let text = self.file.text_of(expression);
        if is_interface(ty) || self.is_exactly(expression, ty) {
            text.to_owned()
        } else if is_name(ty) {
            format!("{ty}({text})")
        } else {
            format!("({ty})({text})")
        }
    }

    /// An expression that can be assigned to a type certainly has it in an interface, too.
    pub fn is_exactly(&self, expression: Node<'p>, ty: &str) -> bool {
        // What is assigned to a predeclared type has this type, or is a constant.
        let is_exact = match ty {
            "string" | "bool" => true,
            _ if is_number(ty) => !self.may_be_constant(expression),
            _ => false,
        };
        is_exact || self.types.of(self.file, expression).as_deref() == Some(ty)
    }

    /// It may be a constant without a type.
    pub fn may_be_constant(&self, expression: Node<'p>) -> bool {
        let expression = bare(expression);
        let field = |name| expression.child_by_field_name(name);
        match expression.kind() {
            "identifier" => !self.is_variable(expression),
            "selector_expression" => {
                let mut root = expression;
                while let Some(operand) = root.child_by_field_name("operand") {
                    root = bare(operand);
                }
                root.kind() != "call_expression" && !self.is_variable(root)
            }
            "call_expression" => field("function").is_some_and(|function| {
                matches!(
                    self.file.text_of(function),
                    "min" | "max" | "real" | "imag" | "complex"
                )
            }),
            "unary_expression" => {
                let operator = field("operator").map_or("", |node| self.file.text_of(node));
                !matches!(operator, "&" | "<-" | "*")
                    && field("operand").is_none_or(|operand| self.may_be_constant(operand))
            }
            "binary_expression" => ["left", "right"]
                .into_iter()
                .all(|side| field(side).is_none_or(|operand| self.may_be_constant(operand))),
            "index_expression"
            | "slice_expression"
            | "type_assertion_expression"
            | "composite_literal"
            | "func_literal" => false,
            _ => true,
        }
    }

    /// It names a variable, and no constant has its name.
    fn is_variable(&self, name: Node<'p>) -> bool {
        if name.kind() != "identifier" {
            return false;
        }
        let text = self.file.text_of(name);
        let is_constant = self.package.files.iter().any(|file| {
            all(file.root(), &|node| node.kind() == "const_spec")
                .into_iter()
                .flat_map(super::scope::names_of)
                .any(|known| file.text_of(known) == text)
        });
        let is_declared = match declaration(self.file, name) {
            Declared::Local(_) | Declared::Param(_) => true,
            Declared::Outside => global(self.package, text).is_some(),
        };
        is_declared && !is_constant
    }
}

/// The empty interface: what is stored in it keeps its type.
pub fn is_interface(ty: &str) -> bool {
    matches!(ty, "any" | "interface{}")
}

/// A type that can be called without parentheses around it.
fn is_name(ty: &str) -> bool {
    ty.chars()
        .all(|character| character.is_alphanumeric() || matches!(character, '_' | '.'))
        || ty.starts_with('[')
        || ty.starts_with("map[")
}
