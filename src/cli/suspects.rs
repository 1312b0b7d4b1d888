//! The suspects file: what earlier runs in mode hunt learned, for later ones to profit from.
//!
//! A *suspect* is a place in the source that took part in a near miss. The file has one a line:
//!
//! ```text
//! # gocc suspects of SHA-256
//! 4a3f10 1024 main.(*Cache).put /app/cache.go:41
//! # elsewhere 512 main.old /app/old.go:7
//! ordered 4a3f10 4a4000 3 main.(*Cache).put /app/cache.go:41 | main.(*Cache).get /app/cache.go:50
//! ```
//!
//! The first line names the executable, before it was patched, that the addresses are of: return
//! addresses as the linker placed them. The number after one is the chance, in 1024ths, that an
//! operation there is held; fruitless holds halve it. The patched program reads only these two (see
//! stubs/shim/suspects.rs). Function, file and line are what a place is found again by when the
//! program has been built anew. One that the present build does not have is kept as a comment that
//! begins with `# elsewhere`, other comments are kept as they are. `ordered` has two places and how often
//! holding an operation at one was seen to delay one at the other: from [`ORDERED_AT`](crate::ring::layout::ORDERED_AT) times on a near
//! miss of the two is none. After a rebuild these are found again too; those that are not are forgotten.

use super::focus::Focus;
use super::output;
use crate::analyze::Hunted;
use crate::golang::{Func, GoBinary};
use crate::identity::hex;
use crate::image::{Image, Vaddr};
use crate::patch::{note, shim_config};
use crate::probe;
use crate::ring::Ring;
use anyhow::{Context, bail};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const HEADING: &str = "# gocc suspects of ";
const ELSEWHERE: &str = "# elsewhere ";
/// Nobody writes a larger one, in bytes.
const MOST: u64 = 16 << 20;
const ORDERED: &str = "ordered ";
/// Addresses that one place may have after a rebuild, of those that pairs are made of.
const MOST_COPIES: usize = 8;
/// Certain to be held.
const CERTAIN: u32 = 1024;

/// What a suspect is found again by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Source {
    function: String,
    file: String,
    line: u32,
}

/// How often two places were seen in order, and they.
type Order = (u32, [Source; 2]);

/// A suspects file in use: for one executable, and up to date with it.
pub struct Suspects {
    path: PathBuf,
    image: Image,
    /// SHA-256 of the executable before it was patched.
    program: [u8; 32],
}

/// What a suspects file tells a program.
pub struct Known {
    /// Places and the chance, in 1024ths, of being held there.
    pub places: Vec<(Vaddr, u32)>,
    /// Pairs that something orders, and how often that was seen.
    pub ordered: Vec<([Vaddr; 2], u32)>,
}

impl Suspects {
    /// Makes a suspects file ready for a patched executable: one that is of another executable gets
    /// that one's addresses. There need not be one yet.
    ///
    /// # Errors
    /// When the file is something else, or cannot be read or written, or the executable not read.
    pub fn prepare(path: &Path, patched: &Path) -> anyhow::Result<Suspects> {
        let image = Image::open(patched)?;
        let note = note::find(&image)?
            .with_context(|| format!("{} was not patched by gocc", patched.display()))?;
        let suspects = Suspects {
            // The program may change its directory before it starts a child of its own kind.
            path: std::path::absolute(path)?,
            program: note.input_sha256,
            image,
        };
        let (contents, is_as_in_file) = suspects.load()?;
        if !is_as_in_file {
            suspects.store(&contents)?;
        }
        Ok(suspects)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a running program needs to hunt for them: places with their chances, and ordered pairs with how
    /// often they were seen in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known(&self) -> anyhow::Result<Known> {
        let (contents, _) = self.load()?;
        let places = contents.here.into_iter();
        let ordered = contents.ordered.into_iter();
        Ok(Known {
            places: places.map(|(at, (chance, _))| (at, chance)).collect(),
            ordered: ordered.map(|(pair, (times, _))| (pair, times)).collect(),
        })
    }

    /// Adds the places that the scanner suspects, certain to be held unless it is known how that went; how many of
    /// them the executable has.
    ///
    /// # Errors
    /// When the executable or the file cannot be read, or the file not be written.
    pub fn focus(&self, focus: &Focus) -> anyhow::Result<usize> {
        let binary = GoBinary::parse_for_symbols(&self.image)?;
        let (mut contents, _) = self.load()?;
        let mut found = HashSet::new();
        for at in map_calls(&binary) {
            let Some(place) = focus.place(&binary.frames_of_return(at)) else {
                continue;
            };
            found.insert(place);
            if let Some(source) = source_of(&binary, at) {
                contents.here.entry(at).or_insert((CERTAIN, source));
            }
        }
        self.store(&contents)?;
        Ok(found.len())
    }

    /// Adds what the rings of a run say to the file, which another gocc may have changed meanwhile.
    ///
    /// # Errors
    /// When a ring, the executable or the file cannot be read, or the file not be written.
    pub fn learn(&self, rings: &[Ring]) -> anyhow::Result<()> {
        let mut learned: BTreeMap<Vaddr, u32> = BTreeMap::new();
        // A child may be another program, whose addresses mean nothing here.
        let own = |ring: &&Ring| ring.header().input_sha256 == self.program;
        for ring in rings.iter().filter(own) {
            for place in ring.suspects()? {
                let Some(at) = ring.link_time_pc(place.pc) else {
                    continue;
                };
                let chance = place.chance.min(CERTAIN);
                // Each process has learned from what the file said at its start.
                learned
                    .entry(at)
                    .and_modify(|known| *known = chance.min(*known))
                    .or_insert(chance);
            }
        }
        let mut ordered: BTreeMap<[Vaddr; 2], u32> = BTreeMap::new();
        for ring in rings.iter().filter(own) {
            for pair in ring.ordered_pairs()? {
                // The key's halves are two addresses.
                let sides = [pair.key as u32, (pair.key >> 32) as u32];
                if let [Some(a), Some(b)] = sides.map(|low| ring.link_time_pc(low)) {
                    let known = ordered.entry([a, b]).or_default();
                    *known = pair.ordered.min(CERTAIN).max(*known);
                }
            }
        }
        if learned.is_empty() && ordered.is_empty() {
            return Ok(());
        }
        let (mut contents, _) = self.load()?;
        let binary = GoBinary::parse_for_symbols(&self.image)?;
        contents.learn(learned, &binary);
        contents.learn_order(ordered, &binary);
        self.store(&contents)
    }

    /// The file with this executable's addresses, and whether it is like that already.
    fn load(&self) -> anyhow::Result<(Contents, bool)> {
        let Some((program, mut contents)) = read(&self.path)? else {
            return Ok((Contents::default(), true));
        };
        if program == hex(&self.program) {
            return Ok((contents, true));
        }
        let binary = GoBinary::parse_for_symbols(&self.image)?;
        contents.find_again(&binary);
        Ok((contents, false))
    }

    fn store(&self, contents: &Contents) -> anyhow::Result<()> {
        let text = contents.to_text(&hex(&self.program));
        output::to_file_as_is(&self.path, text.as_bytes())
    }
}

/// What a suspects file says about its places, whichever executable it is of.
///
/// # Errors
/// When there is no such file, or it is something else.
pub fn hunted(path: &Path) -> anyhow::Result<Vec<Hunted>> {
    let Some((_, contents)) = read(path)? else {
        bail!("{} does not exist, or is empty", path.display());
    };
    let here = contents.here.into_values();
    let elsewhere = contents
        .elsewhere
        .into_iter()
        .map(|(source, chance)| (chance, source));
    let place = |(chance, source): (u32, Source)| Hunted {
        function: source.function,
        file: source.file,
        line: source.line,
        chance: f64::from(chance) / f64::from(CERTAIN),
    };
    Ok(here.chain(elsewhere).map(place).collect())
}

/// The executable that a suspects file is of, and its contents; `None` when there is no file, or an
/// empty one.
fn read(path: &Path) -> anyhow::Result<Option<(String, Contents)>> {
    let cannot = || format!("cannot use {} for suspects", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cannot),
        Ok(found) if !found.is_file() => bail!("{}: it is not a regular file", cannot()),
        Ok(found) if found.len() > MOST => bail!("{}: it is too large", cannot()),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).with_context(cannot)?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut lines = text.lines();
    match lines.next().and_then(|line| line.strip_prefix(HEADING)) {
        Some(program) => Ok(Some((
            program.trim().to_owned(),
            Contents::from_lines(lines),
        ))),
        None => bail!(
            "{}: its first line is not \"{HEADING}...\", so it is something else",
            cannot()
        ),
    }
}

/// What a suspects file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    /// By return address.
    here: BTreeMap<Vaddr, (u32, Source)>,
    /// Those that the executable does not have.
    elsewhere: BTreeMap<Source, u32>,
    /// Pairs that something orders, by return addresses: how often that was seen, and their places.
    ordered: BTreeMap<[Vaddr; 2], Order>,
    /// Lines that mean nothing to gocc.
    comments: Vec<String>,
}

impl Contents {
    fn from_lines<'t>(lines: impl Iterator<Item = &'t str>) -> Contents {
        let mut contents = Contents::default();
        for line in lines {
            contents.take(line);
        }
        contents
    }

    fn take(&mut self, line: &str) {
        if let Some((pair, order)) = line.strip_prefix(ORDERED).and_then(pair_and_order) {
            self.ordered.insert(pair, order);
            return;
        }
        let elsewhere = line.strip_prefix(ELSEWHERE).and_then(chance_and_source);
        if let Some((chance, source)) = elsewhere {
            self.elsewhere.insert(source, chance);
            return;
        }
        let here = line.split_once(' ').and_then(|(at, rest)| {
            let at = u64::from_str_radix(at, 16).ok()?;
            Some((Vaddr(at), chance_and_source(rest)?))
        });
        match here {
            Some((at, suspect)) => {
                self.here.insert(at, suspect);
            }
            None if line.is_empty() => {}
            None => self.comments.push(commented(line)),
        }
    }

    /// The program does not read a file to its end when it is very long, so the best come first.
    fn to_text(&self, program: &str) -> String {
        let mut text = format!("{HEADING}{program}\n");
        let mut here: Vec<_> = self.here.iter().collect();
        here.sort_by_key(|(at, (chance, source))| (std::cmp::Reverse(*chance), source, **at));
        for (at, (chance, source)) in here {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:x} {chance} {source}", at.0);
        }
        for ([a, b], (times, [first, second])) in &self.ordered {
            let _ = writeln!(
                text,
                "{ORDERED}{:x} {:x} {times} {first} | {second}",
                a.0, b.0
            );
        }
        for (source, chance) in &self.elsewhere {
            let _ = writeln!(text, "{ELSEWHERE}{chance} {source}");
        }
        for comment in &self.comments {
            text.push_str(comment);
            text.push('\n');
        }
        text
    }

    fn learn(&mut self, learned: BTreeMap<Vaddr, u32>, binary: &GoBinary<'_>) {
        for (at, chance) in learned {
            if let Some(known) = self.here.get_mut(&at) {
                known.0 = chance;
            } else if let Some(source) = source_of(binary, at) {
                self.here.insert(at, (chance, source));
            }
        }
    }

    fn learn_order(&mut self, learned: BTreeMap<[Vaddr; 2], u32>, binary: &GoBinary<'_>) {
        for (pair, times) in learned {
            if let Some(known) = self.ordered.get_mut(&pair) {
                known.0 = times;
            } else if let [Some(a), Some(b)] = pair.map(|at| source_of(binary, at)) {
                self.ordered.insert(pair, (times, [a, b]));
            }
        }
    }

    /// Replaces the addresses of ordered pairs by those that another executable has for the same places.
    fn find_pairs_again(&mut self, calls: &HashMap<Source, Vec<Vaddr>>) {
        for (times, sources) in std::mem::take(&mut self.ordered).into_values() {
            let [first, second] = sources.each_ref().map(|source| {
                let found = calls.get(source).map(Vec::as_slice).unwrap_or_default();
                found.iter().take(MOST_COPIES)
            });
            for a in first {
                for b in second.clone() {
                    self.ordered.insert([*a, *b], (times, sources.clone()));
                }
            }
        }
    }

    /// Replaces all addresses by those that another executable has for the same places.
    fn find_again(&mut self, binary: &GoBinary<'_>) {
        let mut wanted: HashMap<Source, u32> = HashMap::new();
        let here = std::mem::take(&mut self.here).into_values();
        let elsewhere = std::mem::take(&mut self.elsewhere).into_iter();
        for (chance, source) in here.chain(elsewhere.map(|(source, chance)| (chance, source))) {
            let known = wanted.entry(source).or_default();
            *known = chance.max(*known);
        }
        let mut found = HashSet::new();
        let mut calls: HashMap<Source, Vec<Vaddr>> = HashMap::new();
        for at in map_calls(binary) {
            let Some(source) = source_of(binary, at) else {
                continue;
            };
            if let Some(&chance) = wanted.get(&source) {
                found.insert(source.clone());
                self.here.insert(at, (chance, source.clone()));
            }
            calls.entry(source).or_default().push(at);
        }
        self.find_pairs_again(&calls);
        wanted.retain(|source, _| !found.contains(source));
        self.elsewhere = wanted.into_iter().collect();
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}:{}", self.function, self.file, self.line)
    }
}

/// `4a3f10 4a4000 3 main.put /app/cache.go:41 | main.get /app/cache.go:50`
fn pair_and_order(text: &str) -> Option<([Vaddr; 2], Order)> {
    let address = |word: &str| u64::from_str_radix(word, 16).ok().map(Vaddr);
    let (a, rest) = text.split_once(' ')?;
    let (b, rest) = rest.split_once(' ')?;
    let (first, second) = rest.split_once(" | ")?;
    let (times, first) = chance_and_source(first)?;
    Some((
        [address(a)?, address(b)?],
        (times, [first, source(second)?]),
    ))
}

/// `1024 main.put /app/cache.go:41`. A file's name may contain blanks and colons.
fn chance_and_source(text: &str) -> Option<(u32, Source)> {
    let (chance, rest) = text.split_once(' ')?;
    Some((chance.parse::<u32>().ok()?.min(CERTAIN), source(rest)?))
}

/// `main.put /app/cache.go:41`
fn source(text: &str) -> Option<Source> {
    let (function, place) = text.split_once(' ')?;
    let (file, line) = place.rsplit_once(':')?;
    Some(Source {
        function: function.to_owned(),
        file: file.to_owned(),
        line: line.parse().ok()?,
    })
}

fn commented(line: &str) -> String {
    if line.starts_with('#') {
        line.to_owned()
    } else {
        format!("# {line}")
    }
}

/// What a return address is found again by; `None` for one that a line of the file cannot express.
fn source_of(binary: &GoBinary<'_>, return_address: Vaddr) -> Option<Source> {
    let frame = binary
        .frames_of_return(return_address)
        .into_iter()
        .next()
        .filter(|frame| {
            !frame.function.contains(char::is_whitespace) && !frame.file.contains(char::is_control)
        })?;
    Some(Source {
        function: frame.function,
        file: frame.file,
        line: frame.line,
    })
}

/// The return addresses of all calls of functions that gocc hooks, ascending.
fn map_calls(binary: &GoBinary<'_>) -> Vec<Vaddr> {
    let sites = probe::resolve(binary).into_iter();
    let mut hooked: HashSet<u64> = sites
        .filter_map(|site| site.function)
        .map(|function| function.entry.0)
        .collect();
    // Places are where the program calls what calls those (stubs/shim/side.rs, `Here::place`).
    let between = binary.find_functions(&shim_config::between());
    hooked.extend(between.iter().map(|function| function.entry.0));
    let mut calls = Vec::new();
    for function in binary.functions() {
        // Most functions have none: only those are taken apart where it looks as if.
        if looks_as_if_calling(binary, &function, &hooked) {
            calls.extend(calls_in(binary, &function, &hooked));
        }
    }
    calls
}

fn code_of<'a>(binary: &GoBinary<'a>, function: &Func<'_>) -> &'a [u8] {
    let size = function.end.0.saturating_sub(function.entry.0);
    binary
        .image
        .bytes_at(function.entry, size)
        .unwrap_or_default()
}

/// Somewhere in the function are bytes that would be a call (`e8 rel32`) of one of these.
fn looks_as_if_calling(binary: &GoBinary<'_>, function: &Func<'_>, hooked: &HashSet<u64>) -> bool {
    const CALL: u8 = 0xe8;
    let code = code_of(binary, function);
    memchr::memchr_iter(CALL, code).any(|at| {
        let Some(distance) = code.get(at + 1..).and_then(|rest| rest.first_chunk::<4>()) else {
            return false;
        };
        // A slice's length fits 64 bits.
        let next = function.entry.0.wrapping_add(at as u64 + 5);
        let target = next.wrapping_add_signed(i32::from_le_bytes(*distance).into());
        hooked.contains(&target)
    })
}

fn calls_in(binary: &GoBinary<'_>, function: &Func<'_>, hooked: &HashSet<u64>) -> Vec<Vaddr> {
    let code = code_of(binary, function);
    let decoder = Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE);
    decoder
        .into_iter()
        .filter(|instruction| {
            instruction.flow_control() == FlowControl::Call
                && hooked.contains(&instruction.near_branch_target())
        })
        .map(|call| Vaddr(call.next_ip()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_the_same_when_it_is_written_again() {
        let lines = [
            "4a3f10 1024 main.(*Cache[...]).put /app dir/cache.go:41",
            "4a3f00 512 main.get C:/cache.go:40",
            "ordered 4a3f00 4a3f10 3 main.get C:/cache.go:40 | main.(*Cache[...]).put /app dir/cache.go:41",
            "# elsewhere 7 main.old /app/old.go:3",
            "# a remark",
        ];
        let text = format!("{HEADING}00ff\n{}\n", lines.join("\n"));
        let contents = Contents::from_lines(text.lines().skip(1));
        let counts = [
            contents.here.len(),
            contents.elsewhere.len(),
            contents.ordered.len(),
        ];
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(contents.to_text("00ff"), text);
    }

    #[test]
    fn what_is_no_suspect_is_kept_as_a_comment() {
        let contents = Contents::from_lines(["zz 1 f g:1", "4a 1", "4a x f g:1", ""].into_iter());
        assert!(contents.here.is_empty());
        assert_eq!(
            contents.comments,
            ["# zz 1 f g:1", "# 4a 1", "# 4a x f g:1"]
        );
    }

    #[test]
    fn a_chance_is_never_more_than_certain() {
        let contents = Contents::from_lines(["4a 4000000 f g:1"].into_iter());
        let chances: Vec<u32> = contents.here.values().map(|(chance, _)| *chance).collect();
        assert_eq!(chances, [CERTAIN]);
    }

    #[test]
    fn another_kind_of_file_is_refused() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("precious");
        assert!(read(&path)?.is_none());
        std::fs::write(&path, "my notes\n")?;
        let error = read(&path).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("it is something else")));
        Ok(())
    }
}
