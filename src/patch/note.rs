//! The *note* is what a patched file says about itself: which gocc made it, from what input, with
//! which options, what became of every site, and how to get the input back.
//!
//! It is an ELF note with owner `gocc` and type 1 in the section `.note.gocc` and in a PT_NOTE of
//! its own. Its descriptor, all numbers little-endian:
//!
//! ```text
//!  0  u32       version of this format: 1
//!  4  u32       0
//!  8  [u8; 32]  SHA-256 of the input
//! 40  u64       size of the input in bytes
//! 48  ...       JSON: an object as `Contents`
//! ```
//!
//! `restore` lists every range below the input's size that the patcher changed, ascending, with
//! the bytes it had before.

use super::elf_out::{HeaderError, Headers, PT_NOTE, SHT_NOTE, align_up, section_bytes, slice};
use super::plan::{Edit, NewSegment, PatchPlan, Provenance, SiteOutcome};
use crate::identity::hex;
use crate::image::{FileOffset, Image};
use serde::{Deserialize, Serialize};

/// Owner of the note, with its terminating zero.
const OWNER: &[u8] = b"gocc\0";
/// Type of the note.
const KIND: u32 = 1;
/// Version of the descriptor.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the note's section.
pub const SECTION: &str = ".note.gocc";
/// Bytes before the JSON.
const FIXED: usize = 48;
/// Where the SHA-256 lies in the descriptor.
const SHA_AT: usize = 8;
/// Note header (12 bytes) and owner, padded to 4.
const DESCRIPTOR_AT: usize = 12 + 8;

/// Why a gocc note cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The file's headers are malformed.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// Written by another version of gocc.
    #[error("the gocc note has format {found}; this gocc reads format {FORMAT_VERSION}")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// Shorter than its fixed part.
    #[error("the gocc note is cut short: {len} bytes")]
    Short {
        /// Its length.
        len: usize,
    },
    /// The JSON does not parse.
    #[error("the gocc note cannot be read")]
    Json(#[from] serde_json::Error),
    /// A range to restore lies outside the input, overlaps the one before, or is not hexadecimal.
    #[error("the gocc note is inconsistent: range {index} to restore, at {offset:#x}")]
    BadRange {
        /// Its place in the list.
        index: usize,
        /// Its file offset.
        offset: u64,
    },
}

/// What the note of a patched file says. Nothing in it is to be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// SHA-256 of the input.
    #[serde(serialize_with = "hex_string")]
    pub input_sha256: [u8; 32],
    /// Size of the input in bytes.
    pub input_size: u64,
    /// Everything else.
    #[serde(flatten)]
    pub contents: Contents,
}

/// The variable part of the note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contents {
    /// How the file was made.
    pub provenance: Provenance,
    /// What became of every site.
    pub sites: Vec<SiteOutcome>,
    /// What was added.
    pub segments: Vec<SegmentNote>,
    /// The purposes of the edits, in the order of their addresses.
    pub edits: Vec<EditNote>,
    /// How to get the input back.
    pub restore: Vec<Restore>,
}

/// A segment that was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SegmentNote {
    /// Name of its section.
    pub name: String,
    /// Its address.
    pub vaddr: u64,
    /// Its size in memory.
    pub mem_size: u64,
    /// `PF_*`.
    pub flags: u32,
}

/// A change in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EditNote {
    /// Its address.
    pub vaddr: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What for.
    pub purpose: String,
}

/// Bytes of the input that the output has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Where.
    pub offset: u64,
    /// What was there, hexadecimal.
    pub old: String,
}

impl Restore {
    /// Remembers bytes of the input.
    pub fn new(at: FileOffset, old: &[u8]) -> Restore {
        Restore {
            offset: at.0,
            old: hex(old),
        }
    }
}

impl Contents {
    /// What a plan's note says.
    pub fn new(plan: &PatchPlan, restore: Vec<Restore>) -> Contents {
        Contents {
            provenance: plan.provenance.clone(),
            sites: plan.sites.clone(),
            segments: plan.segments.iter().map(SegmentNote::new).collect(),
            edits: plan.edits.iter().map(EditNote::new).collect(),
            restore,
        }
    }
}

impl SegmentNote {
    /// What the note says of a new segment.
    pub fn new(segment: &NewSegment) -> SegmentNote {
        SegmentNote {
            name: segment.name.clone(),
            vaddr: segment.vaddr.0,
            mem_size: segment.mem_size,
            flags: segment.flags,
        }
    }
}

impl EditNote {
    /// What the note says of an edit.
    pub fn new(edit: &Edit) -> EditNote {
        let len = edit.new.len() as u64;
        EditNote {
            vaddr: edit.at.0,
            len,
            purpose: edit.purpose.clone(),
        }
    }
}

/// A note ready to be written, but for the hash.
pub(super) struct Encoded {
    /// The note, a multiple of 4 bytes, zeros where the SHA-256 goes.
    pub bytes: Vec<u8>,
    /// Where the SHA-256 goes.
    pub sha256_at: u64,
}

/// Encodes a note.
pub(super) fn encode(contents: &Contents, input_size: u64) -> Result<Encoded, serde_json::Error> {
    let json = serde_json::to_vec(contents)?;
    let len = u32::try_from(FIXED + json.len()).map_err(serde::ser::Error::custom)?;
    let mut bytes = Vec::with_capacity(DESCRIPTOR_AT + FIXED + json.len() + 3);
    for word in [OWNER.len() as u32, len, KIND] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(OWNER);
    bytes.resize(DESCRIPTOR_AT, 0);
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend([0; 4 + 32]);
    bytes.extend(input_size.to_le_bytes());
    bytes.extend(json);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(Encoded {
        bytes,
        sha256_at: (DESCRIPTOR_AT + SHA_AT) as u64,
    })
}

/// The gocc note of a file; `None` when it has none, so was not patched.
///
/// # Errors
/// When there is one that cannot be read: the file is patched, but not by this version of gocc, or
/// it was damaged since.
pub fn find(image: &Image) -> Result<Option<Note>, NoteError> {
    find_in(image.data())
}

/// As [`find`], on a file's bytes.
pub fn find_in(data: &[u8]) -> Result<Option<Note>, NoteError> {
    let headers = Headers::parse(data)?;
    let sections = headers.shdrs.iter().filter(|s| s.kind.get() == SHT_NOTE);
    let segments = headers.phdrs.iter().filter(|p| p.kind.get() == PT_NOTE);
    let areas = sections
        .filter_map(|s| section_bytes(data, s))
        .chain(segments.filter_map(|p| slice(data, p.offset.get(), p.filesz.get())));
    let descriptor = areas.filter_map(gocc_descriptor).next();
    descriptor.map(Note::parse).transpose()
}

/// The descriptor of the first gocc note in an area of notes.
fn gocc_descriptor(mut area: &[u8]) -> Option<&[u8]> {
    while let Some((header, rest)) = area.split_at_checked(12) {
        let word = |i: usize| {
            header
                .get(i..i + 4)?
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
        };
        let (name_size, size, kind) = (word(0)?, word(4)?, word(8)?);
        let name = slice(rest, 0, name_size.into())?;
        let at = align_up(name_size.into(), 4)?;
        let descriptor = slice(rest, at, size.into())?;
        if name == OWNER && kind == KIND {
            return Some(descriptor);
        }
        let next = at.checked_add(align_up(size.into(), 4)?)?;
        area = rest.get(usize::try_from(next).ok()?..)?;
    }
    None
}

impl Note {
    /// Parses a descriptor.
    pub fn parse(descriptor: &[u8]) -> Result<Note, NoteError> {
        let short = || NoteError::Short {
            len: descriptor.len(),
        };
        let (fixed, json) = descriptor.split_first_chunk::<FIXED>().ok_or_else(short)?;
        let found = u32::from_le_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
        if found != FORMAT_VERSION {
            return Err(NoteError::Version { found });
        }
        let mut input_sha256 = [0; 32];
        input_sha256.copy_from_slice(&fixed[SHA_AT..SHA_AT + 32]);
        let mut size = [0; 8];
        size.copy_from_slice(&fixed[SHA_AT + 32..]);
        let contents = serde_json::from_slice(json)?;
        Ok(Note {
            input_sha256,
            input_size: u64::from_le_bytes(size),
            contents,
        })
    }

    /// The input's SHA-256 as hexadecimal digits.
    pub fn sha256_text(&self) -> String {
        hex(&self.input_sha256)
    }

    /// The ranges to restore, decoded and checked: ascending, apart, below the input's size.
    pub fn restored_ranges(&self) -> Result<Vec<(FileOffset, Vec<u8>)>, NoteError> {
        let mut end = 0;
        let mut ranges = Vec::with_capacity(self.contents.restore.len());
        for (index, range) in self.contents.restore.iter().enumerate() {
            let bad = || NoteError::BadRange {
                index,
                offset: range.offset,
            };
            let old = unhex(&range.old).ok_or_else(bad)?;
            let range_end = range.offset.checked_add(old.len() as u64).ok_or_else(bad)?;
            if range.offset < end || range_end > self.input_size {
                return Err(bad());
            }
            end = range_end;
            ranges.push((FileOffset(range.offset), old));
        }
        Ok(ranges)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16)?.try_into().ok())
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

fn hex_string<S: serde::Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let provenance = Provenance {
            gocc_version: "0.1.0".into(),
            options: vec!["mode=observe".into()],
        };
        let restore = vec![Restore::new(FileOffset(24), &[1, 2, 0xfe])];
        Contents {
            provenance,
            sites: vec![],
            segments: vec![],
            edits: vec![],
            restore,
        }
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        let encoded = encode(&contents(), 1000).unwrap();
        assert_eq!(encoded.bytes.len() % 4, 0);
        let note = Note::parse(gocc_descriptor(&encoded.bytes).unwrap()).unwrap();
        assert_eq!(note.input_size, 1000);
        assert_eq!(
            note.restored_ranges().unwrap(),
            [(FileOffset(24), vec![1, 2, 0xfe])]
        );
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_survived() {
        let encoded = encode(&contents(), 1000).unwrap().bytes;
        for len in 0..encoded.len() {
            assert!(
                gocc_descriptor(&encoded[..len]).is_none_or(|d| Note::parse(d).is_err())
                    || len + 3 >= encoded.len()
            );
        }
        for at in 0..encoded.len() {
            let mut bytes = encoded.clone();
            bytes[at] ^= 0xff;
            let note = gocc_descriptor(&bytes).map(Note::parse);
            if let Some(Ok(note)) = note {
                let _ = note.restored_ranges();
            }
        }
    }

    #[test]
    fn bad_ranges_are_refused() {
        for (offset, old) in [
            (998, "010203"),
            (u64::MAX, "01"),
            (0, "0"),
            (0, "xy"),
            (0, "é1"),
        ] {
            let mut contents = contents();
            contents.restore = vec![Restore {
                offset,
                old: old.into(),
            }];
            let note = Note {
                input_sha256: [0; 32],
                input_size: 1000,
                contents,
            };
            assert!(matches!(
                note.restored_ranges(),
                Err(NoteError::BadRange { index: 0, .. })
            ));
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = encode(&contents(), 1).unwrap().bytes;
        bytes[DESCRIPTOR_AT] = 2;
        let note = Note::parse(gocc_descriptor(&bytes).unwrap());
        assert!(matches!(note, Err(NoteError::Version { found: 2 })));
    }
}
