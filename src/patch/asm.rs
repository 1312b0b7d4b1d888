//! A thin layer over iced's assembler: absolute addresses become RIP-relative operands, and every
//! finished piece of code knows how far its stack pointer is from the entry at each instruction,
//! which is what Go's unwinder asks for.

use crate::image::Vaddr;
use crate::patch::shim::SpDelta;
use iced_x86::code_asm::{AsmRegister32, AsmRegister64, CodeAssembler};
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, Encoder, IcedError,
    Instruction, InstructionBlock, InstructionInfoFactory, MemoryOperand, Mnemonic, OpAccess,
    Register,
};

/// Code placed at its final address.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The machine code.
    pub bytes: Vec<u8>,
    /// The stack pointer's distance from its value at the original function's entry.
    pub sp_deltas: Vec<SpDelta>,
}

/// An assembler for one injected function.
pub struct Assembler {
    /// iced's own; its methods are one instruction each.
    pub code: CodeAssembler,
}

/// A memory operand at an absolute (link-time) address, encoded relative to RIP.
fn absolute(address: Vaddr) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RIP, address.0 as i64)
}

impl Assembler {
    /// An empty function.
    pub fn new() -> Result<Assembler, IcedError> {
        Ok(Assembler {
            code: CodeAssembler::new(64)?,
        })
    }

    /// `mov reg64, [address]`
    pub fn load64(&mut self, to: AsmRegister64, address: Vaddr) -> Result<(), IcedError> {
        let to: Register = to.into();
        self.code.add_instruction(Instruction::with2(
            Code::Mov_r64_rm64,
            to,
            absolute(address),
        )?)
    }

    /// `mov [address], reg64`
    pub fn store64(&mut self, address: Vaddr, from: AsmRegister64) -> Result<(), IcedError> {
        let from: Register = from.into();
        self.code.add_instruction(Instruction::with2(
            Code::Mov_rm64_r64,
            absolute(address),
            from,
        )?)
    }

    /// `lea reg64, [address]`
    pub fn lea(&mut self, to: AsmRegister64, address: Vaddr) -> Result<(), IcedError> {
        let to: Register = to.into();
        self.code
            .add_instruction(Instruction::with2(Code::Lea_r64_m, to, absolute(address))?)
    }

    /// `cmp dword [address], imm8`
    pub fn compare32(&mut self, address: Vaddr, with: i32) -> Result<(), IcedError> {
        self.code.add_instruction(Instruction::with2(
            Code::Cmp_rm32_imm8,
            absolute(address),
            with,
        )?)
    }

    /// `cmp reg32, [address]`
    pub fn compare_with32(
        &mut self,
        register: AsmRegister32,
        address: Vaddr,
    ) -> Result<(), IcedError> {
        let register: Register = register.into();
        self.code.add_instruction(Instruction::with2(
            Code::Cmp_r32_rm32,
            register,
            absolute(address),
        )?)
    }

    /// `lock inc qword [address]`
    pub fn count(&mut self, address: Vaddr) -> Result<(), IcedError> {
        let mut instruction = Instruction::with1(Code::Inc_rm64, absolute(address))?;
        instruction.set_has_lock_prefix(true);
        self.code.add_instruction(instruction)
    }

    /// Instructions of the original program that are encoded as they were, to run at another address.
    pub fn relocated(&mut self, instructions: &[Instruction]) -> Result<(), IcedError> {
        instructions.iter().try_for_each(|instruction| {
            let mut moved = *instruction;
            // An instruction's address is its label to the encoder; moved ones are nobody's target.
            moved.set_ip(0);
            self.code.add_instruction(moved)
        })
    }

    /// Encodes everything for its final address. `initial` is the stack pointer's distance from the
    /// function's entry at the first instruction.
    ///
    /// The code must be written so that, in the order of its instructions, pushes and pops balance:
    /// then the distance at each one follows from those before it.
    pub fn finish(mut self, at: Vaddr, initial: u32) -> Result<Assembled, IcedError> {
        let instructions = self.code.take_instructions();
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let block = InstructionBlock::new(&instructions, at.0);
        let encoded = BlockEncoder::encode(64, block, options)?;
        let sp_deltas = sp_deltas(&instructions, &encoded.new_instruction_offsets, initial);
        Ok(Assembled {
            bytes: encoded.code_buffer,
            sp_deltas,
        })
    }
}

/// An instruction, encoded, is the one that was decoded. iced 1.22 forgets that the base register of a 3DNow! operand
/// is one of r8 to r15, and its block encoder assumes that an operand relative to EIP takes more bytes than one relative
/// to RIP, which is not so where a register gives the size of addresses.
pub fn is_encoded_as_it_was(instruction: &Instruction) -> bool {
    let has_sized_address = matches!(
        instruction.mnemonic(),
        Mnemonic::Movdir64b | Mnemonic::Enqcmd | Mnemonic::Enqcmds
    );
    if has_sized_address && instruction.is_ip_rel_memory_operand() {
        return false;
    }
    let mut encoder = Encoder::new(64);
    let at = instruction.ip();
    if encoder.encode(instruction, at).is_err() {
        return false;
    }
    let bytes = encoder.take_buffer();
    Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE).decode() == *instruction
}

fn sp_deltas(instructions: &[Instruction], offsets: &[u32], initial: u32) -> Vec<SpDelta> {
    let mut deltas = vec![SpDelta {
        at: 0,
        bytes: initial,
    }];
    let mut distance = i64::from(initial);
    for (index, instruction) in instructions.iter().enumerate() {
        // Decoding refuses to displace what moves the stack pointer in another way.
        distance -= i64::from(stack_change(instruction).unwrap_or(0));
        let Some(next) = offsets.get(index + 1) else {
            break;
        };
        let bytes = u32::try_from(distance).unwrap_or(0);
        if deltas.last().is_some_and(|last| last.bytes != bytes) {
            deltas.push(SpDelta { at: *next, bytes });
        }
    }
    deltas
}

/// What an instruction adds to the stack pointer, as seen by the next one in order: a call returns balanced, and
/// what follows a return starts anew. `None` when that is not a constant (`mov rsp, rbp`, `add rsp, rax`, `leave`).
pub fn stack_change(instruction: &Instruction) -> Option<i32> {
    match instruction.mnemonic() {
        Mnemonic::Call | Mnemonic::Ret => return Some(0),
        Mnemonic::Push | Mnemonic::Pushfq | Mnemonic::Popfq => {}
        Mnemonic::Pop if instruction.op0_register().full_register() != Register::RSP => {}
        _ if !writes_stack_pointer(instruction) => return Some(0),
        Mnemonic::Lea => return lea_of_stack_pointer(instruction),
        Mnemonic::Add if instruction.code() != Code::Add_r64_rm64 => return added(instruction),
        Mnemonic::Sub if instruction.code() != Code::Sub_r64_rm64 => {
            return added(instruction).and_then(i32::checked_neg);
        }
        _ => return None,
    }
    Some(instruction.stack_pointer_increment())
}

/// Any part of it, in any way.
fn writes_stack_pointer(instruction: &Instruction) -> bool {
    let names_it = |operand| instruction.op_register(operand).full_register() == Register::RSP;
    if !instruction.is_stack_instruction() && !(0..instruction.op_count()).any(names_it) {
        return false;
    }
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(instruction).used_registers();
    used.iter().any(|used| {
        used.register().full_register() == Register::RSP
            && !matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            )
    })
}

/// `lea rsp, [rsp+N]`
fn lea_of_stack_pointer(instruction: &Instruction) -> Option<i32> {
    let is_simple = instruction.op0_register() == Register::RSP
        && instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None;
    is_simple.then_some(instruction.memory_displacement64() as i32)
}

/// `add rsp, N`, `sub rsp, N`
fn added(instruction: &Instruction) -> Option<i32> {
    let number = instruction.try_immediate(1).ok()?;
    (instruction.op0_register() == Register::RSP).then_some(number as i32)
}
