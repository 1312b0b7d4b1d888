//! What an identifier stands for, and what type an expression has, as far as one package's text tells.
//! It need not be right in every case: the compiler checks each answer (see `check`).

use super::source::{GoFile, GoPackage, all, ancestors, bare, is_function, named, statements};
use tree_sitter::Node;

/// What declares a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared<'t> {
    /// A variable of a function: the identifier that declares it.
    Local(Node<'t>),
    /// A parameter, receiver or result.
    Param(Node<'t>),
    /// Nothing in the function.
    Outside,
}

/// What declares an identifier, seen from where it stands.
pub fn declaration<'t>(file: &GoFile, name: Node<'t>) -> Declared<'t> {
    let mut below = name;
    for around in ancestors(name).skip(1) {
        if let Some(found) = declared_in(file, around, below, name) {
            return found;
        }
        below = around;
    }
    Declared::Outside
}

fn declared_in<'t>(
    file: &GoFile,
    around: Node<'t>,
    below: Node<'t>,
    name: Node<'t>,
) -> Option<Declared<'t>> {
    let text = file.text_of(name);
    match around.kind() {
        "statement_list" => statements(around)
            .into_iter()
            .take_while(|statement| statement.start_byte() <= below.start_byte())
            .find_map(|statement| {
                let found = declared_by(file, statement, text)?;
                // A variable is not known in its own initial value.
                let in_own_value = statement == below && found != name;
                (!in_own_value).then_some(Declared::Local(found))
            }),
        "if_statement" | "expression_switch_statement" => around
            .child_by_field_name("initializer")
            .and_then(|init| declared_by(file, init, text))
            .map(Declared::Local),
        "type_switch_statement" => ["alias", "initializer"]
            .into_iter()
            .filter_map(|field| around.child_by_field_name(field))
            .find_map(|node| declared_by(file, node, text).or_else(|| in_list(file, node, text)))
            .map(Declared::Local),
        "for_statement" => named(around)
            .into_iter()
            .filter(|clause| matches!(clause.kind(), "for_clause" | "range_clause"))
            .find_map(|clause| {
                let part = clause
                    .child_by_field_name("initializer")
                    .or_else(|| clause.child_by_field_name("left"))?;
                declared_by(file, part, text).or_else(|| in_list(file, part, text))
            })
            .map(Declared::Local),
        "communication_case" => around
            .child_by_field_name("communication")
            .and_then(|part| part.child_by_field_name("left"))
            .and_then(|left| in_list(file, left, text))
            .map(Declared::Local),
        _ if is_function(around) => parameter(file, around, text).map(Declared::Param),
        _ => None,
    }
}

fn in_list<'t>(file: &GoFile, list: Node<'t>, text: &str) -> Option<Node<'t>> {
    let items = if list.kind() == "expression_list" {
        named(list)
    } else {
        vec![list]
    };
    items
        .into_iter()
        .find(|item| item.kind() == "identifier" && file.text_of(*item) == text)
}

/// The identifier in a statement that declares a name.
fn declared_by<'t>(file: &GoFile, statement: Node<'t>, text: &str) -> Option<Node<'t>> {
    match statement.kind() {
        "short_var_declaration" => in_list(file, statement.child_by_field_name("left")?, text),
        "var_declaration" => all(statement, &|node| node.kind() == "var_spec")
            .into_iter()
            .flat_map(|spec| names_of(spec))
            .find(|name| file.text_of(*name) == text),
        "labeled_statement" => named(statement)
            .into_iter()
            .find_map(|inner| declared_by(file, inner, text)),
        _ => None,
    }
}

/// The identifiers in the name field.
pub fn names_of(node: Node<'_>) -> Vec<Node<'_>> {
    super::super::lower::fields(node, "name")
}

fn parameter<'t>(file: &GoFile, function: Node<'t>, text: &str) -> Option<Node<'t>> {
    ["receiver", "parameters", "result"]
        .into_iter()
        .filter_map(|field| function.child_by_field_name(field))
        .flat_map(|list| named(list))
        .flat_map(|declaration| names_of(declaration))
        .find(|name| file.text_of(*name) == text)
}

/// A struct type of the package.
pub struct StructDecl<'p> {
    /// Its file's number.
    pub file: usize,
    /// Its name.
    pub name: String,
    /// Its `struct_type`.
    pub node: Node<'p>,
}

/// All structs with a name, those inside functions too.
pub fn structs(package: &GoPackage) -> Vec<StructDecl<'_>> {
    let mut found = Vec::new();
    for (number, file) in package.files.iter().enumerate() {
        for spec in all(file.root(), &|node| node.kind() == "type_spec") {
            let (Some(name), Some(ty)) = (
                spec.child_by_field_name("name"),
                spec.child_by_field_name("type"),
            ) else {
                continue;
            };
            if ty.kind() == "struct_type" {
                found.push(StructDecl {
                    file: number,
                    name: file.text_of(name).to_owned(),
                    node: ty,
                });
            }
        }
    }
    found
}

/// The declarations of a struct's fields.
pub fn field_decls(node: Node<'_>) -> Vec<Node<'_>> {
    named(node)
        .into_iter()
        .filter(|list| list.kind() == "field_declaration_list")
        .flat_map(named)
        .filter(|field| field.kind() == "field_declaration")
        .collect()
}

/// The text of a type without `*` and type arguments.
pub fn base_of(ty: &str) -> &str {
    let ty = ty.trim().trim_start_matches('*').trim();
    match ty.find('[') {
        Some(0) | None => ty,
        Some(_) if ty.starts_with("map[") => ty,
        Some(at) => ty.get(..at).unwrap_or(ty),
    }
}

/// The type of a map's values, of a slice's or array's elements.
pub fn element_of(ty: &str) -> Option<&str> {
    let (_, element) = bracketed(ty)?;
    Some(element)
}

/// The type of a map's keys.
pub fn key_of(ty: &str) -> Option<&str> {
    let (key, _) = bracketed(ty)?;
    ty.trim().starts_with("map[").then_some(key)
}

/// What stands in the brackets of `map[K]V`, `[]V` or `[n]V`, and what after them.
fn bracketed(ty: &str) -> Option<(&str, &str)> {
    let ty = ty.trim().trim_start_matches('*');
    let rest = ty.strip_prefix("map").unwrap_or(ty);
    if !rest.starts_with('[') {
        return None;
    }
    let mut depth = 0;
    for (at, character) in rest.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((rest.get(1..at)?.trim(), rest.get(at + 1..)?.trim()));
        }
    }
    None
}

/// Types of expressions, as text.
pub struct Types<'p> {
    package: &'p GoPackage,
    structs: Vec<StructDecl<'p>>,
}

impl<'p> Types<'p> {
    /// For a package.
    pub fn new(package: &'p GoPackage) -> Types<'p> {
        Types {
            package,
            structs: structs(package),
        }
    }

    /// The structs.
    pub fn structs(&self) -> &[StructDecl<'p>] {
        &self.structs
    }

    /// The struct with a name, which must be the only one.
    pub fn structure(&self, name: &str) -> Option<&StructDecl<'p>> {
        let mut with_name = self.structs.iter().filter(|known| known.name == name);
        let first = with_name.next()?;
        with_name.next().is_none().then_some(first)
    }

    /// The struct that really has a field, through embedded ones, and the field's declaration.
    pub fn field(&self, name: &str, field: &str) -> Option<(&StructDecl<'p>, Node<'p>)> {
        let mut level = vec![name.to_owned()];
        for _ in 0..6 {
            let mut next = Vec::new();
            for name in &level {
                let Some(structure) = self.structure(name) else {
                    continue;
                };
                let file = self.package.files.get(structure.file)?;
                for declaration in field_decls(structure.node) {
                    let names = names_of(declaration);
                    if names.iter().any(|name| file.text_of(*name) == field) {
                        return Some((structure, declaration));
                    }
                    if names.is_empty()
                        && let Some(ty) = declaration.child_by_field_name("type")
                    {
                        let embedded = base_of(file.text_of(ty)).to_owned();
                        if embedded == field {
                            return Some((structure, declaration));
                        }
                        next.push(embedded);
                    }
                }
            }
            level = next;
        }
        None
    }

    /// The type of the expression at a place of a file.
    pub fn text_at(&self, file: &GoFile, at: std::ops::Range<usize>) -> Option<String> {
        let own = self
            .package
            .files
            .iter()
            .find(|known| known.path == file.path)?;
        let node = own
            .root()
            .named_descendant_for_byte_range(at.start, at.end)?;
        self.of(own, node)
    }

    /// The type of the variable that an identifier declares.
    pub fn of_declaration(&self, file: &'p GoFile, name: Node<'p>) -> Option<String> {
        self.of_declared(file, name, 0)
    }

    /// The type of an expression, where the text tells.
    pub fn of(&self, file: &'p GoFile, node: Node<'p>) -> Option<String> {
        self.of_within(file, node, 0)
    }

    fn of_within(&self, file: &'p GoFile, node: Node<'p>, depth: u32) -> Option<String> {
        if depth > 12 {
            return None;
        }
        let node = bare(node);
        let inner = |node| self.of_within(file, node, depth + 1);
        match node.kind() {
            "identifier" => self.of_identifier(file, node, depth),
            "selector_expression" => {
                let base = inner(node.child_by_field_name("operand")?)?;
                let field = file.text_of(node.child_by_field_name("field")?);
                let (structure, declaration) = self.field(base_of(&base), field)?;
                let file = self.package.files.get(structure.file)?;
                Some(
                    file.text_of(declaration.child_by_field_name("type")?)
                        .to_owned(),
                )
            }
            "composite_literal" => Some(file.text_of(node.child_by_field_name("type")?).to_owned()),
            "unary_expression" => {
                let operand = inner(node.child_by_field_name("operand")?)?;
                let operator = file.text_of(node.child_by_field_name("operator")?);
                match operator {
                    "&" => Some(format!("*{operand}")),
                    "*" => operand.strip_prefix('*').map(str::to_owned),
                    _ => None,
                }
            }
            "index_expression" => {
                let operand = inner(node.child_by_field_name("operand")?)?;
                element_of(&operand).map(str::to_owned)
            }
            "type_assertion_expression" => {
                Some(file.text_of(node.child_by_field_name("type")?).to_owned())
            }
            "call_expression" => self.of_call(file, node),
            "int_literal" => Some("int".to_owned()),
            "interpreted_string_literal" | "raw_string_literal" => Some("string".to_owned()),
            _ => None,
        }
    }

    fn of_call(&self, file: &'p GoFile, call: Node<'p>) -> Option<String> {
        let function = call.child_by_field_name("function")?;
        let arguments = call.child_by_field_name("arguments")?;
        let name = file.text_of(function);
        match name {
            "make" => return Some(file.text_of(*named(arguments).first()?).to_owned()),
            "new" => {
                return Some(format!("*{}", file.text_of(*named(arguments).first()?)));
            }
            "len" | "cap" => return Some("int".to_owned()),
            _ => {}
        }
        self.results(name).into_iter().next()
    }

    /// The types of a package function's results.
    fn results(&self, name: &str) -> Vec<String> {
        for file in &self.package.files {
            for function in named(file.root()) {
                let is_it = function.kind() == "function_declaration"
                    && function
                        .child_by_field_name("name")
                        .is_some_and(|node| file.text_of(node) == name);
                let Some(result) = function.child_by_field_name("result").filter(|_| is_it) else {
                    continue;
                };
                if result.kind() != "parameter_list" {
                    return vec![file.text_of(result).to_owned()];
                }
                return named(result)
                    .into_iter()
                    .filter_map(|param| param.child_by_field_name("type"))
                    .map(|ty| file.text_of(ty).to_owned())
                    .collect();
            }
        }
        Vec::new()
    }

    fn of_identifier(&self, file: &'p GoFile, node: Node<'p>, depth: u32) -> Option<String> {
        match declaration(file, node) {
            Declared::Param(name) => {
                let ty = name.parent()?.child_by_field_name("type")?;
                Some(file.text_of(ty).to_owned())
            }
            Declared::Local(name) => self.of_declared(file, name, depth),
            Declared::Outside => {
                let (file, name) = global(self.package, file.text_of(node))?;
                self.of_declared(file, name, depth)
            }
        }
    }

    /// The type of the variable that an identifier declares.
    fn of_declared(&self, file: &'p GoFile, name: Node<'p>, depth: u32) -> Option<String> {
        let mut around = name.parent()?;
        if around.kind() == "var_spec" {
            if let Some(ty) = around.child_by_field_name("type") {
                return Some(file.text_of(ty).to_owned());
            }
        } else if around.kind() == "expression_list" {
            around = around.parent()?;
        }
        let names = match around.kind() {
            "var_spec" => names_of(around),
            _ => named(around.child_by_field_name("left")?),
        };
        let position = names.iter().position(|known| *known == name)?;
        let values = around
            .child_by_field_name("right")
            .or_else(|| around.child_by_field_name("value"))?;
        if around.kind() == "range_clause" {
            let over = self.of_within(file, values, depth + 1)?;
            return match position {
                0 if over == "int" || over == "string" => Some("int".to_owned()),
                0 if over.starts_with('[') => Some("int".to_owned()),
                0 => key_of(&over).map(str::to_owned),
                _ => element_of(&over).map(str::to_owned),
            };
        }
        let values = if values.kind() == "expression_list" {
            named(values)
        } else {
            vec![values]
        };
        if values.len() == names.len() || position == 0 {
            return self.of_within(file, *values.get(position)?, depth + 1);
        }
        let call = bare(*values.first()?);
        let function = call.child_by_field_name("function")?;
        self.results(file.text_of(function))
            .into_iter()
            .nth(position)
    }
}

/// The identifier that declares a package variable, and its file.
pub fn global<'p>(package: &'p GoPackage, text: &str) -> Option<(&'p GoFile, Node<'p>)> {
    package.files.iter().find_map(|file| {
        let specs = named(file.root())
            .into_iter()
            .filter(|node| node.kind() == "var_declaration")
            .flat_map(|node| all(node, &|node| node.kind() == "var_spec"))
            .filter(|spec| super::source::function_around(*spec).is_none());
        let name = specs
            .flat_map(names_of)
            .find(|name| file.text_of(*name) == text)?;
        Some((file, name))
    })
}
