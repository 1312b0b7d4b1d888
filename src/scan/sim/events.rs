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
        if self.locks.iter().any(|held| held.lock == id) {
            self.locks.retain(|held| held.lock != id);
        } else {
            self.hold(id, Mode::Exclusive, place);
        }
    }

    // Locks.

    pub(super) fn hold(&mut self, lock: ObjId, mode: Mode, place: Place) {
        let depth = self.path.as_ref().map_or(0, |link| link.depth);
        self.locks.push(Held {
            lock,
            mode,
            place,
            depth,
        });
    }

    pub(super) fn let_go(&mut self, lock: ObjId) {
        self.unlocked.insert(lock);
        if let Some(at) = self.locks.iter().rposition(|held| held.lock == lock) {
            self.locks.remove(at);
        }
    }

    // Touches.

    pub(super) fn touch(
        &mut self,
        map: &Value,
        operation: Operation,
        place: Place,
        via: Option<&'static str>,
    ) -> Option<usize> {
        let mut last = None;
        let at = self.tick();
        let certain = map.objs.len() == 1;
        for &object in &map.objs {
            let is_map = matches!(&*self.program.underlying(&self.ty(object)), Type::Map(..));
            let is_private = self
                .objects
                .get(object.0 as usize)
                .is_none_or(|found| !found.escaped && found.owner == self.thread);
            if self.dying || !is_map || is_private || self.accesses.len() >= MOST_ACCESSES {
                continue;
            }
            let locks: Vec<_> = self
                .locks
                .iter()
                .map(|held| (held.lock, held.mode))
                .collect();
            let in_loop =
                self.seen
                    .contains(&(object, operation, place, self.thread, locks.clone()));
            // A second round adds nothing when the first one was alone with the same locks, except
            // where rounds tell goroutines apart: keep two.
            if in_loop && self.accesses.len() > MOST_ACCESSES / 2 {
                continue;
            }
            self.seen
                .insert((object, operation, place, self.thread, locks));
            last = Some(self.accesses.len());
            self.accesses.push(Access {
                object,
                operation,
                thread: self.thread,
                at,
                locks: self.locks.clone(),
                place,
                path: self.path.clone(),
                via,
                certain,
                until: at,
            });
        }
        last
    }
}
