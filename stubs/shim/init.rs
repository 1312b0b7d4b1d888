//! What happens at the executable's entry point, before the Go runtime: relocate the injected
//! tables, create the ring, open the gate. Whatever fails, the program runs: one line on
//! standard error says why, and the hooks stay dormant.

use crate::budget;
use crate::config::{Config, PATH_LEN};
use crate::env::{AT_EXECFN, AT_SECURE, InitialStack, Options, complain};
use crate::front::Front;
use crate::layout::{
    CONTEXTS_OFFSET, CONTROL_OFFSET, Control, FORMAT_VERSION, FRONT_SIZE, GATE_DORMANT, GATE_HUNT,
    GATE_TRACE, Header, LANE_HEADERS_OFFSET, LONGEST_DELAY_NS, LaneHeader, MADE_OFFSET, MAGIC,
    MAX_LANES, OCCUPANCY_OFFSET, PLACES_OFFSET, TRAPS_OFFSET, record_mask,
};
use crate::suspects;
use crate::sys;
use core::sync::atomic::{AtomicU32, Ordering};

const DEFAULT_LANE_SIZE: u64 = 256 << 10;
const MIN_LANE_SIZE: u64 = 4 << 10;
const MAX_LANE_SIZE: u64 = 1 << 30;
/// Fewest lanes: a program may raise GOMAXPROCS above the CPUs it started with.
const MIN_LANES: u32 = 8;

const O_RDWR: usize = 2;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const O_NOFOLLOW: usize = 0o400_000;
const O_CLOEXEC: usize = 0o2_000_000;

/// Called once by the patched entry point.
///
/// # Safety
/// `sp` is the stack pointer as it was at the entry point; `config` is the patcher's, mapped writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_init(sp: *const u64, config: *mut Config) {
    // SAFETY: nothing else runs yet; the patcher laid the config out.
    let config = unsafe { &mut *config };
    config.bias = (config as *const Config as u64).wrapping_sub(config.config);
    // SAFETY: the addresses in the config are the patcher's.
    unsafe { relocate(config) };
    // SAFETY: as given to this function.
    let stack = unsafe { InitialStack::new(sp) };
    let mut options = Options::defaults(config);
    if stack.auxiliary(AT_SECURE).unwrap_or(0) != 0 {
        if options.gate != GATE_DORMANT {
            complain(b"privileged program (AT_SECURE): ", b"hooks stay dormant");
        }
        return;
    }
    if let Some(text) = stack.variable(b"GOCC=") {
        // SAFETY: environment strings are zero-terminated.
        unsafe { options.apply(text) };
    }
    if options.gate != GATE_DORMANT {
        start(config, &options, &stack);
    }
}

/// Adds the load bias to the injected pointers. The hook of `runtime.main` links what they belong to.
///
/// # Safety
/// The config's addresses must be right, and the Go runtime not running yet.
unsafe fn relocate(config: &Config) {
    let at = |address: u64| config.bias.wrapping_add(address);
    // SAFETY: the patcher lists words of its own writable segment.
    unsafe {
        let list = at(config.relocations) as *const u64;
        for index in 0..config.relocation_count as usize {
            let word = at(list.add(index).read()) as *mut u64;
            word.write(at(word.read()));
        }
    }
}

/// A ring's measures.
struct Shape {
    lanes: u32,
    lane_size: usize,
}

impl Shape {
    fn choose(options: &Options, stack: &InitialStack) -> Shape {
        let asked = if options.lane_size == 0 {
            DEFAULT_LANE_SIZE
        } else {
            options.lane_size
        };
        let lane_size = asked
            .clamp(MIN_LANE_SIZE, MAX_LANE_SIZE)
            .next_power_of_two() as usize;
        let cpus = sys::cpus_allowed().unwrap_or(MIN_LANES);
        let procs = stack
            .variable(b"GOMAXPROCS=")
            .map_or(0, |text| number_at(text));
        let lanes = cpus.max(procs).clamp(MIN_LANES, MAX_LANES as u32);
        Shape { lanes, lane_size }
    }

    fn file_size(&self) -> usize {
        FRONT_SIZE + self.lanes as usize * self.lane_size
    }

    /// What there must be room for. Lanes are written to in observe and trace only: who goes there later sees to
    /// theirs (see `gocc ctl`). Room for a page takes two microseconds.
    fn needed_size(&self, gate: u32) -> usize {
        if gate > GATE_TRACE {
            FRONT_SIZE
        } else {
            self.file_size()
        }
    }
}

/// The decimal number at the start of a zero-terminated string; 0 when there is none.
fn number_at(text: *const u8) -> u32 {
    let mut number = 0u32;
    let mut at = 0;
    loop {
        // SAFETY: stops at the terminator, which is no digit.
        let byte = unsafe { text.add(at).read() };
        if !byte.is_ascii_digit() {
            return number;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(u32::from(byte - b'0'));
        at += 1;
    }
}

fn start(config: &mut Config, options: &Options, stack: &InitialStack) {
    let shape = Shape::choose(options, stack);
    let mut path = Path::new();
    let fd = match create(options, &mut path) {
        Ok(fd) => fd,
        Err(errno) => return stay_dormant(b"cannot create a ring in ", path.directory(), errno),
    };
    match map_ring(config, options, &shape, fd) {
        Ok(lanes) => {
            path.copy_to(&mut config.ring_path);
            keep(config, &shape, lanes);
            if options.gate >= GATE_HUNT {
                populate_tables(config);
            }
            fill_in(config, options, stack, &shape);
            open_gate(config, options);
        }
        Err(errno) => {
            sys::unlink(path.bytes.as_ptr());
            stay_dormant(b"cannot reserve space for the ring ", path.text(), errno);
        }
    }
    sys::close(fd);
}

/// Creates the ring file: owner-only, exclusive, no symbolic link followed.
fn create(options: &Options, path: &mut Path) -> Result<usize, sys::Errno> {
    const EEXIST: sys::Errno = 17;
    let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    let mut stamp = sys::clock_ns(sys::CLOCK_REALTIME);
    let mut tries = 0;
    loop {
        path.build(options.dir(), sys::pid(), stamp);
        match sys::open(path.bytes.as_ptr(), flags, 0o600) {
            Err(EEXIST) if tries < 16 => (tries, stamp) = (tries + 1, stamp + 1),
            outcome => return outcome,
        }
    }
}

fn map_ring(
    config: &Config,
    options: &Options,
    shape: &Shape,
    fd: usize,
) -> Result<usize, sys::Errno> {
    const EFBIG: sys::Errno = 27;
    if !sys::may_make_file_of(shape.file_size()) {
        return Err(EFBIG);
    }
    sys::reserve(fd, shape.file_size(), shape.needed_size(options.gate))?;
    let lanes_size = shape.lanes as usize * shape.lane_size;
    // SAFETY: address 0 lets the kernel choose.
    let lanes = unsafe { sys::map_shared(0, lanes_size, fd, FRONT_SIZE) }?;
    let front = config.bias.wrapping_add(config.front) as usize;
    // SAFETY: the patcher reserved FRONT_SIZE bytes there for this, and nothing uses them yet.
    if let Err(errno) = unsafe { sys::map_shared(front, FRONT_SIZE, fd, 0) } {
        // SAFETY: mapped above, not used yet.
        unsafe { sys::unmap(lanes, lanes_size) };
        return Err(errno);
    }
    Ok(lanes)
}

/// Hunt, guard and block use all of these tables from the first operations on: a page fault for each page, some hundred,
/// would take longer than many a test.
fn populate_tables(config: &Config) {
    let front = config.bias.wrapping_add(config.front) as usize;
    let tables = [
        OCCUPANCY_OFFSET..TRAPS_OFFSET,
        PLACES_OFFSET..CONTEXTS_OFFSET,
        MADE_OFFSET..FRONT_SIZE,
    ];
    for table in tables {
        sys::populate(front + table.start, table.len());
    }
}

/// Keeps what hooks need to know of the ring where no other process can change it.
fn keep(config: &Config, shape: &Shape, lanes: usize) {
    // SAFETY: the patcher reserved it behind the front, and no other thread exists.
    let private = unsafe { &mut *Front::of(config).private() };
    let places = private.lanes.iter_mut().take(shape.lanes as usize);
    for (index, place) in places.enumerate() {
        place.base = (lanes + index * shape.lane_size) as u64;
        place.mask = record_mask(shape.lane_size as u64);
    }
    private.lane_count = shape.lanes;
    private.lanes_start = lanes as u64;
    private.lanes_size = (shape.lanes as usize * shape.lane_size) as u64;
}

fn fill_in(config: &Config, options: &Options, stack: &InitialStack, shape: &Shape) {
    let front = config.bias.wrapping_add(config.front) as usize;
    // SAFETY: the front was just mapped there, zeroed, and no other thread exists.
    let header = unsafe { &mut *(front as *mut Header) };
    header.magic = MAGIC;
    header.version = FORMAT_VERSION;
    header.pid = sys::pid();
    header.uid = sys::effective_uid();
    header.start_ticks = start_ticks();
    header.realtime_ns = sys::clock_ns(sys::CLOCK_REALTIME);
    header.monotonic_ns = sys::clock_ns(sys::CLOCK_MONOTONIC);
    header.tsc = sys::tsc();
    header.load_bias = config.bias;
    header.text_start = config.bias.wrapping_add(config.text_start);
    header.text_end = config.bias.wrapping_add(config.text_end);
    header.injected_start = config.injected_start;
    header.injected_end = config.injected_end;
    header.input_sha256 = config.input_sha256;
    header.file_size = shape.file_size() as u64;
    header.lane_count = shape.lanes;
    header.lane_size = shape.lane_size as u32;
    header.exit_code = options.exit_code;
    header.build_id_len = config.build_id_len;
    header.build_id = config.build_id;
    header.exe_path_len = executable(stack, &mut header.exe_path) as u32;
    for index in 0..shape.lanes as usize {
        // SAFETY: MAX_LANES lane headers lie there.
        let lane = unsafe { &mut *((front + LANE_HEADERS_OFFSET) as *mut LaneHeader).add(index) };
        lane.mask = shape.lane_size as u64 - 1;
        lane.clock = header.tsc;
        lane.countdown = options.sample_period;
    }
    // SAFETY: the control page lies there.
    let control = unsafe { &mut *((front + CONTROL_OFFSET) as *mut Control) };
    control.sample_period = options.sample_period;
    control.rate = options.rate;
    control.dumps_core = options.dumps_core;
    control.rate_since = header.tsc;
    control.clock = header.tsc;
    let ticks_per_ms = ticks_per_ms(header.monotonic_ns, header.tsc);
    let ticks = |ns: u64| (ns / 1000).saturating_mul(ticks_per_ms) / 1000;
    control.ticks_per_ms = ticks_per_ms;
    // SAFETY: the private part lies behind the front, and no other thread exists.
    unsafe { (*Front::of(config).private()).longest_delay = ticks(LONGEST_DELAY_NS) };
    control.hold_ticks = ticks(options.hold_ns);
    control.wait_ticks = ticks(options.wait_ns);
    control.window_ticks = ticks(options.window_ns);
    control.budget_percent = options.budget_percent;
    control.seed = options.seed;
    // Also in other modes: hunt may be switched on later.
    suspects::read(config, options);
    budget::begin(control, options.begun);
    // SAFETY: aligned, in the mapped header.
    unsafe { AtomicU32::from_ptr(&raw mut header.ready) }.store(1, Ordering::Release);
}

/// The time-stamp counter's frequency, from its distance to an earlier reading at least 100 microseconds
/// ago.
fn ticks_per_ms(earlier_ns: u64, earlier_tsc: u64) -> u64 {
    loop {
        let ns = sys::clock_ns(sys::CLOCK_MONOTONIC).wrapping_sub(earlier_ns);
        let ticks = sys::tsc().wrapping_sub(earlier_tsc);
        // A clock that does not move would make this endless.
        if ns >= 100_000 || ticks > 1 << 32 {
            return ticks.saturating_mul(1_000_000) / ns.max(1);
        }
    }
}

fn open_gate(config: &Config, options: &Options) {
    let front = config.bias.wrapping_add(config.front) as usize;
    let control = (front + CONTROL_OFFSET) as *mut Control;
    // SAFETY: aligned, in the mapped control page.
    unsafe { AtomicU32::from_ptr(&raw mut (*control).gate) }.store(options.gate, Ordering::Release);
}

/// The path of the executable; what the kernel was asked to run when /proc is not there.
fn executable(stack: &InitialStack, to: &mut [u8; 1024]) -> usize {
    if let Ok(len) = sys::readlink(c"/proc/self/exe", to) {
        return len;
    }
    let Some(name) = stack.auxiliary(AT_EXECFN) else {
        return 0;
    };
    copy_string(name as *const u8, to)
}

/// Copies a zero-terminated string, cut at the buffer's size; the length.
fn copy_string(from: *const u8, to: &mut [u8]) -> usize {
    let mut at = 0;
    while at < to.len() {
        // SAFETY: the terminator has not been passed.
        let byte = unsafe { from.add(at).read() };
        if byte == 0 {
            break;
        }
        to[at] = byte;
        at += 1;
    }
    at
}

/// Field 22 of /proc/self/stat (proc_pid_stat(5)): start time in clock ticks since boot; 0 when it
/// cannot be read. The second field is in parentheses and may hold anything, so count from the last one.
fn start_ticks() -> u64 {
    let mut buffer = [0u8; 1024];
    let Ok(fd) = sys::open(c"/proc/self/stat".as_ptr().cast(), O_CLOEXEC, 0) else {
        return 0;
    };
    let len = sys::read(fd, &mut buffer).unwrap_or(0);
    sys::close(fd);
    let text = buffer.get(..len).unwrap_or(&[]);
    let Some(parenthesis) = text.iter().rposition(|&byte| byte == b')') else {
        return 0;
    };
    let mut field = 2;
    let mut ticks = 0u64;
    for &byte in text.get(parenthesis + 1..).unwrap_or(&[]) {
        if byte == b' ' {
            field += 1;
        } else if field == 22 && byte.is_ascii_digit() {
            ticks = ticks.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        }
    }
    ticks
}

fn stay_dormant(message: &[u8], path: &[u8], errno: sys::Errno) {
    let mut digits = [0u8; 20];
    let number = sys::format_number(errno as u64, 10, &mut digits);
    sys::write_stderr(b"gocc: ");
    sys::write_stderr(message);
    sys::write_stderr(path);
    sys::write_stderr(b": ");
    sys::write_stderr(describe(errno));
    sys::write_stderr(b" (errno ");
    sys::write_stderr(number);
    sys::write_stderr(b"); hooks stay dormant; GOCC=dir=DIRECTORY chooses another place\n");
}

/// The errors that creating and reserving a file meets in practice.
fn describe(errno: sys::Errno) -> &'static [u8] {
    match errno {
        1 | 13 => b"not allowed",
        2 => b"no such directory",
        12 => b"out of memory or address space",
        17 => b"exists already",
        20 => b"not a directory",
        23 | 24 => b"too many open files",
        27 => b"larger than the process may make files",
        28 | 122 => b"no space left",
        30 => b"read-only file system",
        40 => b"a symbolic link",
        95 => b"the file system cannot reserve space",
        _ => b"failed",
    }
}

/// A path under construction, zero-terminated.
struct Path {
    bytes: [u8; 512],
    len: usize,
    directory_len: usize,
}

impl Path {
    fn new() -> Path {
        Path {
            bytes: [0; 512],
            len: 0,
            directory_len: 0,
        }
    }

    /// `DIR/gocc-PID-STAMP.ring`
    fn build(&mut self, dir: *const u8, pid: u32, stamp: u64) {
        let mut digits = [0u8; 20];
        self.len = copy_string(dir, &mut self.bytes[..256]);
        self.directory_len = self.len;
        self.push(b"/gocc-");
        self.push(sys::format_number(u64::from(pid), 10, &mut digits));
        self.push(b"-");
        self.push(sys::format_number(stamp, 16, &mut digits));
        self.push(b".ring\0");
    }

    fn push(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
    }

    /// Zero-terminated, as it is; nothing when there is no room.
    fn copy_to(&self, to: &mut [u8; PATH_LEN]) {
        if self.len <= PATH_LEN {
            for (to, from) in to.iter_mut().zip(&self.bytes) {
                *to = *from;
            }
        }
    }

    fn directory(&self) -> &[u8] {
        self.bytes.get(..self.directory_len).unwrap_or(&[])
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len.saturating_sub(1)).unwrap_or(&[])
    }
}
