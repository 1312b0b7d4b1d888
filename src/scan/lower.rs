//! From tree-sitter's tree to [`super::syntax`]: files and declarations. Statements and expressions
//! are lowered in `lower_code`.

use super::lower_code::Code;
use super::names::Name;
use super::syntax::*;
use tree_sitter::{Node, Parser};

/// Deeper nesting than people or generators write: what lies below it is left out, so that a hostile
/// file cannot exhaust the stack.
pub(super) const DEEPEST: u32 = 200;

/// Parses a file. What is no Go is left out and counted.
pub fn parse(text: &str) -> File {
    let mut file = File {
        generated: is_generated(text),
        lines: u32::try_from(text.lines().count()).unwrap_or(u32::MAX),
        ..File::default()
    };
    let mut parser = Parser::new();
    if parser
        .set_language(&tree_sitter_go::LANGUAGE.into())
        .is_err()
    {
        file.errors = 1;
        return file;
    }
    let Some(tree) = parser.parse(text, None) else {
        file.errors = 1;
        return file;
    };
    file.errors = u32::from(tree.root_node().has_error());
    file.ignores = ignores(text);
    let mut lowering = Lowering {
        text,
        file,
        depth: 0,
        local: false,
        literals: vec![0],
        assigned: Vec::new(),
    };
    lowering.source_file(tree.root_node());
    lowering.file
}

/// As the go command defines it: a line `// Code generated ... DO NOT EDIT.` before the package clause.
fn is_generated(text: &str) -> bool {
    text.lines()
        .take_while(|line| !line.starts_with("package "))
        .any(|line| {
            line.starts_with("// Code generated ") && line.trim_end().ends_with("DO NOT EDIT.")
        })
}

fn ignores(text: &str) -> Vec<Ignore> {
    const MARK: &str = "//gocc:ignore";
    if !text.contains(MARK) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in (1u32..).zip(text.lines()) {
        if let Some((_, reason)) = line.split_once(MARK) {
            found.push(Ignore {
                line: number,
                reason: reason.trim().to_owned(),
            });
        }
    }
    found
}

/// How Go people say that a function's callers hold the lock, or are alone.
fn says_so(name: &str, comment: &str) -> bool {
    const NAMES: [&str; 5] = ["locked", "unsafe", "nolock", "unlocked", "withoutlock"];
    const PHRASES: [&str; 18] = [
        "must hold",
        "must be held",
        "should be held",
        "should hold",
        "lock held",
        "lock is held",
        "locks held",
        "is already held",
        "mutex held",
        "caller holds",
        "callers hold",
        "holding the lock",
        "lock must",
        "must be locked",
        "not thread-safe",
        "not thread safe",
        "not safe for concurrent",
        "not goroutine safe",
    ];
    let name = name.to_lowercase();
    NAMES.iter().any(|word| name.contains(word))
        || PHRASES.iter().any(|phrase| comment.contains(phrase))
}

/// The state of lowering one file.
pub(super) struct Lowering<'t> {
    pub(super) text: &'t str,
    pub(super) file: File,
    pub(super) depth: u32,
    pub(super) local: bool,
    /// Literals met so far, by nesting.
    pub(super) literals: Vec<u32>,
    /// Variables and fields of the function that were stored to so far.
    pub(super) assigned: Vec<Name>,
}

/// The children that are no comments.
pub(super) fn children<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor)
        .filter(|child| child.kind() != "comment")
        .collect()
}

/// The children in a field.
pub(super) fn fields<'t>(node: Node<'t>, name: &str) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.children_by_field_name(name, &mut cursor)
        .filter(Node::is_named)
        .collect()
}

impl<'t> Lowering<'t> {
    pub(super) fn text_of(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or("")
    }

    pub(super) fn name(&self, node: Node<'_>) -> Name {
        Name::new(self.text_of(node))
    }

    pub(super) fn span(&self, node: Node<'_>) -> Span {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Span {
            start: number(node.start_byte()),
            end: number(node.end_byte()),
            line: number(node.start_position().row).saturating_add(1),
        }
    }

    fn source_file(&mut self, root: Node<'_>) {
        for node in children(root) {
            match node.kind() {
                "package_clause" => {
                    self.file.package = children(node).first().map(|name| self.name(*name));
                }
                "import_declaration" => self.imports(node),
                "type_declaration" => {
                    self.type_declaration(node);
                }
                "var_declaration" => {
                    let globals = self.var_declaration(node);
                    self.file.globals.extend(globals);
                }
                "function_declaration" | "method_declaration" => self.function(node),
                _ => {}
            }
        }
    }

    fn imports(&mut self, node: Node<'_>) {
        for child in children(node) {
            match child.kind() {
                "import_spec" => {
                    let Some(path) = child.child_by_field_name("path") else {
                        continue;
                    };
                    let path = self.text_of(path).trim_matches(['"', '`']);
                    let name = child
                        .child_by_field_name("name")
                        .map(|name| self.name(name));
                    self.file.imports.push(Import {
                        name,
                        path: Name::new(path),
                    });
                }
                _ => self.imports(child),
            }
        }
    }

    /// Adds the types; gives the number of the first and how many.
    pub(super) fn type_declaration(&mut self, node: Node<'_>) -> (u32, u32) {
        let first = self.file.types.len();
        for spec in children(node) {
            let (Some(name), Some(is)) = (
                spec.child_by_field_name("name"),
                spec.child_by_field_name("type"),
            ) else {
                continue;
            };
            let declaration = TypeDecl {
                name: self.name(name),
                params: self.type_params(spec),
                is: self.ty(is),
                alias: spec.kind() == "type_alias",
                local: self.local,
                span: self.span(spec),
            };
            self.file.types.push(declaration);
        }
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        (number(first), number(self.file.types.len() - first))
    }

    fn type_params(&self, node: Node<'_>) -> Vec<Name> {
        let Some(list) = node.child_by_field_name("type_parameters") else {
            return Vec::new();
        };
        let declarations = children(list).into_iter();
        declarations
            .flat_map(|declaration| fields(declaration, "name"))
            .map(|name| self.name(name))
            .collect()
    }

    /// The variables of a var declaration.
    pub(super) fn var_declaration(&mut self, node: Node<'_>) -> Vec<Global> {
        let mut found = Vec::new();
        for child in children(node) {
            match child.kind() {
                "var_spec_list" => found.extend(self.var_declaration(child)),
                "var_spec" => {
                    let ty = child.child_by_field_name("type").map(|ty| self.ty(ty));
                    let values = child
                        .child_by_field_name("value")
                        .map(|list| self.expr_list(list));
                    found.push(Global {
                        names: fields(child, "name")
                            .into_iter()
                            .map(|name| self.name(name))
                            .collect(),
                        ty,
                        values: values.unwrap_or_default(),
                        span: self.span(child),
                    });
                }
                _ => {}
            }
        }
        found
    }

    fn function(&mut self, node: Node<'_>) {
        let Some(name) = node.child_by_field_name("name") else {
            return;
        };
        let receiver = node.child_by_field_name("receiver");
        let receiver = receiver.and_then(|list| self.params(list).0.into_iter().next());
        let mut type_params = self.type_params(node);
        if let Some(receiver) = &receiver {
            type_params.extend(receiver_params(&receiver.ty));
        }
        let signature = self.signature(node);
        self.local = true;
        self.literals = vec![0];
        self.assigned.clear();
        let body = node
            .child_by_field_name("body")
            .map(|body| self.block(body));
        self.local = false;
        let function = Function {
            relies_on_callers: says_so(self.text_of(name), &self.comment_before(node)),
            name: self.name(name),
            receiver,
            type_params,
            signature,
            body,
            span: self.span(node),
        };
        self.file.functions.push(function);
    }

    /// The comment that stands directly before a declaration, in lower case and one line.
    fn comment_before(&self, node: Node<'_>) -> String {
        let mut lines: Vec<&str> = Vec::new();
        let mut row = node.start_position().row;
        let mut before = node.prev_sibling();
        while let Some(comment) = before
            .filter(|comment| comment.kind() == "comment" && comment.end_position().row + 1 == row)
        {
            lines.push(self.text_of(comment));
            row = comment.start_position().row;
            before = comment.prev_sibling();
        }
        let words = lines.iter().rev().flat_map(|line| line.split_whitespace());
        let words: Vec<&str> = words.filter(|word| !word.starts_with("//")).collect();
        words.join(" ").to_lowercase()
    }

    /// Parameters and results of a function, method, literal or type.
    pub(super) fn signature(&mut self, node: Node<'_>) -> Signature {
        let params = node.child_by_field_name("parameters");
        let (params, variadic) = params.map(|list| self.params(list)).unwrap_or_default();
        let results = match node.child_by_field_name("result") {
            Some(list) if list.kind() == "parameter_list" => self.params(list).0,
            Some(single) => vec![Param {
                name: None,
                ty: self.ty(single),
            }],
            None => Vec::new(),
        };
        Signature {
            params,
            results,
            variadic,
        }
    }

    fn params(&mut self, list: Node<'_>) -> (Vec<Param>, bool) {
        let mut params = Vec::new();
        let mut variadic = false;
        for declaration in children(list) {
            let Some(ty) = declaration.child_by_field_name("type") else {
                continue;
            };
            let mut ty = self.ty(ty);
            if declaration.kind() == "variadic_parameter_declaration" {
                variadic = true;
                ty = TypeExpr::Slice(Box::new(ty));
            }
            let names = fields(declaration, "name");
            if names.is_empty() {
                params.push(Param { name: None, ty });
                continue;
            }
            for name in names {
                params.push(Param {
                    name: Some(self.name(name)),
                    ty: ty.clone(),
                });
            }
        }
        (params, variadic)
    }

    /// A type.
    pub(super) fn ty(&mut self, node: Node<'_>) -> TypeExpr {
        self.depth += 1;
        let ty = if self.depth > DEEPEST {
            TypeExpr::Other
        } else {
            self.ty_inner(node)
        };
        self.depth -= 1;
        ty
    }

    fn ty_inner(&mut self, node: Node<'_>) -> TypeExpr {
        let part = |lowering: &mut Self, name: &str| {
            let part = node.child_by_field_name(name);
            Box::new(part.map_or(TypeExpr::Other, |part| lowering.ty(part)))
        };
        match node.kind() {
            "type_identifier" | "identifier" => TypeExpr::Name(self.name(node)),
            "qualified_type" => match (
                node.child_by_field_name("package"),
                node.child_by_field_name("name"),
            ) {
                (Some(package), Some(name)) => {
                    TypeExpr::Qualified(self.name(package), self.name(name))
                }
                _ => TypeExpr::Other,
            },
            "generic_type" => {
                let base = part(self, "type");
                let args = node.child_by_field_name("type_arguments");
                let args = args.map(children).unwrap_or_default();
                TypeExpr::Generic(base, args.into_iter().map(|arg| self.ty(arg)).collect())
            }
            "type_elem" | "parenthesized_type" | "type_constraint" => match children(node)[..] {
                [only] => self.ty(only),
                _ => TypeExpr::Other,
            },
            "pointer_type" => match children(node)[..] {
                [only] => TypeExpr::Pointer(Box::new(self.ty(only))),
                _ => TypeExpr::Other,
            },
            "slice_type" => TypeExpr::Slice(part(self, "element")),
            "array_type" | "implicit_length_array_type" => TypeExpr::Array(part(self, "element")),
            "map_type" => {
                let key = part(self, "key");
                TypeExpr::Map(key, part(self, "value"))
            }
            "channel_type" => TypeExpr::Chan(part(self, "value")),
            "function_type" => TypeExpr::Func(Box::new(self.signature(node))),
            "struct_type" => TypeExpr::Struct(self.struct_fields(node)),
            "interface_type" => TypeExpr::Interface,
            _ => TypeExpr::Other,
        }
    }

    fn struct_fields(&mut self, node: Node<'_>) -> Vec<FieldDecl> {
        let mut found = Vec::new();
        for declaration in children(node).into_iter().flat_map(children) {
            let Some(ty_node) = declaration.child_by_field_name("type") else {
                continue;
            };
            let ty = self.ty(ty_node);
            let names = fields(declaration, "name");
            if names.is_empty() {
                let Some(name) = embedded_name(&ty) else {
                    continue;
                };
                let pointer = declaration
                    .child(0)
                    .is_some_and(|first| first.kind() == "*");
                let ty = if pointer {
                    TypeExpr::Pointer(Box::new(ty))
                } else {
                    ty
                };
                found.push(FieldDecl {
                    name,
                    ty,
                    embedded: true,
                });
                continue;
            }
            for name in names {
                found.push(FieldDecl {
                    name: self.name(name),
                    ty: ty.clone(),
                    embedded: false,
                });
            }
        }
        found
    }
}

fn embedded_name(ty: &TypeExpr) -> Option<Name> {
    match ty {
        TypeExpr::Name(name) | TypeExpr::Qualified(_, name) => Some(*name),
        TypeExpr::Generic(base, _) | TypeExpr::Pointer(base) => embedded_name(base),
        _ => None,
    }
}

/// `func (c *Cache[K, V])` names the parameters of Cache.
fn receiver_params(ty: &TypeExpr) -> Vec<Name> {
    match ty {
        TypeExpr::Pointer(inner) => receiver_params(inner),
        TypeExpr::Generic(_, args) => args
            .iter()
            .filter_map(|arg| match arg {
                TypeExpr::Name(name) => Some(*name),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
