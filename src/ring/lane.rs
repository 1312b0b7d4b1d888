use super::layout::{self, LaneHeader, Record};
use super::{Ring, RingError};
use zerocopy::FromZeros;

/// Size of a record in bytes.
const RECORD_SIZE: u64 = size_of::<Record>() as u64;
/// Records copied at a time.
const BLOCK: usize = 1024;

/// The records of one P that a ring still holds, oldest to newest, as of the moment it was opened.
///
/// A lane is a stream of bytes of which the file keeps the last `lane_size`. Positions count from the
/// start of the stream; the record at `p` lies at `p & (lane_size - 1)`. The writer first stores the
/// record at `head`, then moves `head` past it. So while `head` is `h` the record at `h - lane_size`
/// may be half overwritten, and those at `h - lane_size + 64` and later are whole.
pub struct Lane<'r> {
    ring: &'r Ring,
    index: u32,
    /// The next record to be given out.
    position: u64,
    /// `head` when the lane was opened.
    end: u64,
    overwritten: u64,
    block: Box<[Record]>,
}

/// What of a lane is left, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneLoss {
    /// Ever committed.
    pub committed: u64,
    /// No longer there, or just being overwritten.
    pub overwritten: u64,
}

impl<'r> Lane<'r> {
    pub(super) fn open(ring: &'r Ring, index: u32) -> Result<Lane<'r>, RingError> {
        let header = lane_header(ring, index)?;
        let damaged = |what| {
            Err(RingError::DamagedLane {
                path: ring.path().to_owned(),
                lane: index,
                what,
            })
        };
        // At most 256 lanes of 1 GiB: no overflow.
        let lanes = u64::from(index + 1) * u64::from(ring.header().lane_size);
        if !ring.has(layout::FRONT_SIZE as u64 + lanes) {
            return damaged("it was cut off");
        }
        if !header.head.is_multiple_of(RECORD_SIZE) {
            return damaged("its head is not at a record's start");
        }
        if header.head != 0 && header.mask != u64::from(ring.header().lane_size) - 1 {
            return damaged("its mask is not the lane size less one");
        }
        let position = oldest_whole(header.head, ring.header().lane_size);
        Ok(Lane {
            ring,
            index,
            position,
            end: header.head,
            overwritten: position / RECORD_SIZE,
            block: vec![Record::new_zeroed(); BLOCK].into_boxed_slice(),
        })
    }

    /// The lane's number, which is the P's id.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What is lost of it, as far as is known now: reading the lane of a running process can lose
    /// more.
    pub fn loss(&self) -> LaneLoss {
        LaneLoss {
            committed: self.end / RECORD_SIZE,
            overwritten: self.overwritten,
        }
    }

    /// Leaves out the records before this one, counted from the lane's first. They do not count as lost.
    pub fn skip_to(&mut self, record: u64) {
        let position = record.saturating_mul(RECORD_SIZE).min(self.end);
        self.position = self.position.max(position);
    }

    /// The next records, at most a thousand; `None` at the end. Never empty.
    ///
    /// # Errors
    /// When the file cannot be read any more, or the lane's head moves backwards.
    pub fn next_block(&mut self) -> Result<Option<&[Record]>, RingError> {
        while self.position < self.end {
            let (count, stale) = self.copy_block()?;
            if stale < count {
                return Ok(self.block.get(stale..count));
            }
        }
        Ok(None)
    }

    /// Copies the next records; gives back how many, and how many of these (the oldest ones) may have
    /// been overwritten meanwhile.
    fn copy_block(&mut self) -> Result<(usize, usize), RingError> {
        let lane_size = u64::from(self.ring.header().lane_size);
        let slot = self.position & (lane_size - 1);
        let bytes = (self.end - self.position)
            .min(lane_size - slot)
            .min(BLOCK as u64 * RECORD_SIZE);
        // At most BLOCK, so it fits.
        let count = (bytes / RECORD_SIZE) as usize;
        let offset = layout::FRONT_SIZE as u64 + u64::from(self.index) * lane_size + slot;
        let into = self.block.get_mut(..count).unwrap_or_default();
        self.ring.read_into(offset, into)?;

        let head = lane_header(self.ring, self.index)?.head;
        if head < self.end {
            let what = "its head moved backwards";
            return Err(RingError::DamagedLane {
                path: self.ring.path().to_owned(),
                lane: self.index,
                what,
            });
        }
        let stale = oldest_whole(head, self.ring.header().lane_size)
            .saturating_sub(self.position)
            .min(bytes)
            / RECORD_SIZE;
        self.position += bytes;
        self.overwritten += stale;
        Ok((count, stale as usize))
    }
}

fn lane_header(ring: &Ring, index: u32) -> Result<LaneHeader, RingError> {
    let offset =
        layout::LANE_HEADERS_OFFSET as u64 + u64::from(index) * size_of::<LaneHeader>() as u64;
    ring.read(offset)
}

/// The position of the oldest record that is whole while `head` is there, in bytes of the stream. What was copied of a
/// lane of `lane_size` bytes is whole from there on if `head` was read after it was copied.
pub fn oldest_whole(head: u64, lane_size: u32) -> u64 {
    match head.checked_sub(u64::from(lane_size)) {
        Some(maybe_half) => maybe_half.saturating_add(RECORD_SIZE),
        None => 0,
    }
}
