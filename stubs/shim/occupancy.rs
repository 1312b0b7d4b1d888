//! Hunt, block and guard: who is inside which map.
//!
//! Every operation registers in the entry of its map: readers are counted, a writer is named. Whoever
//! finds an operation there that conflicts with its own has found a conflict: its own goroutine is at
//! the door, the other inside. It then waits for its turn by yielding: `gocc_enter` answers
//! [`YIELD`], the hook enters the scheduler through the function's own stack check, and when the
//! goroutine runs again the hook starts over. What must survive the yield is in the goroutine's mark.
//!
//! Nothing here may wait for another goroutine without bound: an entry's lock is tried a limited
//! number of times, turns are waited for until a deadline, and whatever cannot be kept track of goes
//! ahead untracked and is counted.

use crate::config::Config;
use crate::conflict::{Found, Front, GOID, Here, Other, is_write, read_at, record_found};
use crate::hunt;
use crate::layout::*;
use crate::sys;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The hook goes on into the function.
pub const PROCEED: u32 = 0;
/// The hook yields and starts over.
pub const YIELD: u32 = 1;

/// An operation at its map's door.
pub struct Arrival<'a> {
    pub config: &'a Config,
    pub front: Front,
    pub here: Here,
    pub map: u64,
    pub map_type: u64,
    pub mark: *mut Mark,
    pub now: u64,
    /// The goroutine was here before, and yielded.
    pub is_back: bool,
}

/// An operation is about to begin.
///
/// # Safety
/// Called by a hook only: `map` is live, `g` the running goroutine, `frame` its frame pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_enter(
    config: &Config,
    place: u64,
    map: u64,
    map_type: u64,
    g: u64,
    frame: u64,
) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if !may_yield(config, g) {
            return PROCEED;
        }
        let front = Front::of(config);
        let here = Here::new(config, place, g, frame);
        let mark = front.mark_of(here.goid);
        let state = read_volatile(&raw const (*mark).state);
        let is_own = read_volatile(&raw const (*mark).record.who) & GOID == here.goid;
        if state != MARK_IDLE
            && !(is_own && state == MARK_HELD)
            && !is_stale(front, mark, is_own, config, &here)
        {
            // An operation inside another one of the same goroutine, or a mark that two goroutines share.
            return if is_own {
                PROCEED
            } else {
                wait_for_mark(config, front, mark, map)
            };
        }
        let is_back =
            is_own && state == MARK_HELD && read_volatile(&raw const (*mark).record.map) == map;
        arrive(&Arrival {
            config,
            front,
            here,
            map,
            map_type,
            mark,
            now: sys::tsc(),
            is_back,
        })
    }
}

/// The mark is another goroutine's now: their ids differ by a multiple of the number of marks. Its age
/// bounds the wait, since this goroutine has nowhere to keep a deadline.
///
/// # Safety
/// As for `gocc_enter`; the mark lies in the front.
unsafe fn wait_for_mark(config: &Config, front: Front, mark: *mut Mark, map: u64) -> u32 {
    const PATIENCE: u64 = 100;
    // SAFETY: the caller's.
    unsafe {
        let control = front.control();
        let age = sys::tsc().saturating_sub(read_volatile(&raw const (*mark).record.clock));
        let wait = read_volatile(&raw const (*control).wait_ticks);
        let patience = if is_being_written(config, map) {
            PATIENCE
        } else {
            1
        };
        if age < wait.saturating_mul(patience) {
            return YIELD;
        }
        count(&raw mut (*control).untracked);
        PROCEED
    }
}

/// On a user goroutine's own stack; on g0 yielding would be fatal.
///
/// # Safety
/// `g` must be the running g.
unsafe fn may_yield(config: &Config, g: u64) -> bool {
    // SAFETY: the offsets are the patcher's.
    unsafe {
        let m = read_at(g, config.g_m);
        m != 0 && read_at(m, config.m_curg) == g
    }
}

/// A mark whose operation is known to be over: it was left by a goroutine that did not pass an exit,
/// because the mode changed meanwhile.
///
/// # Safety
/// The mark must lie in the front.
unsafe fn is_stale(
    front: Front,
    mark: *mut Mark,
    is_own: bool,
    config: &Config,
    here: &Here,
) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let outer = read_volatile(&raw const (*mark).depth);
        let stale = is_own && outer >= here.depth(config);
        if stale {
            release(front, mark);
        }
        stale
    }
}

/// # Safety
/// As for `gocc_enter`.
unsafe fn arrive(arrival: &Arrival<'_>) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if arrival.is_back && hunt::is_held(arrival) {
            return hold_on(arrival, false);
        }
        let Some(entry) = Entry::lock(arrival.front, arrival.map) else {
            return wait_for_entry(arrival);
        };
        match entry.opponent(arrival) {
            Opponent::None => meet_nobody(arrival, entry),
            opponent => meet(arrival, entry, opponent),
        }
    }
}

/// The entry is another map's, or its lock is not to be had: the thread that holds it has lost its CPU.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
unsafe fn wait_for_entry(arrival: &Arrival<'_>) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        if !arrival.is_back {
            wait_at_the_door(arrival, read_volatile(&raw const (*control).wait_ticks), 0);
        } else if has_waited_enough(arrival, &Opponent::Busy) {
            count(&raw mut (*control).untracked);
            return go_untracked(arrival);
        }
        hold_on(arrival, false)
    }
}

/// The time to wait is over. For somebody who is known to be inside, or at the door before this one, a
/// hundred times as long is waited: his thread has lost its CPU, and going ahead would most likely
/// end the program.
///
/// # Safety
/// As for `gocc_enter`; the goroutine is back from a yield.
unsafe fn has_waited_enough(arrival: &Arrival<'_>, opponent: &Opponent) -> bool {
    const PATIENCE: u64 = 100;
    // SAFETY: the caller's.
    unsafe {
        let deadline = read_volatile(&raw const (*arrival.mark).deadline);
        let wait = read_volatile(&raw const (*arrival.front.control()).wait_ticks);
        let is_there = !matches!(opponent, Opponent::Unproven);
        let patience = if is_there {
            wait.saturating_mul(PATIENCE)
        } else {
            0
        };
        arrival.now >= deadline.saturating_add(patience)
    }
}

/// The map's writing flag is set.
///
/// # Safety
/// As for `gocc_enter`.
unsafe fn is_being_written(config: &Config, map: u64) -> bool {
    let flags = map + u64::from(config.map_writing);
    // SAFETY: the map is live.
    unsafe { u32::from((flags as *const u8).read_volatile()) & config.map_writing_mask != 0 }
}

/// Somebody is inside. The entry stays locked while the conflict is recorded: the other goroutine
/// cannot leave meanwhile, so that it is inside is proven.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
#[inline(never)]
unsafe fn meet(arrival: &Arrival<'_>, entry: Entry, opponent: Opponent) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        if arrival.is_back && has_waited_enough(arrival, &opponent) {
            count(&raw mut (*control).waited_in_vain);
            // Readers that never left would hold up every writer from now on.
            (*entry.0).crowd = 0;
            entry.end_turn(arrival.here.goid);
            entry.unlock();
            return go_untracked(arrival);
        }
        let is_recorded =
            arrival.is_back && read_volatile(&raw const (*arrival.mark).is_recorded) != 0;
        if !arrival.is_back {
            wait_at_the_door(arrival, read_volatile(&raw const (*control).wait_ticks), 0);
            count(&raw mut (*control).waited);
        }
        entry.ask_for_turn(arrival);
        if !is_recorded && record_meeting(arrival, &opponent) {
            write_volatile(&raw mut (*arrival.mark).is_recorded, 1);
        }
        entry.unlock();
        hold_on(
            arrival,
            matches!(opponent, Opponent::Goroutine(_) | Opponent::Untracked),
        )
    }
}

/// Records a conflict with somebody who is known to be inside; whether that is so.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn record_meeting(arrival: &Arrival<'_>, opponent: &Opponent) -> bool {
    let (found, evidence) = match opponent {
        Opponent::Goroutine(goid) => {
            let mark = arrival.front.mark_of(*goid);
            (
                Found::Marked(Other {
                    mark,
                    otherwise: SIDE_INSIDE,
                }),
                EVIDENCE_OVERLAP,
            )
        }
        Opponent::Untracked => (Found::Nobody, EVIDENCE_FLAG_AT_ENTRY),
        Opponent::Busy | Opponent::Unproven | Opponent::None => return false,
    };
    // SAFETY: the caller's.
    unsafe {
        record_found(
            arrival.config,
            &arrival.here,
            arrival.map,
            arrival.map_type,
            evidence,
            found,
        );
        end_if_blocking(arrival);
    }
    true
}

/// Nobody is in the way: someone may be held at the door, or this one may be held now.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn meet_nobody(arrival: &Arrival<'_>, entry: Entry) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if read_volatile(&raw const (*arrival.front.control()).gate) == GATE_HUNT {
            hunt::spring_trap(arrival, &entry);
            if !arrival.is_back && hunt::set_trap(arrival, &entry) {
                entry.unlock();
                return hold_on(arrival, false);
            }
        }
        go_inside(arrival, &entry);
        entry.unlock();
        PROCEED
    }
}

/// # Safety
/// As for `gocc_enter`.
unsafe fn go_untracked(arrival: &Arrival<'_>) -> u32 {
    // SAFETY: the mark is this goroutine's.
    unsafe { write_volatile(&raw mut (*arrival.mark).state, MARK_IDLE) };
    PROCEED
}

/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn go_inside(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: the mark is this goroutine's, the entry locked.
    unsafe {
        fill_mark(arrival);
        write_volatile(
            &raw mut (*arrival.mark).occupancy,
            entry.index(arrival.front) + 1,
        );
        write_volatile(&raw mut (*arrival.mark).trap, 0);
        fence(Ordering::Release);
        write_volatile(&raw mut (*arrival.mark).state, MARK_INSIDE);
        entry.end_turn(arrival.here.goid);
        if is_write(arrival.here.op) {
            (*entry.0).writer = arrival.here.goid;
        } else {
            entry.add_reader(arrival.here.goid);
        }
    }
}

/// The goroutine's mark says what it is about to do and until when it waits.
///
/// # Safety
/// As for `gocc_enter`.
pub unsafe fn wait_at_the_door(arrival: &Arrival<'_>, ticks: u64, trap: u32) {
    // SAFETY: the mark is this goroutine's.
    unsafe {
        fill_mark(arrival);
        write_volatile(
            &raw mut (*arrival.mark).deadline,
            arrival.now.wrapping_add(ticks),
        );
        write_volatile(&raw mut (*arrival.mark).trap, trap);
        write_volatile(&raw mut (*arrival.mark).is_recorded, 0);
        write_volatile(&raw mut (*arrival.mark).yielded, 0);
        write_volatile(&raw mut (*arrival.mark).occupancy, 0);
        fence(Ordering::Release);
        write_volatile(&raw mut (*arrival.mark).state, MARK_HELD);
    }
}

/// # Safety
/// As for `gocc_enter`.
unsafe fn fill_mark(arrival: &Arrival<'_>) {
    let (mark, here) = (arrival.mark, &arrival.here);
    // SAFETY: the mark is this goroutine's; the map is live.
    unsafe {
        write_volatile(&raw mut (*mark).state, MARK_CHANGING);
        write_volatile(&raw mut (*mark).record.map, arrival.map);
        write_volatile(
            &raw mut (*mark).record.who,
            here.goid | u64::from(here.op) << 48,
        );
        write_volatile(&raw mut (*mark).record.clock, arrival.now);
        write_volatile(
            &raw mut (*mark).record.seed,
            read_at(arrival.map, arrival.config.map_seed) as u32,
        );
        write_volatile(&raw mut (*mark).record.map_type, arrival.map_type as u32);
        write_volatile(&raw mut (*mark).record.pcs[0], here.return_pc);
        write_volatile(&raw mut (*mark).record.pcs[1], 0);
        write_volatile(&raw mut (*mark).g, here.g);
        write_volatile(&raw mut (*mark).depth, here.depth(arrival.config));
    }
}

/// Yields; when nothing else was runnable since the last time, sleeps a moment first, so that a
/// goroutine that only the kernel can wake gets its chance, and the waiting one does not burn a CPU.
/// The same when somebody has been inside for long: his thread needs a CPU. The P is kept meanwhile: a
/// stop of the world waits that long.
///
/// # Safety
/// As for `gocc_enter`.
unsafe fn hold_on(arrival: &Arrival<'_>, is_somebody_inside: bool) -> u32 {
    const MOMENT_NS: u64 = 20_000;
    let mark = arrival.mark;
    // SAFETY: the mark is this goroutine's.
    unsafe {
        let control = arrival.front.control();
        let moment = read_volatile(&raw const (*control).ticks_per_ms) / 50;
        let yields = &raw mut (*control).yields;
        let before = read_volatile(&raw const (*mark).yielded);
        let is_alone = before != 0
            && arrival.now.wrapping_sub(before) < moment
            && read_volatile(yields) == read_volatile(&raw const (*mark).yields);
        let waited = arrival
            .now
            .wrapping_sub(read_volatile(&raw const (*mark).record.clock));
        if is_alone || (is_somebody_inside && waited > 10 * moment) {
            sys::sleep_ns(MOMENT_NS);
        }
        let now = AtomicU64::from_ptr(yields).fetch_add(1, Ordering::Relaxed);
        write_volatile(&raw mut (*mark).yields, now + 1);
        write_volatile(&raw mut (*mark).yielded, sys::tsc());
    }
    YIELD
}

/// An operation has ended, or a panic has left it (`frame` is 0 then).
///
/// # Safety
/// Called by a hook only: `g` is the running goroutine, `frame` its frame pointer at the exit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gocc_leave(config: &Config, g: u64, frame: u64) {
    // SAFETY: the caller's.
    unsafe {
        let front = Front::of(config);
        let here = Here::new(config, 0, g, frame);
        let mark = front.mark_of(here.goid);
        let is_own = read_volatile(&raw const (*mark).record.who) & GOID == here.goid;
        let is_inside = read_volatile(&raw const (*mark).state) == MARK_INSIDE;
        let is_outermost =
            frame == 0 || read_volatile(&raw const (*mark).depth) == here.depth(config);
        if is_own && is_inside && is_outermost {
            release(front, mark);
        }
    }
}

/// Ends what a mark says its goroutine is doing.
///
/// # Safety
/// The mark must lie in the front and be the running goroutine's.
unsafe fn release(front: Front, mark: *mut Mark) {
    // SAFETY: the caller's.
    unsafe {
        let occupied = read_volatile(&raw const (*mark).occupancy);
        let map = read_volatile(&raw const (*mark).record.map);
        let who = read_volatile(&raw const (*mark).record.who);
        write_volatile(&raw mut (*mark).occupancy, 0);
        if occupied != 0
            && let Some(entry) = Entry::lock_patiently(front, map)
        {
            if !is_write((who >> 48) as u8) {
                entry.remove_reader(who & GOID);
            } else if (*entry.0).writer == who & GOID {
                (*entry.0).writer = 0;
            }
            entry.unlock();
        }
        write_volatile(&raw mut (*mark).state, MARK_IDLE);
    }
}

/// Who is in the way of an operation.
enum Opponent {
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
    /// Locks the entry of a map and makes it this map's. `None` when another map is using it, or the
    /// lock is not to be had: its holder may have lost its CPU.
    ///
    /// # Safety
    /// The front must be mapped.
    unsafe fn lock(front: Front, map: u64) -> Option<Entry> {
        // SAFETY: the caller's.
        unsafe { Entry::lock_within(front, map, 2000) }
    }

    /// As `lock`, for an operation that is over: it must not stay registered for ever.
    ///
    /// # Safety
    /// The front must be mapped.
    pub unsafe fn lock_patiently(front: Front, map: u64) -> Option<Entry> {
        // SAFETY: the caller's.
        unsafe { Entry::lock_within(front, map, 2_000_000) }
    }

    /// # Safety
    /// The front must be mapped.
    unsafe fn lock_within(front: Front, map: u64, tries: u32) -> Option<Entry> {
        // Maps are at least 16-byte aligned; the multiplier is 2^64 divided by the golden ratio.
        let hash = (map >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let entry = front.occupancy(hash as usize);
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
        if unsafe { locked.claim(map) } {
            return Some(locked);
        }
        locked.unlock();
        None
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn claim(&self, map: u64) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            if entry.map == map {
                return true;
            }
            if entry.map != 0 && (entry.writer != 0 || entry.has_readers() || entry.trap != 0) {
                return false;
            }
            entry.map = map;
            entry.turn = 0;
            entry.next = 0;
            for access in &mut entry.history {
                access.who = 0;
            }
        }
        true
    }

    pub fn unlock(self) {
        // SAFETY: aligned, in the front, locked by this thread.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.0).lock) }.store(0, Ordering::Release);
    }

    fn index(&self, front: Front) -> u32 {
        front.occupancy_index(self.0)
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn add_reader(&self, goid: u64) {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
        match entry.readers.iter_mut().find(|reader| **reader == 0) {
            Some(free) => *free = goid,
            None => entry.crowd += 1,
        }
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn remove_reader(&self, goid: u64) {
        // SAFETY: the caller's.
        let entry = unsafe { &mut *self.0 };
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
            if unsafe { is_inside_of(arrival.front, *reader, arrival.map) } {
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
    unsafe fn ask_for_turn(&self, arrival: &Arrival<'_>) {
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            if entry.turn == 0 || !is_at_door(arrival.front, entry.turn, arrival.map) {
                entry.turn = arrival.here.goid;
            }
        }
    }

    /// # Safety
    /// The entry must be locked.
    unsafe fn end_turn(&self, goid: u64) {
        // SAFETY: the caller's.
        unsafe {
            if (*self.0).turn == goid {
                (*self.0).turn = 0;
            }
        }
    }

    /// # Safety
    /// The entry must be locked, the map live.
    unsafe fn opponent(&self, arrival: &Arrival<'_>) -> Opponent {
        let goid = arrival.here.goid;
        // SAFETY: the caller's.
        unsafe {
            let entry = &mut *self.0;
            if entry.writer != 0 && !is_inside_of(arrival.front, entry.writer, arrival.map) {
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
            if entry.turn != 0
                && entry.turn != goid
                && is_at_door(arrival.front, entry.turn, arrival.map)
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
}

/// The goroutine's mark says that it is inside an operation on the map.
///
/// # Safety
/// The front must be mapped.
unsafe fn is_inside_of(front: Front, goid: u64, map: u64) -> bool {
    // SAFETY: the caller's.
    unsafe { is_marked(front, goid, map, MARK_INSIDE) }
}

/// The goroutine's mark says that it waits at the map's door.
///
/// # Safety
/// The front must be mapped.
unsafe fn is_at_door(front: Front, goid: u64, map: u64) -> bool {
    // SAFETY: the caller's.
    unsafe { is_marked(front, goid, map, MARK_HELD) }
}

/// # Safety
/// The front must be mapped.
unsafe fn is_marked(front: Front, goid: u64, map: u64, state: u32) -> bool {
    // SAFETY: marks lie in the front.
    unsafe {
        let mark = front.mark_of(goid);
        read_volatile(&raw const (*mark).state) == state
            && read_volatile(&raw const (*mark).record.who) & GOID == goid
            && read_volatile(&raw const (*mark).record.map) == map
    }
}

/// In block mode the first conflict is the last.
///
/// # Safety
/// As for `gocc_enter`.
pub unsafe fn end_if_blocking(arrival: &Arrival<'_>) {
    // SAFETY: the front is mapped.
    unsafe {
        if read_volatile(&raw const (*arrival.front.control()).gate) == GATE_BLOCK {
            let code = read_volatile(&raw const (*arrival.front.header()).exit_code);
            sys::write_stderr(b"gocc: concurrent map access: the program ends before it does harm; gocc report on its ring shows both goroutines\n");
            sys::exit_group(code as usize);
        }
    }
}

/// Adds one to a counter that several threads share.
///
/// # Safety
/// The counter must be aligned and mapped.
pub unsafe fn count(counter: *mut u64) {
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(1, Ordering::Relaxed);
}
