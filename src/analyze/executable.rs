//! Which executable belongs to a ring, and its symbols.

use super::symbols::Symbolizer;
use crate::golang::{GoBinary, GoError};
use crate::identity::hex;
use crate::image::{Image, ImageError};
use crate::patch::note;
use crate::ring::{Ring, RingError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why nothing can be said about a ring.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The ring itself.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The executable that was named for it is not one.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The executable is not there, or not a file.
    #[error("cannot take symbols from {path:?}: {source}")]
    Unusable {
        /// Where it should be.
        path: PathBuf,
        /// What is there.
        source: std::io::Error,
    },
    /// The executable that was named for it is no Go program that gocc understands.
    #[error("cannot take symbols from {path}")]
    Go {
        /// The executable.
        path: PathBuf,
        /// What is wrong with it.
        source: GoError,
    },
    /// The executable that was named is not the one whose process wrote the ring.
    #[error(
        "{exe} is not the program that wrote {ring}: its {what} is {found:?}, the ring's {expected:?}"
    )]
    OtherProgram {
        /// The executable.
        exe: PathBuf,
        /// The ring.
        ring: PathBuf,
        /// What tells them apart.
        what: &'static str,
        /// The executable's.
        found: String,
        /// The one in the ring.
        expected: String,
    },
}

/// How rings are analysed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Take symbols from this executable, not from the one that the ring names.
    pub exe: Option<PathBuf>,
    /// Operations further apart than this are no near miss.
    pub window: Duration,
    /// Stacks that share this much of their functions are taken for one (Jaccard similarity).
    pub similarity: f64,
    /// What hunting has learned in earlier runs.
    pub hunted: Vec<Hunted>,
    /// Note which goroutines did what was recorded ([`OperationStack`](super::model::OperationStack)).
    pub goroutines: bool,
}

/// A place at which mode hunt has held operations.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The function.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The chance, from 0 to 1, that the next operation there is held; fruitless holds make it less.
    pub chance: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            exe: None,
            window: Duration::from_millis(10),
            similarity: 0.6,
            hunted: Vec::new(),
            goroutines: false,
        }
    }
}

/// What the symbols were taken from, or why there are none.
pub enum Source {
    /// This executable.
    Executable(PathBuf),
    /// None, for this reason.
    Missing(String),
}

/// Groups rings by the executable that their processes ran: its symbols are loaded once.
pub fn by_executable(rings: Vec<Ring>) -> Vec<Vec<Ring>> {
    let mut groups: Vec<(PathBuf, String, Vec<Ring>)> = Vec::new();
    for ring in rings {
        let (exe, build_id) = (ring.exe_path(), ring.build_id());
        match groups
            .iter_mut()
            .find(|(path, id, _)| *path == exe && *id == build_id)
        {
            Some((_, _, group)) => group.push(ring),
            None => groups.push((exe, build_id, vec![ring])),
        }
    }
    groups.into_iter().map(|(_, _, group)| group).collect()
}

/// Runs `each` for every ring with its executable's symbols; why symbols are missing, in words.
///
/// # Errors
/// When the options name an executable that does not fit.
pub fn for_each_ring(
    rings: Vec<Ring>,
    options: &Options,
    mut each: impl FnMut(&Ring, &mut Symbolizer<'_>),
) -> Result<Vec<String>, AnalyzeError> {
    let mut problems = Vec::new();
    for group in by_executable(rings) {
        let Some(first) = group.first() else { continue };
        with_symbols(first, options, |symbols, source| {
            if let Source::Missing(reason) = source {
                problems.push(reason.clone());
            }
            group.iter().for_each(|ring| each(ring, symbols));
        })?;
    }
    Ok(problems)
}

/// Runs `body` with the symbols for rings of one executable.
///
/// # Errors
/// Only when the options name an executable and it will not do. Otherwise missing symbols are no
/// error: addresses stand for names.
pub fn with_symbols<R>(
    ring: &Ring,
    options: &Options,
    body: impl FnOnce(&mut Symbolizer<'_>, &Source) -> R,
) -> Result<R, AnalyzeError> {
    if let Some(exe) = &options.exe {
        let image = open_executable(exe)?;
        let binary = load(&image, exe, ring)?;
        return Ok(body(
            &mut Symbolizer::new(Some(&binary)),
            &Source::Executable(exe.clone()),
        ));
    }
    let mut reasons = Vec::new();
    for exe in candidates(ring) {
        let image = match open_executable(&exe) {
            Ok(image) => image,
            Err(error) => {
                reasons.push(chain(&error));
                continue;
            }
        };
        match load(&image, &exe, ring) {
            Ok(binary) => {
                let mut symbols = Symbolizer::new(Some(&binary));
                return Ok(body(&mut symbols, &Source::Executable(exe)));
            }
            Err(error) => reasons.push(chain(&error)),
        }
    }
    let reason = format!(
        "no symbols: {} (name the executable with --exe)",
        reasons.join("; ")
    );
    Ok(body(&mut Symbolizer::new(None), &Source::Missing(reason)))
}

/// The executables to try: the path that the process saw, then what /proc has of a running one (the
/// file may have been replaced, or lie in a container).
fn candidates(ring: &Ring) -> Vec<PathBuf> {
    let mut candidates = vec![ring.exe_path()];
    if is_running(ring) {
        candidates.push(PathBuf::from(format!("/proc/{}/exe", ring.header().pid)));
    }
    candidates
}

/// A ring is not trusted: what it names may be a FIFO, which would block whoever opens it.
fn open_executable(path: &Path) -> Result<Image, AnalyzeError> {
    let unusable = |source| AnalyzeError::Unusable {
        path: path.to_owned(),
        source,
    };
    if !std::fs::metadata(path).map_err(unusable)?.is_file() {
        return Err(unusable(std::io::Error::other("not a regular file")));
    }
    Ok(Image::open(path)?)
}

fn load<'i>(image: &'i Image, exe: &Path, ring: &Ring) -> Result<GoBinary<'i>, AnalyzeError> {
    let binary = GoBinary::parse_for_symbols(image).map_err(|source| AnalyzeError::Go {
        path: exe.to_owned(),
        source,
    })?;
    let other = |what, found, expected| AnalyzeError::OtherProgram {
        exe: exe.to_owned(),
        ring: ring.path().to_owned(),
        what,
        found,
        expected,
    };
    // The ring keeps the first 128 bytes of the build ID.
    let (found, expected) = (binary.build_id.clone().unwrap_or_default(), ring.build_id());
    if !expected.is_empty() && !found.starts_with(&expected) {
        return Err(other("Go build ID", found, expected));
    }
    // Two builds may share an ID (`-ldflags=-buildid=`); a patched file knows what it was made of.
    let note = note::find(image).ok().flatten();
    let expected = ring.header().input_sha256;
    match note
        .map(|note| note.input_sha256)
        .filter(|found| *found != expected)
    {
        Some(found) => Err(other("input's SHA-256", hex(&found), hex(&expected))),
        None => Ok(binary),
    }
}

/// The process that writes the ring is still there: same id, same start time.
pub fn is_running(ring: &Ring) -> bool {
    let header = ring.header();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", header.pid));
    let start = stat.ok().and_then(|stat| start_ticks(&stat));
    header.start_ticks != 0 && start == Some(header.start_ticks)
}

/// Field 22 of /proc/PID/stat, and only for a process that is not a zombie. The second field, the
/// name in parentheses, may hold blanks and parentheses itself.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" {
        None
    } else {
        fields.nth(18)?.parse().ok()
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors already quote their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
