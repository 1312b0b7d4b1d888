//! A sign of life for work that takes longer than half a second.

use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Work that takes less than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shows a spinner on stderr while it lives, if that is a terminal and it lives long enough.
pub struct Progress {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to wait.
    pub fn start(message: impl Into<String>) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress {
                done: None,
                thread: None,
            };
        }
        let message = message.into();
        let (done, until) = channel();
        let thread = std::thread::spawn(move || spin(&message, &until));
        Progress {
            done: Some(done),
            thread: Some(thread),
        }
    }
}

fn spin(message: &str, until: &Receiver<()>) {
    if until.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::new_spinner().with_message(message.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    // Ends when the sender is dropped.
    let _ = until.recv();
    bar.finish_and_clear();
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it did, a missing spinner is no reason to fail.
            let _ = thread.join();
        }
    }
}
