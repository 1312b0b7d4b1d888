//! The suspects of earlier runs: a file of lines, each a return address (link-time, hexadecimal) and
//! a chance in 1024ths, then words for people; or the word `ordered`, two return addresses, and how often
//! they were seen in order. `gocc exec` writes it, and rewrites the addresses when
//! the program was built anew. Its first line names the executable that the addresses are of.

use crate::config::Config;
use crate::env::{Options, complain};
use crate::front::Front;
use crate::hunt;
use crate::order;
use crate::sys;

/// Suspects beyond this many bytes of file are left out.
const MOST: usize = 64 << 10;
/// First line, followed by the first 16 digits of the input's SHA-256.
const HEADING: &[u8] = b"# gocc suspects of ";

/// Reads `GOCC=suspects=FILE`, if there is one. A file that is not there is no suspects yet.
pub fn read(config: &Config, options: &Options) {
    if options.suspects[0] == 0 {
        return;
    }
    const O_CLOEXEC: usize = 0o2_000_000;
    let Ok(fd) = sys::open(options.suspects.as_ptr(), O_CLOEXEC, 0) else {
        return;
    };
    if let Some(text) = sys::Mapped::of(fd, MOST) {
        take(config, text.bytes());
    }
    sys::close(fd);
}

fn take(config: &Config, text: &[u8]) {
    if !is_of_this_executable(config, text) {
        complain(b"the suspects' file is of another executable, ignored", b"");
        return;
    }
    let front = Front::of(config);
    let low = |link_time: u64| config.bias.wrapping_add(link_time) as u32;
    for line in text.split(|&byte| byte == b'\n').skip(1) {
        if let Some((one, other, times)) = parse_ordered(line) {
            // SAFETY: init has mapped the front.
            unsafe { order::known(front, low(one), low(other), times as u32) };
        } else if let Some((pc, chance)) = parse(line) {
            // SAFETY: as above.
            unsafe { hunt::suspect_again(front, low(pc), chance as u32) };
        }
    }
}

fn is_of_this_executable(config: &Config, text: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix(HEADING) else {
        return text.is_empty();
    };
    config
        .input_sha256
        .iter()
        .take(8)
        .enumerate()
        .all(|(index, &byte)| {
            let pair = digits.get(2 * index..2 * index + 2).unwrap_or(&[]);
            number(pair, 16) == Some(u64::from(byte))
        })
}

/// `4a3f10 1024 main.put /app/cache.go:41`
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let mut words = line.split(|&byte| byte == b' ');
    let pc = number(words.next()?, 16)?;
    let chance = number(words.next()?, 10)?;
    Some((pc, chance.min(1024)))
}

/// `ordered 4a3f10 4a4000 3 main.put /app/cache.go:41 | main.get /app/cache.go:50`
fn parse_ordered(line: &[u8]) -> Option<(u64, u64, u64)> {
    let mut words = line.strip_prefix(b"ordered ")?.split(|byte| *byte == b' ');
    let one = number(words.next()?, 16)?;
    let other = number(words.next()?, 16)?;
    Some((one, other, number(words.next()?, 10)?.min(1024)))
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &byte| {
        let digit = (byte as char).to_digit(base)?;
        sum.checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))
    })
}
