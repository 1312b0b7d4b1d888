//! Type descriptors (src/internal/abi/type.go, `type Type`; src/runtime/type.go `_type` before 1.20).

use super::bytes::{i32_at, varint};
use crate::image::{Image, Vaddr};

/// Size of the part that all kinds of types share.
const TYPE_SIZE: u64 = 48;
const TFLAG: usize = 20;
const STR: usize = 40;
/// The name has a `*` in front that does not belong to it.
const TFLAG_EXTRA_STAR: u8 = 2;
/// Longest name believed.
const MAX_NAME: u32 = 64 * 1024;

/// The name of the type described at an address. `types..etypes` is where the module's type
/// descriptors and names lie.
pub(super) fn name(
    image: &Image,
    descriptor: Vaddr,
    types: Vaddr,
    etypes: Vaddr,
) -> Option<String> {
    if !(types..etypes).contains(&descriptor) {
        return None;
    }
    let header = image.bytes_at(descriptor, TYPE_SIZE)?;
    let offset = u64::try_from(i32_at(header, STR)?)
        .ok()
        .filter(|&offset| offset != 0)?;
    let at = types.checked_add(offset).filter(|&at| at < etypes)?;
    // A flag byte, the length, the text (src/internal/abi/type.go, `type Name`).
    let bytes = image.bytes_from(at)?.get(1..)?;
    let (length, skip) = varint(bytes).filter(|&(length, _)| length <= MAX_NAME)?;
    let text = bytes.get(skip..skip.checked_add(length as usize)?)?;
    let text = std::str::from_utf8(text).ok()?;
    match header.get(TFLAG)? & TFLAG_EXTRA_STAR {
        0 => Some(text.to_owned()),
        _ => text.strip_prefix('*').map(str::to_owned),
    }
}
