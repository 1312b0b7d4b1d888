//! Edits: how a case damages a seed.

use std::ops::Range;

/// Bytes of a case that make one edit.
const EDIT_SIZE: usize = 13;
/// More edits than this leave nothing of the seed that a parser would look at.
const MOST_EDITS: usize = 24;
const EXTREMES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0xffff,
    1 << 31,
    u32::MAX as u64,
    1 << 47,
    u64::MAX / 2,
    u64::MAX - 4095,
    u64::MAX,
];

/// One change of a file.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    kind: u8,
    place: u32,
    value: u64,
}

/// Bytes that change, and what they become.
pub type Write = (usize, Vec<u8>);

/// The edits that a case asks for.
pub fn edits(case: &[u8]) -> impl Iterator<Item = Edit> + '_ {
    case.chunks_exact(EDIT_SIZE)
        .take(MOST_EDITS)
        .map(|chunk| Edit {
            kind: chunk[0],
            place: u32::from_le_bytes([chunk[1], chunk[2], chunk[3], chunk[4]]),
            value: u64::from_le_bytes([
                chunk[5], chunk[6], chunk[7], chunk[8], chunk[9], chunk[10], chunk[11], chunk[12],
            ]),
        })
}

impl Edit {
    /// What it does to a file of these bytes. The regions are chosen alike, whatever their size.
    pub fn on(self, bytes: &[u8], regions: &[Range<usize>]) -> Option<Write> {
        let region = regions.get(self.kind as usize / 8 % regions.len().max(1))?;
        let region = region.start.min(bytes.len())..region.end.min(bytes.len());
        let at = region.start + self.place as usize % region.len().max(1);
        let aligned = at & !7;
        let old = |at: usize, size: usize| bytes.get(at..at + size);
        let (at, new) = match self.kind % 8 {
            0 => (at, vec![old(at, 1)?[0] ^ 1 << (self.value % 8)]),
            1 => (at, vec![self.value as u8]),
            2 => (at & !3, (self.value as u32).to_le_bytes().to_vec()),
            3 => (aligned, self.value.to_le_bytes().to_vec()),
            4 => {
                let extreme = EXTREMES[self.value as usize % EXTREMES.len()];
                (aligned, extreme.to_le_bytes().to_vec())
            }
            5 => {
                let word = u64::from_le_bytes(old(aligned, 8)?.try_into().ok()?);
                let step = i64::from(self.value as i16);
                (
                    aligned,
                    word.wrapping_add_signed(step).to_le_bytes().to_vec(),
                )
            }
            6 => (at, vec![(self.value >> 8) as u8; self.value as usize % 64]),
            // A piece of the same region in another place: plausible, and wrong.
            _ => {
                let from = region.start + (self.value >> 8) as usize % region.len().max(1);
                (at, old(from, 1 + self.value as usize % 32)?.to_vec())
            }
        };
        (at + new.len() <= bytes.len()).then_some((at, new))
    }
}

/// A damaged copy.
pub fn damaged(good: &[u8], regions: &[Range<usize>], case: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for edit in edits(case) {
        if let Some((at, new)) = edit.on(&bytes, regions) {
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
    }
    bytes
}
