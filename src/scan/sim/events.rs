//! Events that order goroutines, locks that keep them apart, and touches of maps: what is written down.

use super::*;
use crate::scan::program::unknown;
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    /// The next number of the goroutine that is followed.
    pub(super) fn tick(&mut self) -> u32 {
        let Some(thread) = self.threads.get_mut(self.thread.0 as usize) else {
            return 0;
        };
        thread.next += 1;
        thread.next
    }

    pub(super) fn now(&self) -> u32 {
        self.threads
            .get(self.thread.0 as usize)
            .map_or(0, |thread| thread.next)
    }

    fn event(&mut self, event: Event) {
        let at = self.tick();
        if let Some(thread) = self.threads.get_mut(self.thread.0 as usize) {
            thread.events.push((at, event));
        }
    }

    /// How often this goroutine did that with this object before.
    fn count(&mut self, object: ObjId, sends: bool) -> u32 {
        let Some(thread) = self.threads.get_mut(self.thread.0 as usize) else {
            return 0;
        };
        let count = thread.counts.entry((object, sends)).or_default();
        *count += 1;
        *count - 1
    }

    /// How often this goroutine sent and received so far.
    pub(super) fn message_counts(&self) -> Map<(ObjId, bool), u32> {
        let thread = self.threads.get(self.thread.0 as usize);
        thread
            .map(|thread| thread.counts.clone())
            .unwrap_or_default()
    }

    /// Goes on counting from there.
    pub(super) fn count_from(&mut self, counts: Map<(ObjId, bool), u32>) {
        if let Some(thread) = self.threads.get_mut(self.thread.0 as usize) {
            thread.counts = counts;
        }
    }

    pub(super) fn release(&mut self, objects: &[ObjId], signal: Signal) {
        for &object in objects {
            self.event(Event::Release(object, signal, 0));
        }
    }

    pub(super) fn acquire(&mut self, objects: &[ObjId], signal: Signal) {
        for &object in objects {
            self.event(Event::Acquire(object, signal, 0, u32::MAX));
        }
    }

    pub(super) fn start_event(&mut self, thread: ThreadId) {
        self.event(Event::Start(thread));
    }

    /// `c <- value`.
    pub(super) fn send(&mut self, channel: &Value, value: Value, place: Place) {
        self.escape(&value);
        for &id in &channel.objs {
            let room = self
                .objects
                .get(id.0 as usize)
                .and_then(|object| object.room);
            if room == Some(1) {
                self.toggle(id, place);
            }
            let nth = self.count(id, true);
            self.event(Event::Release(id, Signal::Message, nth));
            if room == Some(0) {
                self.event(Event::Acquire(id, Signal::Taken, nth, u32::MAX));
            }
            if let Some(object) = self.obj(id)
                && object.queue.len() < 8
            {
                object.queue.push_back(value.clone());
            }
        }
    }

    /// `<-c`; `ends` when it is the close that is seen.
    pub(super) fn receive(&mut self, channel: &Value, place: Place, ends: bool) -> Value {
        self.run_waiting();
        let element = match &*self.program.underlying(&channel.ty) {
            Type::Chan(element) => Arc::clone(element),
            _ => unknown(),
        };
        let mut found = Value::of(Arc::clone(&element));
        for &id in &channel.objs {
            if ends {
                self.event(Event::Acquire(id, Signal::Closed, u32::MAX, u32::MAX));
                continue;
            }
            let room = self
                .objects
                .get(id.0 as usize)
                .and_then(|object| object.room);
            let nth = self.count(id, false);
            if room == Some(0) {
                self.event(Event::Release(id, Signal::Taken, nth));
            }
            self.event(Event::Acquire(id, Signal::Message, nth, u32::MAX));
            if room == Some(1) {
                self.toggle(id, place);
            }
            let sent = self.obj(id).and_then(|object| object.queue.pop_front());
            let value = match sent {
                Some(value) => value,
                None => self.fresh_from(&element, Origin::Element(id)),
            };
            found.join(&value);
        }
        found
    }

    /// A channel with room for one can serve as a lock.
    fn toggle(&mut self, id: ObjId, place: Place) {
        if self.may_hold(|held| held.lock == id) {
            for state in &mut self.states {
                state.locks.retain(|held| held.lock != id);
            }
        } else {
            self.hold(id, Mode::Exclusive, place);
        }
    }

    // Locks.

    pub(super) fn hold(&mut self, lock: ObjId, mode: Mode, place: Place) {
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        let held = Held {
            lock,
            mode,
            place,
            depth,
        };
        self.drop_deadlocked(lock);
        for state in &mut self.states {
            state.locks.push(held);
        }
    }

    pub(super) fn let_go(&mut self, lock: ObjId) {
        self.unlocked.insert(lock);
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        // Held by the caller, as far as this function knows, who wants it back so.
        let is_own = |held: &Held| held.lock == lock && held.depth >= depth;
        if !self.may_hold(is_own) {
            self.lent.insert((depth, lock));
        }
        let now = self.now();
        if let Some(thread) = self.threads.get_mut(self.thread.0 as usize) {
            thread.released.push((now, lock));
        }
        for state in &mut self.states {
            let last = state.locks.iter().rposition(|held| held.lock == lock);
            if let Some(at) = last {
                state.locks.remove(at);
                if !state.released.contains(&lock) {
                    state.released.push(lock);
                }
            }
        }
    }

    /// Whoever has the lock cannot take it again: that way does not lead here.
    fn drop_deadlocked(&mut self, lock: ObjId) {
        let is_held = |state: &State| {
            let same = |held: &Held| held.lock == lock && held.mode == Mode::Exclusive;
            state.locks.iter().any(same)
        };
        if !self.states.iter().all(is_held) {
            self.states.retain(|state| !is_held(state));
        }
    }

    // Touches.

    pub(super) fn touch(
        &mut self,
        map: &Value,
        operation: Operation,
        place: Place,
        via: Option<&'static str>,
    ) {
        let at = self.tick();
        let certain = map.objs.len() == 1;
        for &object in &map.objs {
            let is_map = matches!(&*self.program.underlying(&self.ty(object)), Type::Map(..));
            let is_private = self.is_private(object);
            if self.dying || !is_map || is_private || self.accesses.len() >= MOST_ACCESSES {
                continue;
            }
            for (locks, is_optional) in self.ways_to_hold() {
                let held: Vec<_> = locks.iter().map(|held| (held.lock, held.mode)).collect();
                let repeated = (object, operation, place, self.thread, held);
                // A second round adds nothing when the first one was alone with the same locks, except
                // where rounds tell goroutines apart: keep two.
                if !self.seen.insert(repeated) && self.accesses.len() > MOST_ACCESSES / 2 {
                    continue;
                }
                self.accesses.push(Access {
                    object,
                    operation,
                    thread: self.thread,
                    at,
                    locks,
                    place,
                    path: self.path.clone(),
                    via,
                    is_optional,
                    certain,
                    until: at,
                });
            }
        }
    }

    /// What is held for a goroutine that starts here, as long as the one that starts it waits for it.
    pub(super) fn covers_here(&self) -> Vec<Cover> {
        let ways = self.ways_to_hold();
        let has = |locks: &[Held], lock: ObjId| locks.iter().any(|held| held.lock == lock);
        let mut covers: Vec<Cover> = Vec::new();
        for held in ways.iter().flat_map(|(locks, _)| locks) {
            let lock = held.lock;
            let is_known = covers.iter().any(|cover| cover.held.lock == lock);
            let is_held_or_optional =
                |(locks, is_optional): &(Vec<Held>, bool)| *is_optional || has(locks, lock);
            if !is_known && self.ty(lock).is_lock() && ways.iter().all(is_held_or_optional) {
                covers.push(Cover {
                    held: *held,
                    is_optional: !ways.iter().all(|(locks, _)| has(locks, lock)),
                });
            }
        }
        covers
    }

    /// Nobody else has it yet, on the way to here.
    fn is_private(&self, id: ObjId) -> bool {
        self.objects.get(id.0 as usize).is_none_or(|object| {
            let elsewhere = |steps: &std::ops::Range<u32>| steps.contains(&object.escaped_at);
            object.owner == self.thread
                && (!object.escaped
                    || matches!(object.origin, Origin::Made(_))
                        && self.not_taken.iter().any(elsewhere))
        })
    }

    /// What is held on the ways to here, each once, and whether more is held if somebody outside wants it.
    fn ways_to_hold(&self) -> Vec<(Vec<Held>, bool)> {
        let mut ways: Vec<(Vec<Held>, bool)> = Vec::new();
        for state in &self.states {
            let same = |(a, b): (&Held, &Held)| a.lock == b.lock && a.mode == b.mode;
            let is_known = |(known, _): &(Vec<Held>, bool)| {
                known.len() == state.locks.len() && known.iter().zip(&state.locks).all(same)
            };
            if ways.iter().any(is_known) {
                continue;
            }
            let leaves_out = |other: &State| state.leaves_out(other, self.thread);
            let is_optional = state.is_optional || self.states.iter().any(leaves_out);
            ways.push((state.locks.clone(), is_optional));
        }
        ways
    }
}
