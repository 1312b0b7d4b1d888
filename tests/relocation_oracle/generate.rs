//! Sequences of instructions that a hook could displace.

use super::sandbox::{CODE, DATA, DATA_SIZE};
use crate::common::random::Random;
use gocc::golang::GoBinary;
use gocc::patch::decode::JUMP_SIZE;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, Register,
};

/// Instructions of one sequence, at most: a hook displaces up to five bytes and what they begin.
const MOST: usize = 6;

/// Machine code at [`CODE`], and what it says.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub bytes: Vec<u8>,
    pub instructions: Vec<Instruction>,
}

impl Sequence {
    /// Decodes what may be displaced at the start of these bytes: whole instructions, until a jump fits.
    pub fn decode(code: &[u8]) -> Option<Sequence> {
        let mut decoder = Decoder::with_ip(64, code, CODE, DecoderOptions::NONE);
        let mut info = InstructionInfoFactory::new();
        let mut instructions = Vec::new();
        let mut size = 0;
        while size < JUMP_SIZE as usize && instructions.len() < MOST && decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid()
                || instruction.flow_control() != FlowControl::Next
                || is_left_out(&instruction, &mut info)
            {
                return None;
            }
            size += instruction.len();
            instructions.push(instruction);
        }
        (size >= JUMP_SIZE as usize).then(|| Sequence {
            bytes: code[..size].to_vec(),
            instructions,
        })
    }

    /// Aims RIP-relative operands at the sandbox's data, by their displacement's bytes: no encoder is asked.
    pub fn aim(&mut self, random: &mut Random) {
        let mut decoder = Decoder::with_ip(64, &self.bytes, CODE, DecoderOptions::NONE);
        let mut patches = Vec::new();
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if !instruction.is_ip_rel_memory_operand() {
                continue;
            }
            let offsets = decoder.get_constant_offsets(&instruction);
            let at = (instruction.ip() - CODE) as usize + offsets.displacement_offset();
            let target = DATA + 256 + (random.next() >> 20) % (DATA_SIZE as u64 - 512);
            let displacement = target.wrapping_sub(instruction.next_ip()) as u32;
            patches.push((at, displacement));
        }
        for (at, displacement) in patches {
            self.bytes[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
        }
        let decoder = Decoder::with_ip(64, &self.bytes, CODE, DecoderOptions::NONE);
        self.instructions = decoder.into_iter().collect();
    }
}

/// What is not run: instructions whose result is never the same twice, that store their own address, or that
/// take from the sandbox what it stands on (segment registers, protection keys, the trap and alignment flags).
fn is_left_out(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    use Mnemonic::*;
    let unsteady = matches!(
        instruction.mnemonic(),
        Rdtsc
            | Rdtscp
            | Rdrand
            | Rdseed
            | Rdpmc
            | Rdpid
            | Rdpru
            | Cpuid
            | Xgetbv
            | Sgdt
            | Sidt
            | Sldt
            | Str
            | Smsw
    );
    let own_address = matches!(
        instruction.mnemonic(),
        Fnsave
            | Fsave
            | Fnstenv
            | Fstenv
            | Fxsave
            | Fxsave64
            | Xsave
            | Xsave64
            | Xsavec
            | Xsavec64
            | Xsaveopt
            | Xsaveopt64
            | Xsaves
            | Xsaves64
    );
    let standing = matches!(
        instruction.mnemonic(),
        Wrpkru
            | Wrfsbase
            | Wrgsbase
            | Popf
            | Popfq
            | Ldtilecfg
            | Senduipi
            | Umwait
            | Tpause
            | Enqcmd
            | Movdir64b
            | Fldenv
            | Frstor
            | Fxrstor
            | Fxrstor64
            | Xrstor
            | Xrstor64
            | Xrstors
            | Xrstors64
    );
    let used = info.info(instruction);
    let writes = |access| {
        matches!(
            access,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    };
    let moves_segment = used
        .used_registers()
        .iter()
        .any(|used| used.register().is_segment_register() && writes(used.access()));
    // The C library keeps its own state there.
    let writes_tls = matches!(instruction.memory_segment(), Register::FS | Register::GS)
        && used.used_memory().iter().any(|used| writes(used.access()));
    unsteady
        || own_address
        || standing
        || moves_segment
        || writes_tls
        || instruction.is_privileged()
        || matches!(instruction.code(), Code::Xabort_imm8)
}

/// Random bytes, that happen to be a sequence.
pub fn wild(random: &mut Random) -> Sequence {
    loop {
        let code: Vec<u8> = (0..40).map(|_| (random.next() >> 24) as u8).collect();
        if let Some(mut sequence) = Sequence::decode(&code) {
            sequence.aim(random);
            return sequence;
        }
    }
}

/// The code of a Go program's functions.
pub fn functions<'a>(go: &GoBinary<'a>) -> Vec<&'a [u8]> {
    let code = go.functions().filter_map(|function| {
        go.image
            .bytes_at(function.entry, function.end.0 - function.entry.0)
    });
    code.filter(|code| code.len() > 16).collect()
}

/// A piece of a function: half of them its entry, the others from anywhere.
pub fn cut(functions: &[&[u8]], damage: bool, random: &mut Random) -> Sequence {
    loop {
        let function = functions[random.next() as usize % functions.len()];
        let mut decoder = Decoder::new(64, function, DecoderOptions::NONE);
        let mut at = 0;
        if random.next().is_multiple_of(2) {
            let skipped = random.next() % 60;
            at = decoder.iter().take(skipped as usize).map(|i| i.len()).sum();
        }
        let mut code = function[at.min(function.len())..].to_vec();
        code.truncate(96);
        if damage && !code.is_empty() {
            for _ in 0..=random.next() % 3 {
                let at = random.next() as usize % code.len().min(12);
                code[at] ^= 1 << (random.next() % 8);
            }
        }
        if let Some(mut sequence) = Sequence::decode(&code) {
            sequence.aim(random);
            return sequence;
        }
    }
}
