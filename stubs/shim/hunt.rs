//! Hunt: holding operations at the door.
//!
//! After TSVD (Li et al., SOSP 2019): two operations on one map by different goroutines within a
//! window, at least one a write, are a near miss, and make both program places suspects. An operation
//! at a suspect place is held at the door for a while; whoever comes to the same map meanwhile with a
//! conflicting operation is caught in the act with it, before either has touched the map. A hold
//! that catches nobody makes the next one at that place less likely; places that are in order are left
//! alone (see `order`). It lasts as long as others were seen to take for coming after that place, with some
//! to spare, and is bounded by the hold length.
//!
//! With no suspects known from earlier runs, the first operations at each place are held by chance.

use crate::arrival::{Arrival, note_done, wait_at_the_door, wait_for_turn};
use crate::budget::{self, Purpose};
use crate::conflict::{Found, record_found};
use crate::context::copy_labels;
use crate::entry::Entry;
use crate::front::{Front, count};
use crate::layout::*;
use crate::order::{self, Known};
use crate::side::fill_self;
use crate::traffic;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const TRAP_FREE: u32 = 0;

/// Certain to be held, in `Place::chance`.
const CERTAIN: u32 = 1024;
/// A place below this chance is taken for ordered by some synchronisation.
const LEAST_CHANCE: u32 = 16;
/// Operations at one place among which holds are tried while nothing is suspected.
const EXPLORED_VISITS: u32 = 8;
/// Where it is not known whether anybody comes, a hold takes one in so many of its length.
const FIRST_LOOK: u64 = 4;
/// Accesses remember the time in units of 2 to this power ticks, and so do gaps.
const TIME_SHIFT: u32 = 10;

/// Still held: nobody has come, and the time is not up. Otherwise the hold is over.
///
/// # Safety
/// The arrival must be the running goroutine's, back from a yield.
#[inline(never)]
pub unsafe fn is_held(arrival: &Arrival<'_>) -> bool {
    // SAFETY: the mark is this goroutine's; its trap index was checked when it was set.
    unsafe {
        let Some(index) = read_volatile(&raw const (*arrival.mark).trap).checked_sub(1) else {
            return false;
        };
        let trap = arrival.front.trap(index as usize);
        let is_sprung = read_volatile(&raw const (*trap).state)
            == state_word(TRAP_SPRUNG, arrival.regime.epoch);
        let deadline = read_volatile(&raw const (*arrival.mark).deadline);
        let hold = arrival.front.hold_ticks();
        // A deadline further away than any that is set is rubbish: somebody wrote into the ring.
        let is_time_left = (1..=hold).contains(&deadline.saturating_sub(arrival.now));
        if !is_sprung && is_time_left {
            return true;
        }
        budget::charge(arrival, arrival.now);
        let held = arrival
            .now
            .wrapping_sub(read_volatile(&raw const (*trap).set));
        AtomicU64::from_ptr(&raw mut (*arrival.front.control()).held_ticks)
            .fetch_add(held, Ordering::Relaxed);
        learn(arrival, is_sprung);
        if !is_sprung {
            order::remember(arrival, read_volatile(&raw const (*trap).set));
        }
        take_down(arrival, trap, index, is_sprung);
        // From here on it waits for its turn, if it has to.
        wait_for_turn(arrival);
        note_done(arrival, HELD_NOTED);
        false
    }
}

/// An operation that was held in vain begins: whoever comes from now on may have waited for it.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
unsafe fn begin_late(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: the caller's.
    let entry = unsafe { &mut *entry.0 };
    let here = who(arrival.here.goid, arrival.here.op);
    for access in &mut entry.history {
        if access.who == here && access.pc == arrival.place {
            access.who |= ACCESS_HELD;
            access.time = time_of(arrival);
        }
    }
}

/// # Safety
/// The trap must be this goroutine's.
unsafe fn take_down(arrival: &Arrival<'_>, trap: *mut Trap, index: u32, is_sprung: bool) {
    // SAFETY: the caller's.
    unsafe {
        let epoch = arrival.regime.epoch;
        if let Some(entry) = Entry::lock_patiently(arrival.front, arrival.map, epoch) {
            if u32::from((*entry.0).trap) == index + 1 {
                (*entry.0).trap = 0;
            }
            if !is_sprung {
                begin_late(arrival, &entry);
            }
            entry.unlock();
        }
        // In a later epoch it may be somebody else's.
        let state = AtomicU32::from_ptr(&raw mut (*trap).state);
        for own in [TRAP_SET, TRAP_SPRUNG] {
            let own = state_word(own, epoch);
            let _ = state.compare_exchange(own, TRAP_FREE, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// # Safety
/// As for `is_held`.
unsafe fn learn(arrival: &Arrival<'_>, caught: bool) {
    // SAFETY: places lie in the front.
    unsafe {
        let Some(place) = place_of(arrival.front, arrival.place) else {
            return;
        };
        let chance = read_volatile(&raw const (*place).chance);
        if caught {
            write_volatile(
                &raw mut (*place).catches,
                read_volatile(&raw const (*place).catches) + 1,
            );
        }
        // A place that has caught somebody has said what it knows; the budget is for others. One that has
        // caught nobody gets less, from the second time on.
        let holds = read_volatile(&raw const (*place).holds);
        let next = match (caught, holds) {
            (true, _) => chance / 2,
            (false, 0 | 1) => chance,
            (false, _) => chance - chance / 4,
        };
        write_volatile(&raw mut (*place).chance, next);
    }
}

/// Somebody is held at this map's door: if the two operations conflict, both are caught.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
#[inline(never)]
pub unsafe fn spring_trap(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: the caller's; a trap that an entry names is set.
    unsafe {
        let Some(index) = u32::from((*entry.0).trap).checked_sub(1) else {
            return;
        };
        let trap = arrival.front.trap(index as usize);
        let held = &(*trap).side;
        let set = state_word(TRAP_SET, arrival.regime.epoch);
        let is_set = read_volatile(&raw const (*trap).state) == set && (*trap).map == arrival.map;
        let here = who(arrival.here.goid, arrival.here.op);
        if !is_set || !conflict(who(held.goid, held.op), here) {
            return;
        }
        let found = Found::Held(trap);
        record_found(
            arrival.config,
            &arrival.here,
            arrival.map,
            arrival.map_type,
            EVIDENCE_TRAP,
            found,
        );
        let state = AtomicU32::from_ptr(&raw mut (*trap).state);
        let sprung = state_word(TRAP_SPRUNG, arrival.regime.epoch);
        let _ = state.compare_exchange(set, sprung, Ordering::Release, Ordering::Relaxed);
    }
}

/// Notes the access, and holds the operation when its place is suspect and the budget allows it.
///
/// # Safety
/// As for `gocc_enter`; the entry is locked.
#[inline(never)]
pub unsafe fn set_trap(arrival: &Arrival<'_>, entry: &Entry) -> bool {
    // SAFETY: the caller's.
    unsafe {
        note_access(arrival, entry);
        let Some((purpose, ticks)) = choose(arrival) else {
            return false;
        };
        let (number, epoch) = (u32::from((*entry.0).trap), arrival.regime.epoch);
        let is_occupied = number != 0 && is_set(arrival.front, number, arrival.map, epoch);
        if is_occupied || !budget::allows(arrival, purpose, ticks) {
            return false;
        }
        let Some(index) = claim_trap(arrival.front, epoch) else {
            return false;
        };
        let trap = arrival.front.trap(index as usize);
        (*trap).map = arrival.map;
        (*trap).set = arrival.now;
        fill_self(
            arrival.config,
            &arrival.here,
            arrival.now,
            &raw mut (*trap).side,
        );
        (*trap).side.certainty = SIDE_HELD;
        copy_labels(arrival.config, arrival.here.g, &raw mut (*trap).labels);
        wait_at_the_door(arrival, ticks, index + 1);
        note_done(arrival, HELD_NOTED);
        let set = state_word(TRAP_SET, epoch);
        AtomicU32::from_ptr(&raw mut (*trap).state).store(set, Ordering::Release);
        // Only now may others see it.
        (*entry.0).trap = index as u16 + 1;
        count(&raw mut (*arrival.front.control()).holds);
        if let Some(place) = place_of(arrival.front, arrival.place) {
            write_volatile(
                &raw mut (*place).holds,
                read_volatile(&raw const (*place).holds) + 1,
            );
        }
        true
    }
}

/// A trap, by its number in an entry, is set or sprung at a map's door.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn is_set(front: Front, number: u32, map: u64, epoch: u32) -> bool {
    let trap = front.trap(number.wrapping_sub(1) as usize);
    // SAFETY: traps lie in the front.
    unsafe {
        let state = read_volatile(&raw const (*trap).state);
        let is_there = [TRAP_SET, TRAP_SPRUNG]
            .map(|word| state_word(word, epoch))
            .contains(&state);
        is_there && read_volatile(&raw const (*trap).map) == map
    }
}

/// `Trap::state` in an epoch.
fn state_word(state: u32, epoch: u32) -> u32 {
    state | epoch << 2
}

/// A free trap, claimed; in the claimed state nobody else looks at it. Free are also those that were set in
/// another epoch and never taken down; whoever is about to set one in another epoch will finish that.
///
/// # Safety
/// The front must be mapped.
unsafe fn claim_trap(front: Front, epoch: u32) -> Option<u32> {
    (0..TRAP_COUNT as u32).find(|index| {
        // SAFETY: traps lie in the front.
        let state = unsafe { AtomicU32::from_ptr(&raw mut (*front.trap(*index as usize)).state) };
        let found = state.load(Ordering::Relaxed);
        let is_left_over = found & 3 != TRAP_CLAIMED && found >> 2 != epoch & u32::MAX >> 2;
        let claimed = state_word(TRAP_CLAIMED, epoch);
        (found == TRAP_FREE || is_left_over)
            && state
                .compare_exchange(found, claimed, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    })
}

/// Compares with the map's last accesses, and becomes one of them.
///
/// # Safety
/// The entry must be locked.
unsafe fn note_access(arrival: &Arrival<'_>, entry: &Entry) {
    // SAFETY: the caller's.
    unsafe {
        let window =
            read_volatile(&raw const (*arrival.front.control()).window_ticks) >> TIME_SHIFT;
        let time = time_of(arrival);
        let entry = &mut *entry.0;
        let here = who(arrival.here.goid, arrival.here.op);
        let (mut nearly_met, mut is_alone) = (false, true);
        for access in &mut entry.history {
            let gap = apart(time, access.time);
            is_alone &= access.who == 0 || (access.who ^ here) & GOID == 0;
            if access.who != 0 && u64::from(gap) < window && conflict(access.who, here) {
                nearly_met = true;
                note_near_miss(arrival, access, gap);
            }
        }
        let next = entry.next as usize % HISTORY;
        entry.history[next] = Access {
            who: here,
            pc: arrival.place,
            time,
        };
        entry.next = ((next + 1) % HISTORY) as u8;
        traffic::note_owner(arrival, nearly_met, is_alone, time, window);
    }
}

/// How far two times are apart, as accesses remember them. Whoever came first to the map's entry may have looked at the
/// clock last: the later operation's time is the earlier one then.
pub fn apart(time: u32, other: u32) -> u32 {
    let gap = time.wrapping_sub(other);
    gap.min(gap.wrapping_neg())
}

/// The time as accesses remember it.
fn time_of(arrival: &Arrival<'_>) -> u32 {
    (arrival.now >> TIME_SHIFT) as u32
}

/// An operation follows a conflicting one of another goroutine, so much later.
///
/// # Safety
/// The front must be mapped, the access' entry locked.
unsafe fn note_near_miss(arrival: &Arrival<'_>, access: &mut Access, gap: u32) {
    // SAFETY: the caller's.
    unsafe {
        let (front, here) = (arrival.front, arrival.place);
        let known = order::near_miss(front, here, access.pc);
        // Who came before the held one was through did not wait for that.
        let is_later = time_of(arrival).wrapping_sub(access.time) == gap;
        if access.who & ACCESS_HELD != 0 && is_later {
            // Once is enough.
            access.who &= !ACCESS_HELD;
            order::came_after_hold(arrival, access.pc, u64::from(gap) << TIME_SHIFT);
        }
        if known == Known::Ordered {
            return;
        }
        suspect(front, here, arrival.here.op, known);
        let earlier = suspect(front, access.pc, op_of(access.who), known);
        if let Some(earlier) = earlier {
            let shortest = read_volatile(&raw const (*earlier).gap);
            if shortest == 0 || gap < shortest {
                write_volatile(&raw mut (*earlier).gap, gap.max(1));
            }
        }
    }
}

/// # Safety
/// The front must be mapped.
unsafe fn suspect(front: Front, pc: u32, op: u8, known: Known) -> Option<*mut Place> {
    // SAFETY: places lie in the front; two threads that meet in one lose a count.
    unsafe {
        let place = place_of(front, pc)?;
        let near_misses = read_volatile(&raw const (*place).near_misses);
        if near_misses == 0 || known == Known::New {
            traffic::suspected(front, pc);
        }
        if near_misses == 0 {
            write_volatile(&raw mut (*place).chance, CERTAIN);
            write_volatile(&raw mut (*place).op, u32::from(op));
            AtomicU32::from_ptr(&raw mut (*front.control()).suspects)
                .fetch_add(1, Ordering::Relaxed);
        } else if known == Known::New {
            // What earlier holds did not find may be found with this one.
            let chance = read_volatile(&raw const (*place).chance);
            write_volatile(&raw mut (*place).chance, chance.max(CERTAIN / 4));
        }
        write_volatile(&raw mut (*place).near_misses, near_misses.saturating_add(1));
        Some(place)
    }
}

/// The place of a return address, made when it is new and there is room.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn place_of(front: Front, pc: u32) -> Option<*mut Place> {
    (0..PROBES)
        .map(|probe| front.place(place_index(pc) + probe))
        .find(|place| {
            // SAFETY: places lie in the front.
            let holder = unsafe { AtomicU32::from_ptr(&raw mut (**place).pc) };
            if holder.load(Ordering::Relaxed) == pc {
                return true;
            }
            match holder.compare_exchange(0, pc, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => true,
                Err(found) => found == pc,
            }
        })
}

/// Whether to hold an operation, for what and for how many ticks. By chance: certain for a place newly
/// suspected, less with every fruitless hold; without suspects of an earlier run, now and then among the first
/// visits of a place, once a second goroutine uses maps.
///
/// # Safety
/// The front must be mapped.
unsafe fn choose(arrival: &Arrival<'_>) -> Option<(Purpose, u64)> {
    // SAFETY: the caller's.
    unsafe {
        let control = arrival.front.control();
        let has_many = has_many(control, arrival.here.goid);
        let place = place_of(arrival.front, arrival.place)?;
        let visits = read_volatile(&raw const (*place).visits);
        write_volatile(&raw mut (*place).visits, visits.saturating_add(1));
        let hold = arrival.front.hold_ticks();
        let has_file = read_volatile(&raw const (*control).has_file) != 0;
        let (chance, purpose, ticks) = if read_volatile(&raw const (*place).near_misses) != 0 {
            let (chance, ticks) = prospects(place, hold, has_file);
            let purpose = if has_file && read_volatile(&raw const (*place).holds) == 0 {
                Purpose::First
            } else {
                Purpose::Suspect
            };
            (chance, purpose, ticks)
        } else if visits < EXPLORED_VISITS && has_many && !has_file {
            (CERTAIN / 4, Purpose::Explore, hold / FIRST_LOOK)
        } else {
            return None;
        };
        let seed = read_volatile(&raw const (*control).seed);
        let drawn = dice(seed, arrival.place, visits) & (CERTAIN - 1);
        (chance >= LEAST_CHANCE && drawn < chance).then_some((purpose, ticks))
    }
}

/// Whether a second goroutine has used maps.
///
/// # Safety
/// The front must be mapped.
unsafe fn has_many(control: *mut Control, goid: u64) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let first = read_volatile(&raw const (*control).first_goid);
        if first == 0 {
            write_volatile(&raw mut (*control).first_goid, goid);
        } else if first != goid && read_volatile(&raw const (*control).has_many) == 0 {
            write_volatile(&raw mut (*control).has_many, 1);
        }
        read_volatile(&raw const (*control).has_many) != 0
    }
}

/// The chance with which an operation at a suspect place is held, and for how many ticks: until others
/// are likely to have come. A place after which nobody comes in time is hardly worth a hold.
///
/// # Safety
/// The place must lie in the front.
unsafe fn prospects(place: *mut Place, hold: u64, has_file: bool) -> (u32, u64) {
    // SAFETY: the caller's.
    unsafe {
        let chance = read_volatile(&raw const (*place).chance);
        let gap = read_volatile(&raw const (*place).gap);
        let was_held = read_volatile(&raw const (*place).holds) != 0 || chance < CERTAIN;
        let ticks = u64::from(gap) << TIME_SHIFT;
        match gap {
            // So far it came after others: whether any come after it, a look will tell.
            0 if !was_held && !has_file => (chance, hold / FIRST_LOOK),
            0 => (chance, hold),
            _ if ticks > hold => (chance / 8, hold),
            // What was too short once is as long as it may be the next time.
            _ if was_held => (chance, hold),
            _ => (chance, hold.min(2 * ticks + hold / FIRST_LOOK)),
        }
    }
}

/// The same for the same seed, place and visit: a run's choices can be had again.
fn dice(seed: u32, pc: u32, visit: u32) -> u32 {
    let mut mixed = u64::from(seed) << 32 | u64::from(pc);
    mixed = (mixed ^ u64::from(visit)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as u32
}

/// Puts a place under suspicion that an earlier run suspected.
///
/// # Safety
/// The front must be mapped.
pub unsafe fn suspect_again(front: Front, pc: u32, chance: u32) {
    // SAFETY: the caller's.
    unsafe {
        let Some(place) = suspect(front, pc, 0, Known::Suspect) else {
            return;
        };
        write_volatile(&raw mut (*front.control()).has_file, 1);
        write_volatile(&raw mut (*place).chance, chance.min(CERTAIN));
    }
}
