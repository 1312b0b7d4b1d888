//! Emission: the hooks at the exits of the functions that make maps.
//!
//! RAX is the new map; RSP, RBP, R14 and R15 are kept, everything else may be changed (ABIInternal: no
//! other register survives a call).

use crate::image::Vaddr;
use crate::patch::asm::{Assembled, Assembler};
use crate::patch::decode::Exit;
use crate::patch::hooks::{Emitter, Result};
use crate::patch::walk::{ShortStack, end_short_stacks};
use crate::ring::layout::{self, MADE_COUNT, Record};
use iced_x86::code_asm::*;
use std::mem::{offset_of, size_of};

/// Callers that are kept above the innermost one: the constructors call each other.
const MADE_FRAMES: usize = 3;

impl Emitter<'_> {
    /// The exit hook of a map's constructor: who made the map, and where, goes into the table. Two Ps that
    /// write to one entry at the same moment may mix what they write; both maps would have to share the
    /// entry for that.
    pub fn made_exit(&self, at: Vaddr, exit: &Exit, frame_size: u32) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        asm.relocated(&exit.instructions)?;
        let mut done = asm.code.create_label();
        asm.compare32(self.addresses.gate(), layout::GATE_DORMANT as i32)?;
        asm.code.je(done)?;
        let short_stacks = self.fill_made(&mut asm, rax)?;
        asm.code.set_label(&mut done)?;
        asm.code.ret()?;
        end_short_stacks(&mut asm, &short_stacks)?;
        asm.finish(at, frame_size)
    }

    /// Clobbers everything but RAX and RBX, one of which is the map. The address is stored last: until then
    /// the entry is nobody's.
    pub(super) fn fill_made(
        &self,
        asm: &mut Assembler,
        address: AsmRegister64,
    ) -> Result<Vec<ShortStack>> {
        let field = |offset: usize| r10 + offset;
        let map = qword_ptr(field(offset_of!(Record, map)));
        let mut chosen = asm.code.create_label();
        // As `layout::made_index`.
        asm.code.mov(r10, address)?;
        asm.code.shr(r10, layout::SPAN_BITS)?;
        asm.code.mov(r13, layout::SPAN_HASH)?;
        asm.code.imul_2(r13, r10)?;
        asm.code.shr(r13, layout::SPAN_SHIFT)?;
        asm.code.mov(r10, address)?;
        asm.code.shr(r10, layout::SLOT_BITS)?;
        asm.code.add(r13, r10)?;
        asm.code.and(r13d, (MADE_COUNT / 2 - 1) as i32)?;
        asm.code
            .shl(r13, size_of::<[Record; 2]>().trailing_zeros())?;
        asm.lea(r10, self.addresses.made())?;
        asm.code.add(r10, r13)?;
        asm.code.cmp(map, 0)?;
        asm.code.je(chosen)?;
        asm.code.cmp(map, address)?;
        asm.code.je(chosen)?;
        asm.code.add(r10, size_of::<Record>() as i32)?;
        asm.code.set_label(&mut chosen)?;
        asm.code.mov(map, layout::MADE_CHANGING as i32)?;
        asm.code.mov(rdx, qword_ptr(r14 + self.layout.g_goid))?;
        asm.code
            .mov(qword_ptr(field(offset_of!(Record, who))), rdx)?;
        asm.load64(rdx, self.addresses.clock())?;
        asm.code
            .mov(qword_ptr(field(offset_of!(Record, clock))), rdx)?;
        asm.code
            .mov(edx, dword_ptr(address + self.layout.map_seed))?;
        asm.code
            .mov(dword_ptr(field(offset_of!(Record, seed))), edx)?;
        asm.code.mov(esi, dword_ptr(rsp))?;
        asm.code
            .mov(dword_ptr(field(offset_of!(Record, pcs))), esi)?;
        let short_stacks = self.walk(asm, MADE_FRAMES)?;
        asm.code.mov(map, address)?;
        Ok(short_stacks)
    }
}
