//! The keys of a map, and the one type that each has.

use super::is_record;
use crate::scan::fix::constants::Values;
use crate::scan::fix::plan::Case;
use crate::scan::fix::source::{GoFile, bare, named};
use crate::scan::fix::uses::{SubjectKind, Usage, Use, value_of};
use crate::scan::fix::{aliases, classify, uses};
use std::collections::{BTreeMap, BTreeSet};
use tree_sitter::Node;

/// What a use does with the map.
pub enum Access<'p> {
    /// The type in its declaration, which has no value.
    Typed(Node<'p>),
    /// A first or new value: a composite literal or `make`.
    Made(Node<'p>),
    /// A declaration without anything to change.
    Declared,
    /// `m["k"] = value`.
    Set {
        whole: Node<'p>,
        key: Node<'p>,
        value: Node<'p>,
    },
    /// `m["k"].(T)`.
    Get {
        assertion: Node<'p>,
        key: Node<'p>,
        ty: Node<'p>,
    },
    /// `v, ok := m["k"].(T)`: the list of names and the second one.
    GetOk {
        assertion: Node<'p>,
        key: Node<'p>,
        ty: Node<'p>,
        names: Node<'p>,
        ok: Node<'p>,
    },
    /// `m["k"]`, given to a function that prints it.
    Shown { whole: Node<'p>, key: Node<'p> },
}

/// The keys, with their fields and types.
pub struct Keys {
    by_key: BTreeMap<String, Key>,
    /// Uses that change.
    pub places: usize,
}

struct Key {
    field: String,
    ty: String,
}

/// What is known of one key before its type is.
#[derive(Default)]
struct Known {
    types: BTreeSet<String>,
    /// Something of a type that the text does not tell is assigned.
    is_assigned_unknown: bool,
    /// It must have been there from the beginning.
    must_be_set: bool,
}

impl Keys {
    /// Of all uses.
    pub fn of(case: &Case<'_, '_>) -> Result<Keys, String> {
        if !is_record(case.map_type) {
            return Err("it is no map[string]any".to_owned());
        }
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        let mut first: Option<BTreeSet<String>> = None;
        let mut places = 0;
        for usage in case.usages {
            let file = case.package.file(usage.file)?;
            let access = access(file, usage).map_err(|why| {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                format!("{why} ({name}:{})", usage.map.start_position().row + 1)
            })?;
            places += usize::from(key_text(file, &access).is_some());
            learn(case, file, &access, &mut known, &mut first)?;
        }
        let first = first.filter(|_| !matches!(case.subject.kind, SubjectKind::Field(_)));
        let mut by_key = BTreeMap::new();
        let mut fields = BTreeSet::new();
        for (key, known) in known {
            let ty = one_type(&key, &known)?;
            let is_set = first.as_ref().is_some_and(|first| first.contains(&key));
            if known.must_be_set && !is_set {
                return Err(format!(
                    "{key:?} is read where it may not be set, which a field would not show"
                ));
            }
            let field =
                field_name(&key).ok_or_else(|| format!("{key:?} is no name for a field"))?;
            if !fields.insert(field.clone()) {
                return Err(format!("{key:?} and another key would be one field"));
            }
            by_key.insert(key, Key { field, ty });
        }
        if by_key.is_empty() {
            return Err("it has no keys".to_owned());
        }
        Ok(Keys { by_key, places })
    }

    /// The field of a key.
    pub fn field(&self, file: &GoFile, key: Node<'_>) -> Result<String, String> {
        let known = constant(file, key).and_then(|key| self.by_key.get(&key));
        known
            .map(|key| key.field.clone())
            .ok_or_else(|| "one of its keys is not known".to_owned())
    }

    /// The fields of the struct, line by line.
    pub fn fields(&self) -> String {
        let line = |key: &Key| format!("\t{} {}", key.field, key.ty);
        let lines: Vec<String> = self.by_key.values().map(line).collect();
        lines.join("\n")
    }
}

fn learn<'p>(
    case: &Case<'_, 'p>,
    file: &'p GoFile,
    access: &Access<'p>,
    known: &mut BTreeMap<String, Known>,
    first: &mut Option<BTreeSet<String>>,
) -> Result<(), String> {
    let mut set = |key: Node<'p>, value: Node<'p>| -> Result<(), String> {
        let key = constant(file, key).ok_or("a key is not a constant")?;
        let known = known.entry(key).or_default();
        match value_type(case, file, value) {
            Some(ty) => {
                known.types.insert(ty);
            }
            None if is_variable_value(case, file, value) => known.is_assigned_unknown = true,
            None => return Err("what is assigned to a key has a type that is not known".to_owned()),
        }
        Ok(())
    };
    match access {
        Access::Made(value) => {
            let elements = elements(*value);
            let own: BTreeSet<String> = elements
                .iter()
                .filter_map(|(key, _)| constant(file, *key))
                .collect();
            for (key, value) in elements {
                set(key, value)?;
            }
            *first = Some(match first.take() {
                Some(known) => known.intersection(&own).cloned().collect(),
                None => own,
            });
        }
        Access::Typed(_) => *first = Some(BTreeSet::new()),
        Access::Set { key, value, .. } => set(*key, *value)?,
        Access::Get { key, ty, .. } | Access::GetOk { key, ty, .. } => {
            let text = constant(file, *key).ok_or("a key is not a constant")?;
            let known = known.entry(text).or_default();
            known.types.insert(file.text_of(*ty).to_owned());
            known.must_be_set |= match access {
                Access::GetOk { ok, .. } => file.text_of(*ok) != "_",
                _ => true,
            };
        }
        Access::Shown { key, .. } => {
            let text = constant(file, *key).ok_or("a key is not a constant")?;
            known.entry(text).or_default().must_be_set = true;
        }
        Access::Declared => {}
    }
    Ok(())
}

fn one_type(key: &str, known: &Known) -> Result<String, String> {
    let mut types = known.types.iter();
    let (Some(ty), None) = (types.next(), types.next()) else {
        return Err(format!(
            "the type of {key:?} is not known, or it has several"
        ));
    };
    // What is assigned to a predeclared type and is no constant has this type.
    if known.is_assigned_unknown && !classify::is_predeclared(ty) {
        return Err(format!("what is assigned to {key:?} may have another type"));
    }
    let is_concrete = classify::is_predeclared(ty)
        || ty.starts_with(['*', '['])
        || ty.starts_with("map[")
        || matches!(&ty[..], "time.Time" | "time.Duration");
    if is_concrete {
        Ok(ty.clone())
    } else {
        Err(format!("{ty}, the type of {key:?}, may be an interface"))
    }
}

/// The key's text, where one is named.
pub fn key_text(file: &GoFile, access: &Access<'_>) -> Option<String> {
    match access {
        Access::Set { key, .. }
        | Access::Get { key, .. }
        | Access::GetOk { key, .. }
        | Access::Shown { key, .. } => constant(file, *key),
        _ => None,
    }
}

/// What a use does.
pub fn access<'p>(file: &'p GoFile, usage: &Usage<'p>) -> Result<Access<'p>, String> {
    let parent = usage
        .map
        .parent()
        .ok_or("it stands outside of any statement")?;
    match parent.kind() {
        "index_expression" => element(file, parent),
        "var_spec" | "field_declaration" => declared(usage, parent),
        "expression_list" => replaced(usage, parent),
        "literal_element" => {
            let value = parent
                .parent()
                .and_then(|keyed| keyed.child_by_field_name("value"));
            let value = value.and_then(|value| named(value).first().copied());
            made(value.ok_or("it is put into another value")?)
        }
        _ => Err(match &usage.what {
            Use::Escape(why) => why.clone(),
            Use::Range => "all its keys are looked at".to_owned(),
            _ => "it is used as a whole".to_owned(),
        }),
    }
}

fn declared<'p>(usage: &Usage<'p>, spec: Node<'p>) -> Result<Access<'p>, String> {
    let ty = spec.child_by_field_name("type");
    match (uses::value_of(usage.name).map(bare), ty) {
        (Some(_), Some(_)) => Err("it is declared with both a type and a value".to_owned()),
        (Some(value), None) => made(value),
        (None, Some(ty)) => Ok(Access::Typed(ty)),
        (None, None) => Err("its declaration has an unusual form".to_owned()),
    }
}

/// `m := map[string]any{}`, `m = map[string]any{}`.
fn replaced<'p>(usage: &Usage<'p>, list: Node<'p>) -> Result<Access<'p>, String> {
    let statement = list.parent().ok_or("it stands outside of any statement")?;
    let is_left = statement.child_by_field_name("left") == Some(list);
    if !is_left {
        return Err(match &usage.what {
            Use::Escape(why) => why.clone(),
            _ => "it is used as a whole".to_owned(),
        });
    }
    if statement.kind() == "short_var_declaration" {
        return match value_of(usage.name).map(bare) {
            Some(value) => made(value),
            None => Ok(Access::Declared),
        };
    }
    let values = statement.child_by_field_name("right").map(named);
    match &values.unwrap_or_default()[..] {
        [value] if named(list).len() == 1 => made(bare(*value)),
        _ => Err("it is assigned together with something else".to_owned()),
    }
}

/// A map that is made here.
fn made(value: Node<'_>) -> Result<Access<'_>, String> {
    let function = value.child_by_field_name("function");
    let is_make = function.is_some_and(|function| function.byte_range().len() == "make".len());
    let is_known = elements(value).len()
        == value
            .child_by_field_name("body")
            .map_or(0, |body| named(body).len());
    if value.kind() == "composite_literal" && is_known || is_make {
        Ok(Access::Made(value))
    } else {
        Err("the map comes from somewhere else".to_owned())
    }
}

/// The keys and values of a composite literal.
pub fn elements(literal: Node<'_>) -> Vec<(Node<'_>, Node<'_>)> {
    let body = literal.child_by_field_name("body").map(named);
    let part = |keyed: Node<'_>, field: &str| -> Option<usize> {
        keyed.child_by_field_name(field).map(|node| node.id())
    };
    body.unwrap_or_default()
        .into_iter()
        .filter(|keyed| part(*keyed, "key").is_some() && part(*keyed, "value").is_some())
        .filter_map(|keyed| {
            let key = named(keyed.child_by_field_name("key")?).first().copied()?;
            let value = named(keyed.child_by_field_name("value")?)
                .first()
                .copied()?;
            Some((key, value))
        })
        .collect()
}

fn element<'p>(file: &'p GoFile, whole: Node<'p>) -> Result<Access<'p>, String> {
    let key = whole
        .child_by_field_name("index")
        .ok_or("it has no index")?;
    if constant(file, key).is_none() {
        return Err("a key is not a constant".to_owned());
    }
    let parent = whole.parent().ok_or("it stands outside of any statement")?;
    match parent.kind() {
        "type_assertion_expression" => asserted(parent, key),
        "argument_list" if is_printed(file, parent) => Ok(Access::Shown { whole, key }),
        "expression_list" if is_kept_to_print(file, whole) => Ok(Access::Shown { whole, key }),
        "expression_list" => set(file, whole, key, parent),
        _ => Err("an element is read without a type".to_owned()),
    }
}

fn set<'p>(
    file: &GoFile,
    whole: Node<'p>,
    key: Node<'p>,
    list: Node<'p>,
) -> Result<Access<'p>, String> {
    let untyped = || "an element is read without a type".to_owned();
    let statement = list.parent().ok_or_else(untyped)?;
    let is_set = statement.kind() == "assignment_statement"
        && statement.child_by_field_name("left") == Some(list)
        && statement
            .child_by_field_name("operator")
            .is_some_and(|operator| file.text_of(operator) == "=");
    if !is_set {
        return Err(untyped());
    }
    let left = named(list);
    let right = statement
        .child_by_field_name("right")
        .map(named)
        .unwrap_or_default();
    let position = left.iter().position(|item| *item == whole);
    match position.and_then(|position| right.get(position)) {
        Some(value) if left.len() == right.len() => Ok(Access::Set {
            whole,
            key,
            value: *value,
        }),
        _ => Err("it is assigned together with something else".to_owned()),
    }
}

fn asserted<'p>(assertion: Node<'p>, key: Node<'p>) -> Result<Access<'p>, String> {
    let ty = assertion
        .child_by_field_name("type")
        .ok_or("its assertion has no type")?;
    let statement = assertion
        .parent()
        .filter(|list| list.kind() == "expression_list" && named(*list).len() == 1)
        .and_then(|list| list.parent());
    let names = statement
        .and_then(|statement| statement.child_by_field_name("left"))
        .filter(|names| named(*names).len() == 2);
    match names.map(|names| (names, named(names))) {
        Some((names, both)) => Ok(Access::GetOk {
            assertion,
            key,
            ty,
            names,
            ok: both.last().copied().unwrap_or(names),
        }),
        None if is_specified(assertion) => Err("two variables are declared by it".to_owned()),
        None => Ok(Access::Get { assertion, key, ty }),
    }
}

/// `var v, ok = m["k"].(T)`.
fn is_specified(assertion: Node<'_>) -> bool {
    let spec = assertion.parent().and_then(|list| list.parent());
    spec.is_some_and(|spec| {
        spec.kind() == "var_spec" && crate::scan::fix::scope::names_of(spec).len() == 2
    })
}

fn is_printed(file: &GoFile, list: Node<'_>) -> bool {
    let function = list
        .parent()
        .and_then(|call| call.child_by_field_name("function"));
    let name = function.map_or("", |function| file.text_of(function));
    name.starts_with("fmt.") || name.starts_with("log.")
}

/// `value := m["k"]`, where the value is only printed.
fn is_kept_to_print(file: &GoFile, whole: Node<'_>) -> bool {
    let name = aliases::name_of(whole);
    let others = name.and_then(|name| aliases::others(file, name));
    others.is_some_and(|others| {
        others.into_iter().all(|name| {
            let list = name.parent();
            list.is_some_and(|list| list.kind() == "argument_list" && is_printed(file, list))
        })
    })
}

/// A string constant: a literal without escapes.
fn constant(file: &GoFile, key: Node<'_>) -> Option<String> {
    let text = file.text_of(bare(key));
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['\\', '"'])).then(|| inner.to_owned())
}

/// `userId` for `user_id`.
fn field_name(key: &str) -> Option<String> {
    let mut name = String::new();
    let mut is_start = false;
    for character in key.chars() {
        match character {
            '_' | '-' | '.' | ' ' => is_start = !name.is_empty(),
            _ if !character.is_ascii_alphanumeric() => return None,
            _ if name.is_empty() => name.push(character.to_ascii_lowercase()),
            _ if is_start => {
                name.push(character.to_ascii_uppercase());
                is_start = false;
            }
            _ => name.push(character),
        }
    }
    let begins = name.chars().next().is_some_and(char::is_alphabetic);
    (begins && !is_keyword(&name)).then_some(name)
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = " break case chan const continue default defer else fallthrough for func go goto if \
        import interface map package range return select struct switch type var ";
    KEYWORDS.contains(&format!(" {name} "))
}

/// The type that a value has in an interface, where the text tells.
fn value_type<'p>(case: &Case<'_, 'p>, file: &'p GoFile, value: Node<'p>) -> Option<String> {
    let value = bare(value);
    let inner = |field| value_type(case, file, value.child_by_field_name(field)?);
    let known = match value.kind() {
        "true" | "false" => "bool",
        "float_literal" => "float64",
        "rune_literal" => "rune",
        "unary_expression" if file.text_of(value).starts_with(['-', '+', '^']) => {
            return inner("operand");
        }
        "unary_expression" if file.text_of(value).starts_with('!') => "bool",
        "binary_expression" => return of_binary(case, file, value),
        "call_expression" => {
            let function = file.text_of(value.child_by_field_name("function")?);
            match function {
                "fmt.Sprintf" | "fmt.Sprint" | "fmt.Sprintln" => "string",
                "time.Now" => "time.Time",
                "time.Since" => "time.Duration",
                _ if classify::is_conversion(function) => function,
                _ => return case.types.of(file, value),
            }
        }
        _ => return case.types.of(file, value),
    };
    Some(known.to_owned())
}

fn of_binary<'p>(case: &Case<'_, 'p>, file: &'p GoFile, value: Node<'p>) -> Option<String> {
    let operator = value.child_by_field_name("operator")?;
    let sides = ["left", "right"].map(|field| value.child_by_field_name(field));
    match operator.kind() {
        "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||" => return Some("bool".to_owned()),
        "<<" | ">>" => return None,
        _ => {}
    }
    let values = values(case, file);
    let [left, right] = sides;
    let (left, right) = (left?, right?);
    let known = |side| value_type(case, file, side);
    // A constant takes the type of the other side.
    match (values.may_be_constant(left), values.may_be_constant(right)) {
        (false, _) => known(left),
        (true, false) => known(right),
        (true, true) => known(left).filter(|ty| known(right).as_ref() == Some(ty)),
    }
}

fn is_variable_value<'p>(case: &Case<'_, 'p>, file: &'p GoFile, value: Node<'p>) -> bool {
    !values(case, file).may_be_constant(value)
}

fn values<'c, 'p>(case: &Case<'c, 'p>, file: &'p GoFile) -> Values<'c, 'p> {
    Values {
        package: case.package,
        types: case.types,
        file,
    }
}
