//! What the scanner found, before it becomes a finding of the common model.

use super::program::Program;
use super::rules::Rule;
use super::sim::{ObjId, Origin, Path, Place, Sim, ThreadId};
use super::types::Type;
use crate::analyze::model::{Confidence, StackFrame};
use crate::ring::Operation;

/// One finding.
#[derive(Clone, Debug)]
pub struct Found {
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// How sure it is.
    pub confidence: Confidence,
    /// The map as the code calls it: `s.m`.
    pub map: String,
    /// Its type.
    pub map_type: String,
    /// The goroutines: two, or one where a single place is wrong.
    pub sides: Vec<FoundSide>,
    /// What is known about the two.
    pub because: Vec<String>,
}

/// One goroutine of a finding.
#[derive(Clone, Debug)]
pub struct FoundSide {
    /// What it does with the map.
    pub operation: Option<Operation>,
    /// Where.
    pub place: Place,
    /// How it gets there, innermost first.
    pub stack: Vec<StackFrame>,
    /// Where it was started, innermost first.
    pub created: Vec<StackFrame>,
    /// What starts it: `go`, `http handler`, `caller`.
    pub how: &'static str,
    /// The locks that it holds.
    pub locks: Vec<String>,
    /// The function of another module that touches the map.
    pub via: Option<&'static str>,
}

impl<'p> Sim<'p> {
    /// The module.
    pub fn program(&self) -> &'p Program {
        self.program_ref()
    }

    /// An object as the code calls it: `s.shards[...].m`.
    pub fn describe(&self, id: ObjId) -> String {
        self.describe_within(id, 0)
    }

    fn describe_within(&self, id: ObjId, depth: u32) -> String {
        let program = self.program();
        if depth > 6 {
            return "...".to_owned();
        }
        match self.origin(id) {
            Some(Origin::Receiver(ty)) => program
                .type_decl(ty)
                .map_or("receiver".to_owned(), |declaration| {
                    declaration.name.text().to_owned()
                }),
            Some(Origin::Param(name)) => name.text().to_owned(),
            Some(Origin::Global(id)) => {
                let name = program
                    .global(id)
                    .and_then(|(global, position, _)| global.names.get(position).copied());
                name.map_or("variable".to_owned(), |name| name.text().to_owned())
            }
            Some(Origin::Field(base, name)) => {
                format!("{}.{name}", self.describe_within(base, depth + 1))
            }
            Some(Origin::Element(base)) => {
                format!("{}[...]", self.describe_within(base, depth + 1))
            }
            Some(Origin::Made(name)) => match self.holder(id) {
                Some((base, Some(field))) => {
                    format!("{}.{field}", self.describe_within(base, depth + 1))
                }
                Some((base, None)) if matches!(name.text(), "literal" | "make") => {
                    format!("{}[...]", self.describe_within(base, depth + 1))
                }
                _ => match (name.text(), &*self.ty(id)) {
                    ("literal" | "make" | "value" | "result", Type::Named(..)) => program
                        .type_name(&self.ty(id))
                        .rsplit('.')
                        .next()
                        .unwrap_or("")
                        .to_owned(),
                    (text, _) => text.to_owned(),
                },
            },
            None => "?".to_owned(),
        }
    }

    /// An object's type as people write it.
    pub fn type_name(&self, id: ObjId) -> String {
        self.program().type_name(&self.ty(id))
    }

    /// What started a goroutine.
    pub fn how(&self, id: ThreadId) -> &'static str {
        self.threads
            .get(id.0 as usize)
            .map_or("caller", |thread| thread.how)
    }

    /// The statement that started a goroutine and the calls around it.
    pub fn created(&self, id: ThreadId) -> Vec<StackFrame> {
        let started = self
            .threads
            .get(id.0 as usize)
            .and_then(|thread| thread.started.as_ref());
        started
            .map(|(place, path)| self.frames(path, *place))
            .unwrap_or_default()
    }

    /// A path of calls as frames, the innermost at `place`.
    pub fn frames(&self, path: &Path, place: Place) -> Vec<StackFrame> {
        let program = self.program();
        let mut frames = Vec::new();
        let mut at = path.as_ref();
        let mut place = Some(place);
        while let (Some(link), Some(here)) = (at, place) {
            let base = link.function.map_or_else(
                || format!("{}.glob.", program.package_path(link.file)),
                |function| program.function_name(function),
            );
            let suffix = link.suffix.map_or("", |suffix| suffix.text());
            frames.push(StackFrame {
                function: format!("{base}{suffix}"),
                file: program.path(here.file).display().to_string(),
                line: here.span.line,
                inlined: false,
                runtime: false,
            });
            place = link.called;
            at = link.caller.as_ref();
        }
        frames
    }
}
