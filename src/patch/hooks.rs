//! Emission: the machine code of every hook.
//!
//! At the entry of a map function RAX, RBX, RCX and RDI may hold arguments, R14 is g and X15 is zero;
//! RDX, RSI, R8 to R13 and X0 to X14 are free (ABIInternal; R15 is kept, since `-dynlink` code uses
//! it). At an exit RAX and RBX may hold results. A hook that runs through to the end neither touches
//! the stack nor calls anything; only the slow path pushes what the shim may clobber and calls it.
//!
//! Register use in an entry hook:
//!
//! ```text
//! R11  the map                      R10  the record being filled (in a lane, or the mark's)
//! R12  lane header, or scratch      R13  lane head, or scratch
//! RDX  frame pointer of the walk    R8   highest frame address
//! RSI  return address of the walk   R9   last frame, or RAX saved around rdtsc
//! ```

use crate::golang::Layout;
use crate::image::Vaddr;
use crate::patch::addresses::Addresses;
use crate::patch::asm::{Assembled, Assembler};
use crate::patch::decode::{Entry, Exit, FailedCheck};
use crate::probe::{MapArgument, TypeArgument};
use crate::ring::Operation;
use crate::ring::layout::{self, GATE_TRACE, LaneHeader, Mark, Record};
use iced_x86::code_asm::*;
use iced_x86::{Code, IcedError, Instruction, Register};
use std::mem::{offset_of, size_of};

/// Frames above the innermost in a mark; while its goroutine is inside the operation the shim follows
/// the rest itself.
const MARK_FRAMES: usize = 3;
/// Frames above the innermost in a lane's record.
const RECORD_FRAMES: usize = layout::RECORD_PCS - 1;
/// A lane looks at the time-stamp counter once in this many records.
const CLOCK_PERIOD: i32 = 32;

/// Everything about the executable that shapes a hook.
pub struct Emitter<'a> {
    /// Offsets in the runtime's structs.
    pub layout: &'a Layout,
    /// Where injected things lie.
    pub addresses: &'a Addresses,
}

pub(super) type Result<T = ()> = std::result::Result<T, IcedError>;

impl Emitter<'_> {
    /// The entry hook of a map operation.
    pub fn operation_entry(
        &self,
        at: Vaddr,
        entry: &Entry,
        operation: Operation,
        map: MapArgument,
        map_type: TypeArgument,
    ) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut hook = OperationHook {
            emitter: self,
            asm,
            operation,
            map_type,
            done: CodeLabel::default(),
        };
        hook.done = hook.asm.code.create_label();
        hook.emit(map, entry.start(), back)?;
        hook.asm.finish(at, 0)
    }

    /// Repeats what the jump displaced; the address at which the function goes on. A stack check comes
    /// before the hook, so that the hook does not run twice when the stack grows.
    fn displaced_entry(asm: &mut Assembler, entry: &Entry) -> Result<Vaddr> {
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
        // Reads leave marks in trace mode only.
        let least = if operation.writes() {
            layout::GATE_OBSERVE
        } else {
            GATE_TRACE
        };
        let mut managed = asm.code.create_label();
        asm.compare32(self.addresses.gate(), least as i32)?;
        asm.code.jb(done)?;
        asm.compare32(self.addresses.gate(), GATE_TRACE as i32)?;
        asm.code.ja(managed)?;
        self.clear_mark(&mut asm, done)?;
        asm.code.set_label(&mut done)?;
        asm.code.ret()?;
        asm.code.set_label(&mut managed)?;
        asm.code.mov(rdx, rbp)?;
        self.call_leave(&mut asm)?;
        asm.code.ret()?;
        asm.finish(at, frame_size)
    }

    /// R10 = the goroutine's mark, R12 = its id; R13 is clobbered.
    fn find_mark(&self, asm: &mut Assembler) -> Result {
        asm.code.mov(r12, qword_ptr(r14 + self.layout.g_goid))?;
        asm.code.mov(r13d, r12d)?;
        asm.code.and(r13d, (layout::MARK_COUNT - 1) as i32)?;
        asm.code.shl(r13d, size_of::<Mark>().trailing_zeros())?;
        asm.lea(r10, self.addresses.marks())?;
        asm.code.add(r10, r13)
    }

    fn clear_mark(&self, asm: &mut Assembler, done: CodeLabel) -> Result {
        self.find_mark(asm)?;
        asm.code
            .cmp(dword_ptr(r10 + offset_of!(Record, who)), r12d)?;
        asm.code.jne(done)?;
        asm.code
            .mov(dword_ptr(r10 + offset_of!(Mark, state)), layout::MARK_IDLE)
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

    /// Follows the frame pointers, unrolled; the list of return addresses ends with a zero when it is
    /// not full. Frames must ascend and lie inside the goroutine's stack.
    pub(super) fn walk(&self, asm: &mut Assembler, frames: usize) -> Result {
        let pc_at = |index: usize| offset_of!(Record, pcs) + 4 * index;
        let mut ends: Vec<CodeLabel> = Vec::new();
        let mut full = asm.code.create_label();
        asm.code.mov(r8, qword_ptr(r14 + self.layout.g_stack_hi))?;
        asm.code.sub(r8, 16)?;
        asm.code.mov(rdx, rbp)?;
        asm.code.mov(r9, rsp)?;
        for index in 1..=frames {
            let end = asm.code.create_label();
            asm.code.cmp(rdx, r9)?;
            asm.code.jbe(end)?;
            asm.code.cmp(rdx, r8)?;
            asm.code.ja(end)?;
            asm.code.mov(esi, dword_ptr(rdx + 8))?;
            asm.code.mov(dword_ptr(r10 + pc_at(index)), esi)?;
            if index < frames {
                asm.code.mov(r9, rdx)?;
                asm.code.mov(rdx, qword_ptr(rdx))?;
            }
            ends.push(end);
        }
        asm.code.jmp(full)?;
        for (index, mut end) in (1..).zip(ends) {
            asm.code.set_label(&mut end)?;
            asm.code.mov(dword_ptr(r10 + pc_at(index)), 0)?;
            asm.code.jmp(full)?;
        }
        asm.code.set_label(&mut full)?;
        if frames + 1 < layout::RECORD_PCS {
            asm.code.mov(dword_ptr(r10 + pc_at(frames + 1)), 0)?;
            return Ok(());
        }
        asm.code.zero_bytes()
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
        let return_address = check.range.end.0 & 0xffff_ffff;
        asm.code.mov(rsi, place(operation) | return_address)?;
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
    fn call_shim(
        &self,
        asm: &mut Assembler,
        target: Vaddr,
        arguments: impl Fn(&mut Assembler) -> Result,
    ) -> Result {
        self.call_shim_keeping(asm, &[], target, arguments)
    }

    /// The same; an even number of other registers survives too.
    fn call_shim_keeping(
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
fn place(operation: Operation) -> u64 {
    u64::from(operation.code()) << 32
}

/// The entry hook of one map function, under construction.
struct OperationHook<'a> {
    emitter: &'a Emitter<'a>,
    asm: Assembler,
    operation: Operation,
    map_type: TypeArgument,
    /// Leads back into the function.
    done: CodeLabel,
}

impl OperationHook<'_> {
    /// `start` is the function's first byte, `back` where it goes on.
    fn emit(&mut self, map: MapArgument, start: Vaddr, back: Vaddr) -> Result {
        let mut conflict = self.asm.code.create_label();
        let mut checked = self.asm.code.create_label();
        let mut trace = self.asm.code.create_label();
        let mut managed = self.asm.code.create_label();
        let mut record = self.asm.code.create_label();
        let mut adapt = self.asm.code.create_label();
        let mut adapted = self.asm.code.create_label();
        let addresses = self.emitter.addresses;
        self.asm.compare32(addresses.gate(), 0)?;
        self.asm.code.je(self.done)?;
        self.load_map(map)?;
        self.asm.code.test(r11, r11)?;
        self.asm.code.je(self.done)?;
        self.asm.compare32(addresses.gate(), GATE_TRACE as i32)?;
        self.asm.code.ja(managed)?;
        self.test_writing_flag()?;
        self.asm.code.jne(conflict)?;
        self.asm.code.set_label(&mut checked)?;
        self.asm.compare32(addresses.gate(), GATE_TRACE as i32)?;
        self.asm.code.jae(trace)?;
        if self.operation.writes() {
            self.skip_private()?;
            self.leave_mark(false)?;
        }
        self.sample(record, adapt, &mut adapted)?;
        self.asm.code.set_label(&mut self.done)?;
        self.asm.code.jmp(back.0)?;
        self.asm.code.set_label(&mut trace)?;
        self.skip_private()?;
        self.leave_mark(true)?;
        self.meet_last()?;
        self.asm.code.set_label(&mut record)?;
        self.trace_record(back)?;
        self.asm.code.set_label(&mut adapt)?;
        self.adapt_period()?;
        self.asm.code.jmp(adapted)?;
        self.asm.code.set_label(&mut managed)?;
        self.ask_for_entry(start)?;
        self.asm.code.set_label(&mut conflict)?;
        self.report_conflict()?;
        self.asm.code.jmp(checked)
    }

    fn load_map(&mut self, map: MapArgument) -> Result {
        let iterator = self.emitter.layout.iter_map;
        match map {
            MapArgument::Rax => self.asm.code.mov(r11, rax),
            MapArgument::Rbx => self.asm.code.mov(r11, rbx),
            MapArgument::Iterator => self.asm.code.mov(r11, qword_ptr(rax + iterator)),
        }
    }

    /// Loads the low half of the type descriptor's address into ESI.
    fn load_type(&mut self) -> Result {
        let iterator = self.emitter.layout.iter_type;
        match self.map_type {
            TypeArgument::Rax => self.asm.code.mov(esi, eax),
            TypeArgument::Rbx => self.asm.code.mov(esi, ebx),
            TypeArgument::Iterator => self.asm.code.mov(esi, dword_ptr(rax + iterator)),
        }
    }

    fn test_writing_flag(&mut self) -> Result {
        let flag = byte_ptr(r11 + self.emitter.layout.map_writing);
        match self.emitter.layout.map_writing_mask {
            0xff => self.asm.code.cmp(flag, 0),
            mask => self.asm.code.test(flag, u32::from(mask)),
        }
    }

    /// A map on the goroutine's own stack is private.
    fn skip_private(&mut self) -> Result {
        let mut shared = self.asm.code.create_label();
        let layout = self.emitter.layout;
        self.asm.code.cmp(r11, qword_ptr(r14 + layout.g_stack_lo))?;
        self.asm.code.jb(shared)?;
        self.asm.code.cmp(r11, qword_ptr(r14 + layout.g_stack_hi))?;
        self.asm.code.jb(self.done)?;
        self.asm.code.set_label(&mut shared)?;
        self.asm.code.zero_bytes()
    }

    /// The goroutine's mark says: inside this operation.
    fn leave_mark(&mut self, is_traced: bool) -> Result {
        self.emitter.find_mark(&mut self.asm)?;
        if is_traced {
            let sequence = offset_of!(Mark, sequence);
            self.asm.code.inc(dword_ptr(r10 + sequence))?;
        }
        let state = offset_of!(Mark, state);
        self.asm
            .code
            .mov(dword_ptr(r10 + state), layout::MARK_CHANGING)?;
        self.asm.load64(rdx, self.emitter.addresses.clock())?;
        self.fill_record(MARK_FRAMES)?;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Mark, g)), r14)?;
        // The walk has left R8 at the highest place that a frame can have.
        self.asm.code.sub(r8, rbp)?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Mark, depth)), r8d)?;
        self.asm
            .code
            .mov(dword_ptr(r10 + state), layout::MARK_INSIDE)
    }

    /// Fills in the record at R10: RDX is the clock; RDX, RSI, R8 and R9 are clobbered.
    fn fill_record(&mut self, frames: usize) -> Result {
        let layout = self.emitter.layout;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, map)), r11)?;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, clock)), rdx)?;
        self.asm.code.mov(rdx, qword_ptr(r14 + layout.g_goid))?;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, who)), rdx)?;
        // Goroutine ids stay below 2^48; the byte above is the operation.
        self.asm.code.mov(
            byte_ptr(r10 + offset_of!(Record, who) + 6),
            u32::from(self.operation.code()),
        )?;
        self.asm.code.mov(edx, dword_ptr(r11 + layout.map_seed))?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Record, seed)), edx)?;
        self.load_type()?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Record, map_type)), esi)?;
        self.asm.code.mov(esi, dword_ptr(rsp))?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Record, pcs)), esi)?;
        self.emitter.walk(&mut self.asm, frames)
    }

    /// R12 = the lane header of this P; leads away when there is none. R13 is clobbered.
    fn find_lane(&mut self, no_p: CodeLabel, no_lane: CodeLabel) -> Result {
        let layout = self.emitter.layout;
        let addresses = self.emitter.addresses;
        self.asm.code.mov(r12, qword_ptr(r14 + layout.g_m))?;
        self.asm.code.mov(r12, qword_ptr(r12 + layout.m_p))?;
        self.asm.code.test(r12, r12)?;
        self.asm.code.je(no_p)?;
        self.asm.code.mov(r12d, dword_ptr(r12 + layout.p_id))?;
        self.asm.compare_with32(r12d, addresses.lane_count())?;
        self.asm.code.jae(no_lane)?;
        self.asm
            .code
            .shl(r12d, size_of::<LaneHeader>().trailing_zeros())?;
        self.asm.lea(r13, addresses.lane_headers())?;
        self.asm.code.add(r12, r13)
    }

    /// In observe mode: every Nth operation of this P is recorded as in trace mode.
    /// Before the next count begins, `gocc_sampled` may adapt its length.
    fn sample(&mut self, record: CodeLabel, adapt: CodeLabel, adapted: &mut CodeLabel) -> Result {
        let done = self.done;
        self.find_lane(done, done)?;
        if self.operation.writes() {
            self.make_mark_current()?;
        }
        self.asm
            .code
            .dec(dword_ptr(r12 + offset_of!(LaneHeader, countdown)))?;
        self.asm.code.jg(done)?;
        self.asm.compare32(self.emitter.addresses.rate(), 0)?;
        self.asm.code.jne(adapt)?;
        self.asm.code.set_label(adapted)?;
        self.asm
            .load32(r13d, self.emitter.addresses.sample_period())?;
        self.asm
            .code
            .mov(dword_ptr(r12 + offset_of!(LaneHeader, countdown)), r13d)?;
        if !self.operation.writes() {
            self.skip_private()?;
        }
        self.asm.code.jmp(record)
    }

    /// Calls `gocc_sampled`; R10, R11 and R12 survive.
    fn adapt_period(&mut self) -> Result {
        let sampled = self.emitter.addresses.sampled;
        let also = [r10, r11];
        self.emitter
            .call_shim_keeping(&mut self.asm, &also, sampled, |_| Ok(()))
    }

    /// In trace mode every operation has a mark from its entry to its exit. The mark at R10 becomes the
    /// last one of the map in R11; the one that was it before may say that another goroutine is inside. If
    /// one of the two operations writes, they overlap: the shim makes sure. R11 survives, R10 is the mark again.
    fn meet_last(&mut self) -> Result {
        let mut nobody = self.asm.code.create_label();
        let asm = &mut self.asm;
        asm.code.mov(rdx, r11)?;
        asm.code.shr(rdx, 4)?;
        asm.code
            .imul_3(edx, edx, layout::LAST_MULTIPLIER.cast_signed())?;
        asm.code.shr(edx, 32 - layout::LAST_BITS)?;
        asm.lea(r13, self.emitter.addresses.lasts())?;
        asm.code.mov(r9, qword_ptr(r13 + rdx * 8))?;
        asm.code.mov(qword_ptr(r13 + rdx * 8), r10)?;
        asm.code.test(r9, r9)?;
        asm.code.je(nobody)?;
        asm.code.cmp(r9, r10)?;
        asm.code.je(nobody)?;
        asm.code.cmp(qword_ptr(r9 + offset_of!(Record, map)), r11)?;
        asm.code.jne(nobody)?;
        asm.code
            .cmp(dword_ptr(r9 + offset_of!(Mark, state)), layout::MARK_INSIDE)?;
        asm.code.jne(nobody)?;
        if !self.operation.writes() {
            // Codes of operations that write lie side by side.
            let operation = byte_ptr(r9 + offset_of!(Record, who) + 6);
            asm.code.mov(dl, operation)?;
            asm.code.sub(dl, i32::from(layout::OP_ASSIGN))?;
            asm.code
                .cmp(dl, i32::from(layout::OP_CLEAR - layout::OP_ASSIGN))?;
            asm.code.ja(nobody)?;
        }
        self.report_overlap()?;
        self.asm.code.set_label(&mut nobody)?;
        self.asm.code.zero_bytes()
    }

    /// The slow path: the mark at R9 says that somebody is inside.
    fn report_overlap(&mut self) -> Result {
        self.asm.code.mov(r12, r11)?;
        self.asm.lea(rdx, self.emitter.addresses.marks())?;
        self.asm.code.sub(r9, rdx)?;
        // The mark's number lies above the operation.
        self.asm.code.shl(
            r9,
            layout::PLACE_MARK_SHIFT - size_of::<Mark>().trailing_zeros(),
        )?;
        self.asm.code.mov(rdx, place(self.operation))?;
        self.asm.code.or(rdx, r9)?;
        self.call_with_place_of(self.emitter.addresses.overlap)?;
        self.asm.code.mov(r11, r12)?;
        self.emitter.find_mark(&mut self.asm)
    }

    /// The mark at R10 becomes the current one of the lane at R12: who notices a conflict looks there
    /// first, while the other goroutine is still inside its operation, or has just left it.
    fn make_mark_current(&mut self) -> Result {
        self.asm
            .code
            .mov(qword_ptr(r12 + offset_of!(LaneHeader, current)), r10)
    }

    /// Hunt, block and guard: the shim decides whether the operation may begin. If not, the goroutine
    /// yields: with the stack guard at stackPreempt the function's own check fails and calls the
    /// scheduler (runtime/stack.go, newstack), which later enters the function at its first byte.
    fn ask_for_entry(&mut self, start: Vaddr) -> Result {
        /// runtime.stackPreempt, sign-extended.
        const STACK_PREEMPT: i32 = -1314;
        let addresses = self.emitter.addresses;
        self.skip_private()?;
        self.call_with_place(addresses.enter)?;
        self.asm.code.test(r13d, r13d)?;
        self.asm.code.je(self.done)?;
        let guard = qword_ptr(r14 + self.emitter.layout.g_stackguard0);
        self.asm.code.mov(guard, STACK_PREEMPT)?;
        self.asm.code.jmp(start.0)
    }

    /// One record in the lane of this P; then the function goes on.
    fn trace_record(&mut self, back: Vaddr) -> Result {
        let mut no_p = self.asm.code.create_label();
        let mut no_lane = self.asm.code.create_label();
        let mut own_clock = self.asm.code.create_label();
        let addresses = self.emitter.addresses;
        self.find_lane(no_p, no_lane)?;
        if self.operation.writes() {
            // Whether traced or sampled, R10 is still the mark.
            self.make_mark_current()?;
        }
        self.asm
            .code
            .mov(r13, qword_ptr(r12 + offset_of!(LaneHeader, head)))?;
        self.asm.code.mov(r10, r13)?;
        self.asm
            .code
            .and(r10, qword_ptr(r12 + offset_of!(LaneHeader, mask)))?;
        self.asm
            .code
            .add(r10, qword_ptr(r12 + offset_of!(LaneHeader, base)))?;
        self.asm
            .code
            .test(r13d, (CLOCK_PERIOD - 1) * size_of::<Record>() as i32)?;
        self.asm.code.jne(own_clock)?;
        self.look_at_the_clock()?;
        self.asm.code.set_label(&mut own_clock)?;
        self.asm
            .code
            .mov(rdx, qword_ptr(r12 + offset_of!(LaneHeader, clock)))?;
        self.fill_record(RECORD_FRAMES)?;
        self.asm.code.add(r13, size_of::<Record>() as i32)?;
        self.asm
            .code
            .mov(qword_ptr(r12 + offset_of!(LaneHeader, head)), r13)?;
        self.asm.code.jmp(back.0)?;
        self.asm.code.set_label(&mut no_p)?;
        self.asm.count(addresses.dropped_no_p())?;
        self.asm.code.jmp(back.0)?;
        self.asm.code.set_label(&mut no_lane)?;
        self.asm.count(addresses.dropped_no_lane())?;
        self.asm.code.jmp(back.0)
    }

    /// The time-stamp counter into the lane's clock and the one for all.
    fn look_at_the_clock(&mut self) -> Result {
        self.asm.code.mov(r9, rax)?;
        self.asm.code.rdtsc()?;
        self.asm.code.shl(rdx, 32)?;
        self.asm.code.or(rdx, rax)?;
        self.asm.code.mov(rax, r9)?;
        self.asm
            .code
            .mov(qword_ptr(r12 + offset_of!(LaneHeader, clock)), rdx)?;
        self.asm.store64(self.emitter.addresses.clock(), rdx)
    }

    /// The slow path: somebody is writing to this map.
    fn report_conflict(&mut self) -> Result {
        // R11 is needed again afterwards; R12 is one that System V code keeps.
        self.asm.code.mov(r12, r11)?;
        self.call_with_place(self.emitter.addresses.conflict)?;
        self.asm.code.mov(r11, r12)
    }

    /// Calls `gocc_conflict` or `gocc_enter` for the map in R11; what it returns is in R13.
    fn call_with_place(&mut self, target: Vaddr) -> Result {
        self.asm.code.mov(rdx, place(self.operation))?;
        self.call_with_place_of(target)
    }

    /// The same, RDX being the place without its return address.
    fn call_with_place_of(&mut self, target: Vaddr) -> Result {
        let iterator = self.emitter.layout.iter_type;
        let map_type = self.map_type;
        self.asm.code.mov(esi, dword_ptr(rsp))?;
        self.asm.code.or(rsi, rdx)?;
        self.asm.code.mov(rdx, r11)?;
        self.emitter.call_shim(&mut self.asm, target, |asm| {
            match map_type {
                TypeArgument::Rax => asm.code.mov(rcx, rax)?,
                TypeArgument::Rbx => asm.code.mov(rcx, rbx)?,
                TypeArgument::Iterator => asm.code.mov(rcx, qword_ptr(rax + iterator))?,
            }
            asm.code.mov(r8, r14)?;
            asm.code.mov(r9, rbp)
        })
    }
}
