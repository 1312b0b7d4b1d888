//! Instructions that were never a compiler's, moved to another address.

use super::seeds::Seeds;
use gocc::image::Vaddr;
use gocc::patch::asm::{Assembler, is_encoded_as_it_was};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, Instruction, IntelFormatter};

const FROM: u64 = 0x40_1000;

/// A case is where to, and machine code. What a hook may displace is moved there; it must be the same
/// instructions, with the same operands: `tests/relocation.rs` runs such code. True if it could be moved.
pub fn relocation(_seeds: &Seeds, case: &[u8]) -> bool {
    let Some((to, code)) = case.split_first_chunk::<8>() else {
        return false;
    };
    // User addresses, half of them within reach of RIP-relative operands.
    let to = u64::from_le_bytes(*to) >> 17;
    let to = if to & 1 == 0 { to & 0x7fff_ffff } else { to };
    let instructions = decoded(code, FROM);
    let instructions: Vec<_> = instructions
        .into_iter()
        .take_while(|instruction| {
            instruction.flow_control() == FlowControl::Next && is_encoded_as_it_was(instruction)
        })
        .collect();
    let Ok(mut asm) = Assembler::new() else {
        return false;
    };
    let moved = asm
        .relocated(&instructions)
        .and_then(|()| asm.finish(Vaddr(to), 0));
    let Ok(moved) = moved else {
        return false;
    };
    let again = decoded(&moved.bytes, to);
    let shown = |list: &[Instruction]| -> Vec<String> { list.iter().map(show).collect() };
    assert_eq!(shown(&instructions), shown(&again), "moved to {to:#x}");
    !instructions.is_empty()
}

fn decoded(code: &[u8], at: u64) -> Vec<Instruction> {
    let decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
    decoder
        .into_iter()
        .take_while(|instruction| !instruction.is_invalid())
        .take(64)
        .collect()
}

/// In words, RIP-relative operands by their address.
fn show(instruction: &Instruction) -> String {
    let mut text = String::new();
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_rip_relative_addresses(false);
    formatter.format(instruction, &mut text);
    text
}
