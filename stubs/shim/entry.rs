//! The entry of a map: who is inside it now, under a lock that is held for a moment only.
//!
//! Every operation registers there: readers are counted, and named while there is room; a writer is
//! named. A registration is believed only as long as the goroutine's own mark agrees, and only in the epoch
//! that it was made in: when the mode has changed meanwhile, its operation may have ended unnoticed. The same
//! goes for what somebody else wrote into the ring: it costs a wait at most.

use crate::arrival::{Arrival, is_being_written};
use crate::front::Front;
use crate::hunt::is_set;
use crate::layout::*;
use core::ptr::read_volatile;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Who is in the way of an operation.
pub enum Opponent {
    None,
    /// A goroutine inside; its mark says so too.
    Goroutine(u64),
    /// The map's writing flag is set by an operation that is not kept track of.
    Untracked,
    /// It is the turn of a goroutine that waits at the door, too; its mark says so.
    Next(u64),
    /// Only readers without a name are inside: no conflict is claimed.
    Unproven,
}

impl Opponent {
    /// He is inside: a conflict. Who it is, if that is known.
    pub fn conflicting(&self) -> Option<Option<u64>> {
        match *self {
            Opponent::Goroutine(goid) => Some(Some(goid)),
            Opponent::Untracked => Some(None),
            Opponent::Next(_) | Opponent::Unproven | Opponent::None => None,
        }
    }
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
        // It is held for some hundred instructions. Whoever has it for longer has lost its CPU, and does not get one
        // back from those who spin.
        // SAFETY: the caller's.
        unsafe { Entry::lock_within(front, map, epoch, 100) }
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
        if !(0..tries).any(|_| try_lock(lock)) {
            return None;
        }
        let locked = Entry(entry);
        // SAFETY: locked.
        if unsafe { locked.claim(front, map, epoch) } {
            return Some(locked);
        }
        locked.unlock();
        None
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn claim(&self, front: Front, map: u64, epoch: u32) -> bool {
        // SAFETY: the caller's.
        unsafe {
            // Others look at it without the lock.
            AtomicU8::from_ptr(&raw mut (*self.0).given_up).store(0, Ordering::Relaxed);
            let entry = &mut *self.0;
            let behind = |than: u32| epoch.wrapping_sub(than).cast_signed();
            // An epoch that has not begun is none of any gocc's.
            if behind(entry.epoch) < 0 && behind(front.regime().epoch) < 0 {
                return false;
            }
            if entry.epoch != epoch {
                entry.forget(epoch);
            }
            if entry.map == map {
                return true;
            }
            if entry.map != 0 && entry.is_in_use(front) {
                return false;
            }
            entry.map = map;
            entry.forget(epoch);
        }
        true
    }

    /// Nobody could lock a map's entry for as long as anybody waits: from now on, and until somebody has locked it,
    /// nobody waits for that. Its holder may be a child process that was killed.
    ///
    /// # Safety
    /// The front must be mapped.
    pub unsafe fn give_up(front: Front, map: u64) {
        // SAFETY: aligned, in the front.
        unsafe { AtomicU8::from_ptr(&raw mut (*front.occupancy_of(map)).given_up) }
            .store(1, Ordering::Relaxed);
    }

    /// Somebody has given up waiting for the lock of a map's entry, which is still locked.
    ///
    /// # Safety
    /// The front must be mapped.
    pub unsafe fn is_given_up(front: Front, map: u64) -> bool {
        let entry = front.occupancy_of(map);
        // SAFETY: aligned, in the front.
        unsafe {
            AtomicU8::from_ptr(&raw mut (*entry).given_up).load(Ordering::Relaxed) == 1
                && AtomicU32::from_ptr(&raw mut (*entry).lock).load(Ordering::Relaxed)
                    == ENTRY_LOCKED
        }
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
        let goid = short(who & GOID);
        if is_write(op_of(who)) {
            entry.writer = goid;
            return;
        }
        match entry.readers.iter_mut().find(|reader| **reader == 0) {
            Some(free) => *free = goid,
            None => entry.crowd += 1,
        }
    }

    /// Registers somebody who is inside unregistered, where there is room. Once his mark does not say so any more, it is
    /// not believed.
    ///
    /// # Safety
    /// The entry must be locked.
    #[inline(never)]
    pub unsafe fn admit(&self, who: u64) {
        // SAFETY: the caller's.
        unsafe {
            let (writer, readers) = ((*self.0).writer, (*self.0).readers);
            let is_room = if is_write(op_of(who)) {
                writer == 0
            } else {
                readers.contains(&0)
            };
            if is_room {
                self.add(who);
            }
        }
    }

    /// Takes that back.
    ///
    /// # Safety
    /// The entry must be locked.
    pub unsafe fn remove(&self, who: u64) {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
        let goid = short(who & GOID);
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
        let own = short(arrival.here.goid);
        for reader in &mut entry.readers {
            if *reader == 0 || *reader == own {
                continue;
            }
            // SAFETY: the front is mapped.
            if let Some(goid) = unsafe { arrival.marked(*reader, MARK_INSIDE) } {
                return Some(goid);
            }
            *reader = 0;
        }
        None
    }

    /// Unless somebody else has asked before, the next turn is this goroutine's, if it has waited for long: it was more
    /// than outrun then. Before, who runs just now goes first, as in sync.Mutex: the turn of one who does not makes
    /// everybody wait for his thread.
    ///
    /// # Safety
    /// The entry must be locked, and the goroutine wait at the door.
    #[inline(never)]
    pub unsafe fn ask_for_turn(&self, arrival: &Arrival<'_>) {
        // SAFETY: the caller's.
        unsafe {
            let is_long = arrival.waited() > arrival.front.wait_ticks() / 4;
            let entry = &mut *self.0;
            if is_long && arrival.marked(entry.turn, MARK_HELD).is_none() {
                entry.turn = short(arrival.here.goid);
            }
        }
    }

    /// # Safety
    /// The entry must be locked.
    pub unsafe fn end_turn(&self, goid: u64) {
        // SAFETY: the caller's.
        unsafe {
            if (*self.0).turn == short(goid) {
                (*self.0).turn = 0;
            }
        }
    }

    /// # Safety
    /// The entry must be locked, the map live.
    #[inline(never)]
    pub unsafe fn opponent(&self, arrival: &Arrival<'_>) -> Opponent {
        let own = short(arrival.here.goid);
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            match arrival.marked(entry.writer, MARK_INSIDE) {
                None => entry.writer = 0,
                Some(_) if entry.writer == own => {}
                Some(goid) => return Opponent::Goroutine(goid),
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
            if entry.turn != own
                && is_patient
                && let Some(goid) = arrival.marked(entry.turn, MARK_HELD)
            {
                return Opponent::Next(goid);
            }
        }
        Opponent::None
    }
}

/// Locks, if nobody else has; else a moment passes.
fn try_lock(lock: &AtomicU32) -> bool {
    let found = lock.load(Ordering::Relaxed);
    let is_locked = found != ENTRY_LOCKED
        && lock
            .compare_exchange(found, ENTRY_LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
    if !is_locked {
        core::hint::spin_loop();
    }
    is_locked
}

impl Occupancy {
    /// Somebody is inside an operation on the entry's map, or held at its door.
    ///
    /// # Safety
    /// The front must be mapped, the entry locked.
    #[inline(never)]
    unsafe fn is_in_use(&self, front: Front) -> bool {
        let inside = |goid: u32| marked(front, goid, MARK_INSIDE, self.map, self.epoch).is_some();
        // SAFETY: the caller's.
        unsafe {
            inside(self.writer)
                || self.readers.iter().any(|reader| inside(*reader))
                || self.crowd != 0 && is_anyone_inside(front, self.map, self.epoch)
                || self.trap != 0 && is_set(front, self.trap.into(), self.map, self.epoch)
        }
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
    /// As [`marked`], for this map and epoch.
    ///
    /// # Safety
    /// The front must be mapped.
    unsafe fn marked(&self, goid: u32, state: u32) -> Option<u64> {
        marked(self.front, goid, state, self.map, self.regime.epoch)
    }
}

/// A goroutine's id as an entry has it. Of two that have the same, 2 to the power of 32 goroutines apart, one is taken for
/// the other only where the other's own mark agrees.
fn short(goid: u64) -> u32 {
    goid as u32
}

/// The mark of a goroutine, given as an entry has it, says, in this epoch, that it is inside an operation on this map
/// (`MARK_INSIDE`), or waits at its door (`MARK_HELD`): its id then.
fn marked(front: Front, goid: u32, state: u32, map: u64, epoch: u32) -> Option<u64> {
    if goid == 0 {
        return None;
    }
    let mark = front.mark_of(goid.into());
    // SAFETY: marks lie in the front, which is mapped when there are entries.
    unsafe {
        let who = read_volatile(&raw const (*mark).record.who) & GOID;
        (says(mark, state, map, epoch) && short(who) == goid).then_some(who)
    }
}

/// Some goroutine's mark says that it is inside.
///
/// # Safety
/// The front must be mapped.
#[inline(never)]
unsafe fn is_anyone_inside(front: Front, map: u64, epoch: u32) -> bool {
    // SAFETY: marks lie in the front.
    (0..MARK_COUNT).any(|index| unsafe { says(front.mark(index), MARK_INSIDE, map, epoch) })
}

/// A mark says that its goroutine is in a state at a map, in an epoch.
///
/// # Safety
/// The mark must lie in the front.
pub unsafe fn says(mark: *mut Mark, state: u32, map: u64, epoch: u32) -> bool {
    // SAFETY: the caller's.
    unsafe {
        read_volatile(&raw const (*mark).state) == state
            && read_volatile(&raw const (*mark).epoch) == epoch
            && read_volatile(&raw const (*mark).record.map) == map
    }
}
