//! System calls, Linux x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).

use core::arch::asm;

pub const READ: usize = 0;
pub const WRITE: usize = 1;
pub const OPEN: usize = 2;
pub const CLOSE: usize = 3;
pub const LSEEK: usize = 8;
pub const MMAP: usize = 9;
pub const MUNMAP: usize = 11;
pub const RT_SIGPROCMASK: usize = 14;
pub const RT_SIGACTION: usize = 13;
pub const MADVISE: usize = 28;
pub const NANOSLEEP: usize = 35;
pub const GETPID: usize = 39;
pub const EXIT: usize = 60;
pub const FTRUNCATE: usize = 77;
pub const UNLINK: usize = 87;
pub const READLINK: usize = 89;
pub const GETRLIMIT: usize = 97;
pub const GETEUID: usize = 107;
pub const GETTID: usize = 186;
pub const SCHED_GETAFFINITY: usize = 204;
pub const CLOCK_GETTIME: usize = 228;
pub const EXIT_GROUP: usize = 231;
pub const TGKILL: usize = 234;
pub const FALLOCATE: usize = 285;

pub const CLOCK_REALTIME: usize = 0;
pub const CLOCK_MONOTONIC: usize = 1;

/// A negated errno, as the kernel returns it.
pub type Errno = i32;

/// A system call with up to six arguments.
///
/// # Safety
/// Whatever the call itself demands of its arguments.
unsafe fn syscall(number: usize, args: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; memory is assumed changed.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if (-4095..0).contains(&result) {
        Err(-result as Errno)
    } else {
        Ok(result as usize)
    }
}

/// Writes to standard error; failures are nobody's business.
pub fn write_stderr(text: &[u8]) {
    // SAFETY: the buffer is readable for its length.
    let _ = unsafe { syscall(WRITE, [2, text.as_ptr() as usize, text.len(), 0, 0, 0]) };
}

/// open(2) of a zero-terminated path.
pub fn open(path: *const u8, flags: usize, mode: usize) -> Result<usize, Errno> {
    // SAFETY: callers pass zero-terminated buffers.
    unsafe { syscall(OPEN, [path as usize, flags, mode, 0, 0, 0]) }
}

/// close(2).
pub fn close(fd: usize) {
    // SAFETY: closes a descriptor that init opened.
    let _ = unsafe { syscall(CLOSE, [fd, 0, 0, 0, 0, 0]) };
}

/// read(2) into a buffer.
pub fn read(fd: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is writable for its length.
    unsafe {
        syscall(
            READ,
            [fd, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0],
        )
    }
}

/// unlink(2) of a zero-terminated path.
pub fn unlink(path: *const u8) {
    // SAFETY: callers pass zero-terminated buffers.
    let _ = unsafe { syscall(UNLINK, [path as usize, 0, 0, 0, 0, 0]) };
}

/// readlink(2) of a zero-terminated path; the length, cut at the buffer's.
pub fn readlink(path: &core::ffi::CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let path = path.as_ptr() as usize;
    // SAFETY: path is zero-terminated, the buffer writable for its length.
    unsafe {
        syscall(
            READLINK,
            [path, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0],
        )
    }
}

/// Whether the process may make a file of that size: with RLIMIT_FSIZE below it, trying would be
/// answered with SIGXFSZ, which ends the program (setrlimit(2)).
pub fn may_make_file_of(size: usize) -> bool {
    const RLIMIT_FSIZE: usize = 1;
    let mut limits = [0usize; 2];
    // SAFETY: `limits` has struct rlimit's layout.
    match unsafe {
        syscall(
            GETRLIMIT,
            [RLIMIT_FSIZE, limits.as_mut_ptr() as usize, 0, 0, 0, 0],
        )
    } {
        Ok(_) => size <= limits[0],
        Err(_) => true,
    }
}

/// ftruncate(2), then fallocate(2): a file of `size` bytes, the first `promised` of which the file system will have room
/// for.
pub fn reserve(fd: usize, size: usize, promised: usize) -> Result<(), Errno> {
    // SAFETY: plain integers.
    unsafe {
        syscall(FTRUNCATE, [fd, size, 0, 0, 0, 0])?;
        syscall(FALLOCATE, [fd, 0, 0, promised, 0, 0])?;
    }
    Ok(())
}

/// Maps `size` bytes of a file from `offset`, shared, readable and writable; at `address` (replacing
/// what is there) unless that is 0.
///
/// # Safety
/// A non-zero address must be that of a range reserved for this.
pub unsafe fn map_shared(
    address: usize,
    size: usize,
    fd: usize,
    offset: usize,
) -> Result<usize, Errno> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_SHARED: usize = 1;
    const MAP_FIXED: usize = 0x10;
    let flags = if address == 0 {
        MAP_SHARED
    } else {
        MAP_SHARED | MAP_FIXED
    };
    // SAFETY: as the function's own contract says.
    unsafe { syscall(MMAP, [address, size, PROT_READ_WRITE, flags, fd, offset]) }
}

/// Puts zeros that are the process' own in the place of what is mapped at a range of whole pages.
///
/// # Safety
/// Whoever uses the range must be content with zeros.
pub unsafe fn map_zeros(start: usize, size: usize) -> Result<usize, Errno> {
    const PROT_READ_WRITE: usize = 3;
    /// MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE.
    const FLAGS: usize = 0x2 | 0x10 | 0x20 | 0x4000;
    // SAFETY: as the function's own contract says.
    unsafe { syscall(MMAP, [start, size, PROT_READ_WRITE, FLAGS, usize::MAX, 0]) }
}

/// A file's contents, mapped read-only until dropped.
pub struct Mapped {
    address: usize,
    len: usize,
}

impl Mapped {
    /// At most `most` bytes of a file; `None` when it is empty or cannot be mapped.
    pub fn of(fd: usize, most: usize) -> Option<Mapped> {
        const SEEK_END: usize = 2;
        const PROT_READ: usize = 1;
        const MAP_PRIVATE: usize = 2;
        // SAFETY: plain integers; the kernel chooses the address.
        unsafe {
            let len = syscall(LSEEK, [fd, 0, SEEK_END, 0, 0, 0]).ok()?.min(most);
            let address = syscall(MMAP, [0, len, PROT_READ, MAP_PRIVATE, fd, 0]).ok()?;
            Some(Mapped { address, len })
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for that length as long as this lives.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: `bytes` borrows from this, so nothing uses the mapping any more.
        unsafe { unmap(self.address, self.len) };
    }
}

/// munmap(2) of a mapping that init made.
///
/// # Safety
/// Nothing may use the range any more.
pub unsafe fn unmap(address: usize, size: usize) {
    // SAFETY: as the function's own contract says.
    let _ = unsafe { syscall(MUNMAP, [address, size, 0, 0, 0, 0]) };
}

/// getpid(2).
pub fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall(GETPID, [0; 6]) }.unwrap_or(0) as u32
}

/// geteuid(2).
pub fn effective_uid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall(GETEUID, [0; 6]) }.unwrap_or(0) as u32
}

/// clock_gettime(2) in nanoseconds; 0 when it fails.
pub fn clock_ns(clock: usize) -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: `time` has struct timespec's layout.
    match unsafe {
        syscall(
            CLOCK_GETTIME,
            [clock, time.as_mut_ptr() as usize, 0, 0, 0, 0],
        )
    } {
        Ok(_) => time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1]),
        Err(_) => 0,
    }
}

/// How many CPUs the process may run on; `None` when the kernel does not say.
pub fn cpus_allowed() -> Option<u32> {
    let mut mask = [0u64; 128];
    let size = core::mem::size_of_val(&mask);
    // SAFETY: the mask is writable for its size.
    let written = unsafe {
        syscall(
            SCHED_GETAFFINITY,
            [0, size, mask.as_mut_ptr() as usize, 0, 0, 0],
        )
    }
    .ok()?;
    Some(
        mask.iter()
            .take(written / 8)
            .map(|word| word.count_ones())
            .sum(),
    )
}

/// nanosleep(2) below a second.
pub fn sleep_ns(ns: u64) {
    let time = [0u64, ns];
    // SAFETY: `time` has struct timespec's layout.
    let _ = unsafe { syscall(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// Formats a number; the digits lie at the buffer's end.
pub fn format_number(mut number: u64, base: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    while at > 0 {
        at -= 1;
        let digit = (number % base) as u8;
        buffer[at] = if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        };
        number /= base;
        if number == 0 {
            break;
        }
    }
    buffer.get(at..).unwrap_or(&[])
}

/// Memory of its own, zeroed; it is never given back. `None` when there is none to be had.
pub fn anonymous(size: usize) -> Option<usize> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    // SAFETY: the kernel chooses the address.
    unsafe {
        let flags = MAP_PRIVATE_ANONYMOUS;
        syscall(MMAP, [0, size, PROT_READ_WRITE, flags, usize::MAX, 0]).ok()
    }
}

/// Ends the process by SIGABRT, whatever handles or blocks that: the kernel then writes a core dump, if the
/// process' limits allow one.
pub fn abort() {
    const SIGABRT: usize = 6;
    const SIG_UNBLOCK: usize = 1;
    /// Bytes of a kernel sigset_t.
    const SET: usize = 8;
    let default = [0u64; 4];
    let set = [1u64 << (SIGABRT - 1)];
    // SAFETY: `default` has struct sigaction's layout (SIG_DFL is 0), `set` sigset_t's.
    unsafe {
        let _ = syscall(
            RT_SIGACTION,
            [SIGABRT, default.as_ptr() as usize, 0, SET, 0, 0],
        );
        let _ = syscall(
            RT_SIGPROCMASK,
            [SIG_UNBLOCK, set.as_ptr() as usize, 0, SET, 0, 0],
        );
        let thread = syscall(GETTID, [0; 6]).unwrap_or(0);
        let _ = syscall(TGKILL, [pid() as usize, thread, SIGABRT, 0, 0, 0]);
    }
}

/// Ends all threads of the process.
pub fn exit_group(code: usize) -> ! {
    // SAFETY: does not return.
    let _ = unsafe { syscall(EXIT_GROUP, [code, 0, 0, 0, 0, 0]) };
    exit(code)
}

/// Ends the thread.
pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: does not return.
        let _ = unsafe { syscall(EXIT, [code, 0, 0, 0, 0, 0]) };
    }
}

/// The time-stamp counter.
pub fn tsc() -> u64 {
    // SAFETY: rdtsc has no preconditions on the CPUs that Linux runs on in 64-bit mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A word of the running thread, `AT` bytes from where FS points.
///
/// # Safety
/// It must exist.
pub unsafe fn thread_word<const AT: i32>() -> u64 {
    let word;
    // SAFETY: the caller's; only reads.
    unsafe {
        core::arch::asm!("mov {}, fs:[{}]", out(reg) word, const AT, options(nostack, readonly, preserves_flags));
    }
    word
}

/// # Safety
/// As [`thread_word`], and nobody else may keep anything there.
pub unsafe fn set_thread_word<const AT: i32>(word: u64) {
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("mov fs:[{}], {}", const AT, in(reg) word, options(nostack, preserves_flags));
    }
}

/// Makes the pages of a mapping that a range touches ready for being written to, in one call instead of a page fault for each.
/// Kernels before 5.14 do not know it: there each has its fault, when it is used.
pub fn populate(start: usize, size: usize) {
    const MADV_POPULATE_WRITE: usize = 23;
    let page = start & !4095;
    // SAFETY: what is in the pages stays as it is.
    let _ = unsafe {
        syscall(
            MADVISE,
            [page, start + size - page, MADV_POPULATE_WRITE, 0, 0, 0],
        )
    };
}

/// The eight bytes at an address can be read. The kernel copies a signal set before it looks at what is
/// to be done with it, and what is asked for here does not exist (kernel/signal.c): EFAULT or EINVAL. Go's
/// runtime makes this call all the time, so no filter of system calls forbids it.
pub fn is_readable(at: u64) -> bool {
    const NO_SUCH_ACTION: usize = 0x7fff_ffff;
    const EINVAL: Errno = 22;
    // SAFETY: nothing is changed, and the kernel itself checks the address.
    let result = unsafe { syscall(RT_SIGPROCMASK, [NO_SUCH_ACTION, at as usize, 0, 8, 0, 0]) };
    result == Err(EINVAL)
}
