//! Emission: the machine code of the hooks. Those of the map operations' entries are in
//! [`super::operation_hook`].
//!
//! At the entry of a map function RAX, RBX, RCX and RDI may hold arguments, R14 is g and X15 is zero;
//! RDX, RSI, R8 to R13 and X0 to X14 are free (ABIInternal; R15 is kept, since `-dynlink` code uses
//! it). At an exit RAX and RBX may hold results. A hook that runs through to the end neither touches
//! the stack nor calls anything; only the slow path pushes what the shim may clobber and calls it.

use crate::golang::Layout;
use crate::image::Vaddr;
use crate::patch::addresses::Addresses;
use crate::patch::asm::{Assembled, Assembler};
use crate::patch::decode::{Entry, Exit, FailedCheck};
use crate::patch::walk::{ShortStack, end_short_stacks};
use crate::ring::Operation;
use crate::ring::layout::{self, GATE_OBSERVE, GATE_TRACE, Mark, Record};
use iced_x86::code_asm::*;
use iced_x86::{Code, IcedError, Instruction, Register};
use std::mem::{offset_of, size_of};

/// Everything about the executable that shapes a hook.
pub struct Emitter<'a> {
    /// Offsets in the runtime's structs.
    pub layout: &'a Layout,
    /// Where injected things lie.
    pub addresses: &'a Addresses,
    /// Threads have words of their own, `THREAD_*`.
    pub has_thread_words: bool,
}

pub(super) type Result<T = ()> = std::result::Result<T, IcedError>;

impl Emitter<'_> {
    /// Repeats what the jump displaced; the address at which the function goes on. A stack check comes
    /// before the hook, so that the hook does not run twice when the stack grows.
    pub(super) fn displaced_entry(asm: &mut Assembler, entry: &Entry) -> Result<Vaddr> {
        match entry {
            Entry::StackCheck {
                check,
                morestack,
                range,
            } => {
                asm.relocated(check)?;
                asm.code.jbe(morestack.0)?;
                Ok(range.end)
            }
            Entry::Moved { range, .. } => Ok(range.end),
        }
    }

    /// The exit hook of a map operation: the goroutine's mark becomes idle.
    ///
    /// `frame_size` is the stack pointer's distance from the function's entry at the first displaced
    /// instruction.
    pub fn operation_exit(
        &self,
        at: Vaddr,
        exit: &Exit,
        frame_size: u32,
        operation: Operation,
    ) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        asm.relocated(&exit.instructions)?;
        let mut done = asm.code.create_label();
        let mut marked = asm.code.create_label();
        let mut traced = asm.code.create_label();
        let mut short_stacks = Vec::new();
        if operation == Operation::Clone {
            short_stacks = self.note_clone(&mut asm)?;
        }
        let mut managed = asm.code.create_label();
        // The common case runs straight through: observe for writes, observe or dormant for reads, which leave
        // marks in trace mode only.
        if operation.writes() {
            asm.compare32(self.addresses.gate(), GATE_OBSERVE as i32)?;
            asm.code.jb(done)?;
            asm.code.jne(traced)?;
            asm.code.set_label(&mut marked)?;
            self.clear_mark(&mut asm, done)?;
            asm.code.set_label(&mut done)?;
            asm.code.ret()?;
            asm.code.set_label(&mut traced)?;
            asm.compare32(self.addresses.gate(), GATE_TRACE as i32)?;
            asm.code.jbe(marked)?;
        } else {
            asm.compare32(self.addresses.gate(), GATE_TRACE as i32)?;
            asm.code.jae(traced)?;
            asm.code.ret()?;
            asm.code.set_label(&mut traced)?;
            asm.code.ja(managed)?;
            self.clear_mark(&mut asm, done)?;
            asm.code.set_label(&mut done)?;
            asm.code.ret()?;
            asm.code.set_label(&mut managed)?;
        }
        self.unless_inside(&mut asm, done)?;
        asm.code.mov(rdx, rbp)?;
        self.call_leave(&mut asm)?;
        asm.code.ret()?;
        end_short_stacks(&mut asm, &short_stacks)?;
        asm.finish(at, frame_size)
    }

    /// `maps.clone` returns the new map in an interface (RAX the type, RBX the map): it was made without
    /// a constructor.
    fn note_clone(&self, asm: &mut Assembler) -> Result<Vec<ShortStack>> {
        let mut skip = asm.code.create_label();
        asm.compare32(self.addresses.gate(), layout::GATE_DORMANT as i32)?;
        asm.code.je(skip)?;
        asm.code.test(rbx, rbx)?;
        asm.code.je(skip)?;
        let short_stacks = self.fill_made(asm, rbx)?;
        asm.code.set_label(&mut skip)?;
        asm.code.zero_bytes()?;
        Ok(short_stacks)
    }

    /// R10 = the goroutine's mark, R12 = its id; R13 is clobbered.
    pub(super) fn find_mark(&self, asm: &mut Assembler) -> Result {
        self.find_mark_parts(asm)?;
        asm.code.add(r10, r13)
    }

    /// R10 + R13 = the goroutine's mark, R12 = its id.
    fn find_mark_parts(&self, asm: &mut Assembler) -> Result {
        asm.code.mov(r12, qword_ptr(r14 + self.layout.g_goid))?;
        asm.code.mov(r13d, r12d)?;
        asm.code.and(r13d, (layout::MARK_COUNT - 1) as i32)?;
        asm.code.shl(r13d, size_of::<Mark>().trailing_zeros())?;
        asm.lea(r10, self.addresses.marks())
    }

    /// The state in the goroutine's mark; goes to `done` when the mark is another goroutine's.
    fn own_mark_state(&self, asm: &mut Assembler, done: CodeLabel) -> Result<AsmMemoryOperand> {
        self.find_mark_parts(asm)?;
        let mark = r10 + r13;
        asm.code
            .cmp(dword_ptr(mark + offset_of!(Record, who)), r12d)?;
        asm.code.jne(done)?;
        Ok(dword_ptr(mark + offset_of!(Mark, state)))
    }

    fn clear_mark(&self, asm: &mut Assembler, done: CodeLabel) -> Result {
        let state = self.own_mark_state(asm, done)?;
        asm.code.mov(state, layout::MARK_IDLE)
    }

    /// Goes to `done` when the goroutine's mark does not say that it is inside: hunt has left the operation out, or it
    /// went ahead untracked.
    fn unless_inside(&self, asm: &mut Assembler, done: CodeLabel) -> Result {
        let state = self.own_mark_state(asm, done)?;
        asm.code.cmp(state, layout::MARK_INSIDE)?;
        asm.code.jne(done)
    }

    /// The hook of `runtime.gopanic`: a panic leaves a map operation without passing its exit.
    pub fn panic_entry(&self, at: Vaddr, entry: &Entry) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut done = asm.code.create_label();
        let mut managed = asm.code.create_label();
        asm.compare32(self.addresses.gate(), 0)?;
        asm.code.je(done)?;
        asm.compare32(self.addresses.gate(), GATE_TRACE as i32)?;
        asm.code.ja(managed)?;
        self.clear_mark(&mut asm, done)?;
        asm.code.jmp(done)?;
        asm.code.set_label(&mut managed)?;
        asm.code.xor(edx, edx)?;
        self.call_leave(&mut asm)?;
        asm.code.set_label(&mut done)?;
        Self::leave(&mut asm, entry, back)?;
        asm.finish(at, 0)
    }

    /// The hook of `runtime.main`: links the injected moduledata behind the program's own, where
    /// `runtime.findfunc` looks (runtime/symtab.go, findmoduledatap). Not earlier: with a second module in
    /// the list schedinit does work that it otherwise spares itself (runtime/type.go, typelinksinit), which
    /// a race build of Go 1.27 does not survive.
    pub fn start_entry(&self, at: Vaddr, entry: &Entry) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut done = asm.code.create_label();
        asm.lea(r10, self.addresses.next_moduledata)?;
        asm.lea(r11, self.addresses.moduledata)?;
        asm.code.cmp(qword_ptr(r10), 0)?;
        asm.code.jne(done)?;
        asm.code.mov(qword_ptr(r10), r11)?;
        asm.code.set_label(&mut done)?;
        Self::leave(&mut asm, entry, back)?;
        asm.finish(at, 0)
    }

    /// The hook of `runtime.sighandler(sig uint32, info *siginfo, ctxt unsafe.Pointer, gp *g)`, arguments in EAX, RBX,
    /// RCX and RDI. After a SIGBUS that the ring was the reason of it returns, and the thread goes on where it
    /// was (runtime/signal_unix.go, sigtrampgo).
    pub fn signal_entry(&self, at: Vaddr, entry: &Entry) -> Result<Assembled> {
        const SIGBUS: i32 = 7;
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut done = asm.code.create_label();
        asm.code.cmp(eax, SIGBUS)?;
        asm.code.jne(done)?;
        asm.code.mov(rsi, rbx)?;
        self.call_shim(&mut asm, self.addresses.lost, |_| Ok(()))?;
        asm.code.test(r13d, r13d)?;
        asm.code.je(done)?;
        asm.code.ret()?;
        asm.code.set_label(&mut done)?;
        Self::leave(&mut asm, entry, back)?;
        asm.finish(at, 0)
    }

    /// Instructions moved as a whole run after the hook; then the function goes on.
    fn leave(asm: &mut Assembler, entry: &Entry, back: Vaddr) -> Result {
        match entry {
            Entry::Moved { instructions, .. } => {
                // A moved prologue changes the stack pointer; so that everything before it balances,
                // it comes last.
                asm.code.nop()?;
                asm.relocated(instructions)?;
            }
            Entry::StackCheck { .. } => asm.code.nop()?,
        }
        asm.code.jmp(back.0)
    }

    /// The hook of `runtime.fatal` (`throw` in Go 1.18), whose argument is a string in RAX and RBX:
    /// when it begins with "concurrent map", both sides are recorded.
    pub fn death_entry(&self, at: Vaddr, entry: &Entry) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut done = asm.code.create_label();
        asm.compare32(self.addresses.gate(), 0)?;
        asm.code.je(done)?;
        asm.code.cmp(rbx, "concurrent map writes".len() as i32)?;
        asm.code.jb(done)?;
        asm.code.mov(r11, u64::from_le_bytes(*b"concurre"))?;
        asm.code.cmp(qword_ptr(rax), r11)?;
        asm.code.jne(done)?;
        asm.code.mov(r11, u64::from_le_bytes(*b"ent map "))?;
        asm.code.cmp(qword_ptr(rax + 7), r11)?;
        asm.code.jne(done)?;
        asm.code.mov(esi, dword_ptr(rsp))?;
        asm.code.xor(edx, edx)?;
        self.call_death(&mut asm)?;
        asm.code.set_label(&mut done)?;
        Self::leave(&mut asm, entry, back)?;
        asm.finish(at, 0)
    }

    /// Calls `gocc_leave`, RDX being the frame.
    fn call_leave(&self, asm: &mut Assembler) -> Result {
        self.call_shim(asm, self.addresses.leave, |asm| asm.code.mov(rsi, r14))
    }

    /// Calls `gocc_death`, RSI and RDX being set.
    fn call_death(&self, asm: &mut Assembler) -> Result {
        self.call_shim(asm, self.addresses.death, |asm| {
            asm.code.mov(rcx, r14)?;
            asm.code.mov(r8, rbp)
        })
    }

    /// Where a runtime check failed: here the map is known, and who did it is hardly gone. The call of
    /// `runtime.fatal` follows, which does not return, so no register but RSP, RBP and R14 matters.
    ///
    /// `frame_size` is the stack pointer's distance from the function's entry there.
    pub fn failed_check(
        &self,
        at: Vaddr,
        check: &FailedCheck,
        frame_size: u32,
        operation: Operation,
    ) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let mut done = asm.code.create_label();
        asm.compare32(self.addresses.gate(), 0)?;
        asm.code.je(done)?;
        let map = Instruction::with2(Code::Mov_r64_rm64, Register::RDX, check.map)?;
        asm.code.add_instruction(map)?;
        // Of a PIE, the address at run time; no register but RSP, RBP and R14 matters any more.
        asm.lea(rsi, check.range.end)?;
        asm.code.mov(esi, esi)?;
        asm.code.mov(r11, place(operation))?;
        asm.code.or(rsi, r11)?;
        self.call_death(&mut asm)?;
        asm.code.set_label(&mut done)?;
        asm.relocated(&[check.instruction])?;
        asm.code.jmp(check.range.end.0)?;
        asm.finish(at, frame_size)
    }

    /// Calls a function of the shim. RDI becomes the config's address; `arguments` sets RCX, R8 and R9
    /// (RSI and RDX are set before). RAX, RBX, RCX, RDI, R14 and the frame survive; R13 becomes
    /// what it returned; X15 is zeroed again. The stack is aligned to 16 bytes as System V code expects: two variants, so that the
    /// unwinder's table is exact in each.
    pub(super) fn call_shim(
        &self,
        asm: &mut Assembler,
        target: Vaddr,
        arguments: impl Fn(&mut Assembler) -> Result,
    ) -> Result {
        self.call_shim_keeping(asm, &[], target, arguments)
    }

    /// The same; an even number of other registers survives too.
    pub(super) fn call_shim_keeping(
        &self,
        asm: &mut Assembler,
        also: &[AsmRegister64],
        target: Vaddr,
        arguments: impl Fn(&mut Assembler) -> Result,
    ) -> Result {
        let mut aligned = asm.code.create_label();
        let mut after = asm.code.create_label();
        let saved = [&[rax, rcx, rdi], also].concat();
        let saved_and_padding = [&[rax], &saved[..]].concat();
        asm.code.test(spl, 8)?;
        asm.code.je(aligned)?;
        self.call_with_saved(asm, target, &saved, &arguments)?;
        asm.code.jmp(after)?;
        asm.code.set_label(&mut aligned)?;
        self.call_with_saved(asm, target, &saved_and_padding, &arguments)?;
        asm.code.set_label(&mut after)?;
        asm.code.xorps(xmm15, xmm15)
    }

    fn call_with_saved(
        &self,
        asm: &mut Assembler,
        target: Vaddr,
        saved: &[AsmRegister64],
        arguments: impl Fn(&mut Assembler) -> Result,
    ) -> Result {
        saved
            .iter()
            .try_for_each(|register| asm.code.push(*register))?;
        arguments(asm)?;
        asm.lea(rdi, self.addresses.config)?;
        asm.code.call(target.0)?;
        asm.code.mov(r13d, eax)?;
        saved
            .iter()
            .rev()
            .try_for_each(|register| asm.code.pop(*register))
    }

    /// The new entry point of the executable: calls init with the stack as the kernel (or the dynamic
    /// linker) left it, every register kept (RDX is an argument of the C start-up code), then goes on to
    /// the original one.
    pub fn process_entry(&self, at: Vaddr, original: Vaddr) -> Result<Assembled> {
        let saved = [
            rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15,
        ];
        let mut asm = Assembler::new()?;
        saved
            .iter()
            .try_for_each(|register| asm.code.push(*register))?;
        asm.code.lea(rdi, qword_ptr(rsp + 8 * saved.len()))?;
        asm.lea(rsi, self.addresses.config)?;
        asm.code.mov(rbx, rsp)?;
        asm.code.and(rsp, -16)?;
        asm.code.call(self.addresses.init.0)?;
        asm.code.mov(rsp, rbx)?;
        saved
            .iter()
            .rev()
            .try_for_each(|register| asm.code.pop(*register))?;
        asm.code.jmp(original.0)?;
        asm.finish(at, 0)
    }
}

/// What the shim calls a place, without the return address in its lower half.
pub(super) fn place(operation: Operation) -> u64 {
    u64::from(operation.code()) << 32
}
