//! What a system may deny a program: system calls and memory; and waiting for the ring of one that runs.

use anyhow::bail;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The call fails with EPERM, as in many containers.
pub const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// The call kills the process with SIGSYS.
pub const DEADLY: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// The first ring that appears in a directory.
///
/// # Errors
/// When there is none after two minutes.
pub fn first_ring(place: &Path) -> anyhow::Result<PathBuf> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        if let Some(entry) = fs::read_dir(place)?.next() {
            return Ok(entry?.path());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("no ring in {}", place.display())
}

/// Installs a seccomp filter for this process, with an answer of its own for one system call. To be called between fork
/// and exec.
///
/// # Errors
/// When the kernel does not take it.
pub fn filter(number: u32, answer: u32) -> std::io::Result<()> {
    let load = libc::sock_filter {
        code: 0x20, // BPF_LD | BPF_W | BPF_ABS: seccomp_data.nr
        jt: 0,
        jf: 0,
        k: 0,
    };
    let compare = libc::sock_filter {
        code: 0x15, // BPF_JMP | BPF_JEQ | BPF_K
        jt: 0,
        jf: 1,
        k: number,
    };
    let give = |k| libc::sock_filter {
        code: 0x06, // BPF_RET
        jt: 0,
        jf: 0,
        k,
    };
    let mut filter = [load, compare, give(answer), give(libc::SECCOMP_RET_ALLOW)];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the filter outlives the calls, and the kernel copies it.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
    };
    if failed {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A memory control group of its own, in either version of the kernel's interface.
pub struct MemoryGroup {
    place: PathBuf,
}

impl MemoryGroup {
    /// Makes one; `None` where this process may not.
    ///
    /// # Errors
    /// When it can be made, but not limited.
    pub fn new(limit: u64) -> anyhow::Result<Option<MemoryGroup>> {
        let name = format!("gocc-test-{}", std::process::id());
        let ways = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        for (root, file) in ways {
            let place = Path::new(root).join(&name);
            // In a file system that is none of control groups, that file is missing in the new directory.
            if fs::create_dir(&place).is_err() {
                continue;
            }
            let group = MemoryGroup { place };
            if group.place.join(file).exists() {
                fs::write(group.place.join(file), limit.to_string())?;
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// The file that takes the ids of processes that shall belong to it.
    pub fn members(&self) -> PathBuf {
        self.place.join("cgroup.procs")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that has just ended may still be in it.
        for _ in 0..100 {
            if fs::remove_dir(&self.place).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
