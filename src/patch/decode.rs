//! Decoding the functions to be hooked: what their entry looks like, where they end, and where the
//! runtime's own check for concurrent use is.
//!
//! Nothing is displaced that another instruction of the function jumps into, and no call is, since
//! its return address must stay where Go's tables know it.

use crate::golang::{Func, GoBinary, Layout};
use crate::image::Vaddr;
use crate::patch::asm::{is_encoded_as_it_was, stack_change};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes of a `jmp rel32`, which every patched place must hold.
pub const JUMP_SIZE: u64 = 5;

/// Results that the compiler spills between a check and what follows when it failed.
const MOST_SPILLS: usize = 4;

/// A function taken apart.
pub struct Function {
    instructions: Vec<Instruction>,
    /// Targets of its own near branches.
    targets: BTreeSet<u64>,
}

/// How a function can be entered by way of a trampoline.
#[derive(Clone, Debug)]
pub enum Entry {
    /// `[lea r12, [rsp-N]]; cmp rsp|r12, [r14+stackguard0]; jbe`: the trampoline repeats the check
    /// first, because the morestack path ends with a jump to the function's first byte.
    StackCheck {
        /// Everything before the branch.
        check: Vec<Instruction>,
        /// Where the branch goes.
        morestack: Vaddr,
        /// The bytes taken, branch included.
        range: Range<Vaddr>,
    },
    /// Whole instructions moved to the trampoline.
    Moved {
        /// They.
        instructions: Vec<Instruction>,
        /// The bytes taken.
        range: Range<Vaddr>,
    },
}

impl Entry {
    /// The function's first byte.
    pub fn start(&self) -> Vaddr {
        match self {
            Entry::StackCheck { range, .. } | Entry::Moved { range, .. } => range.start,
        }
    }
}

/// The instructions before a return, and the return.
#[derive(Clone, Debug)]
pub struct Exit {
    /// What is moved, without the return.
    pub instructions: Vec<Instruction>,
    /// The bytes taken, return included.
    pub range: Range<Vaddr>,
}

/// A call of `runtime.fatal` after the check of the writing flag failed.
#[derive(Clone, Debug)]
pub struct FailedCheck {
    /// The register that holds the map there.
    pub map: Register,
    /// What is moved: one instruction that loads the message.
    pub instruction: Instruction,
    /// The bytes taken.
    pub range: Range<Vaddr>,
}

/// Why a place cannot be patched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not in the file.
    #[error("its code is not in the file")]
    Missing,
    /// Not the prologue of any supported Go version.
    #[error("unexpected prologue: {0}")]
    Prologue(String),
    /// Something jumps between the displaced instructions.
    #[error("a branch leads into the displaced instructions at {0}")]
    BranchInto(Vaddr),
    /// The unwinder could not be told where the stack pointer is.
    #[error("the stack pointer moves by no constant at {0}")]
    StackPointer(Vaddr),
    /// The encoder makes another instruction of it.
    #[error("the instruction at {0} cannot be encoded again as it is")]
    Changed(Vaddr),
    /// There is no room before a return.
    #[error("no room for a jump before the return at {0}")]
    NoRoom(Vaddr),
}

impl Function {
    /// Decodes a function of the executable.
    pub fn decode(go: &GoBinary<'_>, function: &Func<'_>) -> Result<Function, DecodeError> {
        let size = function
            .end
            .0
            .checked_sub(function.entry.0)
            .ok_or(DecodeError::Missing)?;
        let bytes = go
            .image
            .bytes_at(function.entry, size)
            .ok_or(DecodeError::Missing)?;
        let mut decoder = Decoder::with_ip(64, bytes, function.entry.0, DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder
            .iter()
            .take_while(|instruction| !instruction.is_invalid())
            .collect();
        let targets = instructions
            .iter()
            .filter(|instruction| is_near_branch(instruction))
            .map(Instruction::near_branch_target)
            .collect();
        Ok(Function {
            instructions,
            targets,
        })
    }

    /// How it is entered.
    pub fn entry(&self, layout: &Layout) -> Result<Entry, DecodeError> {
        match self.stack_check(layout) {
            Some(entry) => Ok(entry),
            None => Err(DecodeError::Prologue(self.first_instructions())),
        }
    }

    /// How it is entered when it may lack a stack check (nosplit functions).
    pub fn entry_or_moved(&self, layout: &Layout) -> Result<Entry, DecodeError> {
        match self.stack_check(layout) {
            Some(entry) => Ok(entry),
            None => self.moved_entry(),
        }
    }

    fn stack_check(&self, layout: &Layout) -> Option<Entry> {
        let has_lea = self.instructions.first().is_some_and(is_stack_lea);
        let compare = self.instructions.get(usize::from(has_lea))?;
        let branch = self.instructions.get(usize::from(has_lea) + 1)?;
        let compared = if has_lea {
            Register::R12
        } else {
            Register::RSP
        };
        let good = compare.code() == Code::Cmp_r64_rm64
            && compare.op0_register() == compared
            && compare.memory_base() == Register::R14
            && compare.memory_index() == Register::None
            && compare.memory_displacement64() == u64::from(layout.g_stackguard0)
            && matches!(branch.code(), Code::Jbe_rel8_64 | Code::Jbe_rel32_64);
        let range = Vaddr(self.instructions.first()?.ip())..Vaddr(branch.next_ip());
        (good && range.end.0 - range.start.0 >= JUMP_SIZE && !self.is_entered(&range)).then(|| {
            Entry::StackCheck {
                check: self.instructions[..=usize::from(has_lea)].to_vec(),
                morestack: Vaddr(branch.near_branch_target()),
                range,
            }
        })
    }

    fn moved_entry(&self) -> Result<Entry, DecodeError> {
        let mut instructions = Vec::new();
        let mut size = 0;
        for instruction in &self.instructions {
            if instruction.flow_control() != FlowControl::Next {
                break;
            }
            instructions.push(*instruction);
            size += instruction.len() as u64;
            if size >= JUMP_SIZE {
                displaceable(&instructions)?;
                let start = instructions.first().map_or(0, Instruction::ip);
                let range = Vaddr(start)..Vaddr(instruction.next_ip());
                if self.is_entered(&range) {
                    return Err(DecodeError::BranchInto(range.start));
                }
                return Ok(Entry::Moved {
                    instructions,
                    range,
                });
            }
        }
        Err(DecodeError::Prologue(self.first_instructions()))
    }

    fn first_instructions(&self) -> String {
        let shown: Vec<String> = self
            .instructions
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        shown.join("; ")
    }

    /// Every return, with the room before it.
    pub fn exits(&self) -> Vec<Result<Exit, DecodeError>> {
        let returns = self
            .instructions
            .iter()
            .enumerate()
            .filter(|(_, instruction)| instruction.mnemonic() == Mnemonic::Ret);
        returns.map(|(index, _)| self.exit_at(index)).collect()
    }

    fn exit_at(&self, index: usize) -> Result<Exit, DecodeError> {
        let end = self.instructions[index].next_ip();
        let no_room = DecodeError::NoRoom(Vaddr(self.instructions[index].ip()));
        for first in (0..index).rev() {
            let instruction = &self.instructions[first];
            if instruction.flow_control() != FlowControl::Next {
                return Err(no_room);
            }
            let range = Vaddr(instruction.ip())..Vaddr(end);
            if end - instruction.ip() >= JUMP_SIZE {
                if self.is_entered(&range) {
                    return Err(DecodeError::BranchInto(range.start));
                }
                let instructions = self.instructions[first..index].to_vec();
                displaceable(&instructions)?;
                return Ok(Exit {
                    instructions,
                    range,
                });
            }
        }
        Err(no_room)
    }

    /// Some branch of the function leads into the range, past its first byte.
    fn is_entered(&self, range: &Range<Vaddr>) -> bool {
        self.targets
            .range(range.start.0 + 1..range.end.0)
            .next()
            .is_some()
    }

    /// The places where the runtime's own check failed: calls of one of `fatals`, preceded by the two
    /// instructions that load the message, and reached from a test of the map's writing flag whose base
    /// register is the map. Calls that do not look like that are left alone.
    pub fn failed_checks(&self, fatals: &[Vaddr], layout: &Layout) -> Vec<FailedCheck> {
        let calls = self
            .instructions
            .iter()
            .enumerate()
            .filter(|(_, instruction)| {
                instruction.mnemonic() == Mnemonic::Call
                    && is_near_branch(instruction)
                    && fatals.contains(&Vaddr(instruction.near_branch_target()))
            });
        calls
            .filter_map(|(index, _)| self.failed_check_before(index, layout))
            .collect()
    }

    fn failed_check_before(&self, call: usize, layout: &Layout) -> Option<FailedCheck> {
        // The assembler aligns calls with padding in front of them.
        let second = (0..call)
            .rev()
            .find(|at| self.instructions[*at].mnemonic() != Mnemonic::Nop)?;
        let first = second.checked_sub(1)?;
        let instruction = self.instructions[first];
        let loads_message = [first, second].iter().all(|at| {
            let loaded = self.instructions[*at].op0_register().full_register();
            matches!(loaded, Register::RAX | Register::RBX)
        });
        let range = Vaddr(instruction.ip())..Vaddr(instruction.next_ip());
        let fits = range.end.0 - range.start.0 >= JUMP_SIZE && !self.is_entered(&range);
        let moves =
            instruction.flow_control() == FlowControl::Next && displaceable(&[instruction]).is_ok();
        if !loads_message || !fits || !moves {
            return None;
        }
        let branches = self.branches_leading_to(first);
        let map = branches
            .into_iter()
            .find_map(|branch| self.flag_base_before(branch, layout))?;
        Some(FailedCheck {
            map,
            instruction,
            range,
        })
    }

    /// The branches after which the instruction at `index` runs: conditional ones that jump to it, or
    /// fall through to it; results may be spilled to the stack in between.
    fn branches_leading_to(&self, index: usize) -> Vec<usize> {
        let mut branches = Vec::new();
        for at in (index.saturating_sub(MOST_SPILLS)..=index).rev() {
            let target = self.instructions[at].ip();
            let jumps = self.instructions.iter().enumerate();
            let jumps =
                jumps.filter(|(_, i)| i.is_jcc_short_or_near() && i.near_branch_target() == target);
            branches.extend(jumps.map(|(jump, _)| jump));
            let Some(before) = at.checked_sub(1) else {
                break;
            };
            if self.instructions[before].is_jcc_short_or_near() {
                branches.push(before);
            }
            let is_spill = self.instructions[before].mnemonic() == Mnemonic::Mov
                && self.instructions[before].op0_kind() == OpKind::Memory;
            if !is_spill {
                break;
            }
        }
        branches
    }

    /// The base register of the writing flag's load in the few instructions before a branch, unless one
    /// of them changes that register.
    fn flag_base_before(&self, branch: usize, layout: &Layout) -> Option<Register> {
        let window = &self.instructions[branch.saturating_sub(3)..branch];
        let at = window.iter().rposition(|instruction| {
            instruction.memory_base().is_gpr64()
                && instruction.memory_base() != Register::RSP
                && instruction.memory_index() == Register::None
                && instruction.memory_displacement64() == u64::from(layout.map_writing)
                && matches!(
                    instruction.mnemonic(),
                    Mnemonic::Test | Mnemonic::Cmp | Mnemonic::Movzx | Mnemonic::Mov
                )
                && (0..instruction.op_count())
                    .any(|operand| instruction.op_kind(operand) == OpKind::Memory)
        })?;
        let base = window[at].memory_base();
        let changed = window[at..].iter().any(|instruction| {
            instruction.op0_kind() == OpKind::Register
                && instruction.op0_register().full_register() == base
                && !matches!(instruction.mnemonic(), Mnemonic::Test | Mnemonic::Cmp)
        });
        (!changed).then_some(base)
    }
}

/// Instructions that can be displaced: they stay what they are, and Go's unwinder is told where the stack pointer is
/// after each.
fn displaceable(instructions: &[Instruction]) -> Result<(), DecodeError> {
    for instruction in instructions {
        let at = Vaddr(instruction.ip());
        if stack_change(instruction).is_none() {
            return Err(DecodeError::StackPointer(at));
        }
        if !is_encoded_as_it_was(instruction) {
            return Err(DecodeError::Changed(at));
        }
    }
    Ok(())
}

/// `lea r12, [rsp-N]`
fn is_stack_lea(instruction: &Instruction) -> bool {
    instruction.code() == Code::Lea_r64_m
        && instruction.op0_register() == Register::R12
        && instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None
}

fn is_near_branch(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|operand| {
        matches!(
            instruction.op_kind(operand),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        )
    })
}
