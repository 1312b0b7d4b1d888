//! Branches and loops: what is evaluated before them, and what is inside.

use super::*;

impl<'p> Guarding<'_, 'p> {
    pub(super) fn if_statement(&mut self, statement: Node<'p>) -> Result<(), String> {
        let initializer = statement.child_by_field_name("initializer");
        let condition = statement.child_by_field_name("condition");
        if let Some(part) = initializer
            && !self.uses_in(part).is_empty()
        {
            self.read_before(part, statement)?;
        }
        if let Some(part) = condition
            && !self.uses_in(part).is_empty()
        {
            if initializer.is_some() {
                return Err("it is read in a condition after another statement".to_owned());
            }
            self.read_before(part, statement)?;
        }
        if let Some(block) = statement.child_by_field_name("consequence") {
            self.list(&statements(block))?;
        }
        match statement.child_by_field_name("alternative") {
            Some(other) if other.kind() == "if_statement" => self.else_if(other),
            Some(other) => self.list(&statements(other)),
            None => Ok(()),
        }
    }

    /// What an `else if` reads cannot be read before the first condition is known to fail.
    pub(super) fn else_if(&mut self, statement: Node<'p>) -> Result<(), String> {
        let in_header = ["initializer", "condition"]
            .into_iter()
            .filter_map(|field| statement.child_by_field_name(field))
            .any(|part| !self.uses_in(part).is_empty());
        if in_header {
            return Err("it is read in the condition of an else".to_owned());
        }
        self.if_statement(statement)
    }

    pub(super) fn for_statement(
        &mut self,
        each: Node<'p>,
        statement: Node<'p>,
    ) -> Result<(), String> {
        let body = each.child_by_field_name("body");
        for part in named(each).into_iter().filter(|part| Some(*part) != body) {
            let uses: Vec<Usage<'p>> = self.uses_in(part).into_iter().cloned().collect();
            match &uses[..] {
                [] => {}
                [usage] if usage.what == Use::Range => {
                    self.check_body(each, usage)?;
                    let map = usage.map;
                    let usage = usage.clone();
                    self.copy(&usage, map, statement)?;
                }
                _ => return Err("it is used in the head of a loop".to_owned()),
            }
        }
        body.map_or(Ok(()), |body| self.list(&statements(body)))
    }

    /// A copy shows entries that the loop itself removes before they are reached, and none that it adds.
    pub(super) fn check_body(&self, each: Node<'p>, range: &Usage<'p>) -> Result<(), String> {
        let key = named(each)
            .into_iter()
            .find_map(|clause| clause.child_by_field_name("left"))
            .and_then(|left| named(left).first().copied());
        let key = key.map_or("", |key| self.file.text_of(key));
        let own = format!("delete({}, {key})", self.file.text_of(range.map));
        let changes = self.quiet.uses.iter().filter(|usage| {
            usage.writes()
                && each.start_byte() <= usage.map.start_byte()
                && usage.map.end_byte() <= each.end_byte()
        });
        let is_own = |usage: &Usage<'p>| {
            let call = ancestors(usage.map).nth(2);
            call.is_some_and(|call| self.file.text_of(call) == own)
        };
        if changes.into_iter().all(is_own) {
            Ok(())
        } else {
            Err("the loop over it changes it".to_owned())
        }
    }

    pub(super) fn cases(&mut self, statement: Node<'p>) -> Result<(), String> {
        for part in named(statement) {
            if !part.kind().ends_with("_case") {
                if !self.uses_in(part).is_empty() {
                    self.read_before(part, statement)?;
                }
                continue;
            }
            let list = named(part)
                .into_iter()
                .find(|child| child.kind() == "statement_list");
            let in_list = list.map_or(0, |list| self.uses_in(list).len());
            if self.uses_in(part).len() != in_list {
                return Err("it is used in what a case waits for or compares".to_owned());
            }
            if let Some(list) = list {
                self.list(&statements(list))?;
            }
        }
        Ok(())
    }
}

pub(super) fn is_range(each: Node<'_>) -> bool {
    named(each)
        .iter()
        .any(|child| child.kind() == "range_clause")
}

/// A break or continue whose loop is inside a statement.
pub(super) fn jumps_inside(jump: Node<'_>, statement: Node<'_>) -> bool {
    let has_label = !named(jump).is_empty();
    let target = ancestors(jump).skip(1).find(|around| {
        around.kind() == "for_statement"
            || jump.kind() == "break_statement"
                && matches!(
                    around.kind(),
                    "expression_switch_statement" | "type_switch_statement" | "select_statement"
                )
    });
    !has_label
        && target.is_some_and(|target| {
            statement.start_byte() <= target.start_byte()
                && target.end_byte() <= statement.end_byte()
        })
}
