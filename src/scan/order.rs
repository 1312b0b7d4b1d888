//! What comes before what: whether two touches by different goroutines can happen at the same time.

use super::sim::{Access, Event, Signal, Sim, Thread, ThreadId};
use std::collections::HashSet;

/// A stretch of a goroutine that comes after something: from an event on, up to another.
type Stretch = (ThreadId, u32, u32);

impl Sim<'_> {
    /// Neither comes before the other.
    pub fn may_overlap(&self, a: &Access, b: &Access) -> bool {
        a.thread != b.thread
            && self.are_related(a.thread, b.thread)
            && !self.comes_before(a, b)
            && !self.comes_before(b, a)
    }

    /// What was followed for its own sake runs nobody knows when: only what it starts is compared with it.
    fn are_related(&self, a: ThreadId, b: ThreadId) -> bool {
        self.detached_root(a) == self.detached_root(b)
    }

    fn detached_root(&self, mut id: ThreadId) -> Option<ThreadId> {
        for _ in 0..self.threads.len() {
            let thread = self.thread(id)?;
            if thread.detached {
                return Some(id);
            }
            id = thread.parent?;
        }
        None
    }

    fn thread(&self, id: ThreadId) -> Option<&Thread> {
        self.threads.get(id.0 as usize)
    }

    /// There is a way along the edges from the end of `a` to the beginning of `b`.
    pub fn precedes(&self, a: &Access, b: &Access) -> bool {
        self.comes_before(a, b)
    }

    fn comes_before(&self, a: &Access, b: &Access) -> bool {
        let mut seen: HashSet<Stretch> = HashSet::new();
        let mut todo: Vec<Stretch> = vec![(a.thread, a.until, u32::MAX)];
        while let Some(stretch) = todo.pop() {
            let (thread, from, until) = stretch;
            if !seen.insert(stretch) {
                continue;
            }
            if thread == b.thread && from <= b.at && b.at <= until && thread != a.thread {
                return true;
            }
            let Some(events) = self.thread(thread).map(|thread| &thread.events) else {
                continue;
            };
            for (at, event) in events.iter().filter(|(at, _)| *at >= from && *at <= until) {
                match event {
                    Event::Start(child) => todo.push((*child, 0, u32::MAX)),
                    Event::Release(object, signal, nth) => {
                        self.acquirers(thread, *object, *signal, *nth, &mut todo);
                    }
                    Event::Acquire(..) => {
                        let _ = at;
                    }
                }
            }
        }
        false
    }

    fn acquirers(
        &self,
        from: ThreadId,
        object: super::sim::ObjId,
        signal: Signal,
        nth: u32,
        into: &mut Vec<Stretch>,
    ) {
        for (id, thread) in (0u32..).map(ThreadId).zip(&self.threads) {
            if id == from {
                continue;
            }
            for (at, event) in &thread.events {
                let Event::Acquire(other, how, number, until) = event else {
                    continue;
                };
                if *other == object && self.pairs(object, (signal, nth), (*how, *number)) {
                    into.push((id, *at, *until));
                }
            }
        }
    }

    fn pairs(
        &self,
        object: super::sim::ObjId,
        release: (Signal, u32),
        acquire: (Signal, u32),
    ) -> bool {
        match (release, acquire) {
            ((Signal::Message, sent), (Signal::Message, received)) => sent <= received,
            ((Signal::Message, _), (Signal::Closed, _)) => true,
            ((Signal::Taken, received), (Signal::Taken, sent)) => received <= sent,
            ((Signal::Closed, _), (Signal::Closed, _)) => true,
            ((Signal::Closed, _), (Signal::Message, _)) => !self.carries_messages(object),
            ((Signal::Joined, _), (Signal::Joined, _)) | ((Signal::Flag, _), (Signal::Flag, _)) => {
                true
            }
            _ => false,
        }
    }

    fn carries_messages(&self, object: super::sim::ObjId) -> bool {
        self.threads.iter().flat_map(|thread| &thread.events).any(
            |(_, event)| matches!(event, Event::Release(id, Signal::Message, _) if *id == object),
        )
    }
}
