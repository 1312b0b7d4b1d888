//! `gocc watch`: a running program's maps on a terminal. What is shown is worked out by [`crate::analyze::live`],
//! what it looks like by `view`; changes go the way of `gocc ctl`.

mod terminal;
mod view;

use super::ctl::{CtlArgs, ring_of};
use super::{output, signals};
use crate::analyze::{Live, Options, Snapshot, is_running, live};
use crate::patch::Mode;
use crate::ring::Ring;
use anyhow::{Context, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use terminal::Waited;
use view::View;

/// Functions and maps that are listed at most.
const MOST: usize = 50;
/// Sampling periods that the keys go to.
const PERIODS: std::ops::RangeInclusive<u32> = 1..=1 << 20;

/// Watch a running program's maps, and change its mode
///
/// Operations per second by kind, the busiest functions and maps, conflicts as they come, what is missing, and an estimate
/// of what it all costs. Rates are estimates where not every operation is recorded; the counts are those of
/// gocc report and gocc stats.
#[derive(clap::Args)]
#[command(after_help = "\
Keys: 0 off, o observe, t trace, h hunt, g guard, b block, + and - sampling,
      space pauses the view, q ends it.
Example:
  gocc watch 4711")]
pub struct WatchArgs {
    /// The process' id, or its ring
    #[arg(value_name = "PID|RING")]
    target: PathBuf,
    /// Where the ring of a process id is
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Take names from this executable
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
    /// Milliseconds between looks
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=60_000))]
    every: u32,
}

pub fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let ring = Ring::open(&ring_of(&args.target, &args.dir)?)?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("gocc watch needs a terminal (gocc stats and gocc report do without)");
    }
    let options = Options {
        exe: args.exe.clone(),
        ..Options::default()
    };
    let end = signals::end_wanted().context("cannot listen to signals")?;
    let every = Duration::from_millis(args.every.into());
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let watched = live(&ring, &options, |live, _| {
        let is_over = || end.load(Ordering::Relaxed);
        Watch::begin(&ring, live)?.until_over(&mut terminal, every, &is_over)
    });
    // The terminal is given back before anything is said.
    let restored = ratatui::try_restore();
    watched??;
    restored.context("cannot give the terminal back")?;
    Ok(ExitCode::SUCCESS)
}

/// The view and what it is of.
struct Watch<'l, 'r, 'b, 'c> {
    ring: &'r Ring,
    live: &'l mut Live<'r, 'b, 'c>,
    view: View,
    looked: Instant,
}

impl<'l, 'r, 'b, 'c> Watch<'l, 'r, 'b, 'c> {
    fn begin(ring: &'r Ring, live: &'l mut Live<'r, 'b, 'c>) -> anyhow::Result<Self> {
        let snapshot = live.look(0.0, MOST)?;
        let executable = ring.exe_path();
        let name = executable.file_name().unwrap_or_default().to_string_lossy();
        let view = View::new(&name, ring.header().pid, is_running(ring), snapshot);
        Ok(Watch {
            ring,
            live,
            view,
            looked: Instant::now(),
        })
    }

    fn until_over(
        &mut self,
        terminal: &mut DefaultTerminal,
        every: Duration,
        is_over: &dyn Fn() -> bool,
    ) -> anyhow::Result<()> {
        let cannot = "cannot draw on this terminal";
        while !is_over() {
            terminal
                .draw(|frame| self.view.draw(frame))
                .context(cannot)?;
            let rest = every.saturating_sub(self.looked.elapsed());
            match terminal::wait(rest).context(cannot)? {
                Waited::Event(event) if !self.answer(&event) => return Ok(()),
                Waited::Gone => bail!("the terminal was closed"),
                Waited::Event(_) | Waited::Nothing => {}
            }
            if self.looked.elapsed() >= every {
                self.look()?;
            }
        }
        Ok(())
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let seconds = self.looked.elapsed().as_secs_f64();
        self.looked = Instant::now();
        let snapshot = self.live.look(seconds, MOST)?;
        self.view.update(snapshot, is_running(self.ring));
        Ok(())
    }

    /// False when the view is to end.
    fn answer(&mut self, event: &Event) -> bool {
        let Event::Key(key) = event else { return true };
        if key.kind == KeyEventKind::Release {
            return true;
        }
        match wish_of(*key, self.view.snapshot()) {
            Some(Wish::End) => return false,
            Some(Wish::Pause) => self.view.pause(),
            Some(Wish::Change(change)) => self.change(&change),
            None => {}
        }
        true
    }

    /// As `gocc ctl` would; what it refuses is said at the bottom.
    fn change(&mut self, change: &CtlArgs) {
        let done = change.change(self.ring);
        self.view.say(match done {
            Ok(()) => String::new(),
            Err(error) => output::one_line(&error),
        });
        // So that the change shows at once. A ring that cannot be read is told at the next look.
        if let Ok(control) = self.ring.control() {
            self.view.set_control(control);
        }
    }
}

/// What a key asks for.
enum Wish {
    End,
    Pause,
    Change(CtlArgs),
}

fn wish_of(key: KeyEvent, snapshot: &Snapshot) -> Option<Wish> {
    let mode = |mode| Some(Wish::Change(CtlArgs::of_mode(mode)));
    let sample = |period: u32| {
        let period = period.clamp(*PERIODS.start(), *PERIODS.end());
        Some(Wish::Change(CtlArgs::of_sample(period)))
    };
    let period = snapshot.control.sample_period;
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::End),
        KeyCode::Char(' ') => Some(Wish::Pause),
        KeyCode::Char('0') => mode(Mode::Off),
        KeyCode::Char('o') => mode(Mode::Observe),
        KeyCode::Char('t') => mode(Mode::Trace),
        KeyCode::Char('h') => mode(Mode::Hunt),
        KeyCode::Char('g') => mode(Mode::Guard),
        KeyCode::Char('b') => mode(Mode::Block),
        // More samples are a shorter period.
        KeyCode::Char('+' | '=') => sample(period / 2),
        KeyCode::Char('-') => sample(period.saturating_mul(2)),
        _ => None,
    }
}
