//! The lane's protocol under loom: one writer that overwrites, and a reader beside it, in every order in which their
//! loads and stores can happen. What the reader takes for whole is whole, and no record is given out twice.
//!
//! The writer is a model of the hook (`src/patch/operation_hook.rs`): it stores the record at `head`, then moves `head`
//! past it, without a fence, which on x86-64 makes each store a release. The reader is a model of `Lane::copy_block`,
//! with the rule that it goes by, `ring::oldest_whole`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

use gocc::ring::oldest_whole;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

const RECORD: u64 = 64;
/// Records that the lane has room for.
const SLOTS: u64 = 3;
const LANE_SIZE: u32 = (SLOTS * RECORD) as u32;
/// Records that are written: each slot is overwritten.
const WRITTEN: u64 = 5;

/// A record is two words here: torn is one of which they differ.
struct Lane {
    head: AtomicU64,
    slots: Vec<[AtomicU64; 2]>,
}

impl Lane {
    fn new() -> Lane {
        let slot = || [AtomicU64::new(0), AtomicU64::new(0)];
        Lane {
            head: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| slot()).collect(),
        }
    }

    fn slot(&self, position: u64) -> &[AtomicU64; 2] {
        &self.slots[(position / RECORD % SLOTS) as usize]
    }

    /// The record at `n` records from the start holds n + 1.
    fn write_all(&self) {
        for record in 0..WRITTEN {
            for word in self.slot(record * RECORD) {
                word.store(record + 1, Ordering::Release);
            }
            self.head.store((record + 1) * RECORD, Ordering::Release);
        }
    }

    /// Copies all that is there; what `whole` says is whole then, must be.
    fn read_all(&self, backwards: bool, whole: fn(u64, u32) -> u64) -> u64 {
        let end = self.head.load(Ordering::Acquire);
        let mut given = 0;
        let mut position = whole(end, LANE_SIZE);
        while position < end {
            let copy = self.copy(position, backwards);
            let head = self.head.load(Ordering::Acquire);
            assert!(head >= end, "the head moved backwards");
            if position >= whole(head, LANE_SIZE) {
                let expected = position / RECORD + 1;
                assert_eq!(copy, [expected; 2], "torn or another one");
                given += 1;
            }
            position += RECORD;
        }
        given
    }

    /// A block is copied in whatever order the kernel likes.
    fn copy(&self, position: u64, backwards: bool) -> [u64; 2] {
        let [first, second] = self.slot(position);
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        if backwards {
            let second = load(second);
            [load(first), second]
        } else {
            [load(first), load(second)]
        }
    }
}

/// `left` is how many records can be read once the writer is gone.
fn explore(backwards: bool, left: u64, whole: fn(u64, u32) -> u64) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let lane = Arc::new(Lane::new());
        let writer = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || lane.write_all())
        };
        lane.read_all(backwards, whole);
        writer.join().unwrap();
        assert_eq!(lane.read_all(backwards, whole), left);
    });
}

#[test]
fn what_is_given_out_is_whole() {
    // All but the one that might have been half overwritten.
    explore(false, SLOTS - 1, oldest_whole);
    explore(true, SLOTS - 1, oldest_whole);
}

/// The oldest record of a full lane is being overwritten while `head` still says that it is there: a reader that
/// gives it out is caught by this model.
#[test]
#[should_panic(expected = "torn or another one")]
fn the_oldest_one_may_be_torn() {
    explore(false, SLOTS, |head, lane_size| {
        head.saturating_sub(u64::from(lane_size))
    });
}
