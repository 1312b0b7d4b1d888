use super::output;
use super::suspects::{Known, Suspects};
use crate::config::{delay, duration};
use crate::image::Vaddr;
use crate::patch::Mode;
use crate::ring::layout::{
    CONTROL_OFFSET, Control, FRONT_SIZE, GATE_HUNT, GATE_OBSERVE, GATE_TRACE, LANE_HEADERS_OFFSET,
    LaneHeader, PAIR_COUNT, PAIRS_OFFSET, PLACE_COUNT, PLACES_OFFSET, PROBES, Pair, Place,
    pair_index, pair_key, place_index,
};
use crate::ring::{Ring, ring_files};
use anyhow::{Context, bail};
use memmap2::{MmapMut, MmapOptions};
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Show and change what a running program does
///
/// Only the owner of its ring (and root) can. Without options it only shows. A change is in force
/// with the program's next map operations. A program that was started with mode off has no ring.
#[derive(clap::Args, Default)]
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
    /// Observe: record so many operations a second; 0 for none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1 << 30))]
    rate: Option<u32>,
    /// Hunt: how long an operation is held, as in 2ms
    #[arg(long, value_name = "D", value_parser = delay)]
    hold: Option<Duration>,
    /// Hunt: this close in time is a near miss, as in 100ms
    #[arg(long, value_name = "D", value_parser = duration)]
    window: Option<Duration>,
    /// Guard: how long an operation waits, as in 10ms
    #[arg(long, value_name = "D", value_parser = delay)]
    wait: Option<Duration>,
    /// Hunt: share of the time for holding operations, %
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    budget: Option<u32>,
    /// Hunt: suspects that earlier runs have kept in this file
    #[arg(long, value_name = "FILE")]
    suspects: Option<PathBuf>,
}

pub fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let path = ring_of(&args.target, &args.dir)?;
    let ring = Ring::open(&path)?;
    args.change(&ring)?;
    output::to_stdout(table(&ring.control()?).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A ring is named by its path, or by its process.
pub fn ring_of(target: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
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

/// The front of a ring that a program may be using, to change it. Fields are named by their offset.
///
/// Every store is aligned and whole. The program reads each field on its own, but for gate and epoch.
struct LiveFront {
    memory: MmapMut,
    file: File,
    path: PathBuf,
}

impl LiveFront {
    fn map(path: &Path) -> anyhow::Result<LiveFront> {
        let file = open_to_change(path)?;
        let mut options = MmapOptions::new();
        options.len(FRONT_SIZE);
        // SAFETY: the ring is whole (its reader has checked that) and nobody shortens it: its owner's programs
        // only store into it. All access below is by atomic stores and loads.
        let memory = unsafe { options.map_mut(&file) }
            .with_context(|| format!("cannot change {}", path.display()))?;
        Ok(LiveFront {
            memory,
            file,
            path: path.to_owned(),
        })
    }

    fn word(&self, field: usize) -> &AtomicU32 {
        // SAFETY: an aligned field inside the mapping, which lives as long as the reference, and is only
        // accessed atomically.
        unsafe { AtomicU32::from_ptr(self.memory.as_ptr().add(field).cast_mut().cast()) }
    }

    fn long(&self, field: usize) -> &AtomicU64 {
        // SAFETY: as for `word`.
        unsafe { AtomicU64::from_ptr(self.memory.as_ptr().add(field).cast_mut().cast()) }
    }

    fn apply(&self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Word(field, value) => self.word(CONTROL_OFFSET + field).store(*value, Relaxed),
            Change::Long(field, value) => self.long(CONTROL_OFFSET + field).store(*value, Relaxed),
            Change::Gate(gate) => self.set_gate(*gate)?,
        }
        Ok(())
    }

    /// Gets room for the lanes, which a program that began in hunt, block or guard has not asked the file system for:
    /// without, its first store there might end it.
    fn reserve_lanes(&self) -> anyhow::Result<()> {
        let cannot = || {
            format!(
                "cannot change {}: no room for its lanes",
                self.path.display()
            )
        };
        let size = self.file.metadata().with_context(cannot)?.len();
        let front = FRONT_SIZE as u64;
        if size > front {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&self.file, flags, front, size - front).with_context(cannot)?;
        }
        Ok(())
    }

    /// Moves the gate. Where operations begun under the old one may end without taking back what says that they
    /// are inside, an epoch begins: whatever was left in an earlier one proves nothing any more.
    fn set_gate(&self, gate: u32) -> anyhow::Result<()> {
        const GATE_AND_EPOCH: usize = CONTROL_OFFSET + offset_of!(Control, gate);
        let both = self.long(GATE_AND_EPOCH);
        let found = both.load(SeqCst);
        // The low half is the gate, the high half the epoch: the layout is little-endian.
        let (old, epoch) = (found as u32, (found >> 32) as u32);
        if old == gate {
            return Ok(());
        }
        if matches!(gate, GATE_OBSERVE | GATE_TRACE) {
            self.reserve_lanes()?;
        }
        let stays_managed = old > GATE_TRACE && gate > GATE_TRACE;
        let epoch = epoch.wrapping_add(u32::from(!stays_managed));
        let since = self.long(CONTROL_OFFSET + offset_of!(Control, since));
        let before = since.load(SeqCst);
        if !stays_managed {
            // While the gate moves, nobody is believed to be inside.
            since.store(u64::MAX, SeqCst);
        }
        let new = u64::from(gate) | u64::from(epoch) << 32;
        if both.compare_exchange(found, new, SeqCst, SeqCst).is_err() {
            since.store(before, SeqCst);
            bail!(
                "cannot change {}: somebody else is changing it too (try again)",
                self.path.display()
            );
        }
        if !stays_managed {
            let now = time_stamp_counter();
            self.long(CONTROL_OFFSET + offset_of!(Control, clock))
                .fetch_max(now, SeqCst);
            since.store(now, SeqCst);
        }
        Ok(())
    }

    /// Counts of operations that were begun under a longer sampling period end with this one. The program counts
    /// down without atomic operations, which may undo a store: so it is looked at again.
    fn shorten_counts(&self, lanes: u32, period: u32) {
        const TRIES: u32 = 50;
        let countdown = |lane: usize| {
            let header = LANE_HEADERS_OFFSET + lane * size_of::<LaneHeader>();
            self.word(header + offset_of!(LaneHeader, countdown))
        };
        for _ in 0..TRIES {
            let counts = (0..lanes as usize).map(countdown);
            let long =
                counts.filter(|count| count.load(Relaxed).cast_signed() > period.cast_signed());
            if long.map(|count| count.store(period, Relaxed)).count() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Where a struct of a table lies, of the probes from an index on: an entry that has the key, or a free one,
/// which then has it.
fn entry<K: Copy + PartialEq>(
    first: usize,
    table: (usize, usize, usize),
    key: K,
    claim: impl Fn(usize, K) -> K,
) -> Option<usize> {
    let (offset, count, size) = table;
    (0..PROBES)
        .map(|probe| offset + ((first + probe) & (count - 1)) * size)
        .find(|at| claim(*at, key) == key)
}

impl LiveFront {
    /// Tells the program about suspects (see stubs/shim/hunt.rs, `suspect_again`; order.rs, `known`).
    fn add_suspects(&self, known: &Known, load_bias: u64) {
        // Records hold the low halves of addresses.
        let low = |at: Vaddr| at.0.wrapping_add(load_bias) as u32;
        const PLACES: (usize, usize, usize) = (PLACES_OFFSET, PLACE_COUNT, size_of::<Place>());
        const PAIRS: (usize, usize, usize) = (PAIRS_OFFSET, PAIR_COUNT, size_of::<Pair>());
        for (at, chance) in &known.places {
            let pc = low(*at);
            let claim = |at, key| match self.word(at).compare_exchange(0, key, SeqCst, SeqCst) {
                Ok(_) => key,
                Err(found) => found,
            };
            let Some(place) = entry(place_index(pc), PLACES, pc, claim) else {
                continue;
            };
            self.word(place + offset_of!(Place, chance))
                .store(*chance, SeqCst);
            if self
                .word(place + offset_of!(Place, near_misses))
                .fetch_max(1, SeqCst)
                == 0
            {
                self.word(CONTROL_OFFSET + offset_of!(Control, suspects))
                    .fetch_add(1, SeqCst);
            }
        }
        for ([a, b], times) in &known.ordered {
            let key = pair_key(low(*a), low(*b));
            let claim = |at, key| match self.long(at).compare_exchange(0, key, SeqCst, SeqCst) {
                Ok(_) => key,
                Err(found) => found,
            };
            if let Some(pair) = entry(pair_index(key), PAIRS, key, claim) {
                self.word(pair + offset_of!(Pair, ordered))
                    .store(*times, SeqCst);
            }
        }
        if !known.places.is_empty() {
            self.word(CONTROL_OFFSET + offset_of!(Control, has_file))
                .store(1, SeqCst);
        }
    }
}

/// A change of the control page.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Word(usize, u32),
    Long(usize, u64),
    /// The mode.
    Gate(u32),
}

impl CtlArgs {
    /// Another mode, and nothing else.
    pub fn of_mode(mode: Mode) -> CtlArgs {
        CtlArgs {
            mode: Some(mode),
            ..CtlArgs::default()
        }
    }

    /// Another sampling period, and nothing else.
    pub fn of_sample(period: u32) -> CtlArgs {
        CtlArgs {
            sample: Some(period),
            ..CtlArgs::default()
        }
    }

    /// Makes the changes that were asked for.
    pub fn change(&self, ring: &Ring) -> anyhow::Result<()> {
        let changes = self.changes(&ring.control()?)?;
        if changes.is_empty() && self.suspects.is_none() {
            return Ok(());
        }
        let front = LiveFront::map(ring.path())?;
        if let Some(file) = &self.suspects {
            let known = Suspects::prepare(file, &ring.exe_path())?.known()?;
            front.add_suspects(&known, ring.header().load_bias);
        }
        changes.iter().try_for_each(|change| front.apply(change))?;
        // With a rate the next operation of each P is looked at, and the period adapted.
        let is_adapting = self.rate.is_some_and(|rate| rate != 0);
        if let Some(period) = if is_adapting { Some(1) } else { self.sample } {
            front.shorten_counts(ring.header().lane_count, period);
        }
        Ok(())
    }

    fn changes(&self, control: &Control) -> anyhow::Result<Vec<Change>> {
        let word = |field, value: Option<u32>| value.map(|value| Change::Word(field, value));
        let long = |field, value: Option<Duration>| -> anyhow::Result<Option<Change>> {
            let ticks = value.map(|value| ticks(value, control)).transpose()?;
            Ok(ticks.map(|ticks| Change::Long(field, ticks)))
        };
        // A fixed period and a rate exclude each other: the later word counts.
        let rate = self.rate.or(self.sample.map(|_| 0));
        let mut changes = vec![
            long(offset_of!(Control, hold_ticks), self.hold)?,
            long(offset_of!(Control, window_ticks), self.window)?,
            long(offset_of!(Control, wait_ticks), self.wait)?,
            word(offset_of!(Control, budget_percent), self.budget),
            word(offset_of!(Control, rate), rate),
            word(offset_of!(Control, sample_period), self.sample),
        ];
        if self.mode == Some(Mode::Hunt) && control.gate != GATE_HUNT {
            // What the program did before has earned nothing.
            changes.push(Some(Change::Long(
                offset_of!(Control, budget_since),
                time_stamp_counter(),
            )));
            changes.push(Some(Change::Long(
                offset_of!(Control, charged_before),
                control.charged_ticks,
            )));
            changes.push(Some(Change::Long(
                offset_of!(Control, hooks_before),
                control.hook_ticks,
            )));
        }
        // The mode last: what it uses is in place by then.
        changes.push(self.mode.map(|mode| Change::Gate(mode.gate())));
        Ok(changes.into_iter().flatten().collect())
    }
}

fn ticks(time: Duration, control: &Control) -> anyhow::Result<u64> {
    if control.ticks_per_ms == 0 {
        bail!("the program has not measured its clock, so no time can be set");
    }
    let ticks = time.as_nanos() * u128::from(control.ticks_per_ms) / 1_000_000;
    u64::try_from(ticks).context("that is too long")
}

fn rate(control: &Control) -> String {
    match control.rate {
        0 => "not set".to_owned(),
        rate => format!("{rate} a second"),
    }
}

/// The clock of the hooks (stubs/shim/sys.rs).
fn time_stamp_counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; no other can run what gocc patches.
    unsafe { std::arch::x86_64::_rdtsc() }
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
        ("rate", rate(control)),
        ("hold", time(control.hold_ticks)),
        ("window", time(control.window_ticks)),
        ("wait", time(control.wait_ticks)),
        ("budget", format!("{} %", control.budget_percent)),
        ("conflicts", control.conflicts_claimed.to_string()),
        ("suspects", control.suspects.to_string()),
        ("holds", control.holds.to_string()),
        ("held", time(control.held_ticks)),
        ("held, charged", time(control.charged_ticks)),
        ("hooks, about", time(control.hook_ticks)),
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
