//! Emission: the hook at the entry of a map operation.
//!
//! Register use:
//!
//! ```text
//! R11  the map                      R10  the record being filled (in a lane, or the mark's)
//! R12  lane header, or scratch      R13  lane head, or scratch
//! RDX, R9  frame pointers of the walk, or RAX saved around rdtsc
//! RSI  return address of the walk   R8   highest frame address
//! ```

use crate::image::Vaddr;
use crate::patch::asm::{Assembled, Assembler};
use crate::patch::decode::Entry;
use crate::patch::hooks::{Emitter, Result, place};
use crate::patch::walk::{ShortCollection, ShortStack, end_short_collections, end_short_stacks};
use crate::probe::{MapArgument, TypeArgument};
use crate::ring::Operation;
use crate::ring::layout::{
    self, GATE_OBSERVE, GATE_TRACE, LaneHeader, Mark, PrivateLane, Record, THREAD_MARK, THREAD_SLOT,
};
use iced_x86::code_asm::*;
use std::mem::{offset_of, size_of};

/// A lane looks at the time-stamp counter once in this many records at least. It looks, too, when its P has been
/// through the scheduler or a system call, since it may have rested there for long.
const CLOCK_PERIOD: i32 = 32;
/// Where a mark has the frame pointer that it was left with; see [`Record::seed`].
const MARK_FRAME: usize = offset_of!(Record, seed);

impl Emitter<'_> {
    /// The entry hook of a map operation. `mark_frames` are kept in a mark above the innermost one; while its
    /// goroutine is inside the operation the shim follows the rest itself.
    pub fn operation_entry(
        &self,
        at: Vaddr,
        entry: &Entry,
        operation: Operation,
        map: MapArgument,
        map_type: TypeArgument,
        mark_frames: usize,
    ) -> Result<Assembled> {
        let mut asm = Assembler::new()?;
        let back = Self::displaced_entry(&mut asm, entry)?;
        let mut hook = OperationHook {
            emitter: self,
            asm,
            operation,
            map_type,
            mark_frames,
            back: back.0,
            short_stacks: Vec::new(),
            short_collections: Vec::new(),
        };
        hook.emit(map, entry.start())?;
        hook.asm.finish(at, 0)
    }
}

/// The entry hook of one map function, under construction.
struct OperationHook<'a> {
    emitter: &'a Emitter<'a>,
    asm: Assembler,
    operation: Operation,
    map_type: TypeArgument,
    mark_frames: usize,
    /// Where the function goes on.
    back: u64,
    short_stacks: Vec<ShortStack>,
    short_collections: Vec<ShortCollection>,
}

impl OperationHook<'_> {
    /// `start` is the function's first byte. Observe mode, the one that stays on, runs straight through
    /// and, like the dormant hooks, leaves with a single taken jump.
    fn emit(&mut self, map: MapArgument, start: Vaddr) -> Result {
        let mut not_observing = self.asm.code.create_label();
        let mut observed = self.asm.code.create_label();
        let mut conflict = self.asm.code.create_label();
        let mut trace = self.asm.code.create_label();
        let mut managed = self.asm.code.create_label();
        let mut record = self.asm.code.create_label();
        let gate = self.emitter.addresses.gate();
        self.asm.compare32(gate, GATE_OBSERVE as i32)?;
        self.asm.code.jb(self.back)?;
        // A load leaves the flags alone.
        self.load_map(map)?;
        self.asm.code.jne(not_observing)?;
        self.skip_nil()?;
        self.test_writing_flag()?;
        self.asm.code.jne(conflict)?;
        self.asm.code.set_label(&mut observed)?;
        if self.operation.writes() {
            let mut anew = self.asm.code.create_label();
            if self.emitter.has_thread_words {
                self.mark_again(anew)?;
                self.asm.code.set_label(&mut anew)?;
            }
            self.skip_private()?;
            self.leave_mark(false)?;
        }
        self.sample(record)?;

        self.asm.code.set_label(&mut not_observing)?;
        self.skip_nil()?;
        self.asm.compare32(gate, GATE_TRACE as i32)?;
        self.asm.code.ja(managed)?;
        self.test_writing_flag()?;
        self.asm.code.jne(conflict)?;
        self.asm.code.set_label(&mut trace)?;
        self.skip_private()?;
        self.leave_mark(true)?;
        self.meet_last()?;
        self.asm.code.set_label(&mut record)?;
        self.trace_record()?;

        self.asm.code.set_label(&mut managed)?;
        self.ask_for_entry(start)?;

        self.asm.code.set_label(&mut conflict)?;
        self.report_conflict()?;
        self.asm.compare32(gate, GATE_TRACE as i32)?;
        self.asm.code.jae(trace)?;
        self.asm.code.jmp(observed)?;
        end_short_stacks(&mut self.asm, &self.short_stacks)?;
        end_short_collections(&mut self.asm, &self.short_collections)
    }

    /// A nil map has no header, and nothing happens to it.
    fn skip_nil(&mut self) -> Result {
        self.asm.code.test(r11, r11)?;
        self.asm.code.je(self.back)
    }

    fn load_map(&mut self, map: MapArgument) -> Result {
        let iterator = self.emitter.layout.iter_map;
        match map {
            MapArgument::Rax => self.asm.code.mov(r11, rax),
            MapArgument::Rbx => self.asm.code.mov(r11, rbx),
            MapArgument::Iterator => self.asm.code.mov(r11, qword_ptr(rax + iterator)),
        }
    }

    /// Stores the low half of the type descriptor's address.
    fn store_type(&mut self) -> Result {
        let iterator = self.emitter.layout.iter_type;
        let to = dword_ptr(r10 + offset_of!(Record, map_type));
        match self.map_type {
            TypeArgument::Rax => self.asm.code.mov(to, eax),
            TypeArgument::Rbx => self.asm.code.mov(to, ebx),
            TypeArgument::Iterator => {
                self.asm.code.mov(esi, dword_ptr(rax + iterator))?;
                self.asm.code.mov(to, esi)
            }
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
        self.asm.code.jb(self.back)?;
        self.asm.code.set_label(&mut shared)?;
        self.asm.code.zero_bytes()
    }

    /// The common case in observe mode: the thread's last mark is of this goroutine and this map. Then only the
    /// place may differ, and the four return addresses are one store. Leads to `anew` otherwise, and when the
    /// thread's batch is over.
    fn mark_again(&mut self, anew: CodeLabel) -> Result {
        let layout = self.emitter.layout;
        let state = dword_ptr(r10 + offset_of!(Mark, state));
        let mut same_frame = self.asm.code.create_label();
        let mut other_frame = self.asm.code.create_label();
        let asm = &mut self.asm.code;
        asm.dec(dword_ptr(THREAD_SLOT).fs())?;
        asm.jle(anew)?;
        asm.mov(r10, qword_ptr(THREAD_MARK).fs())?;
        asm.mov(r12d, dword_ptr(r14 + layout.g_goid))?;
        asm.cmp(dword_ptr(r10 + offset_of!(Record, who)), r12d)?;
        asm.jne(anew)?;
        asm.cmp(qword_ptr(r10 + offset_of!(Record, map)), r11)?;
        asm.jne(anew)?;
        // The same frame of the same goroutine is as deep as it was, and where one can be.
        asm.cmp(dword_ptr(r10 + MARK_FRAME), ebp)?;
        asm.jne(other_frame)?;
        asm.set_label(&mut same_frame)?;
        self.collect_again(anew)?;
        let asm = &mut self.asm.code;
        asm.mov(state, layout::MARK_CHANGING)?;
        asm.mov(
            byte_ptr(r10 + offset_of!(Record, who) + 6),
            u32::from(self.operation.code()),
        )?;
        asm.movaps(xmmword_ptr(r10 + offset_of!(Record, pcs)), xmm0)?;
        asm.mov(state, layout::MARK_INSIDE)?;
        asm.jmp(self.back)?;

        asm.set_label(&mut other_frame)?;
        asm.cmp(rbp, rsp)?;
        asm.jbe(anew)?;
        self.emitter.load_highest_frame(&mut self.asm)?;
        let asm = &mut self.asm.code;
        asm.sub(r8, rbp)?;
        asm.jb(anew)?;
        asm.mov(state, layout::MARK_CHANGING)?;
        asm.mov(dword_ptr(r10 + offset_of!(Mark, depth)), r8d)?;
        asm.mov(dword_ptr(r10 + MARK_FRAME), ebp)?;
        asm.jmp(same_frame)
    }

    /// XMM0 = four return addresses; those that this hook's marks do not keep are zero. The first frame is known
    /// to be where one can be, the others are looked at.
    fn collect_again(&mut self, anew: CodeLabel) -> Result {
        let asm = &mut self.asm.code;
        asm.movd(xmm0, dword_ptr(rsp))?;
        asm.movd(xmm1, dword_ptr(rbp + 8))?;
        asm.punpckldq(xmm0, xmm1)?;
        if self.mark_frames == 1 {
            return Ok(());
        }
        self.emitter.load_highest_frame(&mut self.asm)?;
        let asm = &mut self.asm.code;
        for (before, frame, to) in [(rbp, r9, xmm1), (r9, rdx, xmm2)] {
            asm.mov(frame, qword_ptr(before))?;
            asm.cmp(frame, before)?;
            asm.jbe(anew)?;
            asm.cmp(frame, r8)?;
            asm.ja(anew)?;
            asm.movd(to, dword_ptr(frame + 8))?;
        }
        asm.punpckldq(xmm1, xmm2)?;
        asm.punpcklqdq(xmm0, xmm1)
    }

    /// See [`Emitter::collect`].
    fn collect(&mut self) -> Result {
        let short = self.emitter.collect(&mut self.asm)?;
        self.short_collections.push(short);
        Ok(())
    }

    /// The goroutine's mark says: inside this operation. In trace mode the stack is collected for it, and stays
    /// so for the record.
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
        if is_traced {
            self.collect()?;
        }
        self.asm.load64(rdx, self.emitter.addresses.clock())?;
        self.fill_record(r12)?;
        if is_traced {
            self.asm
                .code
                .movaps(xmmword_ptr(r10 + offset_of!(Record, pcs)), xmm0)?;
        } else {
            self.walk()?;
        }
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Mark, g)), r14)?;
        // The walk has left R8 at the highest place that a frame can have.
        self.asm.code.sub(r8, rbp)?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Mark, depth)), r8d)?;
        self.store_frame(is_traced)?;
        self.asm
            .code
            .mov(dword_ptr(r10 + state), layout::MARK_INSIDE)
    }

    /// What [`Self::mark_again`] will compare its frame with. Where no frame was found, and in trace mode, which
    /// does not ask, that is the mark's own address, where no frame is.
    fn store_frame(&mut self, is_traced: bool) -> Result {
        let frame = dword_ptr(r10 + MARK_FRAME);
        let asm = &mut self.asm.code;
        if is_traced {
            return asm.mov(frame, r10d);
        }
        asm.mov(esi, ebp)?;
        asm.cmp(r8d, -1)?;
        asm.cmove(esi, r10d)?;
        asm.mov(frame, esi)
    }

    /// Fills in the return addresses of the mark at R10. RDX, RSI and R9 are clobbered; R8 becomes the highest
    /// place that a frame can have.
    fn walk(&mut self) -> Result {
        let pcs = dword_ptr(r10 + offset_of!(Record, pcs));
        self.asm.code.mov(esi, dword_ptr(rsp))?;
        self.asm.code.mov(pcs, esi)?;
        let short = self.emitter.walk(&mut self.asm, self.mark_frames)?;
        self.short_stacks.extend(short);
        Ok(())
    }

    /// Fills in the record at R10, all but its seed and the return addresses: RDX is the clock. RSI is clobbered.
    fn fill_record(&mut self, goid: AsmRegister64) -> Result {
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, map)), r11)?;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, clock)), rdx)?;
        self.asm
            .code
            .mov(qword_ptr(r10 + offset_of!(Record, who)), goid)?;
        // Goroutine ids stay below 2^48; the byte above is the operation.
        self.asm.code.mov(
            byte_ptr(r10 + offset_of!(Record, who) + 6),
            u32::from(self.operation.code()),
        )?;
        self.store_type()
    }

    /// R12 = the lane header of this P, R9 = its ticks; leads away when there is none. R13 is clobbered.
    fn find_lane(&mut self, no_p: CodeLabel, no_lane: CodeLabel) -> Result {
        let layout = self.emitter.layout;
        let addresses = self.emitter.addresses;
        self.asm.code.mov(r12, qword_ptr(r14 + layout.g_m))?;
        self.asm.code.mov(r12, qword_ptr(r12 + layout.m_p))?;
        self.asm.code.test(r12, r12)?;
        self.asm.code.je(no_p)?;
        self.asm.code.mov(r9, qword_ptr(r12 + layout.p_ticks))?;
        self.asm.code.mov(r12d, dword_ptr(r12 + layout.p_id))?;
        self.asm.compare_with32(r12d, addresses.lane_count())?;
        self.asm.code.jae(no_lane)?;
        self.asm
            .code
            .shl(r12d, size_of::<LaneHeader>().trailing_zeros())?;
        self.asm.lea(r13, addresses.lane_headers())?;
        self.asm.code.add(r12, r13)
    }

    /// In observe mode: every Nth operation of this P is recorded as in trace mode, the others go on. They are
    /// counted here; what follows when the count has run out is up to `gocc_sampled`.
    fn sample(&mut self, record: CodeLabel) -> Result {
        let mut no_lane = self.asm.code.create_label();
        let slot = dword_ptr(THREAD_SLOT).fs();
        let countdown = dword_ptr(r12 + offset_of!(LaneHeader, countdown));
        let (writes, in_thread) = (self.operation.writes(), self.emitter.has_thread_words);
        if in_thread && !writes {
            self.asm.code.dec(slot)?;
            self.asm.code.jg(self.back)?;
        }
        self.find_lane(no_lane, no_lane)?;
        if writes {
            self.make_mark_current()?;
        }
        if !in_thread {
            self.asm.code.dec(countdown)?;
            self.asm.code.jg(self.back)?;
        } else if writes {
            self.asm.code.mov(qword_ptr(THREAD_MARK).fs(), r10)?;
            self.asm.code.cmp(slot, 0)?;
            self.asm.code.jg(self.back)?;
        }
        self.ask_whether_sampled()?;
        if !writes {
            self.skip_private()?;
        }
        self.collect()?;
        self.asm.code.jmp(record)?;
        self.asm.code.set_label(&mut no_lane)?;
        self.asm.code.jmp(self.back)
    }

    /// Calls `gocc_sampled`, and goes on only when the operation is to be recorded; R10 and R11 survive.
    fn ask_whether_sampled(&mut self) -> Result {
        let in_thread = i32::from(self.emitter.has_thread_words);
        self.asm.code.mov(rsi, r12)?;
        self.asm.code.mov(edx, in_thread)?;
        self.emitter.call_shim_keeping(
            &mut self.asm,
            &[r10, r11],
            self.emitter.addresses.sampled,
            |_| Ok(()),
        )?;
        self.asm.code.test(r13d, r13d)?;
        self.asm.code.je(self.back)
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
        asm.lea(r13, self.emitter.addresses.marks())?;
        let last = dword_ptr(r13 + rdx * 4 + (layout::LASTS_OFFSET - layout::MARKS_OFFSET));
        asm.code.mov(r9d, last)?;
        asm.code.cmp(r9d, r10d)?;
        asm.code.je(nobody)?;
        // Only then: words of other maps, which other threads use, lie in the same cache line.
        asm.code.mov(last, r10d)?;
        // Some mark, whatever is written there: an offset of one. The first, where there was none yet, is one of
        // another map or as good as any.
        asm.code.sub(r9d, r13d)?;
        asm.code
            .and(r9d, ((layout::MARK_COUNT - 1) * size_of::<Mark>()) as i32)?;
        let mark = r13 + r9;
        asm.code
            .cmp(qword_ptr(mark + offset_of!(Record, map)), r11)?;
        asm.code.jne(nobody)?;
        asm.code.cmp(
            dword_ptr(mark + offset_of!(Mark, state)),
            layout::MARK_INSIDE,
        )?;
        asm.code.jne(nobody)?;
        if !self.operation.writes() {
            // Codes of operations that write lie side by side.
            let operation = byte_ptr(mark + offset_of!(Record, who) + 6);
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

    /// The slow path: the mark with the offset in R9 says that somebody is inside.
    fn report_overlap(&mut self) -> Result {
        self.asm.code.mov(r12, r11)?;
        // The mark's number lies above the operation.
        self.asm.code.shl(
            r9,
            layout::PLACE_MARK_SHIFT - size_of::<Mark>().trailing_zeros(),
        )?;
        self.asm.code.mov(rdx, place(self.operation))?;
        self.asm.code.or(rdx, r9)?;
        self.call_with_place_of(self.emitter.addresses.overlap)?;
        self.asm.code.mov(r11, r12)?;
        self.collect()?;
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
        self.asm.code.je(self.back)?;
        let guard = qword_ptr(r14 + self.emitter.layout.g_stackguard0);
        self.asm.code.mov(guard, STACK_PREEMPT)?;
        self.asm.code.jmp(start.0)
    }

    /// One record in the lane of this P, of the stack that was collected; then the function goes on.
    fn trace_record(&mut self) -> Result {
        let mut no_p = self.asm.code.create_label();
        let mut no_lane = self.asm.code.create_label();
        let mut look = self.asm.code.create_label();
        let mut own_clock = self.asm.code.create_label();
        let addresses = self.emitter.addresses;
        let ticks = qword_ptr(r12 + offset_of!(LaneHeader, ticks));
        let own = r12 + layout::PRIVATE_LANE_DISTANCE;
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
            .and(r10, qword_ptr(own + offset_of!(PrivateLane, mask)))?;
        self.asm
            .code
            .add(r10, qword_ptr(own + offset_of!(PrivateLane, base)))?;
        self.asm.code.cmp(ticks, r9)?;
        self.asm.code.jne(look)?;
        self.asm
            .code
            .test(r13d, (CLOCK_PERIOD - 1) * size_of::<Record>() as i32)?;
        self.asm.code.jne(own_clock)?;
        self.asm.code.set_label(&mut look)?;
        self.asm.code.mov(ticks, r9)?;
        self.look_at_the_clock()?;
        self.asm.code.set_label(&mut own_clock)?;
        self.asm
            .code
            .mov(rdx, qword_ptr(r12 + offset_of!(LaneHeader, clock)))?;
        self.asm
            .code
            .mov(esi, dword_ptr(r11 + self.emitter.layout.map_seed))?;
        self.asm
            .code
            .mov(dword_ptr(r10 + offset_of!(Record, seed)), esi)?;
        self.asm
            .code
            .mov(r9, qword_ptr(r14 + self.emitter.layout.g_goid))?;
        self.fill_record(r9)?;
        let pcs = r10 + offset_of!(Record, pcs);
        self.asm.code.movups(xmmword_ptr(pcs), xmm0)?;
        self.asm.code.movups(xmmword_ptr(pcs + 16), xmm4)?;
        self.asm.code.add(r13, size_of::<Record>() as i32)?;
        self.asm
            .code
            .mov(qword_ptr(r12 + offset_of!(LaneHeader, head)), r13)?;
        self.asm.code.jmp(self.back)?;
        self.asm.code.set_label(&mut no_p)?;
        self.asm.count(addresses.dropped_no_p())?;
        self.asm.code.jmp(self.back)?;
        self.asm.code.set_label(&mut no_lane)?;
        self.asm.count(addresses.dropped_no_lane())?;
        self.asm.code.jmp(self.back)
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
