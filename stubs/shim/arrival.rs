//! The arrival of an operation at its map's door, in hunt, block and guard.
//!
//! Whoever finds an operation in the map's entry that conflicts with its own has found a conflict: its own
//! goroutine is at the door, the other inside. It then waits for its turn by yielding: `gocc_enter` answers
//! [`YIELD`], the hook enters the scheduler through the function's own stack check, and when the
//! goroutine runs again the hook starts over. What must survive the yield is in the goroutine's mark.
//!
//! Nothing here may wait for another goroutine without bound: an entry's lock is tried a limited
//! number of times, turns are waited for until a deadline, and whatever cannot be kept track of goes
//! ahead untracked and is counted.

use crate::budget;
use crate::config::Config;
use crate::conflict::{Found, record_found};
use crate::ending::end_if_blocking;
use crate::entry::{Entry, Opponent};
use crate::front::{Front, Regime, count, read_at};
use crate::hunt;
use crate::layout::*;
use crate::order;
use crate::side::{Here, Other, is_on_thread};
use crate::sys;
use crate::traffic::{self, Look};
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};

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
    /// Read once: what happens to one arrival happens in one epoch.
    pub regime: Regime,
    /// The goroutine was here before, and yielded.
    pub is_back: bool,
    /// In hunt, the return address into the code that wants the operation.
    pub place: u32,
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
        let front = Front::of(config);
        let regime = front.regime();
        if !regime.is_managed() || !may_yield(config, g) {
            return PROCEED;
        }
        if traffic::is_everything_looked_at(front) {
            front.expect(map);
        }
        let here = Here::new(config, place, g, frame);
        let mark = front.mark_of(here.goid);
        // Made once, and completed as more is known: the stack is small.
        let mut arrival = Arrival {
            config,
            front,
            here,
            place: 0,
            map,
            map_type,
            mark,
            now: 0,
            regime,
            is_back: false,
        };
        let mut look = Look::Taken;
        if regime.gate == GATE_HUNT {
            arrival.place = arrival.here.place(config);
            look = traffic::look(&arrival);
            if look == Look::LeftOut && pass(&mut arrival) {
                return PROCEED;
            }
        }
        front.expect(map);
        let state = state_in(regime, mark);
        let is_own = is_own(&arrival);
        if state != MARK_IDLE && !(is_own && state == MARK_HELD) && !is_abandoned(&arrival, is_own)
        {
            // An operation inside another one of the same goroutine, or a mark that two goroutines share.
            return if is_own {
                PROCEED
            } else {
                wait_for_mark(config, front, mark, map)
            };
        }
        arrival.is_back =
            is_own && state == MARK_HELD && read_volatile(&raw const (*mark).record.map) == map;
        arrival.now = sys::tsc();
        let answer = arrive(&arrival);
        if look == Look::Timed && answer == PROCEED {
            traffic::time(&arrival);
        }
        answer
    }
}

/// An operation that is left out goes ahead, unless the map has ceased to be its goroutine's alone. Its mark says that it is
/// inside: whoever takes the map from the goroutine meanwhile will look there (see `traffic::take_over`). The mark is set
/// first and the owner looked at then, there it is the other way round; only what this processor has not shown to the
/// others yet, for some nanoseconds, escapes them.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
unsafe fn pass(arrival: &mut Arrival<'_>) -> bool {
    // SAFETY: the caller's; a free mark is this goroutine's now.
    unsafe {
        if state_in(arrival.regime, arrival.mark) != MARK_IDLE {
            return false;
        }
        arrival.now = sys::tsc();
        mark_inside(arrival, 0);
        compiler_fence(Ordering::SeqCst);
        let is_alone = traffic::is_still_alone(arrival);
        if !is_alone {
            write_volatile(&raw mut (*arrival.mark).state, MARK_IDLE);
        }
        is_alone
    }
}

impl Arrival<'_> {
    /// For how long it has been waiting at the door, in ticks.
    ///
    /// # Safety
    /// The goroutine waits at the door: its mark says since when.
    pub unsafe fn waited(&self) -> u64 {
        // SAFETY: the mark is this goroutine's.
        let since = unsafe { read_volatile(&raw const (*self.mark).record.clock) };
        self.now.wrapping_sub(since)
    }
}

/// The mark is of the arriving goroutine, not of another one whose id differs by a multiple of the number of marks.
///
/// # Safety
/// The mark must lie in the front.
pub unsafe fn is_own(arrival: &Arrival<'_>) -> bool {
    // SAFETY: the caller's.
    unsafe { read_volatile(&raw const (*arrival.mark).record.who) & GOID == arrival.here.goid }
}

/// The state of a mark. One of an earlier epoch says nothing any more: its operation may have ended
/// while nobody kept track.
///
/// # Safety
/// The mark must lie in the front.
unsafe fn state_in(regime: Regime, mark: *mut Mark) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if read_volatile(&raw const (*mark).epoch) == regime.epoch {
            read_volatile(&raw const (*mark).state)
        } else {
            MARK_IDLE
        }
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
        // A clock far in the future is none of a mark's: somebody wrote into the ring.
        let age = sys::tsc().abs_diff(read_volatile(&raw const (*mark).record.clock));
        let wait = front.wait_ticks();
        // Who wants the same map is most likely waiting for its turn, and in the way of this one then.
        let is_contended = read_volatile(&raw const (*mark).record.map) == map;
        let patience = if is_contended || is_being_written(config, map) {
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

/// The goroutine's own mark, of an operation that was called from where the present one is, or from
/// deeper: that operation is over, although it did not pass an exit.
///
/// # Safety
/// The mark must lie in the front.
unsafe fn is_abandoned(arrival: &Arrival<'_>, is_own: bool) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let outer = read_volatile(&raw const (*arrival.mark).depth);
        let is_over = is_own && outer >= arrival.here.depth(arrival.config);
        if is_over {
            release(arrival.front, arrival.mark);
        }
        is_over
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
        let Some(entry) = Entry::lock(arrival.front, arrival.map, arrival.regime.epoch) else {
            return wait_for_entry(arrival);
        };
        if arrival.regime.gate == GATE_HUNT {
            traffic::take_over(arrival, &entry);
        }
        match entry.opponent(arrival) {
            Opponent::None => meet_nobody(arrival, entry),
            opponent => {
                // Not deeper in: recording takes most of the stack that there is.
                let is_new = !arrival.is_back || !has_done(arrival, HELD_RECORDED);
                let who = opponent.conflicting().filter(|_| is_new);
                if let Some(who) = who {
                    record_meeting(arrival, who);
                }
                meet(arrival, entry, opponent, who.is_some())
            }
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
        let has_waited = arrival.is_back && has_waited_enough(arrival, true);
        if has_waited {
            Entry::give_up(arrival.front, arrival.map);
        }
        if has_waited || Entry::is_given_up(arrival.front, arrival.map) {
            count(&raw mut (*control).untracked);
            return go_untracked(arrival);
        }
        if !arrival.is_back {
            wait_for_turn(arrival);
        }
        hold_on(arrival, true)
    }
}

/// The time to wait is over. For somebody who is known to be there, inside or at the door before this one, a
/// hundred times as long is waited: his thread has lost its CPU, and going ahead would most likely
/// end the program.
///
/// # Safety
/// As for `gocc_enter`; the goroutine is back from a yield.
#[inline(never)]
unsafe fn has_waited_enough(arrival: &Arrival<'_>, is_there: bool) -> bool {
    const PATIENCE: u64 = 100;
    // SAFETY: the caller's.
    unsafe {
        let deadline = read_volatile(&raw const (*arrival.mark).deadline);
        let wait = arrival.front.wait_ticks();
        let patience = if is_there {
            wait.saturating_mul(PATIENCE)
        } else {
            0
        };
        // A deadline further away than any that is set is rubbish.
        deadline.saturating_sub(arrival.now) > wait
            || arrival.now >= deadline.saturating_add(patience)
    }
}

/// The map's writing flag is set.
///
/// # Safety
/// As for `gocc_enter`.
pub unsafe fn is_being_written(config: &Config, map: u64) -> bool {
    let flags = map + u64::from(config.map_writing);
    // SAFETY: the map is live.
    unsafe { u32::from((flags as *const u8).read_volatile()) & config.map_writing_mask != 0 }
}

/// Somebody is inside, which `is_recorded` now, if it is a conflict and was not before.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
#[inline(never)]
unsafe fn meet(arrival: &Arrival<'_>, entry: Entry, opponent: Opponent, is_recorded: bool) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        let is_there = !matches!(opponent, Opponent::Unproven);
        if arrival.is_back && has_waited_enough(arrival, is_there) {
            count(&raw mut (*control).waited_in_vain);
            // Readers that never left would hold up every writer from now on.
            (*entry.0).crowd = 0;
            entry.end_turn(arrival.here.goid);
            entry.unlock();
            return go_untracked(arrival);
        }
        if !arrival.is_back {
            wait_for_turn(arrival);
            count(&raw mut (*control).waited);
        }
        if is_recorded {
            note_done(arrival, HELD_RECORDED);
        }
        entry.ask_for_turn(arrival);
        entry.unlock();
        hold_on(arrival, needs_a_cpu(arrival, &opponent))
    }
}

/// The one who is in the way has had time to get out of it, had his thread got a CPU. Not when he waits for a P
/// himself: then others must yield theirs, not sleep.
///
/// # Safety
/// As for `gocc_enter`; the goroutine waits at the door.
#[inline(never)]
unsafe fn needs_a_cpu(arrival: &Arrival<'_>, opponent: &Opponent) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let moments = arrival.waited() / budget::moment(arrival.front.control()).max(1);
        match *opponent {
            Opponent::Goroutine(goid) | Opponent::Next(goid) => {
                moments > 0 && is_on_thread(arrival.config, arrival.front.mark_of(goid), goid)
            }
            // It is not known who.
            Opponent::Untracked => moments > 10,
            Opponent::Unproven | Opponent::None => false,
        }
    }
}

/// # Safety
/// As for `gocc_enter`; the goroutine is back from a yield.
unsafe fn has_done(arrival: &Arrival<'_>, what: u16) -> bool {
    // SAFETY: the mark is this goroutine's.
    unsafe { read_volatile(&raw const (*arrival.mark).done) & what != 0 }
}

/// # Safety
/// As for `gocc_enter`; the goroutine waits at the door.
pub unsafe fn note_done(arrival: &Arrival<'_>, what: u16) {
    // SAFETY: the mark is this goroutine's.
    unsafe {
        let done = &raw mut (*arrival.mark).done;
        write_volatile(done, read_volatile(done) | what);
    }
}

/// Records a conflict with somebody who is known to be inside; who, if that is known. The entry stays locked meanwhile: the
/// other goroutine cannot leave, so that it is inside is proven; unless it is one whom hunt has let pass, which was.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
#[inline(never)]
unsafe fn record_meeting(arrival: &Arrival<'_>, who: Option<u64>) {
    let (found, evidence) = match who {
        Some(goid) => {
            let mark = arrival.front.mark_of(goid);
            // SAFETY: marks lie in the front.
            let is_registered = unsafe { read_volatile(&raw const (*mark).occupancy) } != 0;
            let otherwise = if is_registered {
                SIDE_INSIDE
            } else {
                SIDE_JUST_LEFT
            };
            let other = Other { mark, otherwise };
            (Found::Marked(other), EVIDENCE_OVERLAP)
        }
        None => (Found::Nobody, EVIDENCE_FLAG_AT_ENTRY),
    };
    // SAFETY: the caller's.
    unsafe {
        let index = record_found(
            arrival.config,
            &arrival.here,
            arrival.map,
            arrival.map_type,
            evidence,
            found,
        );
        end_if_blocking(arrival, index);
    }
}

/// Nobody is in the way: someone may be held at the door, or this one may be held now.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn meet_nobody(arrival: &Arrival<'_>, entry: Entry) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if arrival.regime.gate == GATE_HUNT {
            if !arrival.is_back {
                order::infer(arrival);
            }
            hunt::spring_trap(arrival, &entry);
            // Whoever had to wait comes here for the first time, too.
            let is_noted = arrival.is_back && has_done(arrival, HELD_NOTED);
            if !is_noted && hunt::set_trap(arrival, &entry) {
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
    unsafe {
        leave_door(arrival);
        write_volatile(&raw mut (*arrival.mark).state, MARK_IDLE);
    }
    PROCEED
}

/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn go_inside(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: the mark is this goroutine's, the entry locked.
    unsafe {
        leave_door(arrival);
        mark_inside(arrival, 1);
        entry.end_turn(arrival.here.goid);
        entry.add(who(arrival.here.goid, arrival.here.op));
    }
}

/// The goroutine's mark says that it is inside; and whether the map's entry does (1).
///
/// # Safety
/// As for `gocc_enter`; the mark is this goroutine's.
unsafe fn mark_inside(arrival: &Arrival<'_>, occupancy: u32) {
    // SAFETY: the caller's.
    unsafe {
        fill_mark(arrival);
        write_volatile(&raw mut (*arrival.mark).occupancy, occupancy);
        write_volatile(&raw mut (*arrival.mark).trap, 0);
        fence(Ordering::Release);
        write_volatile(&raw mut (*arrival.mark).state, MARK_INSIDE);
    }
}

/// Whoever has waited at a door goes away from it.
///
/// # Safety
/// The front must be mapped.
unsafe fn leave_door(arrival: &Arrival<'_>) {
    if arrival.is_back && arrival.regime.gate == GATE_HUNT {
        // SAFETY: the caller's.
        unsafe { traffic::at_door(arrival.front, false) };
    }
}

/// Somebody is in the way: the goroutine waits at the door. Apart, for its few registers: it runs on a goroutine's stack.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
pub unsafe fn wait_for_turn(arrival: &Arrival<'_>) {
    // SAFETY: the caller's.
    unsafe { wait_at_the_door(arrival, arrival.front.wait_ticks(), 0) };
}

/// The goroutine's mark says what it is about to do and until when it waits.
///
/// # Safety
/// As for `gocc_enter`.
#[inline(never)]
pub unsafe fn wait_at_the_door(arrival: &Arrival<'_>, ticks: u64, trap: u32) {
    // SAFETY: the mark is this goroutine's.
    unsafe {
        if !arrival.is_back && arrival.regime.gate == GATE_HUNT {
            traffic::at_door(arrival.front, true);
        }
        fill_mark(arrival);
        write_volatile(
            &raw mut (*arrival.mark).deadline,
            arrival.now.wrapping_add(ticks),
        );
        write_volatile(&raw mut (*arrival.mark).trap, trap);
        write_volatile(&raw mut (*arrival.mark).done, 0);
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
        write_volatile(&raw mut (*mark).record.who, who(here.goid, here.op));
        write_volatile(&raw mut (*mark).record.clock, arrival.now);
        // No frame is there, so observe mode does not take the mark for one that it left itself.
        write_volatile(&raw mut (*mark).record.seed, mark as usize as u32);
        write_volatile(&raw mut (*mark).record.map_type, arrival.map_type as u32);
        write_volatile(&raw mut (*mark).record.pcs[0], here.return_pc);
        write_volatile(&raw mut (*mark).record.pcs[1], 0);
        write_volatile(&raw mut (*mark).g, here.g);
        write_volatile(&raw mut (*mark).epoch, arrival.regime.epoch);
        write_volatile(&raw mut (*mark).depth, here.depth(arrival.config));
    }
}

/// Yields; when nothing else was runnable since the last time, sleeps a moment first, so that a
/// goroutine that only the kernel can wake gets its chance, and the waiting one does not burn a CPU.
/// The same when somebody's thread needs a CPU. The P is kept meanwhile: a stop of the world waits that long.
///
/// # Safety
/// As for `gocc_enter`.
unsafe fn hold_on(arrival: &Arrival<'_>, is_cpu_needed: bool) -> u32 {
    const MOMENT_NS: u64 = 20_000;
    let mark = arrival.mark;
    // SAFETY: the mark is this goroutine's.
    unsafe {
        let control = arrival.front.control();
        let moment = budget::moment(control);
        let yields = &raw mut (*control).yields;
        let before = read_volatile(&raw const (*mark).yielded);
        let is_alone = before != 0
            && arrival.now.wrapping_sub(before) < moment
            && read_volatile(yields) == read_volatile(&raw const (*mark).yields);
        if is_alone || is_cpu_needed {
            sys::sleep_ns(MOMENT_NS);
        }
        let until = sys::tsc();
        if read_volatile(&raw const (*mark).trap) != 0 {
            budget::charge(arrival, until);
        }
        let now = AtomicU64::from_ptr(yields).fetch_add(1, Ordering::Relaxed);
        write_volatile(&raw mut (*mark).yields, now + 1);
        write_volatile(&raw mut (*mark).yielded, until);
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
#[inline(always)]
unsafe fn release(front: Front, mark: *mut Mark) {
    // SAFETY: the caller's.
    unsafe {
        if read_volatile(&raw const (*mark).occupancy) != 0 {
            unregister(front, mark);
        }
        write_volatile(&raw mut (*mark).state, MARK_IDLE);
    }
}

/// Takes a goroutine out of the entry that its mark says it is in. Apart, since who was let pass is in none.
///
/// # Safety
/// As for `release`.
#[inline(never)]
unsafe fn unregister(front: Front, mark: *mut Mark) {
    // SAFETY: the caller's.
    unsafe {
        let epoch = read_volatile(&raw const (*mark).epoch);
        let map = read_volatile(&raw const (*mark).record.map);
        let who = read_volatile(&raw const (*mark).record.who);
        write_volatile(&raw mut (*mark).occupancy, 0);
        if epoch == front.regime().epoch
            && let Some(entry) = Entry::lock_patiently(front, map, epoch)
        {
            entry.remove(who);
            entry.unlock();
        }
    }
}
