//! The sandbox: a child process that may make no system call but to return from a signal and to end, with code, data and
//! a stack at fixed addresses. Each run starts from a state that is given completely and ends either behind
//! the sequence or with a signal; then the state is written down.

use super::generate::Sequence;
use crate::common::random::Random;
use anyhow::ensure;
use iced_x86::{Decoder, DecoderOptions};
use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::ptr::{self, null_mut};

/// Where the original lies. No sum of addresses of data and stack, with whatever factor, leads to code: it is not the
/// same before and after.
pub const CODE: u64 = 0x1173_5000;
/// Where it is moved to, in turn: close, in the middle and at the end of what RIP-relative operands reach, and so far that
/// operands below 4 GiB can be reached by EIP-relative ones only.
pub const MOVED_TO: [u64; 4] = [0x1853_9000, 0x6b5d_1000, 0x8f4c_7000, 0x4_1b3d_5000];
/// Where registers and operands point to.
pub const DATA: u64 = 0x2000_0000;
pub const DATA_SIZE: usize = 0x2000;
const STACK: u64 = 0x3000_0000;
const STACK_SIZE: usize = 0x2000;
const PAGE: usize = 4096;
const SIGNAL_STACK_SIZE: usize = 0x2_0000;
const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];
/// x87, SSE, AVX and AVX-512 state; what the processor lacks is left out by it.
const VECTOR_STATE: u32 = 0xe7;
const XSAVE_SIZE: usize = 4096;
/// Carry, parity, adjust, zero, sign, direction and overflow.
const FLAGS: u64 = 0xcd5;

/// General registers in the order of their numbers: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
type Registers = [u64; 16];

/// A sequence, where and how it is moved, and the state it starts from.
#[derive(Clone)]
pub struct Run {
    pub sequence: Sequence,
    pub to: u64,
    pub moved: Vec<u8>,
    registers: Registers,
    flags: u64,
}

impl Run {
    pub fn new(sequence: &Sequence, to: u64, moved: Vec<u8>, random: &mut Random) -> Run {
        let mut registers = [0; 16];
        for register in &mut registers {
            *register = value(random);
        }
        registers[4] = STACK + STACK_SIZE as u64 / 2;
        Run {
            sequence: sequence.clone(),
            to,
            moved,
            registers,
            flags: random.next() & FLAGS | 0x202,
        }
    }
}

/// Mostly addresses of data, so that most operands can be followed.
fn value(random: &mut Random) -> u64 {
    let word = random.next();
    match word % 16 {
        0 => random.next(),
        1 | 2 => word >> 56,
        3 => STACK + (word >> 20) % STACK_SIZE as u64,
        _ => (DATA + (word >> 20) % DATA_SIZE as u64) & !7,
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    registers: Registers,
    flags: u64,
    /// Of data and stack.
    memory: u64,
    vectors: Vec<u8>,
    /// 0 when it ran through.
    pub signal: i32,
    /// Which instruction raised it.
    instruction: usize,
    /// The address that could not be touched, and the processor's words for it.
    fault: [u64; 3],
}

impl State {
    pub fn difference(&self, other: &State) -> String {
        let plain = |state: &State| State {
            vectors: Vec::new(),
            ..state.clone()
        };
        let vectors = self.vectors != other.vectors;
        format!(
            "{:x?}\n{:x?}\nvectors differ: {vectors}",
            plain(self),
            plain(other)
        )
    }
}

/// What became of a run.
pub enum Outcome {
    /// At its own place, and where it was moved to.
    Ran(Box<State>, Box<State>),
    /// The child died.
    Lost,
}

/// What the assembly below works with.
#[repr(C, align(64))]
struct Block {
    registers: Registers,
    flags: u64,
    target: u64,
    host_stack: u64,
    registers_after: Registers,
    flags_after: u64,
    xsave: Aligned,
    xsave_after: Aligned,
    signal: i32,
    fault_at: u64,
    fault: [u64; 3],
}

#[repr(C, align(64))]
struct Aligned([u8; XSAVE_SIZE]);

struct Shared(UnsafeCell<Block>);
// SAFETY: only children use it, which have one thread.
unsafe impl Sync for Shared {}

static BLOCK: Shared = Shared(UnsafeCell::new(Block {
    registers: [0; 16],
    flags: 0,
    target: 0,
    host_stack: 0,
    registers_after: [0; 16],
    flags_after: 0,
    xsave: Aligned([0; XSAVE_SIZE]),
    xsave_after: Aligned([0; XSAVE_SIZE]),
    signal: 0,
    fault_at: 0,
    fault: [0; 3],
}));

std::arch::global_asm!(
    // Takes the state from the block and goes to the target.
    ".globl gocc_oracle_run", "gocc_oracle_run:",
    "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
    "mov [rip + {b} + {host}], rsp",
    "mov eax, {mask}", "xor edx, edx", "xrstor64 [rip + {b} + {xsave}]",
    "push qword ptr [rip + {b} + {flags}]", "popfq",
    "mov rax, [rip + {b}]", "mov rcx, [rip + {b} + 8]", "mov rdx, [rip + {b} + 16]", "mov rbx, [rip + {b} + 24]",
    "mov rsp, [rip + {b} + 32]", "mov rbp, [rip + {b} + 40]", "mov rsi, [rip + {b} + 48]", "mov rdi, [rip + {b} + 56]",
    "mov r8, [rip + {b} + 64]", "mov r9, [rip + {b} + 72]", "mov r10, [rip + {b} + 80]", "mov r11, [rip + {b} + 88]",
    "mov r12, [rip + {b} + 96]", "mov r13, [rip + {b} + 104]", "mov r14, [rip + {b} + 112]", "mov r15, [rip + {b} + 120]",
    "jmp qword ptr [rip + {b} + {target}]",
    // Every run comes here; writes the state down and returns from gocc_oracle_run.
    ".globl gocc_oracle_exit", "gocc_oracle_exit:",
    "mov [rip + {b} + {after}], rax", "mov [rip + {b} + {after} + 8], rcx",
    "mov [rip + {b} + {after} + 16], rdx", "mov [rip + {b} + {after} + 24], rbx",
    "mov [rip + {b} + {after} + 32], rsp", "mov [rip + {b} + {after} + 40], rbp",
    "mov [rip + {b} + {after} + 48], rsi", "mov [rip + {b} + {after} + 56], rdi",
    "mov [rip + {b} + {after} + 64], r8", "mov [rip + {b} + {after} + 72], r9",
    "mov [rip + {b} + {after} + 80], r10", "mov [rip + {b} + {after} + 88], r11",
    "mov [rip + {b} + {after} + 96], r12", "mov [rip + {b} + {after} + 104], r13",
    "mov [rip + {b} + {after} + 112], r14", "mov [rip + {b} + {after} + 120], r15",
    "mov rsp, [rip + {b} + {host}]",
    "pushfq", "pop qword ptr [rip + {b} + {flags_after}]", "push 0x202", "popfq",
    "mov eax, {mask}", "xor edx, edx", "xsave64 [rip + {b} + {xsave_after}]",
    "mov eax, {mask}", "xrstor64 [rip + {b} + {xsave}]",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret",
    b = sym BLOCK,
    mask = const VECTOR_STATE,
    host = const offset_of!(Block, host_stack),
    flags = const offset_of!(Block, flags),
    target = const offset_of!(Block, target),
    after = const offset_of!(Block, registers_after),
    flags_after = const offset_of!(Block, flags_after),
    xsave = const offset_of!(Block, xsave),
    xsave_after = const offset_of!(Block, xsave_after),
);

unsafe extern "C" {
    fn gocc_oracle_run();
    fn gocc_oracle_exit();
}

/// One ended run, in memory that the child shares with its parent.
#[repr(C)]
#[derive(Clone, Copy)]
struct Raw {
    done: bool,
    registers: Registers,
    flags: u64,
    memory: u64,
    vectors: [u8; XSAVE_SIZE],
    signal: i32,
    fault_at: u64,
    fault: [u64; 3],
}

/// Runs everything, in as many children as it takes.
///
/// # Errors
/// When the system refuses memory or processes, or the processor cannot save its state.
pub fn run(runs: &[Run]) -> anyhow::Result<Vec<(&Run, Outcome)>> {
    ensure!(
        std::is_x86_feature_detected!("xsave"),
        "a processor without XSAVE"
    );
    let results = Results::new(runs.len())?;
    let memory = template();
    let mut outcomes = Vec::new();
    while outcomes.len() < runs.len() {
        let from = outcomes.len();
        // SAFETY: the child calls nothing that another thread of this process could hold a lock of.
        match unsafe { libc::fork() } {
            -1 => return Err(std::io::Error::last_os_error().into()),
            0 => child(&runs[from..], &results, from, &memory),
            process => {
                let mut status = 0;
                // SAFETY: it is our child, and nobody else waits for it.
                unsafe { libc::waitpid(process, &raw mut status, 0) };
            }
        }
        for (index, run) in runs.iter().enumerate().skip(from) {
            let (before, after) = (results.get(2 * index), results.get(2 * index + 1));
            if !before.done || !after.done {
                outcomes.push((run, Outcome::Lost));
                break;
            }
            let at = [(CODE, &run.sequence.bytes), (run.to, &run.moved)];
            let [before, after] = [(before, at[0]), (after, at[1])]
                .map(|(raw, (at, code))| Box::new(raw.state(at, code)));
            outcomes.push((run, Outcome::Ran(before, after)));
        }
    }
    Ok(outcomes)
}

/// What data and stack hold at the start: pointers to data, small numbers, anything.
fn template() -> Vec<u64> {
    let mut random = Random(0x1234_5678_9abc_def1);
    let words = (DATA_SIZE + STACK_SIZE) / 8;
    (0..words).map(|_| value(&mut random)).collect()
}

struct Results(*mut Raw, usize);

impl Results {
    fn new(runs: usize) -> anyhow::Result<Results> {
        let size = 2 * runs * size_of::<Raw>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping wherever there is room.
        let at = unsafe { libc::mmap(null_mut(), size.max(1), protection, flags, -1, 0) };
        ensure!(at != libc::MAP_FAILED, "no memory");
        Ok(Results(at.cast(), 2 * runs))
    }

    fn slot(&self, index: usize) -> *mut Raw {
        assert!(index < self.1);
        // SAFETY: within the mapping.
        unsafe { self.0.add(index) }
    }

    fn get(&self, index: usize) -> Raw {
        // SAFETY: initialised, by zeros or by a child that is gone; all its bit patterns but `done` are
        // valid, and that is 0 or 1.
        unsafe { self.slot(index).read() }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        // SAFETY: the mapping made above.
        unsafe { libc::munmap(self.0.cast(), (self.1 * size_of::<Raw>()).max(1)) };
    }
}

impl Raw {
    fn state(&self, at: u64, code: &[u8]) -> State {
        let mut vectors = self.vectors.to_vec();
        // Where the last x87 instruction was, a mask that is a constant of the processor, and which parts of
        // the area are in use, which the kernel changes.
        for unsteady in [6..24, 28..32, 512..576] {
            vectors[unsteady].fill(0);
        }
        let mut decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
        let fault_at = self.fault_at;
        let before = decoder.iter().take_while(|i| i.ip() < fault_at);
        State {
            registers: self.registers,
            flags: self.flags,
            memory: self.memory,
            vectors,
            signal: self.signal,
            instruction: before.count(),
            fault: self.fault,
        }
    }
}

/// The child: never returns. It neither allocates nor panics on purpose; if it dies, its parent notices.
fn child(runs: &[Run], results: &Results, from: usize, memory: &[u64]) -> ! {
    // SAFETY: a process of one thread, whose memory at the fixed addresses is its own.
    unsafe {
        prepare();
        for (index, run) in runs.iter().enumerate() {
            let places = [
                (CODE, run.sequence.bytes.as_slice()),
                (run.to, run.moved.as_slice()),
            ];
            for (place, (at, code)) in places.into_iter().enumerate() {
                run_once(
                    run,
                    at,
                    code,
                    memory,
                    results.slot(2 * (from + index) + place),
                );
            }
        }
        end(0)
    }
}

fn end(code: i64) -> ! {
    // SAFETY: ends this thread, the only one. exit_group is not among the calls that strict seccomp allows.
    unsafe { libc::syscall(libc::SYS_exit, code) };
    std::process::abort()
}

/// Maps what runs need, takes their signals, and gives up all system calls.
unsafe fn prepare() {
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let data = libc::PROT_READ | libc::PROT_WRITE;
    let places = [
        (CODE, PAGE, all),
        (DATA, DATA_SIZE, data),
        (STACK, STACK_SIZE, data),
    ];
    let moved_to = MOVED_TO.map(|to| (to, PAGE, all));
    for (at, size, protection) in places.into_iter().chain(moved_to) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: nothing of this process is there, or the call fails.
        let mapped = unsafe { libc::mmap(at as *mut _, size, protection, flags, -1, 0) };
        if mapped as u64 != at {
            end(2);
        }
    }
    // SAFETY: plain structs, for which zero is valid; the handler touches only the block.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut stack: libc::stack_t = std::mem::zeroed();
        stack.ss_sp = libc::mmap(null_mut(), SIGNAL_STACK_SIZE, data, flags, -1, 0);
        stack.ss_size = SIGNAL_STACK_SIZE;
        libc::sigaltstack(&raw const stack, null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        for signal in SIGNALS {
            libc::sigaction(signal, &raw const action, null_mut());
        }
        let limit = libc::rlimit {
            rlim_cur: 60,
            rlim_max: 60,
        };
        libc::setrlimit(libc::RLIMIT_CPU, &raw const limit);
        if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) != 0 {
            end(2);
        }
    }
}

/// A fault of a sequence ends its run: the state is kept as it is, and goes on at the exit.
extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's own structs; the block is this thread's.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize] as u64;
        let of_sequence = [CODE]
            .iter()
            .chain(&MOVED_TO)
            .any(|page| at & !0xfff == *page);
        if !of_sequence {
            end(3);
        }
        let block = BLOCK.0.get();
        let touched = matches!(signal, libc::SIGSEGV | libc::SIGBUS);
        (*block).signal = signal;
        (*block).fault_at = at;
        (*block).fault = [
            if touched { (*info).si_addr() as u64 } else { 0 },
            registers[libc::REG_ERR as usize] as u64,
            registers[libc::REG_TRAPNO as usize] as u64,
        ];
        registers[libc::REG_RIP as usize] = gocc_oracle_exit as *const () as i64;
    }
}

unsafe fn run_once(run: &Run, at: u64, code: &[u8], memory: &[u64], result: *mut Raw) {
    let block = BLOCK.0.get();
    // SAFETY: all of it was mapped by `prepare`; the code fits a page with the jump behind it.
    unsafe {
        ptr::copy_nonoverlapping(memory.as_ptr().cast(), DATA as *mut u8, DATA_SIZE);
        let stack = memory.as_ptr().cast::<u8>().add(DATA_SIZE);
        ptr::copy_nonoverlapping(stack, STACK as *mut u8, STACK_SIZE);
        write_code(at as *mut u8, code);
        (*block).registers = run.registers;
        (*block).flags = run.flags;
        (*block).target = at;
        (*block).signal = 0;
        (*block).fault_at = 0;
        (*block).fault = [0; 3];
        initial_vectors(&mut (*block).xsave.0, memory);
        ptr::write_bytes(&raw mut (*block).xsave_after, 0, 1);
        gocc_oracle_run();
        (*result).registers = (*block).registers_after;
        (*result).flags = (*block).flags_after;
        (*result).signal = (*block).signal;
        (*result).fault_at = (*block).fault_at;
        (*result).fault = (*block).fault;
        (*result).vectors = (*block).xsave_after.0;
        (*result).memory = digest(DATA as *const u64, DATA_SIZE / 8)
            ^ digest(STACK as *const u64, STACK_SIZE / 8).rotate_left(1);
        (*result).done = true;
    }
}

/// The code, and `jmp [rip+0]` with the exit's address: no register and no flag changes.
unsafe fn write_code(at: *mut u8, code: &[u8]) {
    let leave = [0xff, 0x25, 0, 0, 0, 0];
    let exit = (gocc_oracle_exit as *const () as u64).to_le_bytes();
    let mut end = at;
    for part in [code, &leave, &exit] {
        // SAFETY: sequences are far shorter than the page.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), end, part.len());
            end = end.add(part.len());
        }
    }
}

/// Legacy region: control words, and SSE registers with what lies in memory; the rest is initial.
fn initial_vectors(area: &mut [u8; XSAVE_SIZE], memory: &[u64]) {
    area[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    for (register, word) in area[160..416].chunks_exact_mut(8).zip(memory) {
        register.copy_from_slice(&word.to_le_bytes());
    }
    area[512..520].copy_from_slice(&3_u64.to_le_bytes());
}

unsafe fn digest(from: *const u64, words: usize) -> u64 {
    (0..words).fold(0xcbf2_9ce4_8422_2325, |digest: u64, at| {
        // SAFETY: within what was mapped.
        let word = unsafe { from.add(at).read_volatile() };
        (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
