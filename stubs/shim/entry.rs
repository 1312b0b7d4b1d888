//! The entry of a map: who is inside it now, under a lock that is held for a moment only.
//!
//! Every operation registers there: readers are counted, and named while there is room; a writer is
//! named. A registration is believed only as long as the goroutine's own mark agrees, and only in the epoch
//! that it was made in: when the mode has changed meanwhile, its operation may have ended unnoticed.

use crate::arrival::{Arrival, is_being_written};
use crate::front::Front;
use crate::layout::*;
use core::ptr::read_volatile;
use core::sync::atomic::{AtomicU32, Ordering};

/// Who is in the way of an operation.
pub enum Opponent {
    None,
    /// A goroutine inside; its mark says so too.
    Goroutine(u64),
    /// The map's writing flag is set by an operation that is not kept track of.
    Untracked,
    /// It is somebody else's turn, who waits at the door too; or the entry is not to be had.
    Busy,
    /// Only readers without a name are inside: no conflict is claimed.
    Unproven,
}

/// A locked occupancy entry.
pub struct Entry(pub *mut Occupancy);

impl Entry {
    /// Locks the entry of a map and makes it this map's and this epoch's. `None` when another map is using it,
    /// when a later epoch has begun, or when the lock is not to be had: its holder may have lost its CPU.
    ///
    /// # Safety
    /// The front must be mapped.
    pub unsafe fn lock(front: Front, map: u64, epoch: u32) -> Option<Entry> {
        // SAFETY: the caller's.
        unsafe { Entry::lock_within(front, map, epoch, 2000) }
    }

    /// As `lock`, for an operation that is over: it must not stay registered for ever.
    ///
    /// # Safety
    /// The front must be mapped.
    pub unsafe fn lock_patiently(front: Front, map: u64, epoch: u32) -> Option<Entry> {
        // SAFETY: the caller's.
        unsafe { Entry::lock_within(front, map, epoch, 2_000_000) }
    }

    /// # Safety
    /// The front must be mapped.
    unsafe fn lock_within(front: Front, map: u64, epoch: u32, tries: u32) -> Option<Entry> {
        let entry = front.occupancy_of(map);
        // SAFETY: aligned, in the front.
        let lock = unsafe { AtomicU32::from_ptr(&raw mut (*entry).lock) };
        let mut left = tries;
        while lock
            .compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            left -= 1;
            if left == 0 {
                return None;
            }
            core::hint::spin_loop();
        }
        let locked = Entry(entry);
        // SAFETY: locked.
        if unsafe { locked.claim(map, epoch) } {
            return Some(locked);
        }
        locked.unlock();
        None
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn claim(&self, map: u64, epoch: u32) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            let age = epoch.wrapping_sub(entry.epoch).cast_signed();
            if age < 0 {
                return false;
            }
            if age > 0 {
                entry.forget(epoch);
            }
            if entry.map == map {
                return true;
            }
            if entry.map != 0 && (entry.writer != 0 || entry.has_readers() || entry.trap != 0) {
                return false;
            }
            entry.map = map;
            entry.forget(epoch);
        }
        true
    }

    pub fn unlock(self) {
        // SAFETY: aligned, in the front, locked by this thread.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.0).lock) }.store(0, Ordering::Release);
    }

    /// Registers an operation that is about to begin, given as a `who`.
    ///
    /// # Safety
    /// The entry must be locked.
    pub unsafe fn add(&self, who: u64) {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
        let goid = who & GOID;
        if is_write(op_of(who)) {
            entry.writer = goid;
            return;
        }
        match entry.readers.iter_mut().find(|reader| **reader == 0) {
            Some(free) => *free = goid,
            None => entry.crowd += 1,
        }
    }

    /// Takes that back.
    ///
    /// # Safety
    /// The entry must be locked.
    pub unsafe fn remove(&self, who: u64) {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
        let goid = who & GOID;
        if is_write(op_of(who)) {
            if entry.writer == goid {
                entry.writer = 0;
            }
            return;
        }
        match entry.readers.iter_mut().find(|reader| **reader == goid) {
            Some(own) => *own = 0,
            None => entry.crowd = entry.crowd.saturating_sub(1),
        }
    }

    /// Another goroutine that is reading, as its mark says too. Those whose mark does not are crossed out.
    ///
    /// # Safety
    /// The entry must be locked.
    unsafe fn reader(&self, arrival: &Arrival<'_>) -> Option<u64> {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
        for reader in &mut entry.readers {
            if *reader == 0 || *reader == arrival.here.goid {
                continue;
            }
            // SAFETY: the front is mapped.
            if unsafe { arrival.is_marked(*reader, MARK_INSIDE) } {
                return Some(*reader);
            }
            *reader = 0;
        }
        None
    }

    /// Unless somebody else has asked before, the next turn is this goroutine's.
    ///
    /// # Safety
    /// The entry must be locked.
    pub unsafe fn ask_for_turn(&self, arrival: &Arrival<'_>) {
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            if entry.turn == 0 || !arrival.is_marked(entry.turn, MARK_HELD) {
                entry.turn = arrival.here.goid;
            }
        }
    }

    /// # Safety
    /// The entry must be locked.
    pub unsafe fn end_turn(&self, goid: u64) {
        // SAFETY: the caller's.
        unsafe {
            if (*self.0).turn == goid {
                (*self.0).turn = 0;
            }
        }
    }

    /// # Safety
    /// The entry must be locked, the map live.
    pub unsafe fn opponent(&self, arrival: &Arrival<'_>) -> Opponent {
        let goid = arrival.here.goid;
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            if entry.writer != 0 && !arrival.is_marked(entry.writer, MARK_INSIDE) {
                entry.writer = 0;
            }
            if entry.writer != 0 && entry.writer != goid {
                return Opponent::Goroutine(entry.writer);
            }
            if is_write(arrival.here.op)
                && let Some(reader) = self.reader(arrival)
            {
                return Opponent::Goroutine(reader);
            }
            if is_write(arrival.here.op) && entry.crowd != 0 {
                return Opponent::Unproven;
            }
            if entry.writer == 0 && is_being_written(arrival.config, arrival.map) {
                return Opponent::Untracked;
            }
            // Turns are for fairness. Whoever has one may not get a CPU: the others do not wait for ever.
            let deadline = read_volatile(&raw const (*arrival.mark).deadline);
            let is_patient = !arrival.is_back || arrival.now < deadline;
            if entry.turn != 0
                && entry.turn != goid
                && is_patient
                && arrival.is_marked(entry.turn, MARK_HELD)
            {
                return Opponent::Busy;
            }
        }
        Opponent::None
    }
}

impl Occupancy {
    fn has_readers(&self) -> bool {
        self.crowd != 0 || self.readers.iter().any(|reader| *reader != 0)
    }

    /// Nobody is inside, waits or was here, as far as this epoch knows.
    fn forget(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.writer = 0;
        self.crowd = 0;
        for reader in &mut self.readers {
            *reader = 0;
        }
        self.trap = 0;
        self.turn = 0;
        self.next = 0;
        for access in &mut self.history {
            access.who = 0;
        }
    }
}

impl Arrival<'_> {
    /// The mark of a goroutine says, in this epoch, that it is inside an operation on this map
    /// (`MARK_INSIDE`), or waits at its door (`MARK_HELD`).
    ///
    /// # Safety
    /// The front must be mapped.
    unsafe fn is_marked(&self, goid: u64, state: u32) -> bool {
        // SAFETY: marks lie in the front.
        unsafe {
            let mark = self.front.mark_of(goid);
            read_volatile(&raw const (*mark).state) == state
                && read_volatile(&raw const (*mark).epoch) == self.regime.epoch
                && read_volatile(&raw const (*mark).record.who) & GOID == goid
                && read_volatile(&raw const (*mark).record.map) == self.map
        }
    }
}
