//! Packages sync and sync/atomic: locks, once, flags, maps.

use super::*;
use crate::scan::program::interface;
use crate::scan::types::Type;
use std::sync::Arc;

impl<'p> Sim<'p> {
    /// What a lock's own methods do; `None` for other methods.
    pub(super) fn lock_method(
        &mut self,
        receiver: &Value,
        name: Name,
        place: Place,
    ) -> Option<Vec<Value>> {
        match name.text() {
            "Lock" | "TryLock" => self.hold_all(receiver, Mode::Exclusive, place),
            "RLock" | "TryRLock" => self.hold_all(receiver, Mode::Shared, place),
            "Unlock" | "RUnlock" => receiver.objs.iter().for_each(|lock| self.let_go(*lock)),
            "RLocker" => return Some(vec![receiver.clone()]),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn hold_all(&mut self, locks: &Value, mode: Mode, place: Place) {
        for &lock in &locks.objs {
            self.hold(lock, mode, place);
        }
    }

    pub(super) fn atomic_function(
        &mut self,
        function: &str,
        args: &[Value],
        place: Place,
    ) -> Vec<Value> {
        let Some(flag) = args.first() else {
            return Vec::new();
        };
        if function.starts_with("Load") {
            self.run_waiting();
            self.acquire(&flag.objs.clone(), Signal::Flag);
        } else if function.starts_with("Store") || function.starts_with("Swap") {
            self.release(&flag.objs.clone(), Signal::Flag);
            self.drop_flags(&flag.objs);
        } else if function.starts_with("CompareAndSwap") {
            for &object in &flag.objs.clone() {
                self.hold(object, Mode::Exclusive, place);
            }
        }
        Vec::new()
    }

    /// A flag that was set with CompareAndSwap and is stored to is given back.
    pub(super) fn drop_flags(&mut self, objects: &[ObjId]) {
        for state in &mut self.states {
            state.locks.retain(|held| !objects.contains(&held.lock));
        }
    }

    /// Notes what is stored while a sync.Once runs something.
    pub(super) fn note_once(&mut self, value: &Value) {
        let is_once = |held: &Held| self.ty(held.lock).is_external("sync", "Once");
        if self.may_hold(is_once) {
            self.made_once.extend(&value.objs);
        }
    }

    pub(super) fn once(&mut self, receiver: &Value, args: &[Value], place: Place) -> Vec<Value> {
        let Some(&once) = receiver.objs.first() else {
            return Vec::new();
        };
        self.hold(once, Mode::Exclusive, place);
        for arg in args {
            for object in arg.objs.clone() {
                let Some(code) = self.function_called(object) else {
                    continue;
                };
                self.call_code(code, Vec::new(), place);
            }
        }
        self.let_go(once);
        self.release(&[once], Signal::Flag);
        self.acquire(&[once], Signal::Flag);
        Vec::new()
    }

    pub(super) fn atomic_method(
        &mut self,
        receiver: &Value,
        ty: &Ty,
        name: Name,
        args: &[Value],
        place: Place,
    ) -> Vec<Value> {
        let held = match &*ty.pointee() {
            Type::External(_, _, types) => types
                .first()
                .map(|ty| Arc::new(Type::Pointer(Arc::clone(ty)))),
            _ => None,
        };
        let held = held.unwrap_or_else(interface);
        match name.text() {
            "Load" => {
                self.run_waiting();
                self.acquire(&receiver.objs, Signal::Flag);
                vec![self.element(receiver, None, &held)]
            }
            "Store" | "Swap" => {
                let old = self.element(receiver, None, &held);
                if let Some(value) = args.first() {
                    self.escape(value);
                    self.set_element(receiver, None, value);
                    self.take_away(&old, value);
                }
                self.release(&receiver.objs, Signal::Flag);
                self.drop_flags(&receiver.objs);
                vec![old]
            }
            "CompareAndSwap" => {
                if let Some(value) = args.get(1) {
                    self.escape(value);
                    self.set_element(receiver, None, value);
                }
                self.release(&receiver.objs, Signal::Flag);
                for &object in &receiver.objs {
                    self.hold(object, Mode::Exclusive, place);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn sync_map(
        &mut self,
        map: &Value,
        name: Name,
        args: &[Value],
        place: Place,
    ) -> Vec<Value> {
        let any = interface();
        match name.text() {
            "Load" | "LoadAndDelete" => {
                self.run_waiting();
                self.acquire(&map.objs, Signal::Flag);
                vec![
                    self.element(map, args.first().and_then(|key| key.scalar), &any),
                    Value::unknown(),
                ]
            }
            "Store" | "Swap" | "LoadOrStore" => {
                let key = args.first().and_then(|key| key.scalar);
                if let Some(value) = args.get(1) {
                    self.escape(value);
                    self.set_element(map, key, value);
                }
                self.release(&map.objs, Signal::Flag);
                if name == "LoadOrStore" {
                    self.acquire(&map.objs, Signal::Flag);
                    return vec![self.element(map, key, &any), Value::unknown()];
                }
                Vec::new()
            }
            "Range" => {
                self.acquire(&map.objs, Signal::Flag);
                let value = self.element(map, None, &any);
                for arg in args {
                    for object in arg.objs.clone() {
                        let Some(code) = self.function_called(object) else {
                            continue;
                        };
                        self.call_code(code, vec![Value::unknown(), value.clone()], place);
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}
