//! The files of one package, as text and tree, and what a tree is asked for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tree_sitter::{Node, Parser, Tree};

/// A parsed file.
pub struct GoFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// The same, as a tree.
    pub tree: Tree,
}

/// The files of a directory that belong together: one package and its tests.
pub struct GoPackage {
    /// Its name.
    pub name: String,
    /// The files.
    pub files: Vec<GoFile>,
}

impl GoFile {
    /// Reads and parses a file; `None` when it is not Go as tree-sitter knows it.
    pub fn read(path: &Path) -> Option<GoFile> {
        let text = std::fs::read_to_string(path).ok()?;
        GoFile::parse(path.to_owned(), text)
    }

    /// Parses a text.
    pub fn parse(path: PathBuf, text: String) -> Option<GoFile> {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_go::LANGUAGE.into()).ok()?;
        let tree = parser.parse(&text, None)?;
        (!tree.root_node().has_error()).then_some(GoFile { path, text, tree })
    }

    /// What a node says.
    pub fn text_of(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or("")
    }

    /// The root.
    pub fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    /// The name after `package`.
    pub fn package_name(&self) -> Option<&str> {
        let clause = named(self.root())
            .into_iter()
            .find(|node| node.kind() == "package_clause")?;
        Some(self.text_of(*named(clause).first()?))
    }

    /// The imports: the name that stands for each here, and its path.
    pub fn imports(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for node in all(self.root(), &|node| node.kind() == "import_spec") {
            let Some(path) = node.child_by_field_name("path") else {
                continue;
            };
            let path = self.text_of(path).trim_matches(['"', '`']).to_owned();
            let name = node.child_by_field_name("name").map_or_else(
                || super::super::program::last_element(&path).to_owned(),
                |name| self.text_of(name).to_owned(),
            );
            found.push((name, path));
        }
        found
    }

    /// The name that an import path has here.
    pub fn import_name(&self, path: &str) -> Option<String> {
        self.imports()
            .into_iter()
            .find(|(_, known)| known == path)
            .map(|(name, _)| name)
    }
}

impl GoPackage {
    /// One of its files, by its number.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(&self, number: usize) -> Result<&GoFile, &'static str> {
        self.files.get(number).ok_or("its file is gone")
    }

    /// The package that a file belongs to, from all files that were scanned. An external test package
    /// (`x_test`) cannot name what is not exported, and is left out.
    pub fn around(file: &Path, scanned: &[PathBuf]) -> Option<GoPackage> {
        let directory = file.parent()?.to_owned();
        let name = GoFile::read(file)?.package_name()?.to_owned();
        let mut files = Vec::new();
        for path in scanned
            .iter()
            .filter(|path| path.parent() == Some(&directory))
        {
            let parsed = GoFile::read(path)?;
            if parsed.package_name() == Some(&name) {
                files.push(parsed);
            }
        }
        Some(GoPackage { name, files })
    }
}

/// The named children that are no comments.
pub fn named(node: Node<'_>) -> Vec<Node<'_>> {
    super::super::lower::children(node)
}

/// All nodes below one that fulfil a condition, in the order of the text.
pub fn all<'t>(root: Node<'t>, wanted: &dyn Fn(Node<'t>) -> bool) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        if wanted(node) {
            found.push(node);
        }
        let mut cursor = node.walk();
        let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
        stack.extend(children.into_iter().rev());
    }
    found
}

/// As [`all`], without what stands in function literals below the root.
pub fn all_here<'t>(root: Node<'t>, wanted: &dyn Fn(Node<'t>) -> bool) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        if wanted(node) {
            found.push(node);
        }
        if node.kind() == "func_literal" && node != root {
            continue;
        }
        let mut cursor = node.walk();
        let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
        stack.extend(children.into_iter().rev());
    }
    found
}

/// The node and what lies around it, inside out.
pub fn ancestors(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    std::iter::successors(Some(node), |node| node.parent())
}

/// The function or literal whose body a node stands in.
pub fn function_around(node: Node<'_>) -> Option<Node<'_>> {
    ancestors(node).skip(1).find(|around| is_function(*around))
}

/// It has a body of its own.
pub fn is_function(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "function_declaration" | "method_declaration" | "func_literal"
    )
}

/// The statements of a block or of a case.
pub fn statements(node: Node<'_>) -> Vec<Node<'_>> {
    let list = if node.kind() == "statement_list" {
        Some(node)
    } else {
        named(node)
            .into_iter()
            .find(|child| child.kind() == "statement_list")
    };
    list.map(named).unwrap_or_default()
}

/// The expression without its parentheses.
pub fn bare(node: Node<'_>) -> Node<'_> {
    let mut node = node;
    while node.kind() == "parenthesized_expression" {
        match named(node).first() {
            Some(inner) => node = *inner,
            None => break,
        }
    }
    node
}

/// A name that means nothing yet in the function around a statement, and was not given before.
pub fn fresh(
    file: &GoFile,
    statement: Node<'_>,
    wishes: &[&str],
    given: &mut HashSet<String>,
) -> String {
    let around = ancestors(statement)
        .filter(|node| is_function(*node))
        .last()
        .unwrap_or(statement);
    let known: HashSet<&str> = all(around, &|node| {
        matches!(
            node.kind(),
            "identifier" | "type_identifier" | "package_identifier"
        )
    })
    .into_iter()
    .map(|node| file.text_of(node))
    .collect();
    let numbered = (2..).map(|number| format!("{}{number}", wishes.first().unwrap_or(&"value")));
    let mut candidates = wishes.iter().map(|wish| (*wish).to_owned()).chain(numbered);
    let found = candidates.find(|name| !known.contains(&name[..]) && !given.contains(name));
    let name = found.unwrap_or_default();
    given.insert(name.clone());
    name
}

/// A name that means nothing yet in a package: the wish, or the wish with a number.
pub fn free_name(package: &GoPackage, wish: &str) -> String {
    let known: HashSet<&str> = package
        .files
        .iter()
        .flat_map(|file| {
            let names = all(file.root(), &|node| {
                matches!(
                    node.kind(),
                    "identifier" | "field_identifier" | "type_identifier"
                )
            });
            names.into_iter().map(|node| file.text_of(node))
        })
        .collect();
    let numbered = (2..).map(|number| format!("{wish}{number}"));
    std::iter::once(wish.to_owned())
        .chain(numbered)
        .find(|name| !known.contains(&name[..]))
        .unwrap_or_else(|| wish.to_owned())
}
