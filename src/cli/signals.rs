//! Standing between a terminal and a program without being noticed.

use signal_hook::consts::signal::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Signals that are meant for the program.
const FORWARDED: [i32; 9] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM, SIGCONT,
];

/// Hands signals on to a child. In force from its creation, so that none is lost before the child
/// exists.
pub struct Forwarder {
    signals: SignalsInfo<WithOrigin>,
}

impl Forwarder {
    /// Starts to collect signals. What this process ignores (`nohup`) stays ignored, here and in the
    /// child.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Forwarder> {
        let wanted = FORWARDED
            .into_iter()
            .filter(|&signal| !is_ignored(signal))
            .chain([SIGCHLD]);
        Ok(Forwarder {
            signals: SignalsInfo::new(wanted)?,
        })
    }

    /// Waits for the child's end, handing on what comes meanwhile. Sending and reaping happen in one
    /// thread, so a signal never reaches a stranger who was given the child's number.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub fn wait(mut self, child: &mut Child) -> io::Result<ExitStatus> {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for origin in self.signals.forever() {
            if origin.signal == SIGCHLD {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
            } else if is_for_us_alone(&origin) {
                send(child, origin.signal);
            }
        }
        child.wait()
    }
}

/// Becomes true when somebody wants an end (Ctrl-C, a termination), whatever the program makes of it.
///
/// # Errors
/// When the system refuses a handler.
pub fn end_wanted() -> io::Result<Arc<AtomicBool>> {
    let wanted = Arc::new(AtomicBool::new(false));
    let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];
    for signal in signals.into_iter().filter(|&signal| !is_ignored(signal)) {
        signal_hook::flag::register(signal, Arc::clone(&wanted))?;
    }
    Ok(wanted)
}

/// What the terminal sends (Ctrl-C, a new window size) goes to the whole foreground group: the child
/// has got it already, and a second Ctrl-C means something else to many programs.
fn is_for_us_alone(origin: &Origin) -> bool {
    !matches!(origin.cause, Cause::Kernel)
}

fn send(child: &Child, signal: i32) {
    // SAFETY: kill has no memory effects. The child has not been reaped (only `wait` does that, in
    // this thread), so the number is still its own.
    unsafe {
        libc::kill(child.id() as libc::pid_t, signal);
    }
}

/// This process was started with the signal ignored, or has chosen to.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: sigaction with a null new action only writes the current one to `current`, for which
    // all-zero bytes are a valid value.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut current) == 0
            && current.sa_sigaction == libc::SIG_IGN
    }
}

/// Ends this process by the signal that ended the child, without a core dump of its own.
pub fn die_of(signal: i32) -> std::process::ExitCode {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: None,
    };
    // Should either fail, the code below is what a shell would report.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::ExitCode::from(128u8.wrapping_add(signal as u8))
}
