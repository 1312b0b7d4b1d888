//! From an instruction to the calls a reader of the source sees there, as runtime.Callers and
//! runtime.CallersFrames would list them: inlined calls expanded, wrappers left out.

use super::Frame;
use super::bytes::i32_at;
use super::moduledata::Generation;
use super::pclntab::{Pclntab, Record, Table};
use crate::image::{Image, Vaddr};
use std::borrow::Cow;

/// src/internal/abi/symtab.go, `PCDATA_InlTreeIndex` and `FUNCDATA_InlTree`.
const PCDATA_INLINE_INDEX: u32 = 2;
const FUNCDATA_INLINE_TREE: u8 = 3;
/// More inlined calls at one place than the compiler would ever nest; a damaged tree may be a loop.
const MAX_INLINE_DEPTH: usize = 1000;

/// Values of `funcID` (src/internal/abi/symtab.go); they move when the list grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct FuncIds {
    gopanic: u8,
    panicwrap: u8,
    sigpanic: u8,
    wrapper: u8,
}

impl FuncIds {
    /// The values of a release.
    pub(super) fn of(minor: u32) -> FuncIds {
        match minor {
            ..=21 => FuncIds {
                gopanic: 9,
                panicwrap: 14,
                sigpanic: 18,
                wrapper: 21,
            },
            22..=24 => FuncIds {
                gopanic: 10,
                panicwrap: 15,
                sigpanic: 19,
                wrapper: 22,
            },
            _ => FuncIds {
                gopanic: 10,
                panicwrap: 15,
                sigpanic: 20,
                wrapper: 23,
            },
        }
    }

    pub(super) fn is_wrapper(self, function: u8) -> bool {
        function == self.wrapper
    }

    /// Wrappers are left out unless they panicked themselves (src/runtime/traceback.go,
    /// `elideWrapperCalling`).
    fn is_elided(self, function: u8, callee: u8) -> bool {
        self.is_wrapper(function)
            && ![self.gopanic, self.panicwrap, self.sigpanic].contains(&callee)
    }
}

/// Everything that naming a place needs.
pub(super) struct Symbolizer<'s, 'a> {
    pub(super) image: &'a Image,
    pub(super) functions: &'s Pclntab<'a>,
    /// moduledata.text
    pub(super) text: Vaddr,
    /// moduledata.gofunc
    pub(super) gofunc: Vaddr,
    pub(super) ids: FuncIds,
}

/// An entry of a function's inline tree (src/runtime/symtabinl.go, `type inlinedCall`).
struct InlinedCall {
    func_id: u8,
    name_offset: usize,
    /// Offset from the function's entry of an instruction at the place of the call.
    parent_pc: u32,
}

impl Symbolizer<'_, '_> {
    /// The frames at an instruction, innermost first.
    pub(super) fn frames_at(&self, pc: Vaddr) -> Option<Vec<Frame>> {
        let record = self.functions.record_at(pc)?;
        let mut offset = u32::try_from(pc.0.checked_sub(self.text.0)?).ok()?;
        let mut frames = Vec::new();
        let mut callee = 0;
        for _ in 0..MAX_INLINE_DEPTH {
            let Some(call) = self.inlined_call(record, offset) else {
                break;
            };
            if !self.ids.is_elided(call.func_id, callee) {
                frames.push(self.frame(
                    record,
                    offset,
                    self.functions.name(call.name_offset),
                    true,
                )?);
            }
            callee = call.func_id;
            offset = record.entry.checked_add(call.parent_pc)?;
        }
        let function = self.functions.func(record)?;
        if !self.ids.is_elided(function.func_id, callee) {
            frames.push(self.frame(record, offset, function.name, false)?);
        }
        Some(frames)
    }

    fn frame(&self, record: Record, offset: u32, name: &str, inlined: bool) -> Option<Frame> {
        let (file, line) = self.file_line(record, offset).unwrap_or(("?", 0));
        Some(Frame {
            function: name_for_print(name).into_owned(),
            file: file.to_owned(),
            line,
            inlined,
            pc: self.text.checked_add(u64::from(offset))?,
            entry: self.text.checked_add(u64::from(record.entry))?,
        })
    }

    fn file_line(&self, record: Record, offset: u32) -> Option<(&str, u32)> {
        let file = self.functions.value_at(record, Table::File, offset)?;
        let line = self.functions.value_at(record, Table::Line, offset)?;
        // The runtime names no file it cannot find, but keeps the line.
        let file = self.functions.file(record, file);
        Some((file.unwrap_or("?"), u32::try_from(line).ok()?))
    }

    /// The innermost inlined call at an instruction, if there is one.
    fn inlined_call(&self, record: Record, offset: u32) -> Option<InlinedCall> {
        let tree = self.functions.funcdata(record, FUNCDATA_INLINE_TREE)?;
        let index = u64::try_from(
            self.functions
                .pcdata_at(record, PCDATA_INLINE_INDEX, offset)?,
        )
        .ok()?;
        let (size, func_id, name, parent_pc) = match self.functions.generation {
            Generation::V118 => (20, 2, 12, 16),
            Generation::V120 => (16, 0, 4, 8),
        };
        let at = self
            .gofunc
            .checked_add(u64::from(tree))?
            .checked_add(index.checked_mul(size)?)?;
        let entry = self.image.bytes_at(at, size)?;
        Some(InlinedCall {
            func_id: *entry.get(func_id)?,
            name_offset: usize::try_from(i32_at(entry, name)?).ok()?,
            parent_pc: u32::try_from(i32_at(entry, parent_pc)?).ok()?,
        })
    }
}

/// Type arguments are shortened to `[...]` (src/runtime/symtab.go, `funcNameForPrint`).
fn name_for_print(name: &str) -> Cow<'_, str> {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            Cow::Owned(format!("{}[...]{}", &name[..open], &name[close + 1..]))
        }
        _ => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_arguments_are_shortened() {
        assert_eq!(
            name_for_print("main.(*Cache[go.shape.int,go.shape.[]string]).Put"),
            "main.(*Cache[...]).Put"
        );
        assert_eq!(name_for_print("main.Put[...]"), "main.Put[...]");
        assert_eq!(name_for_print("main.main.func1"), "main.main.func1");
    }
}
