//! All operations of a ring in one stream, in the order of their clocks.

use crate::ring::layout::Record;
use crate::ring::{Lane, Ring, RingError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The records of all lanes of a ring, merged: a block of each lane is in memory at a time.
///
/// A lane is in the order in which its P worked. Clocks are those of the last time that the P looked,
/// so the order between lanes is as exact as that.
pub struct Stream<'r> {
    cursors: Vec<Cursor<'r>>,
    /// The clock of each lane's next record.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// What went wrong with which lane.
    errors: Vec<RingError>,
}

/// A lane and the records of it that are in memory.
struct Cursor<'r> {
    lane: Lane<'r>,
    block: Vec<Record>,
    at: usize,
}

/// What remains to be said of a ring's lanes when all that could be read was read.
pub struct Ended {
    /// Records that newer ones have overwritten.
    pub overwritten: u64,
    /// One for each lane that could not be read, or not to its end.
    pub errors: Vec<RingError>,
}

impl<'r> Stream<'r> {
    /// Opens all lanes.
    pub fn open(ring: &'r Ring) -> Stream<'r> {
        let mut stream = Stream {
            cursors: Vec::new(),
            next: BinaryHeap::new(),
            errors: Vec::new(),
        };
        for lane in ring.lanes() {
            match lane {
                Ok(lane) => stream.add(lane),
                Err(error) => stream.errors.push(error),
            }
        }
        stream
    }

    fn add(&mut self, lane: Lane<'r>) {
        let index = self.cursors.len();
        self.cursors.push(Cursor {
            lane,
            block: Vec::new(),
            at: 0,
        });
        self.queue(index);
    }

    /// Puts a lane back among those that have more to give.
    fn queue(&mut self, index: usize) {
        let Some(cursor) = self.cursors.get_mut(index) else {
            return;
        };
        match cursor.peek() {
            Ok(Some(clock)) => self.next.push(Reverse((clock, index))),
            Ok(None) => {}
            Err(error) => self.errors.push(error),
        }
    }

    /// Gives out every record, then the losses.
    pub fn for_each(mut self, mut each: impl FnMut(&Record)) -> Ended {
        while let Some(Reverse((_, index))) = self.next.pop() {
            let until = self
                .next
                .peek()
                .map_or(u64::MAX, |Reverse((clock, _))| *clock);
            if let Some(cursor) = self.cursors.get_mut(index) {
                cursor.give_out(until, &mut each);
            }
            self.queue(index);
        }
        let overwritten = |cursor: &Cursor<'_>| cursor.lane.loss().overwritten;
        Ended {
            overwritten: self.cursors.iter().map(overwritten).sum(),
            errors: self.errors,
        }
    }
}

impl Cursor<'_> {
    /// The clock of the next record; `None` at the end.
    fn peek(&mut self) -> Result<Option<u64>, RingError> {
        if self.at >= self.block.len() {
            self.at = 0;
            self.block.clear();
            if let Some(block) = self.lane.next_block()? {
                self.block.extend_from_slice(block);
            }
        }
        Ok(self.block.get(self.at).map(|record| record.clock))
    }

    /// Gives out the records in memory up to a clock, at least one.
    fn give_out(&mut self, until: u64, each: &mut impl FnMut(&Record)) {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let mut given = 0;
        for record in rest {
            if given > 0 && record.clock > until {
                break;
            }
            each(record);
            given += 1;
        }
        self.at += given;
    }
}
