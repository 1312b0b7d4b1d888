use super::layout::{
    self, CONFLICT_COMMITTED, CONFLICT_COUNT, Conflict, Context, Labels, MADE_COUNT, MARK_CHANGING,
    MARK_COUNT, Mark, Record, Side,
};
use super::{Ring, RingError};
use zerocopy::{FromZeros, IntoBytes};

/// The conflict records of a ring.
#[derive(Default)]
pub struct Conflicts {
    /// The complete ones, in the order in which they were noticed.
    pub committed: Vec<Conflict>,
    /// What else is known about each of them.
    pub contexts: Vec<Context>,
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
        let mut contexts = vec![Context::new_zeroed(); kept];
        self.read_into(layout::CONTEXTS_OFFSET as u64, &mut contexts)?;
        let complete = |((seen, record), context): ((Conflict, Conflict), Context)| {
            (seen.state == CONFLICT_COMMITTED).then_some((record, context))
        };
        let (committed, contexts): (Vec<Conflict>, Vec<Context>) = states
            .into_iter()
            .zip(records)
            .zip(contexts)
            .filter_map(complete)
            .unzip();
        Ok(Conflicts {
            // Both are at most CONFLICT_COUNT.
            torn: (kept - committed.len()) as u32,
            dropped: claimed.saturating_sub(CONFLICT_COUNT as u32),
            committed,
            contexts,
        })
    }

    fn copy_conflicts(&self, count: usize) -> Result<Vec<Conflict>, RingError> {
        let mut records = vec![Conflict::new_zeroed(); count];
        self.read_into(layout::CONFLICTS_OFFSET as u64, &mut records)?;
        Ok(records)
    }

    /// Copies the table of where maps were made.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn made(&self) -> Result<Made, RingError> {
        let mut records = vec![Record::new_zeroed(); MADE_COUNT];
        self.read_into(layout::MADE_OFFSET as u64, &mut records)?;
        Ok(Made(records))
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

/// Where maps were made, as far as the table still knows.
#[derive(Default)]
pub struct Made(Vec<Record>);

impl Made {
    /// Who made a map, and where. Every heap map passes a hook when it is made, so the address is enough;
    /// its seed may have changed since, when it became empty.
    pub fn get(&self, map: u64) -> Option<&Record> {
        let first = layout::made_index(map);
        let mut entries = self.0.get(first..first.checked_add(2)?)?.iter();
        entries.find(|record| map != 0 && record.map == map)
    }
}

/// Keys and values of labels, and how many were left out. What is not UTF-8 is replaced.
pub fn labels_of(labels: &Labels) -> (Vec<(String, String)>, u64) {
    let mut rest = labels.text.get(..labels.used.into()).unwrap_or_default();
    let mut pairs = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let [key_size, value_size, more @ ..] = rest {
        let Some((key, more)) = more.split_at_checked((*key_size).into()) else {
            break;
        };
        let Some((value, more)) = more.split_at_checked((*value_size).into()) else {
            break;
        };
        pairs.push((text(key), text(value)));
        rest = more;
    }
    (pairs, labels.left_out.into())
}
