//! Waiting for what the user does on the terminal.
//!
//! crossterm (0.29, event/source/unix/mio.rs) takes the end of input for "nothing yet" and reads again
//! without end, deaf to every signal: it is only asked while the terminal is there.

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// What came of waiting.
pub enum Waited {
    /// The user did something.
    Event(Event),
    /// Nothing in that time, or a signal.
    Nothing,
    /// The terminal was closed.
    Gone,
}

/// Waits for an event, at most so long.
///
/// # Errors
/// When the terminal cannot be read.
pub fn wait(most: Duration) -> io::Result<Waited> {
    // What crossterm has read already is not in the terminal any more.
    match look(Duration::ZERO)? {
        Waited::Nothing => look(most),
        found => Ok(found),
    }
}

fn look(most: Duration) -> io::Result<Waited> {
    if is_gone(most)? {
        return Ok(Waited::Gone);
    }
    match event::poll(Duration::ZERO) {
        Ok(true) => event::read().map(Waited::Event),
        Ok(false) => Ok(Waited::Nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Waited::Nothing),
        Err(error) => Err(error),
    }
}

/// Waits until there is input, the terminal is closed, a signal comes or the time is over.
fn is_gone(most: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(&stdin, PollFlags::IN)];
    let most = Timespec::try_from(most).unwrap_or_default();
    let polled = match poll(&mut terminal, Some(&most)) {
        // The signal may be the terminal's last one: it has to be looked at again.
        Err(Errno::INTR) => poll(&mut terminal, Some(&Timespec::default())),
        polled => polled,
    };
    polled?;
    let closed = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(terminal.iter().any(|fd| fd.revents().intersects(closed)))
}
