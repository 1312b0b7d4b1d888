use super::layout::{
    self, CONFLICT_COMMITTED, CONFLICT_COUNT, Conflict, MARK_CHANGING, MARK_COUNT, Mark, Side,
};
use super::{Ring, RingError};
use zerocopy::{FromZeros, IntoBytes};

/// The conflict records of a ring.
#[derive(Default)]
pub struct Conflicts {
    /// The complete ones, in the order in which they were noticed.
    pub committed: Vec<Conflict>,
    /// Claimed and not complete: their process was killed, or is writing them just now.
    pub torn: u32,
    /// Noticed when the list was full: nothing is known of them.
    pub dropped: u32,
}

impl Ring {
    /// Copies the conflict records.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn conflicts(&self) -> Result<Conflicts, RingError> {
        let claimed = self.control()?.conflicts_claimed;
        let kept = (claimed as usize).min(CONFLICT_COUNT);
        // A record is complete when its state says so, and what is read after that stays.
        let states = self.copy_conflicts(kept)?;
        let records = self.copy_conflicts(kept)?;
        let complete = |(seen, record): (Conflict, Conflict)| {
            (seen.state == CONFLICT_COMMITTED).then_some(record)
        };
        let committed: Vec<Conflict> = states
            .into_iter()
            .zip(records)
            .filter_map(complete)
            .collect();
        Ok(Conflicts {
            // Both are at most CONFLICT_COUNT.
            torn: (kept - committed.len()) as u32,
            dropped: claimed.saturating_sub(CONFLICT_COUNT as u32),
            committed,
        })
    }

    fn copy_conflicts(&self, count: usize) -> Result<Vec<Conflict>, RingError> {
        let mut records = vec![Conflict::new_zeroed(); count];
        self.read_into(layout::CONFLICTS_OFFSET as u64, &mut records)?;
        Ok(records)
    }

    /// Copies the marks that were ever used and did not change while they were copied.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn marks(&self) -> Result<Vec<Mark>, RingError> {
        let before = self.copy_marks()?;
        let after = self.copy_marks()?;
        let stable = |(before, after): (Mark, Mark)| {
            let same = before.as_bytes() == after.as_bytes();
            (same && after.state != MARK_CHANGING && after.record.map != 0).then_some(after)
        };
        Ok(before.into_iter().zip(after).filter_map(stable).collect())
    }

    fn copy_marks(&self) -> Result<Vec<Mark>, RingError> {
        let mut marks = vec![Mark::new_zeroed(); MARK_COUNT];
        self.read_into(layout::MARKS_OFFSET as u64, &mut marks)?;
        Ok(marks)
    }
}

/// The return addresses of a side (low 32 bits, innermost first), whatever its depth says.
pub fn side_pcs(side: &Side) -> &[u32] {
    side.pcs.get(..side.depth as usize).unwrap_or(&side.pcs)
}
