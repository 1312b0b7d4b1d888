//! Finding the function table and the module data: by section where there is one, else by
//! content. Names and presence of sections vary; what moduledata and pclntab say about each other
//! does not.

use super::GoError;
use super::bytes::u64_at;
use super::moduledata::{Generation, Moduledata};
use crate::image::{Image, Vaddr};

/// Sections that start with the function table: in an EXEC, and in an internally linked PIE.
const PCLNTAB_SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// The section that holds nothing but the module data, from Go 1.26 on.
const MODULEDATA_SECTION: &str = ".go.module";
const PF_W: u32 = 2;
/// Places with a function table's magic that are looked at; each costs a pass over the data. Real
/// files have one, and a few by chance in programs that read Go executables themselves.
const MAX_CANDIDATES: usize = 32;

/// Finds the module data, and with it the function table.
pub(super) fn moduledata(image: &Image) -> Result<Moduledata, GoError> {
    if let Some(found) = image
        .section(MODULEDATA_SECTION)
        .and_then(|section| Moduledata::read(image, section.vaddr))
    {
        return Ok(found);
    }
    let by_section = PCLNTAB_SECTIONS
        .iter()
        .filter_map(|name| image.section(name))
        .map(|section| section.vaddr);
    let mut rejected = None;
    for pclntab in by_section.filter(|&at| is_pclntab(image, at)) {
        match moduledata_of(image, pclntab) {
            Some(found) => return Ok(found),
            None => rejected = Some(pclntab),
        }
    }
    for pclntab in scan(image, |word| Generation::of_header(word).is_some()).take(MAX_CANDIDATES) {
        match moduledata_of(image, pclntab) {
            Some(found) => return Ok(found),
            None => rejected = Some(pclntab),
        }
    }
    Err(match rejected {
        Some(pclntab) => GoError::NoModuledata { pclntab },
        None => super::refuse::why_no_function_table(image),
    })
}

fn is_pclntab(image: &Image, at: Vaddr) -> bool {
    image
        .u64_at(at)
        .is_some_and(|word| Generation::of_header(word).is_some())
}

/// The module data whose first field points to a function table: where a relocation stores that
/// pointer, else where it lies in the file.
fn moduledata_of(image: &Image, pclntab: Vaddr) -> Option<Moduledata> {
    let relocated = image
        .relative_relocations()
        .iter()
        .filter(|relocation| relocation.target == pclntab);
    let read = |at| Moduledata::read(image, at).filter(|found| found.pclntab == pclntab);
    relocated
        .map(|relocation| relocation.at)
        .find_map(read)
        .or_else(|| {
            let writable = image.loads().iter().filter(|load| load.flags & PF_W != 0);
            writable
                .flat_map(|load| words(image, load.vaddr))
                .filter(|&(_, word)| word == pclntab.0)
                .find_map(|(at, _)| read(at))
        })
}

/// The eight-byte-aligned words from an address to the end of its segment, with their addresses.
pub(super) fn words(image: &Image, from: Vaddr) -> impl Iterator<Item = (Vaddr, u64)> + '_ {
    let skip = (8 - from.0 % 8) % 8;
    let start = Vaddr(from.0.saturating_add(skip));
    let bytes = image.bytes_from(start).unwrap_or_default();
    let words = bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0));
    words
        .enumerate()
        .map(move |(index, word)| (Vaddr(start.0 + index as u64 * 8), word))
}

/// Every aligned word of the image for which `matches` holds.
pub(super) fn scan(image: &Image, matches: impl Fn(u64) -> bool) -> impl Iterator<Item = Vaddr> {
    let all = image
        .loads()
        .iter()
        .flat_map(|load| words(image, load.vaddr));
    all.filter(move |&(_, word)| matches(word))
        .map(|(at, _)| at)
}
