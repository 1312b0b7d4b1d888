//! The code of an output, disassembled with capstone: the plan was made with iced.

use super::elf_out::PF_X;
use super::plan::{Edit, NewSegment, PatchPlan};
use super::verify::VerifyReport;
use crate::golang::GoBinary;
use crate::image::{Image, Vaddr};
use capstone::arch::x86::{ArchMode, X86OperandType};
use capstone::arch::{BuildsCapstone, DetailsArchInsn};
use capstone::{Capstone, Insn, InsnGroupId, InsnGroupType};
use std::collections::HashMap;

/// What is wrong with the code of an output.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The disassembler failed.
    #[error("the disassembler failed: {0}")]
    Disassembler(#[from] capstone::Error),
    /// Bytes that are no instruction.
    #[error("the code of {function} cannot be disassembled at {at}")]
    Undecodable {
        /// The function.
        function: String,
        /// Where the disassembly ends.
        at: Vaddr,
    },
    /// An edit of code does not begin with `jmp rel32`.
    #[error("the edit at {at} ({purpose}) is not a jump to new code")]
    NotAJump {
        /// Where.
        at: Vaddr,
        /// What it is for.
        purpose: String,
    },
    /// What follows the jump is neither `int3` nor `nop`.
    #[error("the edit at {at} ({purpose}) is not filled with int3 or nop")]
    Filler {
        /// Where.
        at: Vaddr,
        /// What it is for.
        purpose: String,
    },
    /// A jump leads between instructions, or nowhere.
    #[error("the jump at {at} in {function} leads to {target}, {why}")]
    BadTarget {
        /// Where.
        at: Vaddr,
        /// The function that has it.
        function: String,
        /// Where it leads.
        target: Vaddr,
        /// What is wrong with that place.
        why: &'static str,
    },
    /// New code that no symbol covers.
    #[error("no symbol covers the new code at {0}")]
    NoSymbol(Vaddr),
}

/// Checks edits and new code.
pub(super) fn check(
    go: &GoBinary<'_>,
    plan: &PatchPlan,
    output: &Image,
) -> Result<VerifyReport, CodeError> {
    let mut code = Code::disassemble(go, plan, output)?;
    let mut report = VerifyReport {
        functions: code.functions.len(),
        ..VerifyReport::default()
    };
    code.require_new("the entry of the program", plan.entry, plan.entry)?;
    for edit in plan.edits.iter().filter(|edit| is_code(go.image, edit)) {
        code.check_edit(edit, output)?;
        report.jumps += 1;
    }
    for branch in std::mem::take(&mut code.branches) {
        if code.check_branch(&branch)? {
            report.jumps += 1;
        }
    }
    Ok(report)
}

fn is_code(input: &Image, edit: &Edit) -> bool {
    let covers = |p: &&crate::image::Segment| {
        let end = p.vaddr.0.saturating_add(p.file_size);
        p.kind == super::elf_out::PT_LOAD && p.vaddr <= edit.at && edit.at.0 < end
    };
    input
        .segments()
        .iter()
        .find(covers)
        .is_some_and(|p| p.flags & PF_X != 0)
}

/// A function of the new code.
struct Function {
    name: String,
    start: u64,
    end: u64,
    /// Starts of its instructions, ascending.
    starts: Vec<u64>,
}

/// A direct jump or call of the new code.
struct Branch {
    at: u64,
    target: u64,
    is_call: bool,
    function: usize,
}

/// All new code, taken apart.
struct Code<'a> {
    engine: Capstone,
    go: &'a GoBinary<'a>,
    plan: &'a PatchPlan,
    /// Ascending by start.
    functions: Vec<Function>,
    branches: Vec<Branch>,
    /// Starts of the instructions of Go functions, by entry; filled when first asked for.
    original: HashMap<u64, Vec<u64>>,
}

impl<'a> Code<'a> {
    fn disassemble(
        go: &'a GoBinary<'a>,
        plan: &'a PatchPlan,
        output: &Image,
    ) -> Result<Code<'a>, CodeError> {
        let engine = Capstone::new()
            .x86()
            .mode(ArchMode::Mode64)
            .detail(true)
            .build()?;
        let mut code = Code {
            engine,
            go,
            plan,
            functions: Vec::new(),
            branches: Vec::new(),
            original: HashMap::new(),
        };
        let mut symbols: Vec<_> = plan
            .symbols
            .iter()
            .filter(|s| s.is_function && s.size > 0)
            .collect();
        symbols.sort_by_key(|s| s.vaddr);
        for symbol in symbols {
            let undecodable = |at| CodeError::Undecodable {
                function: symbol.name.clone(),
                at,
            };
            let bytes = output.bytes_at(symbol.vaddr, symbol.size);
            let bytes = bytes.ok_or_else(|| undecodable(symbol.vaddr))?;
            let index = code.functions.len();
            let (starts, end) = code.scan(index, bytes, symbol.vaddr.0)?;
            // `bytes_at` found it, so the sum does not overflow.
            if end != symbol.vaddr.0 + symbol.size {
                return Err(undecodable(Vaddr(end)));
            }
            code.functions.push(Function {
                name: symbol.name.clone(),
                start: symbol.vaddr.0,
                end,
                starts,
            });
        }
        Ok(code)
    }

    /// The starts of the instructions of a function, and the end of the last; its branches are
    /// remembered.
    fn scan(
        &mut self,
        function: usize,
        bytes: &[u8],
        at: u64,
    ) -> Result<(Vec<u64>, u64), CodeError> {
        let instructions = self.engine.disasm_all(bytes, at)?;
        let mut starts = Vec::with_capacity(instructions.len());
        let mut end = at;
        for instruction in instructions.iter() {
            starts.push(instruction.address());
            end = instruction.address() + instruction.len() as u64;
            if let Some((target, is_call)) = branch_of(&self.engine, instruction)? {
                self.branches.push(Branch {
                    at: instruction.address(),
                    target,
                    is_call,
                    function,
                });
            }
        }
        Ok((starts, end))
    }

    fn check_edit(&self, edit: &Edit, output: &Image) -> Result<(), CodeError> {
        let not_a_jump = || CodeError::NotAJump {
            at: edit.at,
            purpose: edit.purpose.clone(),
        };
        let bytes = output
            .bytes_at(edit.at, edit.new.len() as u64)
            .ok_or_else(not_a_jump)?;
        let instructions = self.engine.disasm_all(bytes, edit.at.0)?;
        let (jump, filler) = instructions.split_first().ok_or_else(not_a_jump)?;
        let target = branch_of(&self.engine, jump)?
            .filter(|_| jump.len() == 5 && jump.mnemonic() == Some("jmp"));
        let (target, _) = target.ok_or_else(not_a_jump)?;
        self.require_new(&edit.purpose, edit.at, Vaddr(target))?;
        let filled: usize = filler.iter().map(Insn::len).sum();
        let harmless = filler
            .iter()
            .all(|i| matches!(i.mnemonic(), Some("int3" | "nop")));
        if !harmless || jump.len() + filled != bytes.len() {
            return Err(CodeError::Filler {
                at: edit.at,
                purpose: edit.purpose.clone(),
            });
        }
        Ok(())
    }

    /// An address that must be the start of an instruction of the new code.
    fn require_new(&self, function: &str, at: Vaddr, target: Vaddr) -> Result<(), CodeError> {
        if self
            .segment_of(target.0)
            .is_none_or(|s| s.flags & PF_X == 0)
        {
            return Err(bad_target(function, at, target, "outside of the new code"));
        }
        let next = self.functions.partition_point(|f| f.start <= target.0);
        let home = next
            .checked_sub(1)
            .and_then(|i| self.functions.get(i))
            .filter(|f| target.0 < f.end);
        let home = home.ok_or(CodeError::NoSymbol(target))?;
        match home.starts.binary_search(&target.0) {
            Ok(_) => Ok(()),
            Err(_) => Err(bad_target(
                function,
                at,
                target,
                "between two instructions of the new code",
            )),
        }
    }

    fn segment_of(&self, at: u64) -> Option<&'a NewSegment> {
        self.plan.segments.iter().find(|s| {
            at.checked_sub(s.vaddr.0)
                .is_some_and(|into| into < s.mem_size)
        })
    }

    /// Checks a branch of the new code; whether it leaves the new code.
    fn check_branch(&mut self, branch: &Branch) -> Result<bool, CodeError> {
        let (at, target) = (Vaddr(branch.at), Vaddr(branch.target));
        // Branches are made with the index of the function that is pushed next.
        let name = self.functions[branch.function].name.clone();
        if self.segment_of(branch.target).is_some() {
            return self.require_new(&name, at, target).map(|()| false);
        }
        if branch.is_call {
            return Err(bad_target(&name, at, target, "a call out of the new code"));
        }
        if target == self.go.image.entry() {
            return Ok(true);
        }
        let why = self.original_problem(target)?;
        why.map_or(Ok(true), |why| Err(bad_target(&name, at, target, why)))
    }

    /// Why a place in the input's code cannot be jumped to, if so.
    fn original_problem(&mut self, target: Vaddr) -> Result<Option<&'static str>, CodeError> {
        let Some(function) = self.go.function_at(target) else {
            return Ok(Some("outside of Go's code"));
        };
        let next = self.plan.edits.partition_point(|edit| edit.at < target);
        let before = next.checked_sub(1).and_then(|i| self.plan.edits.get(i));
        if before.is_some_and(|edit| target.0 < edit.at.0.saturating_add(edit.new.len() as u64)) {
            return Ok(Some("inside of an edit"));
        }
        let entry = function.entry;
        let starts = match self.original.entry(entry.0) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let size = function.end.0.saturating_sub(entry.0);
                let bytes = self.go.image.bytes_at(entry, size).unwrap_or_default();
                let instructions = self.engine.disasm_all(bytes, entry.0)?;
                new.insert(instructions.iter().map(Insn::address).collect())
            }
        };
        let found = starts.binary_search(&target.0).is_ok();
        Ok((!found).then_some("between two instructions of a Go function"))
    }
}

fn bad_target(function: &str, at: Vaddr, target: Vaddr, why: &'static str) -> CodeError {
    CodeError::BadTarget {
        at,
        function: function.to_owned(),
        target,
        why,
    }
}

/// The target of a direct jump or call, and whether it is a call.
fn branch_of(engine: &Capstone, instruction: &Insn<'_>) -> Result<Option<(u64, bool)>, CodeError> {
    let detail = engine.insn_detail(instruction)?;
    let is = |group: InsnGroupType::Type| detail.groups().contains(&InsnGroupId(group as u8));
    let is_call = is(InsnGroupType::CS_GRP_CALL);
    if !is_call && !is(InsnGroupType::CS_GRP_JUMP) {
        return Ok(None);
    }
    let arch = detail.arch_detail();
    let operand = arch.x86().and_then(|x86| x86.operands().next());
    Ok(match operand.map(|operand| operand.op_type) {
        // Capstone gives the target itself, sign-extended.
        Some(X86OperandType::Imm(target)) => Some((target as u64, is_call)),
        _ => None,
    })
}
