use super::output;
use crate::patch::Mode;
use crate::ring::layout::{CONTROL_OFFSET, Control, GATE_TRACE};
use crate::ring::{Ring, ring_files};
use anyhow::{Context, bail};
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Show and change what a running program does
///
/// Only the owner of its ring (and root) can. Without options it only shows. A change is in force
/// with the program's next map operations. A program that was started with mode off has no ring; one
/// in hunt, guard or block stays in one of these three.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc ctl 4711 --mode trace --sample 100")]
pub struct CtlArgs {
    /// The process' id, or its ring
    #[arg(value_name = "PID|RING")]
    target: PathBuf,
    /// Where the ring of a process id is
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// off, observe, trace, hunt, guard or block
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Observe: record one operation in so many per P
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    sample: Option<u32>,
    /// Hunt: how long an operation is held, as in 2ms
    #[arg(long, value_name = "D", value_parser = duration)]
    hold: Option<Duration>,
    /// Hunt: this close in time is a near miss, as in 100ms
    #[arg(long, value_name = "D", value_parser = duration)]
    window: Option<Duration>,
    /// Hunt: share of the time for holding operations, %
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    budget: Option<u32>,
}

pub fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let path = ring_of(&args.target, &args.dir)?;
    let ring = Ring::open(&path)?;
    let writes = args.writes(&ring.control()?)?;
    if !writes.is_empty() {
        let file = open_to_change(&path)?;
        for write in &writes {
            write.apply(&file, &path)?;
        }
    }
    output::to_stdout(table(&ring.control()?).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A ring is named by its path, or by its process.
fn ring_of(target: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let Some(pid) = target.to_str().and_then(|text| text.parse::<u32>().ok()) else {
        return Ok(target.to_owned());
    };
    let prefix = format!("gocc-{pid}-");
    let mut rings = ring_files(&[dir.to_owned()])?;
    rings.retain(|ring| {
        let name = ring.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(prefix.as_bytes())
    });
    // A process id is used again: the ring that was made last is the running one's.
    rings.sort_by_key(|ring| {
        let metadata = std::fs::metadata(ring);
        metadata.and_then(|found| found.modified()).ok()
    });
    rings.pop().with_context(|| {
        format!(
            "no ring of process {pid} in {} (name its directory with --dir, or the ring itself)",
            dir.display()
        )
    })
}

/// Opens a ring for changes, when it is this user's or this user is root.
fn open_to_change(path: &Path) -> anyhow::Result<File> {
    let cannot = || format!("cannot change {}", path.display());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
        .open(path)
        .with_context(cannot)?;
    let metadata = file.metadata().with_context(cannot)?;
    let user = rustix::process::geteuid();
    if !user.is_root() && metadata.uid() != user.as_raw() {
        bail!("{}: it belongs to user {}", cannot(), metadata.uid());
    }
    // Where others may write too, what it says is not its process' word alone.
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
        bail!(
            "{}: it is not a file that only its owner can write",
            cannot()
        );
    }
    Ok(file)
}

/// One aligned store into the control page. The program reads each field on its own, so that each
/// change is whole.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Word(usize, u32),
    Long(usize, u64),
}

impl Change {
    fn apply(&self, file: &File, path: &Path) -> anyhow::Result<()> {
        let at = |field: usize| (CONTROL_OFFSET + field) as u64;
        let written = match self {
            Change::Word(field, value) => file.write_all_at(&value.to_le_bytes(), at(*field)),
            Change::Long(field, value) => file.write_all_at(&value.to_le_bytes(), at(*field)),
        };
        written.with_context(|| format!("cannot change {}", path.display()))
    }
}

impl CtlArgs {
    fn writes(&self, control: &Control) -> anyhow::Result<Vec<Change>> {
        if let Some(mode) = self.mode {
            check_change(control.gate, mode)?;
        }
        let word = |field, value: Option<u32>| value.map(|value| Change::Word(field, value));
        let long = |field, value: Option<Duration>| -> anyhow::Result<Option<Change>> {
            let ticks = value.map(|value| ticks(value, control)).transpose()?;
            Ok(ticks.map(|ticks| Change::Long(field, ticks)))
        };
        let changes = [
            long(offset_of!(Control, hold_ticks), self.hold)?,
            long(offset_of!(Control, window_ticks), self.window)?,
            word(offset_of!(Control, budget_percent), self.budget),
            word(offset_of!(Control, sample_period), self.sample),
            // The mode last: what it uses is in place by then.
            word(offset_of!(Control, gate), self.mode.map(Mode::gate)),
        ];
        Ok(changes.into_iter().flatten().collect())
    }
}

/// In hunt, guard and block an operation registers with its map, and its end takes that back, but not
/// when another mode has come meanwhile. What stayed registered would be taken for a conflict later.
fn check_change(gate: u32, mode: Mode) -> anyhow::Result<()> {
    if gate > GATE_TRACE && mode.gate() <= GATE_TRACE {
        bail!(
            "a program in mode hunt, guard or block cannot go back to {mode}: operations that have begun would never end for gocc (it can change among hunt, guard and block)"
        );
    }
    Ok(())
}

fn ticks(time: Duration, control: &Control) -> anyhow::Result<u64> {
    if control.ticks_per_ms == 0 {
        bail!("the program has not measured its clock, so no time can be set");
    }
    let ticks = time.as_nanos() * u128::from(control.ticks_per_ms) / 1_000_000;
    u64::try_from(ticks).context("that is too long")
}

/// A whole number with its unit, as in `GOCC`.
fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a whole number with its unit (ns, us, ms or s), for example 2ms".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wanted())?;
    match text.get(digits.len()..) {
        Some("ns") => Ok(Duration::from_nanos(number)),
        Some("us") => Ok(Duration::from_micros(number)),
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        _ => Err(wanted()),
    }
}

fn table(control: &Control) -> String {
    let mode = Mode::ALL
        .into_iter()
        .find(|mode| mode.gate() == control.gate);
    let time = |ticks: u64| match control.ticks_per_ms {
        0 => "unknown".to_owned(),
        per_ms => format!("{:.3} ms", ticks as f64 / per_ms as f64),
    };
    let rows = [
        ("mode", mode.map_or("unknown", Mode::name).to_owned()),
        ("sample", format!("1 in {}", control.sample_period)),
        ("hold", time(control.hold_ticks)),
        ("window", time(control.window_ticks)),
        ("wait", time(control.wait_ticks)),
        ("budget", format!("{} %", control.budget_percent)),
        ("conflicts", control.conflicts_claimed.to_string()),
        ("suspects", control.suspects.to_string()),
        ("holds", control.holds.to_string()),
        ("held", time(control.held_ticks)),
        ("waited", control.waited.to_string()),
        ("waited in vain", control.waited_in_vain.to_string()),
        ("untracked", control.untracked.to_string()),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<16}{value}");
    }
    text
}
