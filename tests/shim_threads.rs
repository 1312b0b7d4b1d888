//! The shim in real threads: what hunt and guard share between the threads of a program (entries of maps, marks, traps,
//! conflict records) is used here as the hooks use it, by threads of the test that stand for goroutines. Under the
//! thread sanitizer (`scripts/sanitize`) every access that is not volatile must be ordered, the shim's own and
//! those to the maps that it guards: volatile ones are what the shim reads of marks that change under its eyes.
//!
//! Of the crate it needs nothing, so that it can be compiled on its own, with `--cfg gocc_shim`.
#![allow(
    dead_code,
    clippy::all,
    reason = "the shim is compiled as it is, and only a part of it is used here"
)]
#![allow(
    clippy::expect_used,
    reason = "a failed expectation fails the test, as it should"
)]

#[path = "../stubs/shim/arrival.rs"]
mod arrival;
#[path = "../stubs/shim/budget.rs"]
mod budget;
#[path = "../stubs/config.rs"]
mod config;
#[path = "../stubs/shim/conflict.rs"]
mod conflict;
#[path = "../stubs/shim/context.rs"]
mod context;
#[path = "../stubs/shim/ending.rs"]
mod ending;
#[path = "../stubs/shim/entry.rs"]
mod entry;
#[path = "../stubs/shim/front.rs"]
mod front;
#[path = "../stubs/shim/hunt.rs"]
mod hunt;
#[path = "../stubs/layout.rs"]
mod layout;
#[path = "../stubs/shim/names.rs"]
mod names;
#[path = "../stubs/shim/order.rs"]
mod order;
#[path = "../stubs/shim/side.rs"]
mod side;
#[path = "../stubs/shim/sys.rs"]
mod sys;
#[path = "../stubs/shim/text.rs"]
mod text;
#[path = "../stubs/shim/traffic.rs"]
mod traffic;

use arrival::{PROCEED, YIELD, gocc_enter, gocc_leave};
use config::Config;
use layout::*;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const GOROUTINES: u64 = 4;
const MAPS: usize = 3;
const OPERATIONS: u64 = 20_000;
const TEXT_START: u64 = 0x40_1000;

/// What the hooks and the shim see of a goroutine. Never freed, as Go never frees a g.
#[repr(C)]
struct G {
    stack_lo: u64,
    stack_hi: u64,
    goid: u64,
    gopc: u64,
    startpc: u64,
    parent_goid: u64,
    m: u64,
    labels: u64,
    /// The only field of its m that is looked at.
    curg: u64,
    stack: [u64; 32],
}

/// Words of the stack where the frame of the map function and its caller's begin.
const FRAMES: [usize; 2] = [8, 16];

impl G {
    fn new(goid: u64) -> &'static G {
        let g = Box::leak(Box::new(G {
            stack_lo: 0,
            stack_hi: 0,
            goid,
            gopc: TEXT_START + 1,
            startpc: TEXT_START + 2,
            parent_goid: 1,
            m: 0,
            labels: 0,
            curg: 0,
            stack: [0; 32],
        }));
        let own = &raw const *g as u64;
        let stack = &raw const g.stack as u64;
        g.stack_lo = stack;
        g.stack_hi = stack + size_of_val(&g.stack) as u64;
        g.m = own + offset_of!(G, curg) as u64;
        g.curg = own;
        g.stack[FRAMES[0]] = stack + 8 * FRAMES[1] as u64;
        g.stack[FRAMES[0] + 1] = caller_of(goid);
        g
    }

    fn address(&self) -> u64 {
        &raw const *self as u64
    }

    fn frame(&self) -> u64 {
        &raw const self.stack[FRAMES[0]] as u64
    }
}

/// Where a goroutine's operations of a kind return to: a side that was put together from two shows.
fn place_of(goid: u64, op: u8) -> u64 {
    TEXT_START + goid * 0x100 + u64::from(op) * 0x10
}

/// And where their caller returns to.
fn caller_of(goid: u64) -> u64 {
    TEXT_START + goid * 0x100 + 0xf0
}

/// A map: two words that a write keeps alike.
#[repr(C, align(16))]
struct Map {
    seed: u64,
    writing: u64,
    value: UnsafeCell<[u64; 2]>,
    inside: AtomicU32,
    written: AtomicU64,
}

// SAFETY: that only one thread at a time comes to the value while somebody writes is what is tested.
unsafe impl Sync for Map {}

/// In `Map::inside`: a writer.
const WRITER: u32 = 1 << 16;

impl Map {
    fn new(seed: u64) -> Map {
        Map {
            seed,
            writing: 0,
            value: UnsafeCell::new([0; 2]),
            inside: AtomicU32::new(0),
            written: AtomicU64::new(0),
        }
    }

    fn address(&self) -> u64 {
        &raw const *self as u64
    }

    /// Does an operation. Relaxed counters order nothing: what the sanitizer sees is the shim's order.
    fn operate(&self, op: u8) {
        let own = if is_write(op) { WRITER } else { 1 };
        let others = self.inside.fetch_add(own, Relaxed);
        let is_alone = if is_write(op) {
            others == 0
        } else {
            others < WRITER
        };
        assert!(is_alone, "{op} while {others:#x} are inside");
        // SAFETY: as for `Sync`.
        let value = unsafe { &mut *self.value.get() };
        if is_write(op) {
            value[0] += 1;
            dwell();
            value[1] += 1;
            self.written.fetch_add(1, Relaxed);
        } else {
            dwell();
            assert_eq!(value[0], value[1], "half written");
        }
        self.inside.fetch_sub(own, Relaxed);
    }
}

/// An operation takes as long as its way through the hooks.
fn dwell() {
    (0..50).for_each(|_| std::hint::spin_loop());
}

/// A process as the shim sees it: a ring's front and what the patcher knows.
struct Process {
    config: Config,
}

impl Process {
    fn new(gate: u32) -> Process {
        let layout =
            Layout::from_size_align(RESERVED_SIZE, 4096).expect("a page is a power of two");
        // SAFETY: the size is not zero. Never freed, like the ring of a process.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: integers and arrays of them, for which zeros are valid.
        let mut config: Config = unsafe { std::mem::zeroed() };
        config.front = memory as u64;
        config.text_start = TEXT_START;
        config.text_end = TEXT_START + 0x10_0000;
        config.g_stack_lo = offset_of!(G, stack_lo) as u32;
        config.g_stack_hi = offset_of!(G, stack_hi) as u32;
        config.g_goid = offset_of!(G, goid) as u32;
        config.g_parent_goid = offset_of!(G, parent_goid) as u32;
        config.g_gopc = offset_of!(G, gopc) as u32;
        config.g_startpc = offset_of!(G, startpc) as u32;
        config.g_m = offset_of!(G, m) as u32;
        config.g_labels = offset_of!(G, labels) as u32;
        config.labels_form = config::LABELS_LIST;
        config.map_seed = offset_of!(Map, seed) as u32;
        config.map_writing = offset_of!(Map, writing) as u32;
        config.map_writing_mask = 1;
        let process = Process { config };
        process.open(gate);
        process
    }

    /// As init does with the usual options, but for what depends on how fast the machine is: holds are short, and
    /// nobody waits in vain.
    fn open(&self, gate: u32) {
        let start = (Instant::now(), sys::tsc());
        thread::sleep(Duration::from_millis(2));
        let ticks_per_ms = (sys::tsc() - start.1) * 1000 / start.0.elapsed().as_micros() as u64;
        // SAFETY: the front is this process' own, and no other thread knows it yet.
        let (control, private) =
            unsafe { (&mut *self.front().control(), &mut *self.front().private()) };
        control.ticks_per_ms = ticks_per_ms;
        control.hold_ticks = ticks_per_ms / 5;
        control.window_ticks = 100 * ticks_per_ms;
        control.wait_ticks = 10_000 * ticks_per_ms;
        private.longest_delay = control.wait_ticks;
        control.budget_percent = 100;
        control.budget_since = start.1;
        control.charged_until = start.1;
        control.hooks_counted = start.1;
        control.seed = 1;
        control.gate = gate;
    }

    /// Under hunt, which looks at one burst in 2 to the power of `level`, whatever that takes, and holds nobody.
    fn over_its_budget(level: u32) -> Process {
        let process = Process::new(GATE_HUNT);
        // SAFETY: no other thread knows the front.
        let control = unsafe { &mut *process.front().control() };
        (control.burst_level, control.budget_percent) = (level, 0);
        (control.ticks_per_ms, control.window_ticks) = (1 << 40, 1 << 40);
        process
    }

    /// All operations, and those of them that hunt left out.
    fn operations(&self) -> (u64, u64) {
        // SAFETY: the front is mapped.
        unsafe { traffic::total(self.front()) }
    }

    fn front(&self) -> front::Front {
        front::Front::of(&self.config)
    }

    fn control(&self) -> Control {
        // SAFETY: copied when no thread uses it any more.
        unsafe { self.front().control().read() }
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let claimed = (self.control().conflicts_claimed as usize).min(CONFLICT_COUNT);
        // SAFETY: as for `control`.
        (0..claimed)
            .map(|index| unsafe { self.front().conflict(index).read() })
            .collect()
    }

    /// What a hook does at a map function's entry, with the scheduler's answer to a yield.
    fn enter(&self, g: &G, map: &Map, op: u8) {
        while self.knock(g, map, op) == YIELD {
            thread::yield_now();
        }
    }

    fn knock(&self, g: &G, map: &Map, op: u8) -> u32 {
        let place = place_of(g.goid, op) | u64::from(op) << 32;
        // SAFETY: g and map are live, and the frame is on the stack that g says it has.
        unsafe {
            gocc_enter(
                &self.config,
                place,
                map.address(),
                TEXT_START + 3,
                g.address(),
                g.frame(),
            )
        }
    }

    fn leave(&self, g: &G) {
        // SAFETY: as for `knock`.
        unsafe { gocc_leave(&self.config, g.address(), g.frame()) };
    }
}

/// All goroutines operate on all maps, one operation in four a write.
fn run(gate: u32, check: bool) -> (Arc<Process>, Arc<Vec<Map>>) {
    let process = Arc::new(Process::new(gate));
    let maps: Arc<Vec<Map>> = Arc::new((0..MAPS as u64).map(Map::new).collect());
    let all = Arc::new(Barrier::new(GOROUTINES as usize));
    let start = |goid: u64| {
        let (process, maps, g) = (Arc::clone(&process), Arc::clone(&maps), G::new(goid));
        let all = Arc::clone(&all);
        thread::spawn(move || {
            all.wait();
            let mut random = goid;
            for _ in 0..OPERATIONS {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let map = &maps[(random >> 40) as usize % MAPS];
                let op = [OP_ASSIGN, OP_READ, OP_ITERATE, OP_READ][(random >> 60) as usize % 4];
                process.enter(g, map, op);
                if check {
                    map.operate(op);
                }
                process.leave(g);
            }
        })
    };
    let threads: Vec<_> = (1..=GOROUTINES).map(start).collect();
    for thread in threads {
        thread.join().expect("no thread panics");
    }
    (process, maps)
}

/// Every record is whole, and of two goroutines that really can conflict.
fn check_conflicts(process: &Process, maps: &[Map]) -> usize {
    let conflicts = process.conflicts();
    for conflict in &conflicts {
        assert_eq!(conflict.state, CONFLICT_COMMITTED);
        assert!(maps.iter().any(|map| map.address() == conflict.map));
        let [one, other] = &conflict.sides;
        assert_ne!(one.goid, other.goid);
        assert!(is_write(one.op) || is_write(other.op));
        for side in [one, other] {
            assert!(
                (1..=GOROUTINES).contains(&side.goid),
                "{side:?}",
                side = side.goid
            );
            assert_eq!(u64::from(side.pcs[0]), place_of(side.goid, side.op));
            if side.depth > 1 {
                assert_eq!(u64::from(side.pcs[1]), caller_of(side.goid));
            }
        }
    }
    conflicts.len()
}

fn check_turns(process: &Process, maps: &[Map]) {
    let control = process.control();
    assert_eq!((control.untracked, control.waited_in_vain), (0, 0));
    for map in maps {
        let written = map.written.load(Relaxed);
        // SAFETY: no thread uses it any more.
        assert_eq!(unsafe { *map.value.get() }, [written; 2]);
        assert!(written > 0);
    }
}

#[test]
fn guard_lets_one_writer_in_at_a_time() {
    let (process, maps) = run(GATE_GUARD, true);
    check_turns(&process, &maps);
    let conflicts = check_conflicts(&process, &maps);
    println!("{conflicts} conflicts, {} waited", process.control().waited);
}

#[test]
fn hunt_does_too_and_catches_them() {
    let (process, maps) = run(GATE_HUNT, true);
    check_turns(&process, &maps);
    let conflicts = check_conflicts(&process, &maps);
    let control = process.control();
    println!("{conflicts} conflicts, {} holds", control.holds);
    assert!(conflicts > 0 && control.holds > 0);
}

/// The checks above see who comes in without waiting: a second writer is let in when the gate does not guard, and not
/// before the first one has left when it does.
#[test]
fn a_second_writer_waits_for_the_first() {
    for (gate, answer) in [(GATE_OBSERVE, PROCEED), (GATE_GUARD, YIELD)] {
        let process = Process::new(gate);
        let map = Map::new(7);
        let (first, second) = (G::new(1), G::new(2));
        assert_eq!(process.knock(first, &map, OP_ASSIGN), PROCEED);
        assert_eq!(process.knock(second, &map, OP_ASSIGN), answer);
        process.leave(first);
        assert_eq!(process.knock(second, &map, OP_ASSIGN), PROCEED);
        process.leave(second);
        let expected = usize::from(gate == GATE_GUARD);
        assert_eq!(
            check_conflicts(&process, std::slice::from_ref(&map)),
            expected
        );
    }
}

/// Whoever comes to a map that was another goroutine's alone waits for the operation that it is in, although that one was
/// left out, and it is a conflict with both sides.
#[test]
fn hunt_finds_the_owner_of_a_map_inside() {
    let process = Process::over_its_budget(budget::HIGHEST_LEVEL);
    let map = Map::new(1);
    let [owner, other] = [G::new(1), G::new(2)];
    let left_out = || process.operations().1;
    while left_out() == 0 {
        process.leave(owner);
        assert_eq!(process.knock(owner, &map, OP_ASSIGN), PROCEED);
    }
    assert_eq!(process.knock(other, &map, OP_READ), YIELD);
    process.leave(owner);
    assert_eq!(process.knock(other, &map, OP_READ), PROCEED);
    // The map is nobody's now.
    let until_then = left_out();
    assert_eq!(process.knock(owner, &map, OP_ASSIGN), YIELD);
    process.leave(other);
    assert_eq!(process.knock(owner, &map, OP_ASSIGN), PROCEED);
    process.leave(owner);
    assert_eq!(left_out(), until_then);
    assert_eq!(check_conflicts(&process, std::slice::from_ref(&map)), 2);
}

/// Operations are close whichever of them looked at the clock first: a thread that loses its CPU between that and the map's
/// entry finds accesses there that are later than its own. Hunt leaves out nothing of what such two do.
#[test]
fn hunt_leaves_out_nothing_after_an_access_from_the_future() {
    let process = Process::over_its_budget(budget::HIGHEST_LEVEL);
    let map = Map::new(1);
    let [reader, writer] = [G::new(1), G::new(2)];
    for _ in 0..1_000 {
        for (g, op) in [(reader, OP_READ), (writer, OP_ASSIGN)] {
            process.enter(g, &map, op);
            process.leave(g);
        }
        // SAFETY: no other thread knows the front.
        unsafe {
            let later = |time: &mut u32| *time = time.wrapping_add(1 << 12);
            let entry = &mut *process.front().occupancy_of(map.address());
            entry.history.iter_mut().for_each(|a| later(&mut a.time));
            later(&mut (*process.front().owner_of(map.address())).nearly_met);
        }
        for _ in 0..4 {
            process.enter(reader, &map, OP_READ);
            process.leave(reader);
        }
    }
    assert_eq!(process.operations(), (6_000, 0));
}

/// Hunt leaves out most operations of a goroutine that is alone on a map, and none after another one has come near: those
/// that take turns are not alone while they have theirs. What several only read is left out, too; who writes there is not.
#[test]
fn hunt_over_its_budget_leaves_out_what_cannot_meet() {
    // One burst in four is looked at.
    let process = Process::over_its_budget(2);
    let [first, second] = [G::new(1), G::new(2)];
    let left_out = |map: &Map, gs: &[&G], op: u8| {
        let before = process.operations().1;
        for g in gs {
            process.enter(g, map, op);
            process.leave(g);
        }
        process.operations().1 - before
    };
    let (own, table) = (Map::new(1), Map::new(2));
    let alone = left_out(&own, &[first; 2_000], OP_ASSIGN);
    assert!((1_000..2_000).contains(&alone), "{alone}");
    assert_eq!(left_out(&own, &[second], OP_READ), 0);
    assert_eq!(left_out(&own, &[first; 1_000], OP_ASSIGN), 0);
    let turns: Vec<&G> = [first, second].repeat(1_000);
    let reads = left_out(&table, &turns, OP_READ);
    assert!((1_000..2_000).contains(&reads), "{reads}");
    assert_eq!(left_out(&table, &[first], OP_ASSIGN), 0);
    assert_eq!(left_out(&table, &turns, OP_READ), 0);
    assert_eq!(process.conflicts().len(), 0);
}
