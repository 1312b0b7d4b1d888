//! From tree-sitter's tree to [`super::syntax`]: statements and expressions.

use super::lower::{DEEPEST, Lowering, children, fields};
use super::names::Name;
use super::syntax::*;
use tree_sitter::Node;

/// Lowering of what stands in function bodies.
pub(super) trait Code {
    fn block(&mut self, node: Node<'_>) -> Block;
    fn expr_list(&mut self, node: Node<'_>) -> Vec<Expr>;
    fn expr(&mut self, node: Node<'_>) -> Expr;
}

impl Code for Lowering<'_> {
    fn block(&mut self, node: Node<'_>) -> Block {
        let mut statements = Vec::new();
        self.depth += 1;
        if self.depth <= DEEPEST {
            for child in children(node) {
                if child.kind() == "statement_list" {
                    for statement in children(child) {
                        self.stmt_into(statement, &mut statements);
                    }
                } else {
                    self.stmt_into(child, &mut statements);
                }
            }
        }
        self.depth -= 1;
        statements
    }

    fn expr_list(&mut self, node: Node<'_>) -> Vec<Expr> {
        if node.kind() != "expression_list" {
            return vec![self.expr(node)];
        }
        children(node)
            .into_iter()
            .map(|child| self.expr(child))
            .collect()
    }

    fn expr(&mut self, node: Node<'_>) -> Expr {
        self.depth += 1;
        let kind = if self.depth > DEEPEST {
            ExprKind::Literal
        } else {
            self.expr_kind(node)
        };
        self.depth -= 1;
        Expr {
            span: self.span(node),
            kind,
        }
    }
}

impl Lowering<'_> {
    fn statement_lists(&mut self, node: Node<'_>) -> Block {
        let mut statements = Vec::new();
        let mut cursor = node.walk();
        let lists: Vec<_> = node
            .named_children(&mut cursor)
            .filter(|child| child.kind() == "statement_list")
            .collect();
        for list in lists {
            for statement in children(list) {
                self.stmt_into(statement, &mut statements);
            }
        }
        statements
    }

    fn stmt_into(&mut self, node: Node<'_>, into: &mut Vec<Stmt>) {
        let span = self.span(node);
        match node.kind() {
            "var_declaration" => {
                let variables = self.var_declaration(node).into_iter();
                into.extend(variables.map(|global| Stmt {
                    span,
                    kind: StmtKind::Var(global),
                }));
            }
            "type_declaration" => {
                let (first, count) = self.type_declaration(node);
                into.extend((first..first.saturating_add(count)).map(|number| Stmt {
                    span,
                    kind: StmtKind::Type(number),
                }));
            }
            "labeled_statement" => {
                for child in children(node) {
                    if child.kind() != "label_name" {
                        self.stmt_into(child, into);
                    }
                }
            }
            _ => {
                let statement = self.stmt(node);
                into.push(statement);
            }
        }
    }

    fn stmt(&mut self, node: Node<'_>) -> Stmt {
        self.depth += 1;
        let kind = if self.depth > DEEPEST {
            StmtKind::Empty
        } else {
            self.stmt_kind(node)
        };
        self.depth -= 1;
        Stmt {
            span: self.span(node),
            kind,
        }
    }

    fn field_expr(&mut self, node: Node<'_>, name: &str) -> Expr {
        match node.child_by_field_name(name) {
            Some(child) => self.expr(child),
            None => Expr {
                span: self.span(node),
                kind: ExprKind::Literal,
            },
        }
    }

    fn only_expr(&mut self, node: Node<'_>) -> Expr {
        match children(node).first() {
            Some(child) => self.expr(*child),
            None => Expr {
                span: self.span(node),
                kind: ExprKind::Literal,
            },
        }
    }

    fn field_list(&mut self, node: Node<'_>, name: &str) -> Vec<Expr> {
        node.child_by_field_name(name)
            .map(|list| self.expr_list(list))
            .unwrap_or_default()
    }

    fn field_stmt(&mut self, node: Node<'_>, name: &str) -> Option<Stmt> {
        node.child_by_field_name(name).map(|child| self.stmt(child))
    }

    fn stmt_kind(&mut self, node: Node<'_>) -> StmtKind {
        match node.kind() {
            "expression_statement" => StmtKind::Expr(self.only_expr(node)),
            "send_statement" => {
                let channel = self.field_expr(node, "channel");
                StmtKind::Send(channel, self.field_expr(node, "value"))
            }
            "inc_statement" | "dec_statement" => {
                let to = self.only_expr(node);
                self.note_assigned(&to);
                StmtKind::Update(to, None)
            }
            "assignment_statement" => self.assignment(node),
            "short_var_declaration" => {
                let left = self.field_list(node, "left");
                StmtKind::Define(left, self.field_list(node, "right"))
            }
            "receive_statement" => self.receive(node),
            "return_statement" => StmtKind::Return(
                children(node)
                    .first()
                    .map(|list| self.expr_list(*list))
                    .unwrap_or_default(),
            ),
            "go_statement" => StmtKind::Go(self.only_expr(node)),
            "defer_statement" => StmtKind::Defer(self.only_expr(node)),
            "if_statement" => self.if_statement(node),
            "for_statement" => self.for_statement(node),
            "expression_switch_statement" => self.switch(node),
            "type_switch_statement" => self.type_switch(node),
            "select_statement" => self.select(node),
            "block" => StmtKind::Block(self.block(node)),
            "break_statement" => StmtKind::Break,
            "continue_statement" | "goto_statement" => StmtKind::Jump,
            "labeled_statement" | "var_declaration" | "type_declaration" => {
                let mut inner = Vec::new();
                self.stmt_into(node, &mut inner);
                StmtKind::Block(inner)
            }
            _ => StmtKind::Empty,
        }
    }

    fn assignment(&mut self, node: Node<'_>) -> StmtKind {
        let mut left = self.field_list(node, "left");
        let mut right = self.field_list(node, "right");
        left.iter().for_each(|to| self.note_assigned(to));
        let operator = node
            .child_by_field_name("operator")
            .map_or("=", |op| self.text_of(op));
        match (operator, left.pop(), right.pop()) {
            ("=", Some(to), from) => {
                left.push(to);
                right.extend(from);
                StmtKind::Assign(left, right)
            }
            (_, Some(to), from) => StmtKind::Update(to, from),
            _ => StmtKind::Empty,
        }
    }

    fn receive(&mut self, node: Node<'_>) -> StmtKind {
        let right = self.field_expr(node, "right");
        match node.child_by_field_name("left") {
            None => StmtKind::Expr(right),
            Some(left) => {
                let define = self
                    .text
                    .get(left.end_byte()..node.end_byte())
                    .is_some_and(|rest| rest.trim_start().starts_with(":="));
                let left = self.expr_list(left);
                if define {
                    StmtKind::Define(left, vec![right])
                } else {
                    left.iter().for_each(|to| self.note_assigned(to));
                    StmtKind::Assign(left, vec![right])
                }
            }
        }
    }

    fn if_statement(&mut self, node: Node<'_>) -> StmtKind {
        let init = self.field_stmt(node, "initializer");
        let condition = self.field_expr(node, "condition");
        let then = node
            .child_by_field_name("consequence")
            .map(|block| self.block(block));
        StmtKind::If(Box::new(If {
            init,
            condition,
            then: then.unwrap_or_default(),
            otherwise: self.field_stmt(node, "alternative"),
        }))
    }

    fn for_statement(&mut self, node: Node<'_>) -> StmtKind {
        let body_node = node.child_by_field_name("body");
        let first_assigned = self.assigned.len();
        let starts = body_node.is_some_and(|body| starts_or_communicates(self.text_of(body)));
        let head = children(node)
            .into_iter()
            .find(|child| Some(child.id()) != body_node.map(|body| body.id()));
        let mut statement = For {
            init: None,
            condition: None,
            post: None,
            body: Vec::new(),
            starts,
            assigns: Vec::new(),
        };
        match head {
            Some(clause) if clause.kind() == "range_clause" => {
                let left = self.field_list(clause, "left");
                let over = self.field_expr(clause, "right");
                let define = self
                    .text_of(clause)
                    .split_once("range")
                    .is_some_and(|(before, _)| before.contains(":="));
                if !define {
                    left.iter().for_each(|to| self.note_assigned(to));
                }
                let body = body_node.map(|body| self.block(body)).unwrap_or_default();
                return StmtKind::Range(Box::new(Range {
                    left,
                    define,
                    over,
                    body,
                    starts,
                    assigns: self.assigned_since(first_assigned),
                }));
            }
            Some(clause) if clause.kind() == "for_clause" => {
                statement.init = self.field_stmt(clause, "initializer");
                statement.condition = clause
                    .child_by_field_name("condition")
                    .map(|condition| self.expr(condition));
                statement.post = self.field_stmt(clause, "update");
            }
            Some(condition) => statement.condition = Some(self.expr(condition)),
            None => {}
        }
        statement.body = body_node.map(|body| self.block(body)).unwrap_or_default();
        statement.assigns = self.assigned_since(first_assigned);
        StmtKind::For(Box::new(statement))
    }

    fn switch(&mut self, node: Node<'_>) -> StmtKind {
        let init = self.field_stmt(node, "initializer");
        let value = node
            .child_by_field_name("value")
            .map(|value| self.expr(value));
        let mut cases = Vec::new();
        for child in children(node) {
            if !matches!(child.kind(), "expression_case" | "default_case") {
                continue;
            }
            let values = self.field_list(child, "value");
            let default = child.kind() == "default_case";
            cases.push(Case {
                values,
                types: Vec::new(),
                default,
                body: self.statement_lists(child),
            });
        }
        StmtKind::Switch(Box::new(Switch {
            init,
            value,
            alias: None,
            cases,
        }))
    }

    fn type_switch(&mut self, node: Node<'_>) -> StmtKind {
        let init = self.field_stmt(node, "initializer");
        let alias = node
            .child_by_field_name("alias")
            .map(|alias| self.name(alias));
        let value = node
            .child_by_field_name("value")
            .map(|value| self.expr(value));
        let mut cases = Vec::new();
        for child in children(node) {
            if !matches!(child.kind(), "type_case" | "default_case") {
                continue;
            }
            let types = fields(child, "type")
                .into_iter()
                .map(|ty| self.ty(ty))
                .collect();
            let default = child.kind() == "default_case";
            cases.push(Case {
                values: Vec::new(),
                types,
                default,
                body: self.statement_lists(child),
            });
        }
        // A type switch without an alias still needs to be told from one on values.
        let alias = alias.or_else(|| Some(Name::new("_")));
        StmtKind::Switch(Box::new(Switch {
            init,
            value,
            alias,
            cases,
        }))
    }

    fn select(&mut self, node: Node<'_>) -> StmtKind {
        let mut cases = Vec::new();
        for child in children(node) {
            if !matches!(child.kind(), "communication_case" | "default_case") {
                continue;
            }
            let communication = self.field_stmt(child, "communication");
            cases.push(SelectCase {
                communication,
                body: self.statement_lists(child),
            });
        }
        StmtKind::Select(cases)
    }

    fn expr_kind(&mut self, node: Node<'_>) -> ExprKind {
        match node.kind() {
            "identifier" => ExprKind::Name(self.name(node)),
            "nil" => ExprKind::Nil,
            "true" | "false" => ExprKind::Bool(node.kind() == "true"),
            "int_literal" => ExprKind::Int(self.text_of(node).parse().ok()),
            "interpreted_string_literal" | "raw_string_literal" => ExprKind::Str(self.name(node)),
            "parenthesized_expression" => self.only_expr(node).kind,
            "selector_expression" => match node.child_by_field_name("field") {
                Some(field) => {
                    let field = self.name(field);
                    ExprKind::Selector(Box::new(self.field_expr(node, "operand")), field)
                }
                None => ExprKind::Literal,
            },
            "index_expression" => {
                let operand = self.field_expr(node, "operand");
                ExprKind::Index(Box::new(operand), Box::new(self.field_expr(node, "index")))
            }
            "slice_expression" => ExprKind::Slice(Box::new(self.field_expr(node, "operand"))),
            "call_expression" => self.call(node),
            "type_assertion_expression" => {
                let operand = self.field_expr(node, "operand");
                ExprKind::Assert(Box::new(operand), Box::new(self.field_type(node)))
            }
            "type_conversion_expression" => {
                let ty = self.field_type(node);
                ExprKind::Convert(Box::new(ty), Box::new(self.field_expr(node, "operand")))
            }
            "composite_literal" => self.composite(node),
            "func_literal" => self.func_literal(node),
            "unary_expression" => self.unary(node),
            "binary_expression" => {
                let left = self.field_expr(node, "left");
                let right = self.field_expr(node, "right");
                ExprKind::Operator(self.operator(node), vec![left, right])
            }
            "type_instantiation_expression" => ExprKind::Type(Box::new(self.field_type(node))),
            "slice_type" | "map_type" | "channel_type" | "array_type" | "pointer_type"
            | "struct_type" | "function_type" | "interface_type" | "generic_type"
            | "qualified_type" | "type_identifier" | "parenthesized_type" => {
                ExprKind::Type(Box::new(self.ty(node)))
            }
            "literal_element" => self.only_expr(node).kind,
            "literal_value" => ExprKind::Composite(Box::new(TypeExpr::Elided), self.elements(node)),
            _ => ExprKind::Literal,
        }
    }

    fn field_type(&mut self, node: Node<'_>) -> TypeExpr {
        node.child_by_field_name("type")
            .map_or(TypeExpr::Other, |ty| self.ty(ty))
    }

    fn call(&mut self, node: Node<'_>) -> ExprKind {
        let function = self.field_expr(node, "function");
        let mut args = Vec::new();
        let mut spread = false;
        for arg in node
            .child_by_field_name("arguments")
            .map(children)
            .unwrap_or_default()
        {
            if arg.kind() == "variadic_argument" {
                spread = true;
                args.push(self.only_expr(arg));
            } else {
                args.push(self.expr(arg));
            }
        }
        ExprKind::Call(Box::new(Call {
            function,
            args,
            spread,
        }))
    }

    fn composite(&mut self, node: Node<'_>) -> ExprKind {
        let ty = self.field_type(node);
        let body = node.child_by_field_name("body");
        ExprKind::Composite(
            Box::new(ty),
            body.map(|body| self.elements(body)).unwrap_or_default(),
        )
    }

    fn elements(&mut self, node: Node<'_>) -> Vec<Element> {
        let mut found = Vec::new();
        for child in children(node) {
            if child.kind() == "keyed_element" {
                let key = self.field_expr(child, "key");
                found.push(Element {
                    key: Some(key),
                    value: self.field_expr(child, "value"),
                });
            } else {
                found.push(Element {
                    key: None,
                    value: self.expr(child),
                });
            }
        }
        found
    }

    fn func_literal(&mut self, node: Node<'_>) -> ExprKind {
        let signature = self.signature(node);
        let body_node = node.child_by_field_name("body");
        if let Some(met) = self.literals.last_mut() {
            *met += 1;
        }
        let first_assigned = self.assigned.len();
        let path: Vec<String> = self.literals.iter().map(u32::to_string).collect();
        let suffix = Name::new(&format!(".func{}", path.join(".")));
        self.literals.push(0);
        let body = body_node.map(|body| self.block(body)).unwrap_or_default();
        self.literals.pop();
        let mentions = body_node
            .map(|body| self.mentions(body))
            .unwrap_or_default();
        ExprKind::Func(Box::new(FuncLit {
            signature,
            body,
            mentions,
            assigns: self.assigned_since(first_assigned),
            suffix,
            span: self.span(node),
        }))
    }

    fn mentions(&self, body: Node<'_>) -> Vec<Name> {
        let mut names = Vec::new();
        let mut cursor = body.walk();
        let mut descended = true;
        loop {
            if descended && cursor.node().kind() == "identifier" {
                names.push(self.name(cursor.node()));
            }
            if descended && cursor.goto_first_child() {
                continue;
            }
            if cursor.goto_next_sibling() {
                descended = true;
            } else if cursor.goto_parent() {
                descended = false;
            } else {
                break;
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn unary(&mut self, node: Node<'_>) -> ExprKind {
        let operator = node
            .child_by_field_name("operator")
            .map_or("", |op| self.text_of(op));
        let operand = self.field_expr(node, "operand");
        match operator {
            "&" => {
                // Whoever has the address can store there.
                self.note_assigned(&operand);
                ExprKind::Address(Box::new(operand))
            }
            "*" => ExprKind::Deref(Box::new(operand)),
            "<-" => ExprKind::Receive(Box::new(operand)),
            "!" => ExprKind::Not(Box::new(operand)),
            _ => ExprKind::Operator(self.operator(node), vec![operand]),
        }
    }

    fn operator(&self, node: Node<'_>) -> Name {
        let operator = node.child_by_field_name("operator");
        Name::new(operator.map_or("", |operator| self.text_of(operator)))
    }

    fn note_assigned(&mut self, to: &Expr) {
        match &to.kind {
            ExprKind::Name(name) | ExprKind::Selector(_, name) => self.assigned.push(*name),
            _ => {}
        }
    }

    fn assigned_since(&self, first: usize) -> Vec<Name> {
        let mut names = self.assigned.get(first..).unwrap_or_default().to_vec();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What in a loop's body makes a second round differ from the first.
fn starts_or_communicates(body: &str) -> bool {
    const SIGNS: [&str; 10] = [
        "go ",
        "<-",
        ".Go(",
        ".Run(",
        "AfterFunc(",
        "Handle",
        ".Submit(",
        ".Wait(",
        "close(",
        "go\t",
    ];
    SIGNS.iter().any(|sign| body.contains(sign))
}
