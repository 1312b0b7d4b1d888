//! What a use of a map does, from where it stands.

use super::scope::{Declared, declaration, element_of, key_of};
use super::source::{GoFile, all, ancestors, function_around, named, statements};
use super::uses::Use;
use tree_sitter::Node;

/// Functions that only look at what they are given; with keys and values that have no methods they
/// call nothing of the program.
const LOOKING: &[&str] = &[
    "json.Marshal",
    "json.MarshalIndent",
    "fmt.Sprint",
    "fmt.Sprintf",
    "fmt.Sprintln",
    "maps.Clone",
    "maps.Equal",
];

/// Functions that only look, but may wait for a reader of what they write.
const PRINTING: &[&str] = &[
    "fmt.Print",
    "fmt.Printf",
    "fmt.Println",
    "fmt.Fprint",
    "fmt.Fprintf",
    "fmt.Fprintln",
    "log.Print",
    "log.Printf",
    "log.Println",
    "t.Log",
    "t.Logf",
    "b.Log",
    "b.Logf",
];

/// Methods of encoders and templates, which only look.
const PRINTING_METHODS: &[&str] = &["Encode", "Execute", "ExecuteTemplate"];

/// The expression that reads or writes, and what it does.
pub fn classify<'p>(file: &GoFile, map: Node<'p>, map_type: &str) -> (Node<'p>, Use) {
    let mut whole = map;
    let mut depth = 0u32;
    while let Some(parent) = whole.parent() {
        match parent.kind() {
            "parenthesized_expression" => {}
            "index_expression" if parent.child_by_field_name("operand") == Some(whole) => {
                depth += 1;
            }
            "type_assertion_expression" => {}
            _ => break,
        }
        whole = parent;
    }
    let Some(parent) = whole.parent() else {
        return (
            whole,
            Use::Escape("it stands outside of any statement".to_owned()),
        );
    };
    if depth > 0 {
        let element = (0..depth).try_fold(map_type, |ty, _| element_of(ty));
        return (whole, of_element(file, whole, parent, element, map_type));
    }
    of_map(file, whole, parent, map_type)
}

fn is_assigned(list: Node<'_>, whole: Node<'_>) -> bool {
    list.kind() == "expression_list"
        && list.parent().is_some_and(|statement| {
            statement.kind() == "assignment_statement"
                && statement.child_by_field_name("left") == Some(list)
                || statement.kind() == "range_clause"
                    && statement.child_by_field_name("left") == Some(list)
        })
        && named(list).contains(&whole)
}

fn of_element(
    file: &GoFile,
    whole: Node<'_>,
    parent: Node<'_>,
    element: Option<&str>,
    map_type: &str,
) -> Use {
    if is_assigned(parent, whole) || matches!(parent.kind(), "inc_statement" | "dec_statement") {
        return if parent.parent().is_some_and(|p| p.kind() == "range_clause") {
            Use::Escape("it is assigned by a range clause".to_owned())
        } else {
            Use::Write
        };
    }
    if parent.kind() == "unary_expression"
        && parent
            .child_by_field_name("operator")
            .is_some_and(|op| file.text_of(op) == "&")
    {
        return Use::Escape("the address of an element is taken".to_owned());
    }
    if element.is_some_and(|ty| ty.starts_with("map[")) {
        // The element is a map that the same guard protects.
        return match of_map(file, whole, parent, element.unwrap_or(map_type)) {
            (_, Use::Snapshot) => Use::Escape("an inner map is kept under another name".to_owned()),
            (_, Use::Returned) => Use::Escape("an inner map is returned".to_owned()),
            (_, Use::Sent) => Use::Escape("an inner map is sent over a channel".to_owned()),
            (_, other) => other,
        };
    }
    Use::Read
}

fn of_map<'p>(file: &GoFile, whole: Node<'p>, parent: Node<'p>, map_type: &str) -> (Node<'p>, Use) {
    let escape = |why: &str| (whole, Use::Escape(why.to_owned()));
    match parent.kind() {
        "var_spec" | "field_declaration" => (whole, Use::Made),
        "literal_element" => {
            let keyed = parent
                .parent()
                .filter(|keyed| keyed.kind() == "keyed_element");
            match keyed.and_then(|keyed| keyed.child_by_field_name("key")) {
                Some(key) if key == parent => (whole, Use::Made),
                _ => escape("it is put into another value"),
            }
        }
        "range_clause" if parent.child_by_field_name("right") == Some(whole) => {
            (parent, Use::Range)
        }
        "binary_expression" => (whole, Use::Read),
        "argument_list" => argument(file, whole, parent, map_type),
        "expression_list" => in_list(file, whole, parent),
        "unary_expression" => match parent
            .child_by_field_name("operator")
            .map(|op| file.text_of(op))
        {
            Some("&") => address(file, whole, parent, map_type),
            _ => escape("it is a pointer to a map"),
        },
        "send_statement" if is_sent_to_readers(file, parent, whole) => (whole, Use::Sent),
        "send_statement" => escape("it is sent over a channel"),
        "selector_expression" => escape("it has methods"),
        "slice_expression" => escape("a part of it is taken"),
        _ => escape("it is used in a way that is not known"),
    }
}

fn in_list<'p>(file: &GoFile, whole: Node<'p>, list: Node<'p>) -> (Node<'p>, Use) {
    let escape = |why: &str| (whole, Use::Escape(why.to_owned()));
    if is_assigned(list, whole) {
        return (whole, Use::Write);
    }
    let Some(statement) = list.parent() else {
        return escape("it stands outside of any statement");
    };
    match statement.kind() {
        "short_var_declaration" if statement.child_by_field_name("left") == Some(list) => {
            (whole, Use::Made)
        }
        "short_var_declaration" => match alias(statement, list, whole) {
            Some(name) if is_only_read(file, name) => (whole, Use::Snapshot),
            _ => escape("it is kept under another name"),
        },
        "return_statement" => match is_after_wait(file, statement) {
            true => (whole, Use::Returned),
            false => escape("it is returned"),
        },
        "assignment_statement" | "var_spec" => escape("it is kept under another name"),
        _ => escape("it is used in a way that is not known"),
    }
}

/// Over a local channel that only sends and receives know, whose receivers only read the map and wait for
/// nothing else: what the sender writes later they could only see by chance.
fn is_sent_to_readers(file: &GoFile, send: Node<'_>, map: Node<'_>) -> bool {
    let channel = send.child_by_field_name("channel");
    let is_value = send.child_by_field_name("value") == Some(map);
    let Some(channel) = channel.filter(|node| is_value && node.kind() == "identifier") else {
        return false;
    };
    let Declared::Local(made) = declaration(file, channel) else {
        return false;
    };
    let is_made = super::uses::value_of(made)
        .is_some_and(|value| file.text_of(value).starts_with("make(chan "));
    let Some(function) = function_around(made).filter(|_| is_made) else {
        return false;
    };
    let uses = all(function, &|node| {
        node.kind() == "identifier"
            && node != made
            && file.text_of(node) == file.text_of(made)
            && declaration(file, node) == Declared::Local(made)
    });
    uses.into_iter().all(|name| {
        name.parent().is_some_and(|parent| match parent.kind() {
            "send_statement" => parent.child_by_field_name("channel") == Some(name),
            "argument_list" => parent.parent().is_some_and(|call| {
                let function = call.child_by_field_name("function");
                function.is_some_and(|function| {
                    matches!(file.text_of(function), "close" | "len" | "cap")
                })
            }),
            "unary_expression" | "range_clause" => is_reader(file, parent, name),
            _ => false,
        })
    })
}

/// What is received is only read, in a function that waits for nothing but the channel.
fn is_reader(file: &GoFile, receive: Node<'_>, channel: Node<'_>) -> bool {
    let around = match receive.kind() {
        "range_clause" => Some(receive),
        _ => receive.parent().and_then(|list| list.parent()),
    };
    let names = around
        .filter(|around| matches!(around.kind(), "range_clause" | "short_var_declaration"))
        .and_then(|around| around.child_by_field_name("left"))
        .map(named)
        .unwrap_or_default();
    let [name] = names[..] else { return false };
    let waits = |function: Node<'_>| {
        let other = all(function, &|node| match node.kind() {
            "select_statement" => true,
            "unary_expression" | "range_clause" => {
                let operand = ["operand", "right"]
                    .into_iter()
                    .find_map(|field| node.child_by_field_name(field));
                let is_other =
                    operand.is_none_or(|operand| file.text_of(operand) != file.text_of(channel));
                is_other && file.text_of(node).starts_with("<-")
            }
            "call_expression" => node
                .child_by_field_name("function")
                .is_some_and(|function| {
                    let method = file.text_of(function).rsplit('.').next().unwrap_or("");
                    matches!(method, "Lock" | "RLock" | "Wait" | "Load" | "Do" | "Sleep")
                }),
            _ => false,
        });
        !other.is_empty()
    };
    is_only_read(file, name) && function_around(receive).is_some_and(|function| !waits(function))
}

/// The name that an expression of a list gets.
pub fn alias<'p>(statement: Node<'p>, list: Node<'p>, whole: Node<'p>) -> Option<Node<'p>> {
    let position = named(list).iter().position(|item| *item == whole)?;
    let left = named(statement.child_by_field_name("left")?);
    (left.len() == named(list).len())
        .then(|| left.get(position).copied())
        .flatten()
        .filter(|name| name.kind() == "identifier")
}

/// A local variable whose map is only indexed, ranged over or measured.
fn is_only_read(file: &GoFile, name: Node<'_>) -> bool {
    let Some(function) = function_around(name) else {
        return false;
    };
    let same = all(function, &|node| {
        node.kind() == "identifier"
            && file.text_of(node) == file.text_of(name)
            && declaration(file, node) == Declared::Local(name)
    });
    same.into_iter().all(|node| {
        if node == name {
            return true;
        }
        let mut whole = node;
        while let Some(parent) = whole
            .parent()
            .filter(|parent| parent.kind() == "index_expression")
            .filter(|parent| parent.child_by_field_name("operand") == Some(whole))
        {
            whole = parent;
        }
        let Some(parent) = whole.parent() else {
            return false;
        };
        let is_written = is_assigned(parent, whole)
            || matches!(
                parent.kind(),
                "inc_statement" | "dec_statement" | "unary_expression"
            );
        let is_kept = whole == node
            && match parent.kind() {
                "range_clause" => false,
                "argument_list" => parent
                    .parent()
                    .and_then(|call| call.child_by_field_name("function"))
                    .is_none_or(|function| file.text_of(function) != "len"),
                _ => true,
            };
        !is_written && !is_kept
    })
}

/// A return of the function that declares the map, after a `Wait()` in the same list of statements.
fn is_after_wait(file: &GoFile, statement: Node<'_>) -> bool {
    let Some(list) = statement.parent() else {
        return false;
    };
    statements(list)
        .into_iter()
        .take_while(|before| before.start_byte() < statement.start_byte())
        .any(|before| file.text_of(before).ends_with(".Wait()"))
}

fn argument<'p>(file: &GoFile, whole: Node<'p>, list: Node<'p>, map_type: &str) -> (Node<'p>, Use) {
    let Some(call) = list.parent() else {
        return (whole, Use::Escape("it is passed on".to_owned()));
    };
    let function = call
        .child_by_field_name("function")
        .map_or("", |function| file.text_of(function));
    let position = named(list).iter().position(|item| *item == whole);
    let what = match (function, position) {
        ("len", _) => Use::Read,
        ("delete" | "clear" | "maps.Copy" | "maps.DeleteFunc", Some(0)) => Use::Write,
        ("maps.Copy", _) => Use::Read,
        ("append" | "copy", _) => Use::Escape("it is put into another value".to_owned()),
        _ if is_looking(function) && is_plain(map_type) => Use::QuietRead,
        _ if is_printing(function) && is_plain(map_type) => Use::LoudRead,
        _ if is_looking(function) || is_printing(function) => Use::Escape(format!(
            "{function} looks into its values, which may be shared as well"
        )),
        _ => Use::Escape(format!("it is passed to {}", first_line(function))),
    };
    let whole = if what == Use::QuietRead || function == "len" {
        call
    } else {
        whole
    };
    (whole, what)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("a function")
}

fn is_looking(function: &str) -> bool {
    LOOKING.contains(&function)
}

fn is_printing(function: &str) -> bool {
    let method = function.rsplit('.').next().unwrap_or("");
    PRINTING.contains(&function) || function.contains('.') && PRINTING_METHODS.contains(&method)
}

/// `json.Unmarshal(data, &m)` writes, and calls nothing of the program when keys and values have no methods.
fn address<'p>(file: &GoFile, whole: Node<'p>, unary: Node<'p>, map_type: &str) -> (Node<'p>, Use) {
    let call = ancestors(unary).nth(2);
    let function = call.and_then(|call| call.child_by_field_name("function"));
    let is_decoder = function.is_some_and(|function| file.text_of(function) == "json.Unmarshal");
    if is_decoder && is_plain(map_type) {
        (whole, Use::Write)
    } else {
        (whole, Use::Escape("its address is taken".to_owned()))
    }
}

/// Types whose values are numbers.
const NUMBERS: &[&str] = &[
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "byte",
    "rune",
    "complex64",
    "complex128",
    "uintptr",
];

/// A predeclared type of numbers.
pub fn is_number(ty: &str) -> bool {
    NUMBERS.contains(&ty)
}

/// A predeclared type, or the empty struct: its values share nothing and have no methods.
pub fn is_predeclared(ty: &str) -> bool {
    is_number(ty) || matches!(ty, "bool" | "string" | "struct{}")
}

/// Keys and values are of predeclared types: a copy shares nothing, and they have no methods.
pub fn is_plain(map_type: &str) -> bool {
    let (Some(key), Some(value)) = (key_of(map_type), element_of(map_type)) else {
        return false;
    };
    is_predeclared(key) && is_predeclared(value)
}

/// The statement around a node that stands in a list of statements.
pub fn statement_of(node: Node<'_>) -> Option<Node<'_>> {
    ancestors(node).find(|around| {
        around
            .parent()
            .is_some_and(|parent| parent.kind() == "statement_list")
    })
}

/// A predeclared type's name, which can stand before parentheses without being a call.
pub fn is_conversion(name: &str) -> bool {
    is_number(name) && !name.starts_with("complex") || matches!(name, "bool" | "string")
}

/// A builtin that neither waits nor calls back.
pub fn is_builtin(name: &str) -> bool {
    matches!(
        name,
        "len" | "cap" | "append" | "make" | "new" | "copy" | "delete" | "clear" | "min" | "max"
    ) || is_conversion(name)
}
