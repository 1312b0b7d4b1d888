//! What the process was started with: environment, auxiliary vector, and the `GOCC` options.

use crate::config::{Config, DIR_LEN};
use crate::layout::{
    GATE_BLOCK, GATE_DORMANT, GATE_GUARD, GATE_HUNT, GATE_OBSERVE, GATE_TRACE, LONGEST_DELAY_NS,
};
use crate::sys;

/// The initial stack as the kernel lays it out (System V ABI, AMD64 supplement, 3.4.1): argc, argv,
/// 0, envp, 0, auxv.
#[derive(Clone, Copy)]
pub struct InitialStack {
    envp: *const *const u8,
}

/// `a_type` of an auxiliary vector entry.
pub const AT_SECURE: u64 = 23;
pub const AT_EXECFN: u64 = 31;

impl InitialStack {
    /// # Safety
    /// `sp` must be the stack pointer as it was at the executable's entry point.
    pub unsafe fn new(sp: *const u64) -> InitialStack {
        // SAFETY: argc lies there; argv and its terminator follow.
        let envp = unsafe { sp.add(sp.read() as usize + 2) };
        InitialStack { envp: envp.cast() }
    }

    /// The value of an environment variable, found by its name and `=`.
    pub fn variable(&self, name_and_equals: &[u8]) -> Option<*const u8> {
        let mut at = self.envp;
        loop {
            // SAFETY: the list ends with a null pointer, where this loop ends too.
            let entry = unsafe { at.read() };
            if entry.is_null() {
                return None;
            }
            // SAFETY: entries are zero-terminated strings.
            if unsafe { starts_with(entry, name_and_equals) } {
                // SAFETY: the prefix was just seen there.
                return Some(unsafe { entry.add(name_and_equals.len()) });
            }
            // SAFETY: not yet at the terminator.
            at = unsafe { at.add(1) };
        }
    }

    /// An entry of the auxiliary vector.
    pub fn auxiliary(&self, wanted: u64) -> Option<u64> {
        let mut at = self.envp;
        // SAFETY: the environment ends with a null pointer; the vector follows and ends with AT_NULL.
        unsafe {
            while !at.read().is_null() {
                at = at.add(1);
            }
            let mut pair: *const [u64; 2] = at.add(1).cast();
            loop {
                match pair.read() {
                    [0, _] => return None,
                    [kind, value] if kind == wanted => return Some(value),
                    _ => pair = pair.add(1),
                }
            }
        }
    }
}

/// # Safety
/// `text` must be zero-terminated.
unsafe fn starts_with(text: *const u8, prefix: &[u8]) -> bool {
    let mut at = 0;
    while at < prefix.len() {
        // SAFETY: no byte before this one was the terminator, since all matched a non-zero prefix.
        if unsafe { text.add(at).read() } != prefix[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The options in force: what was chosen at patch time, overridden by `GOCC`.
pub struct Options {
    pub gate: u32,
    /// When the program began, time-stamp counter.
    pub begun: u64,
    /// Bytes per lane, as asked for.
    pub lane_size: u64,
    pub exit_code: u32,
    pub sample_period: u32,
    /// Operations to record in a second; 0 for none.
    pub rate: u32,
    /// 1 when block is to leave a core dump.
    pub dumps_core: u32,
    /// How long hunt holds an operation, nanoseconds.
    pub hold_ns: u64,
    /// How close in time two operations are a near miss, nanoseconds.
    pub window_ns: u64,
    /// How long an operation waits for its turn, nanoseconds.
    pub wait_ns: u64,
    /// Share of the time that holds may take, per cent.
    pub budget_percent: u32,
    /// Where the sequence of sampled holds starts.
    pub seed: u32,
    /// `GOCC=suspects=...`, zero-terminated; empty when not given.
    pub suspects: [u8; DIR_LEN],
    default_dir: *const u8,
    /// `GOCC=dir=...`; empty when not given.
    chosen_dir: [u8; DIR_LEN],
}

impl Options {
    /// The patch-time choices.
    pub fn defaults(config: &Config) -> Options {
        Options {
            gate: config.default_gate,
            begun: sys::tsc(),
            lane_size: u64::from(config.default_lane_size),
            exit_code: config.default_exit_code,
            sample_period: config.sample_period,
            rate: 0,
            dumps_core: 0,
            hold_ns: 2_000_000,
            window_ns: 100_000_000,
            wait_ns: 10_000_000,
            budget_percent: 30,
            seed: 1,
            suspects: [0; DIR_LEN],
            default_dir: config.default_dir.as_ptr(),
            chosen_dir: [0; DIR_LEN],
        }
    }

    /// The directory for rings, zero-terminated.
    pub fn dir(&self) -> *const u8 {
        if self.chosen_dir[0] == 0 {
            self.default_dir
        } else {
            self.chosen_dir.as_ptr()
        }
    }

    /// Applies `key=value` pairs separated by blanks or commas. What is not understood is named on
    /// standard error and ignored.
    ///
    /// # Safety
    /// `text` must be zero-terminated.
    pub unsafe fn apply(&mut self, mut text: *const u8) {
        loop {
            // SAFETY: the loop stops at the terminator.
            unsafe {
                while is_separator(text.read()) {
                    text = text.add(1);
                }
                if text.read() == 0 {
                    return;
                }
                let mut len = 0;
                while text.add(len).read() != 0 && !is_separator(text.add(len).read()) {
                    len += 1;
                }
                self.apply_pair(core::slice::from_raw_parts(text, len));
                text = text.add(len);
            }
        }
    }

    fn apply_pair(&mut self, pair: &[u8]) {
        let (key, value) = split_at_equals(pair);
        let understood = match key {
            b"mode" => self.set_mode(value),
            b"dir" => copy_path(value, &mut self.chosen_dir),
            b"suspects" => copy_path(value, &mut self.suspects),
            b"hold" => set_delay(value, &mut self.hold_ns),
            b"window" => set_duration(value, &mut self.window_ns),
            b"wait" => set_delay(value, &mut self.wait_ns),
            b"budget" => set_u32(value, &mut self.budget_percent, 10_000),
            b"seed" => set_u32(value, &mut self.seed, u64::from(u32::MAX)),
            b"rate" => set_u32(value, &mut self.rate, 1 << 30),
            b"core" => set_u32(value, &mut self.dumps_core, 1),
            b"ring" => set_number(value, &mut self.lane_size),
            b"exitcode" => set_u32(value, &mut self.exit_code, 255),
            b"sample" => {
                set_u32(value, &mut self.sample_period, 1 << 30) && self.sample_period != 0
            }
            _ => {
                complain(b"unknown key in GOCC, ignored: ", pair);
                return;
            }
        };
        if !understood {
            complain(b"bad value in GOCC, ignored: ", pair);
        }
    }

    fn set_mode(&mut self, value: &[u8]) -> bool {
        self.gate = match value {
            b"off" => GATE_DORMANT,
            b"observe" => GATE_OBSERVE,
            b"trace" => GATE_TRACE,
            b"hunt" => GATE_HUNT,
            b"guard" => GATE_GUARD,
            b"block" => GATE_BLOCK,
            _ => return false,
        };
        true
    }
}

/// Copies a path; it must leave room for its terminator.
fn copy_path(value: &[u8], to: &mut [u8; DIR_LEN]) -> bool {
    if value.is_empty() || value.len() >= DIR_LEN {
        return false;
    }
    let mut at = 0;
    while at < value.len() && at < DIR_LEN - 1 {
        to[at] = value[at];
        at += 1;
    }
    to[at] = 0;
    true
}

/// A whole number with its unit: ns, us, ms or s.
fn set_duration(value: &[u8], to: &mut u64) -> bool {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let scale = match value.get(digits..) {
        Some(b"ns") => 1,
        Some(b"us") => 1_000,
        Some(b"ms") => 1_000_000,
        Some(b"s") => 1_000_000_000,
        _ => return false,
    };
    let mut number = 0;
    if !set_number(value.get(..digits).unwrap_or(&[]), &mut number) {
        return false;
    }
    let Some(ns) = number.checked_mul(scale) else {
        return false;
    };
    *to = ns;
    true
}

/// As `set_duration`, up to the longest time that anybody may be made to wait.
fn set_delay(value: &[u8], to: &mut u64) -> bool {
    let mut ns = 0;
    let good = set_duration(value, &mut ns) && ns <= LONGEST_DELAY_NS;
    if good {
        *to = ns;
    }
    good
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b'\t' | b'\n')
}

fn split_at_equals(pair: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while at < pair.len() && pair[at] != b'=' {
        at += 1;
    }
    let value = pair.get(at + 1..).unwrap_or(&[]);
    (pair.get(..at).unwrap_or(&[]), value)
}

fn set_u32(value: &[u8], to: &mut u32, most: u64) -> bool {
    let mut number = 0;
    let good = set_number(value, &mut number) && number <= most;
    if good {
        *to = number as u32;
    }
    good
}

/// A decimal number with an optional suffix K, M or G (powers of 1024).
fn set_number(value: &[u8], to: &mut u64) -> bool {
    let mut number = 0u64;
    let mut at = 0;
    while at < value.len() && value[at].is_ascii_digit() {
        let digit = u64::from(value[at] - b'0');
        let Some(next) = number.checked_mul(10).and_then(|n| n.checked_add(digit)) else {
            return false;
        };
        number = next;
        at += 1;
    }
    let shift = match value.get(at..) {
        _ if at == 0 => return false,
        Some(b"") => 0,
        Some(b"K" | b"k") => 10,
        Some(b"M" | b"m") => 20,
        Some(b"G" | b"g") => 30,
        _ => return false,
    };
    let shifted = number << shift;
    if shifted >> shift != number {
        return false;
    }
    *to = shifted;
    true
}

/// One line on standard error: `gocc: MESSAGE DETAIL`.
pub fn complain(message: &[u8], detail: &[u8]) {
    sys::write_stderr(b"gocc: ");
    sys::write_stderr(message);
    sys::write_stderr(detail);
    sys::write_stderr(b"\n");
}
