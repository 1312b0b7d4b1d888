//! Emission: the walk along the frame pointers that every record of a stack is filled with.

use crate::patch::asm::Assembler;
use crate::patch::hooks::{Emitter, Result};
use crate::ring::layout::{self, Record};
use iced_x86::code_asm::*;
use std::mem::offset_of;

/// Where a walk goes that finds the end of the stack.
pub(super) struct ShortStack {
    end: CodeLabel,
    /// Offset of the return address in the record that is not there.
    pc_at: usize,
    /// Not even the caller's frame is where one can be.
    is_empty: bool,
    after: CodeLabel,
}

impl Emitter<'_> {
    /// R8 = the highest place that a frame can have: frame pointer and return address take 16 bytes.
    pub(super) fn load_highest_frame(&self, asm: &mut Assembler) -> Result {
        asm.code.mov(r8, qword_ptr(r14 + self.layout.g_stack_hi))?;
        asm.code.sub(r8, 16)
    }

    /// Follows the frame pointers, unrolled; the list of return addresses ends with a zero when it is
    /// not full. Frames must ascend and lie inside the goroutine's stack.
    ///
    /// The walks that find the end of the stack are left for [`end_short_stacks`].
    pub(super) fn walk(&self, asm: &mut Assembler, frames: usize) -> Result<Vec<ShortStack>> {
        let pc_at = |index: usize| offset_of!(Record, pcs) + 4 * index;
        let mut short = Vec::new();
        let mut after = asm.code.create_label();
        self.load_highest_frame(asm)?;
        for index in 1..=frames {
            // The two registers take turns: one is the frame, the other the one before.
            let (before, frame, next) = match index {
                1 => (rsp, rbp, r9),
                2 => (rbp, r9, rdx),
                _ if index % 2 == 1 => (r9, rdx, r9),
                _ => (rdx, r9, rdx),
            };
            let end = asm.code.create_label();
            asm.code.cmp(frame, before)?;
            asm.code.jbe(end)?;
            asm.code.cmp(frame, r8)?;
            asm.code.ja(end)?;
            asm.code.mov(esi, dword_ptr(frame + 8))?;
            asm.code.mov(dword_ptr(r10 + pc_at(index)), esi)?;
            if index < frames {
                asm.code.mov(next, qword_ptr(frame))?;
            }
            let pc_at = pc_at(index);
            short.push(ShortStack {
                end,
                pc_at,
                is_empty: index == 1,
                after,
            });
        }
        if frames + 1 < layout::RECORD_PCS {
            asm.code.mov(dword_ptr(r10 + pc_at(frames + 1)), 0)?;
        }
        asm.code.set_label(&mut after)?;
        asm.code.zero_bytes()?;
        Ok(short)
    }
}

/// Where a collection goes that finds the end of the stack.
pub(super) struct ShortCollection {
    /// By the number of return addresses found beside the innermost.
    ends: Vec<CodeLabel>,
    after: CodeLabel,
}

/// Frames of a collection above the innermost.
const COLLECTED_FRAMES: usize = 4;

impl Emitter<'_> {
    /// As [`Emitter::walk`], but into registers, to be stored more than once: XMM0 = the innermost four return
    /// addresses, XMM4 = the fifth and three zeros. R8 = the highest place of a frame, and RBP - 1 when not even
    /// the first is where one can be. RDX and R9, XMM1 to XMM3 are clobbered.
    pub(super) fn collect(&self, asm: &mut Assembler) -> Result<ShortCollection> {
        let frames: [_; COLLECTED_FRAMES] = [
            (rsp, rbp, xmm1),
            (rbp, r9, xmm2),
            (r9, rdx, xmm3),
            (rdx, r9, xmm4),
        ];
        let mut ends = Vec::new();
        let mut after = asm.code.create_label();
        self.load_highest_frame(asm)?;
        asm.code.movd(xmm0, dword_ptr(rsp))?;
        for (index, (before, frame, to)) in frames.into_iter().enumerate() {
            let end = asm.code.create_label();
            if index > 0 {
                asm.code.mov(frame, qword_ptr(before))?;
            }
            asm.code.cmp(frame, before)?;
            asm.code.jbe(end)?;
            asm.code.cmp(frame, r8)?;
            asm.code.ja(end)?;
            asm.code.movd(to, dword_ptr(frame + 8))?;
            ends.push(end);
        }
        asm.code.set_label(&mut after)?;
        asm.code.punpckldq(xmm0, xmm1)?;
        asm.code.punpckldq(xmm2, xmm3)?;
        asm.code.punpcklqdq(xmm0, xmm2)?;
        Ok(ShortCollection { ends, after })
    }
}

/// Emits the ends of those collections: what was not found is zero.
pub(super) fn end_short_collections(asm: &mut Assembler, short: &[ShortCollection]) -> Result {
    for collection in short {
        for (index, end) in collection.ends.iter().enumerate() {
            let (mut end, register) = (*end, [xmm1, xmm2, xmm3, xmm4][index]);
            asm.code.set_label(&mut end)?;
            if index == 0 {
                asm.code.lea(r8, qword_ptr(rbp - 1))?;
            }
            asm.code.pxor(register, register)?;
        }
        asm.code.jmp(collection.after)?;
    }
    Ok(())
}

/// Emits the ends of those walks: out of the way of all others.
pub(super) fn end_short_stacks(asm: &mut Assembler, short_stacks: &[ShortStack]) -> Result {
    for short in short_stacks {
        let mut end = short.end;
        asm.code.set_label(&mut end)?;
        asm.code.mov(dword_ptr(r10 + short.pc_at), 0)?;
        if short.is_empty {
            // The distance to the frame, which the mark keeps, becomes one that no frame has.
            asm.code.lea(r8, qword_ptr(rbp - 1))?;
        }
        asm.code.jmp(short.after)?;
    }
    Ok(())
}
