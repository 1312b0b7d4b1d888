//! The edits that make a map a sync.Map.

use super::super::classify::statement_of;
use super::super::constants::{Values, is_interface};
use super::super::edit::Edit;
use super::super::guard::is_conditional;
use super::super::imports::import;
use super::super::plan::{Case, FixKind, Plan};
use super::super::quiet::Quiet;
use super::super::source::{GoFile, all, all_here, ancestors, bare, fresh, function_around, named};
use super::super::uses::{SubjectKind, Usage, value_of};
use super::pairs::Role;
use super::{Access, Shape, Step, contents, is_empty};
use std::collections::HashSet;
use tree_sitter::Node;

/// Makes the edits.
pub struct Rewrite<'r, 's, 'c, 'p> {
    case: &'r Case<'c, 'p>,
    shape: Shape<'r>,
    steps: &'r [Step<'s, 'p>],
    given: HashSet<String>,
    /// The result.
    pub plan: Plan,
}

impl<'r, 's, 'c, 'p> Rewrite<'r, 's, 'c, 'p> {
    pub fn new(case: &'r Case<'c, 'p>, shape: Shape<'r>, steps: &'r [Step<'s, 'p>]) -> Self {
        Rewrite {
            case,
            shape,
            steps,
            given: HashSet::new(),
            plan: case.empty(FixKind::SyncMap),
        }
    }

    /// All steps.
    pub fn all(&mut self) -> Result<(), String> {
        self.steps.iter().try_for_each(|step| self.one(step))
    }

    fn one(&mut self, step: &'r Step<'s, 'p>) -> Result<(), String> {
        let map = step.file.text_of(step.usage.map);
        match step.access {
            Access::Declared => return self.declare(step),
            Access::Literal { keyed, value } => return self.literal(step, keyed, value),
            Access::Load { whole, key } => self.load(step, whole, key)?,
            Access::Store {
                statement,
                key,
                value,
            } => self.store(step, statement, key, value)?,
            Access::Delete { call, key } => {
                let key = self.key(step, key);
                match step.role {
                    Role::Gone => self.remove(step, call.parent().unwrap_or(call)),
                    _ => self.replace(step, call, format!("{map}.Delete({key})")),
                }
            }
            Access::Clear { node } => {
                if self.case.go_minor < 23 {
                    return Err("a sync.Map is cleared since Go 1.23 only".to_owned());
                }
                self.replace(step, node, format!("{map}.Clear()"));
            }
            Access::Range { clause, each } => self.range(step, clause, each)?,
        }
        self.plan.places += 1;
        Ok(())
    }

    fn values(&self, step: &Step<'_, 'p>) -> Values<'_, 'p> {
        Values {
            package: self.case.package,
            types: self.case.types,
            file: step.file,
        }
    }

    fn key(&self, step: &Step<'_, 'p>, key: Node<'p>) -> String {
        self.values(step).exactly(key, self.shape.key)
    }

    fn value(&self, step: &Step<'_, 'p>, value: Node<'p>) -> String {
        self.values(step).exactly(value, self.shape.value)
    }

    fn replace(&mut self, step: &Step<'_, 'p>, node: Node<'p>, text: String) {
        self.touch(step, node);
        self.plan
            .edits
            .push(Edit::replace(step.usage.file, node, text));
    }

    fn remove(&mut self, step: &Step<'_, 'p>, node: Node<'p>) {
        self.touch(step, node);
        let edit = Edit::remove(step.usage.file, step.file, node.byte_range());
        self.plan.edits.push(edit);
    }

    fn touch(&mut self, step: &Step<'_, 'p>, node: Node<'p>) {
        let statement = statement_of(node).unwrap_or(node);
        // Of a block only its head.
        let body = ["consequence", "body"]
            .into_iter()
            .find_map(|field| statement.child_by_field_name(field))
            .filter(|body| body.start_byte() >= node.end_byte());
        let end = body.map_or(statement.end_byte(), |body| body.start_byte());
        let range = statement.start_byte()..end.max(node.end_byte());
        self.plan.regions.push((step.usage.file, range));
    }

    fn fresh(&mut self, step: &Step<'_, 'p>, wishes: &[&str]) -> String {
        fresh(step.file, step.usage.map, wishes, &mut self.given)
    }

    /// `v, _ := value.(V)`: zero where there is no element, as in a map.
    fn assertion(&self, loaded: &str) -> String {
        format!("{loaded}.({})", self.shape.value)
    }

    fn load(
        &mut self,
        step: &'r Step<'s, 'p>,
        whole: Node<'p>,
        key: Node<'p>,
    ) -> Result<(), String> {
        let map = step.file.text_of(step.usage.map).to_owned();
        let key = self.key(step, key);
        let call = match step.role {
            Role::Claim {
                check,
                value,
                is_negative,
                ..
            } => return self.claim(step, check, value, is_negative, &key),
            Role::Ensure { check, value, .. } => {
                let value = self.value(step, value);
                self.replace(step, check, format!("{map}.LoadOrStore({key}, {value})"));
                return Ok(());
            }
            Role::Take => format!("{map}.LoadAndDelete({key})"),
            _ => format!("{map}.Load({key})"),
        };
        match two_names(step.file, whole) {
            Some((declaration, value, ok)) => {
                self.load_ok(step, declaration, value, ok, whole, call)
            }
            None => self.load_one(step, whole, &call),
        }
    }

    /// `if _, loaded := m.LoadOrStore(k, v); loaded {`
    fn claim(
        &mut self,
        step: &'r Step<'s, 'p>,
        check: Node<'p>,
        value: Node<'p>,
        is_negative: bool,
        key: &str,
    ) -> Result<(), String> {
        let map = step.file.text_of(step.usage.map).to_owned();
        let block = check
            .child_by_field_name("consequence")
            .ok_or("its check has no block")?;
        let loaded = self.fresh(step, &["loaded", "stored"]);
        let value = self.value(step, value);
        let not = if is_negative { "!" } else { "" };
        self.touch(step, check);
        self.plan.edits.push(Edit {
            file: step.usage.file,
            start: check.start_byte(),
            end: block.start_byte(),
            text: format!("if _, {loaded} := {map}.LoadOrStore({key}, {value}); {not}{loaded} "),
        });
        Ok(())
    }

    /// `v, ok := m[k]`
    fn load_ok(
        &mut self,
        step: &'r Step<'s, 'p>,
        declaration: Node<'p>,
        value: Node<'p>,
        ok: Node<'p>,
        whole: Node<'p>,
        call: String,
    ) -> Result<(), String> {
        let file = step.file;
        let (name, ok) = (file.text_of(value), file.text_of(ok));
        if name == "_" || is_interface(self.shape.value) {
            self.replace(step, whole, call);
            return Ok(());
        }
        let loaded = self.fresh(step, &["value", "entry", "loaded"]);
        let around = declaration.parent().ok_or("it is in no statement")?;
        let asserted = format!("{name}, _ := {}", self.assertion(&loaded));
        if around.kind() == "statement_list" {
            let text = format!("{loaded}, {ok} := {call}\n{asserted}");
            self.replace(step, declaration, text);
            return Ok(());
        }
        let condition = around.child_by_field_name("condition");
        let block = around.child_by_field_name("consequence");
        let (Some(condition), Some(block)) = (condition, block) else {
            return Err("it is read in a head that is not that of an if".to_owned());
        };
        let used_in_else = around
            .child_by_field_name("alternative")
            .is_some_and(|other| {
                let same = all(other, &|node| {
                    node.kind() == "identifier" && file.text_of(node) == name
                });
                !same.is_empty()
            });
        if file.text_of(condition) != ok || used_in_else {
            return Err("its condition is more than whether there is an element".to_owned());
        }
        self.replace(step, declaration, format!("{loaded}, {ok} := {call}"));
        self.first_in(step, block, &asserted)
    }

    /// Adds lines at the beginning of a block.
    fn first_in(
        &mut self,
        step: &Step<'_, 'p>,
        block: Node<'p>,
        lines: &str,
    ) -> Result<(), String> {
        let at = block.start_byte() + 1;
        let rest = step.file.text.get(at..block.end_byte()).unwrap_or("");
        let line = rest.lines().next().unwrap_or("").trim();
        if line.starts_with("//") {
            return Err("a comment follows the brace".to_owned());
        }
        let end = if line.is_empty() { "" } else { "\n" };
        self.plan.edits.push(Edit {
            file: step.usage.file,
            start: at,
            end: at,
            text: format!("\n{lines}{end}"),
        });
        Ok(())
    }

    /// `m[k]` as a value: read before its statement.
    fn load_one(
        &mut self,
        step: &'r Step<'s, 'p>,
        whole: Node<'p>,
        call: &str,
    ) -> Result<(), String> {
        let statement = self.may_be_read_before(step, whole)?;
        let loaded = self.fresh(step, &["value", "entry", "loaded"]);
        let mut lines = format!("{loaded}, _ := {call}");
        let asserted = self.assertion(&loaded);
        let name = sole_name(whole).map(|name| step.file.text_of(name).to_owned());
        if is_interface(self.shape.value) {
            self.replace(step, whole, loaded);
        } else if let Some(name) = name.filter(|_| statement.kind() == "short_var_declaration") {
            self.touch(step, statement);
            let text = format!("{lines}\n{name}, _ := {asserted}");
            self.replace(step, statement, text);
            return Ok(());
        } else {
            let got = self.fresh(step, &["got", "current", "held"]);
            lines = format!("{lines}\n{got}, _ := {asserted}");
            self.replace(step, whole, got);
        }
        let edit = Edit::before(step.usage.file, step.file, statement, &lines);
        self.plan.edits.push(edit);
        Ok(())
    }

    /// The statement that reads an element, when it may be read before it.
    fn may_be_read_before(&self, step: &Step<'_, 'p>, whole: Node<'p>) -> Result<Node<'p>, String> {
        let statement = statement_of(whole).ok_or("it is read outside of any statement")?;
        check_head(statement, whole)?;
        if is_conditional(whole, statement) {
            return Err("it is only read under a condition".to_owned());
        }
        let own: Vec<Usage<'p>> = self.case.usages.to_vec();
        let quiet = Quiet {
            file: step.file,
            types: self.case.types,
            uses: &own,
        };
        let calls = quiet.loud_calls(statement);
        let is_after = |call: &Node<'p>| call.end_byte() <= whole.start_byte();
        if calls.iter().any(is_after) {
            return Err("a call that is not known comes before it in its statement".to_owned());
        }
        let receives = all_here(statement, &|node| {
            node.kind() == "unary_expression"
                && node.end_byte() <= whole.start_byte()
                && step.file.text_of(node).starts_with("<-")
        });
        if receives.is_empty() {
            Ok(statement)
        } else {
            Err("its statement receives before it is read".to_owned())
        }
    }

    fn store(
        &mut self,
        step: &'r Step<'s, 'p>,
        statement: Node<'p>,
        key: Node<'p>,
        value: Node<'p>,
    ) -> Result<(), String> {
        let map = step.file.text_of(step.usage.map).to_owned();
        let (key, text) = (self.key(step, key), self.value(step, value));
        let text = match step.role {
            Role::Gone => {
                self.remove(step, statement);
                return Ok(());
            }
            Role::Agree { name: Some(name) } => {
                let name = step.file.text_of(name);
                let loaded = self.fresh(step, &["agreed", "first", "stored"]);
                let asserted = self.assertion(&loaded);
                format!("{loaded}, _ := {map}.LoadOrStore({key}, {text})\n{name}, _ = {asserted}")
            }
            Role::Agree { name: None } => format!("{map}.LoadOrStore({key}, {text})"),
            _ => format!("{map}.Store({key}, {text})"),
        };
        self.replace(step, statement, text);
        Ok(())
    }

    fn range(
        &mut self,
        step: &'r Step<'s, 'p>,
        clause: Node<'p>,
        each: Node<'p>,
    ) -> Result<(), String> {
        let file = step.file;
        let block = each
            .child_by_field_name("body")
            .ok_or("its loop has no body")?;
        let map = file.text_of(step.usage.map).to_owned();
        let left = clause
            .child_by_field_name("left")
            .map(named)
            .unwrap_or_default();
        if !left.is_empty() && !file.text_of(clause).contains(":=") {
            return Err("a range clause assigns to variables".to_owned());
        }
        let (mut heads, mut lines) = (Vec::new(), Vec::new());
        for (name, (ty, wish)) in left
            .iter()
            .zip([(self.shape.key, "key"), (self.shape.value, "value")])
        {
            let name = file.text_of(*name);
            if name == "_" || is_interface(ty) {
                heads.push(name.to_owned());
            } else {
                let head = self.fresh(step, &[wish, "entry"]);
                lines.push(format!("{name}, _ := {head}.({ty})"));
                heads.push(head);
            }
        }
        self.touch(step, clause);
        if !lines.is_empty() {
            self.first_in(step, block, &lines.join("\n"))?;
        }
        if self.case.go_minor >= 23 {
            let heads = if heads.is_empty() {
                String::new()
            } else {
                format!("{} := ", heads.join(", "))
            };
            self.replace(step, clause, format!("{heads}range {map}.Range"));
            return Ok(());
        }
        self.range_call(step, each, block, &map, heads)
    }

    /// Before Go 1.23 a loop's body becomes a function: it must not leave the loop.
    fn range_call(
        &mut self,
        step: &'r Step<'s, 'p>,
        each: Node<'p>,
        block: Node<'p>,
        map: &str,
        mut heads: Vec<String>,
    ) -> Result<(), String> {
        let leaves = all_here(block, &|node| {
            matches!(
                node.kind(),
                "return_statement"
                    | "break_statement"
                    | "continue_statement"
                    | "goto_statement"
                    | "defer_statement"
            )
        });
        if !leaves.is_empty() || statement_of(each) != Some(each) {
            return Err("a loop over it is left, which needs Go 1.23".to_owned());
        }
        heads.resize(2, "_".to_owned());
        self.plan.edits.push(Edit {
            file: step.usage.file,
            start: each.start_byte(),
            end: block.start_byte(),
            text: format!("{map}.Range(func({} any) bool ", heads.join(", ")),
        });
        let end = block.end_byte();
        self.plan.edits.push(Edit {
            file: step.usage.file,
            start: end - 1,
            end,
            text: "\nreturn true\n})".to_owned(),
        });
        Ok(())
    }

    /// `T{m: map[K]V{}}` needs no `m`.
    fn literal(
        &mut self,
        step: &'r Step<'s, 'p>,
        keyed: Node<'p>,
        value: Node<'p>,
    ) -> Result<(), String> {
        if !is_empty(step.file, value) && step.file.text_of(value) != "nil" {
            return Err("a value is made with a map that is not empty".to_owned());
        }
        let mut end = keyed.end_byte();
        if let Some(comma) = keyed.next_sibling().filter(|next| next.kind() == ",") {
            end = comma.end_byte();
        }
        let range = keyed.start_byte()..end;
        self.plan.regions.push((step.usage.file, range.clone()));
        self.plan
            .edits
            .push(Edit::remove(step.usage.file, step.file, range));
        Ok(())
    }

    fn declare(&mut self, step: &'r Step<'s, 'p>) -> Result<(), String> {
        let sync = import(&mut self.plan.edits, step.usage.file, step.file, "sync");
        let ty = format!("{sync}.Map");
        let name = &self.case.subject.name;
        self.plan.name.clone_from(name);
        let spec = step.usage.name.parent().ok_or("it is not declared")?;
        if super::super::scope::names_of(spec).len() > 1 {
            return Err("it is declared together with others".to_owned());
        }
        if let SubjectKind::Field(_) = self.case.subject.kind {
            let old = spec.child_by_field_name("type").ok_or("it has no type")?;
            self.plan
                .edits
                .push(Edit::replace(step.usage.file, old, ty));
            return Ok(());
        }
        let value = value_of(step.usage.name).map(bare);
        let stores = match value.filter(|value| !is_empty(step.file, *value)) {
            Some(literal) => self.stores(step, literal)?,
            None => Vec::new(),
        };
        let text = format!("{name} {ty}");
        if self.case.subject.kind == SubjectKind::Global {
            self.replace(step, spec, text);
            return self.init(step, spec, &stores);
        }
        let statement = statement_of(spec).ok_or("its declaration is no statement")?;
        let is_alone = match statement.kind() {
            "short_var_declaration" => spec.kind() == "expression_list" && named(spec).len() == 1,
            "var_declaration" => spec.parent() == Some(statement),
            _ => false,
        };
        if !is_alone {
            return Err("it is declared together with others".to_owned());
        }
        let lines: String = stores.iter().map(|line| format!("\n{line}")).collect();
        self.replace(step, statement, format!("var {text}{lines}"));
        Ok(())
    }

    /// What a map has from the beginning is stored one by one.
    fn stores(&self, step: &'r Step<'s, 'p>, literal: Node<'p>) -> Result<Vec<String>, String> {
        let has_comment = !all(literal, &|node| node.kind() == "comment").is_empty();
        if literal.kind() != "composite_literal" || has_comment {
            return Err("what it has from the beginning is not known".to_owned());
        }
        let one = |keyed: Node<'p>| {
            let part = |field| {
                let element = keyed.child_by_field_name(field)?;
                let inner = named(element).first().copied()?;
                // `{1, 2}` without its type.
                (inner.kind() != "literal_value").then_some(inner)
            };
            let (key, value) = (part("key")?, part("value")?);
            let (key, value) = (self.key(step, key), self.value(step, value));
            Some(format!("{}.Store({key}, {value})", self.case.subject.name))
        };
        contents(literal)
            .into_iter()
            .map(one)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| "its elements have no types of their own".to_owned())
    }

    /// A package variable gets its first elements in `init`, which must come before anybody looks.
    fn init(
        &mut self,
        step: &'r Step<'s, 'p>,
        spec: Node<'p>,
        stores: &[String],
    ) -> Result<(), String> {
        if stores.is_empty() {
            return Ok(());
        }
        if self.case.package.files.iter().any(runs_before_init) {
            return Err("other code of the package runs before its init would".to_owned());
        }
        let declaration = ancestors(spec)
            .find(|node| node.kind() == "var_declaration")
            .ok_or("its declaration has an unusual form")?;
        let text = format!("\nfunc init() {{\n{}\n}}", stores.join("\n"));
        let edit = Edit::after(step.usage.file, step.file, declaration, &text);
        self.plan.edits.push(edit);
        Ok(())
    }
}

/// Another `init`, or a package variable whose value is the result of a function.
fn runs_before_init(file: &GoFile) -> bool {
    let is_init = |node: &Node<'_>| {
        let name = node.child_by_field_name("name");
        node.kind() == "function_declaration"
            && name.is_some_and(|name| file.text_of(name) == "init")
    };
    let calls = all(file.root(), &|node| {
        let function = node.child_by_field_name("function");
        node.kind() == "call_expression"
            && function_around(node).is_none()
            && !function.is_some_and(|function| {
                super::super::classify::is_builtin(file.text_of(function))
                    || file.text_of(function) == "errors.New"
            })
    });
    !calls.is_empty() || named(file.root()).iter().any(is_init)
}

/// `v, ok := m[k]`: the statement, and its names.
fn two_names<'p>(file: &GoFile, whole: Node<'p>) -> Option<(Node<'p>, Node<'p>, Node<'p>)> {
    let list = whole.parent()?;
    let declaration = list.parent()?;
    let is_it = declaration.kind() == "short_var_declaration"
        && declaration.child_by_field_name("right") == Some(list)
        && named(list).len() == 1
        && !file.text_of(whole).is_empty();
    let left = named(declaration.child_by_field_name("left")?);
    match left[..] {
        [value, ok] if is_it => Some((declaration, value, ok)),
        _ => None,
    }
}

/// `v := m[k]`.
fn sole_name(whole: Node<'_>) -> Option<Node<'_>> {
    let list = whole.parent()?;
    let declaration = list.parent()?;
    let left = named(declaration.child_by_field_name("left")?);
    (list.kind() == "expression_list" && named(list).len() == 1 && left.len() == 1)
        .then(|| left.first().copied())
        .flatten()
}

/// What is read in the head of a statement can be read before it when the head is looked at once, first.
fn check_head(statement: Node<'_>, whole: Node<'_>) -> Result<(), String> {
    if super::super::guard::has_ok(whole) {
        return Err("two values are assigned from it".to_owned());
    }
    let path: Vec<Node<'_>> = ancestors(whole)
        .take_while(|around| *around != statement)
        .chain([statement])
        .collect();
    for (around, below) in path.iter().skip(1).zip(&path) {
        let is_condition = around.child_by_field_name("condition") == Some(*below);
        let has_initializer = around.child_by_field_name("initializer").is_some();
        let is_fine = match around.kind() {
            "if_statement" => *around == statement && !(is_condition && has_initializer),
            "expression_switch_statement" => !has_initializer && !below.kind().ends_with("_case"),
            "for_statement" | "for_clause" | "select_statement" | "labeled_statement" => false,
            "range_clause" => return Err("it is read in the head of a loop".to_owned()),
            "func_literal" => {
                return Err("it is read in the initial value of a variable".to_owned());
            }
            kind => !kind.ends_with("_case"),
        };
        if !is_fine {
            return Err("it is read where nothing can be read before".to_owned());
        }
    }
    Ok(())
}
