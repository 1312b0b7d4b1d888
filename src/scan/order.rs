//! What comes before what: whether two touches by different goroutines can happen at the same time.

use super::hash::{Map, Set};
use super::sim::{Access, Cover, Event, ObjId, Signal, Sim, Thread, ThreadId};
use std::cell::RefCell;
use std::rc::Rc;

/// A stretch of a goroutine that comes after something: from an event on, up to another.
type Stretch = (ThreadId, u32, u32);

/// Where a goroutine acquires from an object, and up to where that orders it.
struct Acquirer {
    stretch: Stretch,
    signal: Signal,
    nth: u32,
}

/// What is known of the order of a [`Sim`]'s events once all of them are written down.
#[derive(Default)]
pub struct Order {
    acquirers: Map<ObjId, Vec<Acquirer>>,
    /// Channels that something was sent on.
    carriers: Set<ObjId>,
    /// What comes after an event of a goroutine: it is asked for each pair of touches.
    after: RefCell<Map<(ThreadId, usize), Rc<After>>>,
}

/// What comes after something.
#[derive(Default)]
struct After {
    /// Goroutines, from there on to their ends.
    open: Map<ThreadId, u32>,
    /// Others, up to where it counts.
    bounded: Set<Stretch>,
}

impl After {
    fn has(&self, thread: ThreadId, at: u32) -> bool {
        let is_there = |(id, from, until): &Stretch| *id == thread && *from <= at && at <= *until;
        self.open.get(&thread).is_some_and(|from| *from <= at) || self.bounded.iter().any(is_there)
    }

    /// Adds a stretch; gives the part of it that was not there.
    fn add(&mut self, stretch: Stretch) -> Option<Stretch> {
        let (thread, from, until) = stretch;
        let open = self.open.get(&thread).copied();
        if open.is_some_and(|open| open <= from) {
            return None;
        }
        if until < u32::MAX {
            return self.bounded.insert(stretch).then_some(stretch);
        }
        self.open.insert(thread, from);
        Some((thread, from, open.map_or(u32::MAX, |open| open - 1)))
    }
}

impl Order {
    fn of(threads: &[Thread]) -> Order {
        let mut order = Order::default();
        for (id, thread) in (0u32..).map(ThreadId).zip(threads) {
            for (at, event) in &thread.events {
                match *event {
                    Event::Acquire(object, signal, nth, until) => {
                        let acquirers = order.acquirers.entry(object).or_default();
                        acquirers.push(Acquirer {
                            stretch: (id, *at, until),
                            signal,
                            nth,
                        });
                    }
                    Event::Release(object, Signal::Message, _) => {
                        order.carriers.insert(object);
                    }
                    Event::Release(..) | Event::Start(_) => {}
                }
            }
        }
        order
    }

    /// Who sees that a goroutine has released an object.
    fn acquirers(&self, from: ThreadId, object: ObjId, release: (Signal, u32)) -> Vec<Stretch> {
        let carries = self.carriers.contains(&object);
        let known = self.acquirers.get(&object).into_iter().flatten();
        known
            .filter(|acquirer| acquirer.stretch.0 != from)
            .filter(|acquirer| pairs(carries, release, (acquirer.signal, acquirer.nth)))
            .map(|acquirer| acquirer.stretch)
            .collect()
    }
}

/// A release of an object is seen by such an acquire of it; `carries` says that messages were sent there.
fn pairs(carries: bool, release: (Signal, u32), acquire: (Signal, u32)) -> bool {
    match (release, acquire) {
        ((Signal::Message, sent), (Signal::Message, received)) => sent <= received,
        ((Signal::Message, _), (Signal::Closed, _)) => true,
        ((Signal::Taken, received), (Signal::Taken, sent)) => received <= sent,
        ((Signal::Closed, _), (Signal::Closed, _)) => true,
        ((Signal::Closed, _), (Signal::Message, _)) => !carries,
        ((Signal::Joined, _), (Signal::Joined, _)) | ((Signal::Flag, _), (Signal::Flag, _)) => true,
        _ => false,
    }
}

impl Sim<'_> {
    /// Neither comes before the other.
    pub fn may_overlap(&self, a: &Access, b: &Access) -> bool {
        a.thread != b.thread
            && self.are_related(a.thread, b.thread)
            && !self.precedes(a, b)
            && !self.precedes(b, a)
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

    /// Locks that are held for a touch by those who started its goroutine, and who that is: they hold them from its
    /// start until they have waited for the touch.
    pub fn covers(&self, access: &Access) -> Vec<(ThreadId, Cover)> {
        let mut found = Vec::new();
        let mut at = self.thread(access.thread);
        while let Some((thread, parent)) = at.and_then(|thread| Some((thread, thread.parent?))) {
            at = self.thread(parent).filter(|_| !thread.detached);
            let Some(starter) = at else { break };
            for cover in &thread.covers {
                let is_end = |(at, lock): &&(u32, ObjId)| {
                    *lock == cover.held.lock && *at >= thread.started_at
                };
                let mut ends = starter.released.iter().filter(is_end).peekable();
                if ends.peek().is_some() && ends.all(|(at, _)| self.after(access).has(parent, *at))
                {
                    found.push((parent, *cover));
                }
            }
        }
        found
    }

    /// The goroutine was not followed to its end.
    pub fn is_cut(&self, id: ThreadId) -> bool {
        self.thread(id).is_some_and(|thread| thread.is_cut)
    }

    /// The one has started the other, or the one who did.
    pub fn is_ancestor(&self, ancestor: ThreadId, mut id: ThreadId) -> bool {
        while let Some(parent) = self.thread(id).and_then(|thread| thread.parent) {
            if parent == ancestor {
                return true;
            }
            id = parent;
        }
        false
    }

    /// There is a way along the edges from the end of `a` to the beginning of `b`.
    pub fn precedes(&self, a: &Access, b: &Access) -> bool {
        a.thread != b.thread && self.after(a).has(b.thread, b.at)
    }

    /// What comes after a touch: the same for all touches before the same event.
    fn after(&self, access: &Access) -> Rc<After> {
        let order = self.order.get_or_init(|| Order::of(&self.threads));
        let events = self
            .thread(access.thread)
            .map_or(&[][..], |thread| &thread.events);
        let next = events.partition_point(|(at, _)| *at < access.until);
        let key = (access.thread, next);
        if let Some(known) = order.after.borrow().get(&key) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.follow_edges(order, (access.thread, access.until, u32::MAX)));
        order.after.borrow_mut().insert(key, Rc::clone(&found));
        found
    }

    fn follow_edges(&self, order: &Order, begin: Stretch) -> After {
        let mut after = After::default();
        let mut todo = vec![begin];
        while let Some(stretch) = todo.pop() {
            let Some((thread, from, until)) = after.add(stretch) else {
                continue;
            };
            let Some(known) = self.thread(thread) else {
                continue;
            };
            let first = known.events.partition_point(|(at, _)| *at < from);
            let events = known.events.iter().skip(first);
            for (_, event) in events.take_while(|(at, _)| *at <= until) {
                match *event {
                    Event::Start(child) => todo.push((child, 0, u32::MAX)),
                    Event::Release(object, signal, nth) => {
                        todo.extend(order.acquirers(thread, object, (signal, nth)));
                    }
                    Event::Acquire(..) => {}
                }
            }
        }
        after
    }
}
