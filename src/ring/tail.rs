use super::layout::Record;
use super::{Ring, RingError};

/// Where somebody who follows the lanes of a running process has come to.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Records of each lane that were given out or missed.
    taken: Vec<u64>,
}

/// What one look at all lanes brought, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Committed since the last look.
    pub new: u64,
    /// Of these, overwritten before they could be read.
    pub missed: u64,
    /// Ever committed.
    pub committed: u64,
    /// Of these, no longer in the ring.
    pub overwritten: u64,
    /// Lanes that could not be read.
    pub damaged: u64,
}

impl Tail {
    /// Gives out the records that were committed since the last look, lane by lane. The first look starts with
    /// the oldest that are there.
    pub fn advance(&mut self, ring: &Ring, mut each: impl FnMut(&Record)) -> Advance {
        let mut total = Advance::default();
        for (index, lane) in ring.lanes().enumerate() {
            if self.taken.len() <= index {
                self.taken.push(0);
            }
            let Some(taken) = self.taken.get_mut(index) else {
                continue;
            };
            let done = lane.and_then(|mut lane| {
                let before = *taken;
                lane.skip_to(before);
                let overwritten = lane.loss().overwritten;
                let read = give_out(&mut lane, &mut each);
                let loss = lane.loss();
                *taken = loss.committed;
                total.committed += loss.committed;
                total.overwritten += overwritten;
                total.new += loss.committed.saturating_sub(before);
                read.map(|read| total.missed += loss.committed.saturating_sub(before + read))
            });
            total.damaged += u64::from(done.is_err());
        }
        total
    }
}

fn give_out(lane: &mut super::Lane<'_>, each: &mut impl FnMut(&Record)) -> Result<u64, RingError> {
    let mut count = 0;
    while let Some(block) = lane.next_block()? {
        block.iter().for_each(&mut *each);
        count += block.len() as u64;
    }
    Ok(count)
}
