//! A function's code as blocks: runs of instructions that are only entered at the first.

use super::known::Known;
use crate::golang::Func;
use crate::image::{Image, Vaddr};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::{BTreeSet, HashMap};

/// Entries of a jump table beyond these are not believed.
const MOST_CASES: u64 = 4096;

/// A run of instructions.
pub(super) struct Block {
    pub(super) instructions: std::ops::Range<usize>,
    /// Blocks that may come next.
    pub(super) next: Vec<usize>,
    /// It ends with a return.
    pub(super) returns: bool,
}

/// A function, decoded.
pub(super) struct Code {
    pub(super) instructions: Vec<Instruction>,
    pub(super) blocks: Vec<Block>,
}

/// Decodes a function; nothing when its bytes are not in the file.
pub(super) fn decode(image: &Image, function: &Func<'_>) -> Vec<Instruction> {
    let size = function.end.0.saturating_sub(function.entry.0);
    let Some(bytes) = image.bytes_at(function.entry, size) else {
        return Vec::new();
    };
    Decoder::with_ip(64, bytes, function.entry.0, DecoderOptions::NONE)
        .into_iter()
        .collect()
}

/// The target of a direct call or jump.
pub(super) fn target(instruction: &Instruction) -> Option<Vaddr> {
    (instruction.op0_kind() == OpKind::NearBranch64)
        .then(|| Vaddr(instruction.near_branch_target()))
}

/// It is a call, or a jump out of the function, which calls and returns.
pub(super) fn is_call(instruction: &Instruction, function: &Func<'_>) -> bool {
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::IndirectCall => true,
        FlowControl::UnconditionalBranch => target(instruction)
            .is_some_and(|target| !(function.entry..function.end).contains(&target)),
        _ => false,
    }
}

impl Code {
    /// Finds the blocks.
    pub(super) fn new(
        image: &Image,
        function: &Func<'_>,
        instructions: Vec<Instruction>,
        known: &HashMap<Vaddr, Known>,
    ) -> Code {
        let ways: Vec<Way> = instructions
            .iter()
            .enumerate()
            .map(|(index, instruction)| {
                let before = instructions.get(..index).unwrap_or_default();
                Way::of(image, function, instruction, before, known)
            })
            .collect();
        let index_of = |at: &Vaddr| {
            instructions
                .binary_search_by_key(&at.0, Instruction::ip)
                .ok()
        };
        let mut starts: BTreeSet<usize> = BTreeSet::from([0]);
        for (index, way) in ways.iter().enumerate() {
            starts.extend(way.targets.iter().filter_map(index_of));
            if way.ends_block() {
                starts.insert(index + 1);
            }
        }
        starts.retain(|start| *start < instructions.len());
        let starts: Vec<usize> = starts.into_iter().collect();
        let block_of = |start: usize| starts.binary_search(&start).ok();
        let ends = starts.iter().skip(1).copied().chain([instructions.len()]);
        let blocks = starts
            .iter()
            .zip(ends)
            .map(|(&first, end)| {
                let way = end.checked_sub(1).and_then(|last| ways.get(last));
                let mut next: Vec<usize> = Vec::new();
                if let Some(way) = way {
                    let targets = way.targets.iter().filter_map(index_of);
                    next.extend(targets.filter_map(block_of));
                    next.extend(way.goes_on.then(|| block_of(end)).flatten());
                }
                Block {
                    instructions: first..end,
                    next,
                    returns: way.is_some_and(|way| way.returns),
                }
            })
            .collect();
        Code {
            instructions,
            blocks,
        }
    }
}

/// Where an instruction leads.
#[derive(Default)]
struct Way {
    targets: Vec<Vaddr>,
    goes_on: bool,
    returns: bool,
}

impl Way {
    fn of(
        image: &Image,
        function: &Func<'_>,
        instruction: &Instruction,
        before: &[Instruction],
        known: &HashMap<Vaddr, Known>,
    ) -> Way {
        let on = |targets: Vec<Vaddr>, goes_on: bool| Way {
            targets,
            goes_on,
            returns: false,
        };
        let out = || Way {
            returns: true,
            ..Way::default()
        };
        match instruction.flow_control() {
            FlowControl::Return => out(),
            FlowControl::UnconditionalBranch if is_call(instruction, function) => out(),
            FlowControl::UnconditionalBranch => {
                on(target(instruction).into_iter().collect(), false)
            }
            FlowControl::ConditionalBranch => on(target(instruction).into_iter().collect(), true),
            FlowControl::IndirectBranch => on(cases(image, function, instruction, before), false),
            FlowControl::Exception | FlowControl::Interrupt => Way::default(),
            FlowControl::Call => {
                let callee = target(instruction).and_then(|target| known.get(&target));
                on(Vec::new(), callee != Some(&Known::Ends))
            }
            _ => on(Vec::new(), true),
        }
    }

    fn ends_block(&self) -> bool {
        !self.goes_on || !self.targets.is_empty()
    }
}

/// The cases of a jump table (cmd/compile/internal/ssagen, from Go 1.19 on): `lea table; jmp [table + 8 * x]`.
fn cases(
    image: &Image,
    function: &Func<'_>,
    jump: &Instruction,
    before: &[Instruction],
) -> Vec<Vaddr> {
    let base = jump.memory_base();
    let is_table = |at: &&Instruction| {
        at.mnemonic() == Mnemonic::Lea && at.op0_register() == base && at.is_ip_rel_memory_operand()
    };
    let found = (base != Register::None).then(|| before.iter().rev().take(16).find(is_table));
    let Some(table) = found
        .flatten()
        .map(|lea| Vaddr(lea.ip_rel_memory_address()))
    else {
        return Vec::new();
    };
    let own = function.entry..function.end;
    (0..MOST_CASES)
        .map_while(|index| image.pointer_at(table.checked_add(index * 8)?))
        .take_while(|case| own.contains(case))
        .collect()
}
