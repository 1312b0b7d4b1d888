//! Ending a program at its first conflict that nothing allows (`confirmed = "stop"` in gocc.toml).
//!
//! Mode block does that by itself, at once, for every conflict. Where some are allowed, somebody must look at each:
//! the program runs in another mode (guard, unless told otherwise, so that nothing breaks meanwhile), and what its rings
//! say is judged as it comes.

use super::output;
use super::runner::RingDir;
use crate::analyze::{self, Options};
use crate::config::Policy;
use crate::ring::Ring;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long a conflict may go unseen.
const EVERY: Duration = Duration::from_millis(50);

/// Runs something that starts a program under a [`super::signals::Forwarder`]; the program gets a SIGTERM as soon as its
/// rings have a confirmed conflict that nothing allows.
pub fn at_the_first<R>(policy: &Policy, rings: &RingDir, run: impl FnOnce() -> R) -> R {
    let (over, until) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || watch(policy, rings, &until));
        let result = run();
        drop(over);
        result
    })
}

fn watch(policy: &Policy, rings: &RingDir, until: &Receiver<()>) {
    let mut judged = 0;
    while until.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let open = open(rings);
        let conflicts = conflicts(&open);
        if conflicts == judged {
            continue;
        }
        judged = conflicts;
        if fails(policy, open) {
            output::note_line("stopped at a conflict that nothing allows (confirmed = \"stop\")");
            end_program();
            return;
        }
    }
}

/// Rings that cannot be read yet are looked at the next time.
fn open(rings: &RingDir) -> Vec<Ring> {
    let paths = rings.new_rings().unwrap_or_default();
    let open = paths.iter().filter_map(|path| Ring::open(path).ok());
    open.collect()
}

fn conflicts(rings: &[Ring]) -> u64 {
    let controls = rings.iter().filter_map(|ring| ring.control().ok());
    controls
        .map(|control| u64::from(control.conflicts_claimed))
        .sum()
}

fn fails(policy: &Policy, rings: Vec<Ring>) -> bool {
    // What cannot be analysed now is analysed at the end, where errors are told.
    let analysis = analyze::analyze(rings, &Options::default());
    analysis.is_ok_and(|mut analysis| policy.judge(&mut analysis).failing > 0)
}

/// By way of this process' own forwarder, which knows whether the program is still there. Its handler stays when the
/// program has ended, so that the signal never ends this process.
fn end_program() {
    // SAFETY: raising a signal for which a handler is installed has no memory effects of its own.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGTERM);
    }
}
