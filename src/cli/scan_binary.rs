//! `gocc scan FILE` on an executable: who comes to maps of one type, with which locks.

use super::progress::Progress;
use super::report::deliver;
use crate::golang::GoBinary;
use crate::image::Image;
use crate::report::Format;
use crate::scan::binary::{self, BinaryScan, GoroutineUse, Lock, MapUse, Mode, Touch};
use anyhow::{Context, bail};
use std::fmt::{self, Write as _};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// Lines of one goroutine's uses, and goroutines of one type, that the text has; JSON has more.
const MOST_TOUCHES: usize = 8;
const MOST_GOROUTINES: usize = 8;

/// It begins as an ELF file does.
pub fn is_executable(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    path.is_file() && read.is_ok() && magic == *b"\x7fELF"
}

/// Nothing is proved by this view, so it never ends with the exit code of findings.
pub fn run(path: &Path, format: Format, to: Option<&Path>) -> anyhow::Result<ExitCode> {
    if !matches!(format, Format::Text | Format::Json) {
        bail!("the scan of an executable is written as text or json");
    }
    let scanned = {
        let _progress = Progress::start(format!("scanning {}", path.display()));
        let image = Image::open(path)?;
        let go = GoBinary::parse_for_symbols(&image).with_context(|| path.display().to_string())?;
        binary::scan(&go)
    };
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&scanned)? + "\n",
        _ => text(path, &scanned)?,
    };
    deliver(text.as_bytes(), format, to)?;
    Ok(ExitCode::SUCCESS)
}

// Names come from a file that is not trusted: nothing in them may steer a terminal.
fn text(path: &Path, scanned: &BinaryScan) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "{}: {} map operations outside the standard library, {} functions that goroutines begin with.\n\
         Without source this is a weaker view: maps are told apart by type only, calls through interfaces are not\n\
         followed, and a lock is not known to be the same as another. It says where to look, not what is wrong.",
        path.display(),
        scanned.places,
        scanned.entry_points
    )?;
    not_seen(&mut out, scanned)?;
    let (open, locked): (Vec<&MapUse>, Vec<&MapUse>) =
        scanned.maps.iter().partition(|map| map.unlocked);
    for map in &open {
        map_text(&mut out, map)?;
    }
    if !locked.is_empty() {
        writeln!(out, "\nA lock is held at every use of:")?;
    }
    for map in &locked {
        writeln!(out, "  {}", map.map_type.escape_debug())?;
    }
    Ok(out)
}

fn not_seen(out: &mut String, scanned: &BinaryScan) -> fmt::Result {
    let parts = [
        (
            scanned.private,
            "operations are on maps of a goroutine's own stack",
        ),
        (
            scanned.unreached,
            "operations are in functions that no followed call leads to",
        ),
        (
            scanned.unknown_starts,
            "go statements start a function that is not seen",
        ),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{count} {what}.")?;
    }
    Ok(())
}

fn map_text(out: &mut String, map: &MapUse) -> fmt::Result {
    writeln!(out, "\n{}", map.map_type.escape_debug())?;
    for goroutine in map.uses.iter().take(MOST_GOROUTINES) {
        goroutine_text(out, map, goroutine)?;
    }
    let more = map.uses.len().saturating_sub(MOST_GOROUTINES) + map.more;
    if more > 0 {
        writeln!(out, "  and {more} more goroutines")?;
    }
    Ok(())
}

fn goroutine_text(out: &mut String, map: &MapUse, goroutine: &GoroutineUse) -> fmt::Result {
    write!(out, "  {}", goroutine.function.escape_debug())?;
    match &goroutine.started[..] {
        [] => writeln!(out)?,
        [only] => writeln!(out, ", started at {}", only.escape_debug())?,
        [first, rest @ ..] => writeln!(
            out,
            ", started at {} and {} more",
            first.escape_debug(),
            rest.len()
        )?,
    }
    for touch in goroutine.touches.iter().take(MOST_TOUCHES) {
        touch_text(out, map, touch)?;
    }
    let more = goroutine.touches.len().saturating_sub(MOST_TOUCHES);
    if more > 0 {
        writeln!(out, "      and {more} more")?;
    }
    Ok(())
}

fn touch_text(out: &mut String, map: &MapUse, touch: &Touch) -> fmt::Result {
    let Some((place, frame)) = map
        .places
        .get(touch.place)
        .and_then(|place| Some((place, place.frames.first()?)))
    else {
        return Ok(());
    };
    let locks: Vec<String> = touch.locks.iter().map(lock_text).collect();
    writeln!(
        out,
        "    {:7} {} {}:{}, {}",
        place.operation.name(),
        frame.function.escape_debug(),
        frame.file.escape_debug(),
        frame.line,
        if locks.is_empty() {
            "no lock".to_owned()
        } else {
            locks.join(", ")
        },
    )
}

fn lock_text(lock: &Lock) -> String {
    let method = match lock.mode {
        Mode::Exclusive => "Lock",
        Mode::Shared => "RLock",
    };
    format!("{method} at {}:{}", lock.file.escape_debug(), lock.line)
}
