//! A *subject* is a variable or field that holds a map that a finding is about; its *uses* are all
//! places of the package that name it, each with what it does.

use super::scope::{Declared, StructDecl, Types, declaration, element_of, global, names_of};
use super::source::{GoFile, GoPackage, all, ancestors, bare, function_around, named};
use tree_sitter::Node;

/// What a subject is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A field of a struct, by the struct's name.
    Field(String),
    /// A package variable.
    Global,
    /// A variable of a function, by where it is declared (first byte).
    Local(usize),
}

/// A variable or field that holds a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its own name.
    pub name: String,
    /// The number, in the package, of the file that declares it.
    pub file: usize,
}

/// What a use does with the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Declares it, or is a field's name in a composite literal: nobody else can know the map yet.
    Made,
    /// Reads an element, the length, or whether it is nil.
    Read,
    /// Assigns, deletes, clears, or replaces it.
    Write,
    /// Ranges over it.
    Range,
    /// Gives it to a function that only looks at it and calls nothing of the program.
    QuietRead,
    /// Gives it to a function that only looks at it, but may wait or call back.
    LoudRead,
    /// Keeps it under another name that is only read: the declared identifier.
    Snapshot,
    /// Returns it after all goroutines are done.
    Returned,
    /// Sends it over a channel to those who only read what they get, and hear of nothing that comes later.
    Sent,
    /// Leads to something that cannot be followed.
    Escape(String),
}

/// One use.
#[derive(Clone, Debug)]
pub struct Usage<'p> {
    /// The file's number in the package.
    pub file: usize,
    /// The identifier or field name itself.
    pub name: Node<'p>,
    /// The expression that is the map: `m`, `s.m`.
    pub map: Node<'p>,
    /// The expression that reads or writes: `s.m[k]`, `len(s.m)`.
    pub whole: Node<'p>,
    /// What is done.
    pub what: Use,
    /// The value whose field it is, where the map goes by another name.
    pub base: Option<Node<'p>>,
}

impl Usage<'_> {
    /// It needs the guard exclusively.
    pub fn writes(&self) -> bool {
        self.what == Use::Write
    }
}

/// The subject as people write it.
pub fn describe(subject: &Subject) -> String {
    match &subject.kind {
        SubjectKind::Field(structure) => format!("{structure}.{}", subject.name),
        _ => subject.name.clone(),
    }
}

/// The subject that a finding is about: `wanted` is the last part of how the finding calls the map, the
/// line is where one side touches it.
pub fn find(
    package: &GoPackage,
    types: &Types<'_>,
    file: usize,
    line: u32,
    wanted: &str,
) -> Result<Subject, String> {
    let source = package.files.get(file).ok_or("the file is not there")?;
    let row = line.saturating_sub(1) as usize;
    let on_line = |node: Node<'_>| node.start_position().row == row;
    let named_so = all(source.root(), &|node| {
        matches!(node.kind(), "identifier" | "field_identifier")
            && on_line(node)
            && source.text_of(node) == wanted
    });
    let candidates = if named_so.is_empty() {
        maps_on_line(source, row)
    } else {
        named_so
    };
    let mut reason = "the map is not a variable or field of its own".to_owned();
    for node in candidates {
        match subject_of(package, types, source, file, node) {
            Ok(subject) => return Ok(subject),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// The names of the maps that a line indexes, ranges over or hands to a builtin.
fn maps_on_line(file: &GoFile, row: usize) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    for node in all(file.root(), &|node| node.start_position().row == row) {
        let Some(mut map) = indexed(node).map(strip) else {
            continue;
        };
        if map.kind() == "selector_expression" {
            match map.child_by_field_name("field") {
                Some(field) => map = field,
                None => continue,
            }
        }
        if matches!(map.kind(), "identifier" | "field_identifier") {
            found.push(map);
        }
    }
    found
}

fn indexed(node: Node<'_>) -> Option<Node<'_>> {
    match node.kind() {
        "index_expression" => node.child_by_field_name("operand"),
        "range_clause" => node.child_by_field_name("right"),
        "argument_list" => named(node).first().copied(),
        _ => None,
    }
}

/// Without indices, assertions and parentheses.
fn strip(node: Node<'_>) -> Node<'_> {
    let mut node = bare(node);
    while matches!(
        node.kind(),
        "index_expression" | "type_assertion_expression" | "parenthesized_expression"
    ) {
        let inner = node
            .child_by_field_name("operand")
            .or_else(|| named(node).first().copied());
        match inner {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node
}

fn subject_of(
    package: &GoPackage,
    types: &Types<'_>,
    source: &GoFile,
    file: usize,
    node: Node<'_>,
) -> Result<Subject, String> {
    let name = source.text_of(node).to_owned();
    let parent = node.parent();
    if let Some(selector) = parent.filter(|parent| {
        parent.kind() == "selector_expression" && parent.child_by_field_name("field") == Some(node)
    }) {
        let structure = structure_of(package, types, source, file, selector, &name)?;
        return Ok(Subject {
            kind: SubjectKind::Field(structure.name.clone()),
            file: structure.file,
            name,
        });
    }
    if node.kind() != "identifier" {
        return Err(format!("{name} is not used as a field of a struct"));
    }
    match declaration(source, node) {
        Declared::Local(declared) => through_alias(package, types, source, file, declared),
        Declared::Param(_) => Err(format!(
            "{name} is a parameter: the caller has the map, too"
        )),
        Declared::Outside => {
            let (declaring, _) = global(package, &name)
                .ok_or_else(|| format!("the declaration of {name} is not found"))?;
            let file = package
                .files
                .iter()
                .position(|known| std::ptr::eq(known, declaring))
                .unwrap_or(file);
            Ok(Subject {
                kind: SubjectKind::Global,
                name,
                file,
            })
        }
    }
}

/// A local variable, or what it is only another name for: `inner := s.users[user]`.
fn through_alias(
    package: &GoPackage,
    types: &Types<'_>,
    source: &GoFile,
    file: usize,
    declared: Node<'_>,
) -> Result<Subject, String> {
    if let Some(value) = value_of(declared) {
        let root = strip(value);
        let is_element = root != bare(value) && bare(value).kind() == "index_expression";
        let is_map = root.kind() == "selector_expression" || root.kind() == "identifier";
        if is_map && (is_element || root.kind() == "selector_expression") {
            let node = match root.kind() {
                "selector_expression" => root.child_by_field_name("field").unwrap_or(root),
                _ => root,
            };
            return subject_of(package, types, source, file, node);
        }
    }
    Ok(Subject {
        kind: SubjectKind::Local(declared.start_byte()),
        name: source.text_of(declared).to_owned(),
        file,
    })
}

/// The expression that a declared identifier gets, when each has one of its own or it is the first.
pub fn value_of(declared: Node<'_>) -> Option<Node<'_>> {
    let mut around = declared.parent()?;
    if around.kind() == "expression_list" {
        around = around.parent()?;
    }
    let (names, values) = match around.kind() {
        "var_spec" => (names_of(around), around.child_by_field_name("value")?),
        "short_var_declaration" => (
            named(around.child_by_field_name("left")?),
            around.child_by_field_name("right")?,
        ),
        _ => return None,
    };
    let position = names.iter().position(|known| *known == declared)?;
    let values = if values.kind() == "expression_list" {
        named(values)
    } else {
        vec![values]
    };
    (values.len() == names.len() || position == 0)
        .then(|| values.get(position).copied())
        .flatten()
}

/// The struct whose field a selector names.
fn structure_of<'a>(
    package: &GoPackage,
    types: &'a Types<'_>,
    source: &GoFile,
    file: usize,
    selector: Node<'_>,
    field: &str,
) -> Result<&'a StructDecl<'a>, String> {
    let with_field: Vec<&StructDecl<'_>> = types
        .structs()
        .iter()
        .filter(|known| {
            let file = package.files.get(known.file);
            file.is_some_and(|file| has_field(file, known, field))
        })
        .collect();
    if let [only] = with_field[..] {
        return Ok(only);
    }
    let unsure = || {
        format!(
            "which struct the {field} of {} is in is not known",
            source.text_of(selector)
        )
    };
    // The same node, with the package's lifetime.
    let own = package.files.get(file).ok_or_else(unsure)?;
    let operand = selector.child_by_field_name("operand").ok_or_else(unsure)?;
    let ty = types
        .text_at(own, operand.byte_range())
        .ok_or_else(unsure)?;
    let (structure, _) = types
        .field(super::scope::base_of(&ty), field)
        .ok_or_else(unsure)?;
    Ok(structure)
}

fn has_field(file: &GoFile, structure: &StructDecl<'_>, field: &str) -> bool {
    super::scope::field_decls(structure.node)
        .into_iter()
        .flat_map(names_of)
        .any(|name| file.text_of(name) == field)
}

/// The declaration of a subject: the identifier, and the type as written there.
pub fn declared<'p>(
    package: &'p GoPackage,
    types: &Types<'p>,
    subject: &Subject,
) -> Option<(Node<'p>, Option<String>)> {
    let file = package.files.get(subject.file)?;
    match &subject.kind {
        SubjectKind::Field(structure) => {
            let declaration = super::scope::field_decls(types.structure(structure)?.node)
                .into_iter()
                .find(|declaration| {
                    names_of(*declaration)
                        .iter()
                        .any(|name| file.text_of(*name) == subject.name)
                })?;
            let name = names_of(declaration)
                .into_iter()
                .find(|name| file.text_of(*name) == subject.name)?;
            let ty = declaration.child_by_field_name("type")?;
            Some((name, Some(file.text_of(ty).to_owned())))
        }
        SubjectKind::Global => {
            let (_, name) = global(package, &subject.name)?;
            Some((name, types.of_declaration(file, name)))
        }
        SubjectKind::Local(at) => {
            let name = file
                .root()
                .descendant_for_byte_range(*at, at + subject.name.len())?;
            Some((name, types.of_declaration(file, name)))
        }
    }
}

/// All uses of a subject in its package.
pub fn uses<'p>(
    package: &'p GoPackage,
    types: &Types<'p>,
    subject: &Subject,
    map_type: &str,
) -> Result<Vec<Usage<'p>>, String> {
    let mut found = Vec::new();
    for (number, file) in package.files.iter().enumerate() {
        let kind = match subject.kind {
            SubjectKind::Field(_) => "field_identifier",
            _ => "identifier",
        };
        let names = all(file.root(), &|node| {
            (node.kind() == kind || node.kind() == "identifier" && kind == "field_identifier")
                && file.text_of(node) == subject.name
        });
        for name in names {
            if is_of(package, types, subject, number, name)? {
                let usage = usage(file, number, name, map_type);
                match super::aliases::of(file, &usage, map_type) {
                    Some(all) => found.extend(all),
                    None => found.push(usage),
                }
            }
        }
    }
    Ok(found)
}

fn is_of(
    package: &GoPackage,
    types: &Types<'_>,
    subject: &Subject,
    number: usize,
    name: Node<'_>,
) -> Result<bool, String> {
    let Some(file) = package.files.get(number) else {
        return Ok(false);
    };
    match &subject.kind {
        SubjectKind::Local(at) => Ok(number == subject.file
            && !is_label_or_key(name)
            && matches!(declaration(file, name), Declared::Local(node) if node.start_byte() == *at)),
        SubjectKind::Global => Ok(!is_label_or_key(name)
            && (declaration(file, name) == Declared::Outside
                || name
                    .parent()
                    .is_some_and(|p| p.kind() == "var_spec" && function_around(p).is_none()))),
        SubjectKind::Field(structure) => {
            let Some(parent) = name.parent() else {
                return Ok(false);
            };
            match parent.kind() {
                "field_declaration" => {
                    let list = ancestors(name).find(|node| node.kind() == "struct_type");
                    Ok(list.is_some_and(|list| {
                        types.structure(structure).is_some_and(|known| {
                            known.file == number && known.node.byte_range() == list.byte_range()
                        })
                    }))
                }
                "selector_expression" if name.kind() == "field_identifier" => {
                    let found = structure_of(package, types, file, number, parent, &subject.name);
                    // What is not known may be it: the compiler has the last word.
                    found.map(|found| found.name == *structure)
                }
                _ => Ok(is_literal_key(file, types, name, structure)),
            }
        }
    }
}

/// `T{name: ...}`.
fn is_literal_key(file: &GoFile, types: &Types<'_>, name: Node<'_>, structure: &str) -> bool {
    let Some(keyed) = ancestors(name)
        .nth(2)
        .filter(|node| node.kind() == "keyed_element")
    else {
        return false;
    };
    if keyed.child_by_field_name("key").map(|key| key.byte_range())
        != name.parent().map(|p| p.byte_range())
    {
        return false;
    }
    let literal = ancestors(keyed).find(|node| node.kind() == "composite_literal");
    let ty = literal.and_then(|literal| literal.child_by_field_name("type"));
    let Some(ty) = ty.map(|ty| file.text_of(ty)) else {
        return false;
    };
    let base = super::scope::base_of(ty);
    let element = element_of(base).map(super::scope::base_of).unwrap_or(base);
    element == structure && types.structure(structure).is_some()
}

fn is_label_or_key(name: Node<'_>) -> bool {
    let Some(parent) = name.parent() else {
        return false;
    };
    match parent.kind() {
        "literal_element" => parent.parent().is_some_and(|keyed| {
            keyed.kind() == "keyed_element" && keyed.child_by_field_name("key") == Some(parent)
        }),
        "parameter_declaration" | "type_parameter_declaration" => true,
        _ => false,
    }
}

fn usage<'p>(file: &'p GoFile, number: usize, name: Node<'p>, map_type: &str) -> Usage<'p> {
    let mut map = name;
    if let Some(parent) = name.parent()
        && parent.kind() == "selector_expression"
        && parent.child_by_field_name("field") == Some(name)
    {
        map = parent;
    }
    let (whole, what) = super::classify::classify(file, map, map_type);
    Usage {
        file: number,
        name,
        map,
        whole,
        what,
        base: None,
    }
}
