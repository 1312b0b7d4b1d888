//! Why an image has no function table that gocc can read: the most telling trace wins.

use super::bytes::find;
use super::version::{self, NEWEST_MINOR, OLDEST_MINOR};
use super::{GoError, locate};
use crate::image::{Image, Vaddr};

/// What UPX leaves near the start of everything it packs.
const UPX_MAGIC: &[u8] = b"UPX!";
/// How far from the start it can lie.
const UPX_REACH: usize = 4096;

/// More functions than any Go program has.
const MAX_FUNCTIONS: u64 = 1 << 24;

/// The error for an image without a function table of a supported Go version.
pub(super) fn why_no_function_table(image: &Image) -> GoError {
    let head = image.data().get(..UPX_REACH).unwrap_or(image.data());
    if find(head, UPX_MAGIC).is_some() {
        return GoError::Packed { packer: "UPX" };
    }
    if let Some(compiler) = other_compiler(image) {
        return GoError::OtherCompiler { compiler };
    }
    if let Some(version) = version::from_build_info(image) {
        return unsupported_version(version);
    }
    match old_function_table(image) {
        Some(found) => GoError::TooOld {
            found: found.to_owned(),
        },
        None => GoError::NotGo,
    }
}

/// Build info, but no function table of a known generation.
fn unsupported_version(text: String) -> GoError {
    match version::minor_of(&text) {
        Some(minor) if minor < OLDEST_MINOR => GoError::TooOld { found: text },
        Some(minor) if minor > NEWEST_MINOR => GoError::TooNew { found: text },
        _ => GoError::Inconsistent {
            what: format!("built by {text}, but it has no function table (pclntab)"),
        },
    }
}

/// The magic numbers before Go 1.18 (src/debug/gosym/pclntab.go).
fn old_function_table(image: &Image) -> Option<&'static str> {
    const GO_1_16: u64 = 0x0801_0000_ffff_fffa;
    const GO_1_2: u64 = 0x0801_0000_ffff_fffb;
    // The words alone also occur in programs that read Go executables.
    let has_functions = |at: &Vaddr| {
        let count = at.checked_add(8).and_then(|at| image.u64_at(at));
        count.is_some_and(|count| (1..=MAX_FUNCTIONS).contains(&count))
    };
    let mut places = locate::scan(image, |word| word == GO_1_16 || word == GO_1_2);
    let at = places.find(has_functions)?;
    match image.u64_at(at)? {
        GO_1_16 => Some("go1.16 or go1.17"),
        _ => Some("a Go older than 1.16"),
    }
}

/// gccgo programs use libgo, shared or not, which knows its own source files; TinyGo ones carry its
/// runtime's symbols.
fn other_compiler(image: &Image) -> Option<&'static str> {
    let tables = [".dynstr", ".strtab"]
        .iter()
        .filter_map(|name| image.section(name));
    for bytes in tables.filter_map(|section| image.section_bytes(section)) {
        if find(bytes, b"libgo.so").is_some() || find(bytes, b"__go_init_main").is_some() {
            return Some("gccgo");
        }
        if find(bytes, b"tinygo_").is_some() {
            return Some("TinyGo");
        }
    }
    find(image.data(), b"/libgo/go/runtime/").map(|_| "gccgo")
}
