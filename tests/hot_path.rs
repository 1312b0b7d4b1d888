//! How long the hot path of each hook is: instructions, and those that touch memory. Counted on the emitted
//! code of real programs, so it does not depend on the machine's mood; it fails when a hook grows.
//! `cargo test --test hot_path -- --nocapture` prints the table, with GOCC_PRINT_CODE=1 the code as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use anyhow::{Context, ensure};
use common::{fixture, patch, sample_versions};
use gocc::ring::layout::{
    CONTROL_OFFSET, Control, FRONT_SIZE, LANE_HEADERS_OFFSET, LaneHeader, MARKS_OFFSET, Mark,
};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory,
    IntelFormatter, Mnemonic,
};
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};

/// The gates' values, as in the ring's layout.
const OFF: u64 = 0;
const OBSERVE: u64 = 1;
const TRACE: u64 = 2;

/// A hot path's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    instructions: usize,
    memory: usize,
}

/// What a hook may have at most: what it had when this was last looked at, with the displaced instructions that it
/// begins with (the stack check at an entry, the end of the frame at an exit).
struct Budget {
    mode: u64,
    hook: &'static str,
    most: Length,
}

const fn at_most(mode: u64, hook: &'static str, instructions: usize, memory: usize) -> Budget {
    Budget {
        mode,
        hook,
        most: Length {
            instructions,
            memory,
        },
    }
}

const BUDGETS: [Budget; 12] = [
    at_most(OFF, "gocc.hook_mapaccess2_fast64", 4, 2),
    at_most(OFF, "gocc.exit0_mapaccess2_fast64", 5, 3),
    at_most(OFF, "gocc.hook_mapassign_fast64", 4, 2),
    at_most(OFF, "gocc.exit0_mapassign_fast64", 5, 3),
    at_most(OBSERVE, "gocc.hook_mapaccess2_fast64", 12, 4),
    at_most(OBSERVE, "gocc.exit0_mapaccess2_fast64", 5, 3),
    at_most(OBSERVE, "gocc.hook_mapassign_fast64", 28, 15),
    at_most(OBSERVE, "gocc.exit0_mapassign_fast64", 14, 6),
    at_most(TRACE, "gocc.hook_mapaccess2_fast64", 126, 57),
    at_most(TRACE, "gocc.exit0_mapaccess2_fast64", 14, 6),
    at_most(TRACE, "gocc.hook_mapassign_fast64", 123, 57),
    at_most(TRACE, "gocc.exit0_mapassign_fast64", 16, 7),
];

/// A patched executable's injected code.
struct Injected {
    start: u64,
    code: Vec<u8>,
    hooks: BTreeMap<String, (u64, u64)>,
    gate: u64,
}

impl Injected {
    fn read(path: &std::path::Path) -> anyhow::Result<Injected> {
        let bytes = std::fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let text = file
            .section_by_name(".gocc.text")
            .context("no .gocc.text")?;
        let ours = |symbol: &object::Symbol<'_, '_>| {
            let name = symbol.name().ok()?;
            let range = (symbol.address(), symbol.size());
            name.starts_with("gocc.").then(|| (name.to_owned(), range))
        };
        let hooks: BTreeMap<_, _> = file.symbols().filter_map(|s| ours(&s)).collect();
        let ring = hooks.get("gocc.ring").context("no gocc.ring")?.0;
        Ok(Injected {
            start: text.address(),
            code: text.data()?.to_vec(),
            gate: ring + (CONTROL_OFFSET + offset_of!(Control, gate)) as u64,
            hooks,
        })
    }

    fn at(&self, address: u64) -> Instruction {
        let offset = usize::try_from(address - self.start).expect("inside the code");
        Decoder::with_ip(64, &self.code[offset..], address, DecoderOptions::NONE).decode()
    }

    /// The length of a hook's path from an address on, when it does not call the shim. Comparisons with the gate come out
    /// as the mode says. In trace mode every other branch may go either way and the longer way counts; in the
    /// others no sample is due, and nothing that the hook tests for (a nil map, a conflict, a private map, a
    /// short stack) is the case.
    fn path(&self, hook: &Hook, from: Step) -> anyhow::Result<Option<Vec<Instruction>>> {
        let (mut step, mut path) = (from, Vec::new());
        while hook.range.contains(&step.at) {
            let instruction = self.at(step.at);
            ensure!(
                !instruction.is_invalid(),
                "no instruction at {:#x}",
                step.at
            );
            path.push(instruction);
            let gate = self.compared_with_gate(&instruction, step.gate);
            let mut go = |at: u64| step = Step { at, gate };
            match instruction.flow_control() {
                FlowControl::Next => go(instruction.next_ip()),
                FlowControl::UnconditionalBranch => go(instruction.near_branch_target()),
                FlowControl::Return => break,
                FlowControl::Call => return Ok(None),
                FlowControl::ConditionalBranch => {
                    let (taken, not) = (instruction.near_branch_target(), instruction.next_ip());
                    match hook.is_taken(&instruction, gate) {
                        Some(true) => go(taken),
                        Some(false) => go(not),
                        None => {
                            let ways = [taken, not].map(|at| self.path(hook, Step { at, gate }));
                            let [a, b] = ways;
                            let longer = a?.into_iter().chain(b?).max_by_key(Vec::len);
                            return Ok(longer.map(|rest| [path, rest].concat()));
                        }
                    }
                }
                other => anyhow::bail!("{other:?} at {:#x} on the hot path", step.at),
            }
        }
        Ok(Some(path))
    }

    /// What the flags say about the gate after an instruction: with what it was compared last.
    fn compared_with_gate(&self, instruction: &Instruction, before: Option<u64>) -> Option<u64> {
        let sets_flags = instruction.rflags_modified() != 0;
        let is_gate = instruction.mnemonic() == Mnemonic::Cmp
            && instruction.is_ip_rel_memory_operand()
            && instruction.ip_rel_memory_address() == self.gate;
        match (is_gate, sets_flags) {
            (true, _) => Some(instruction.immediate(1)),
            (false, true) => None,
            (false, false) => before,
        }
    }
}

/// One hook in one mode.
struct Hook {
    range: std::ops::Range<u64>,
    mode: u64,
}

/// Where a path is.
#[derive(Clone, Copy)]
struct Step {
    at: u64,
    gate: Option<u64>,
}

impl Hook {
    fn is_taken(&self, branch: &Instruction, gate: Option<u64>) -> Option<bool> {
        let (mnemonic, target) = (branch.mnemonic(), branch.near_branch_target());
        let Some(with) = gate else {
            let goes_on = mnemonic == Mnemonic::Jg && !self.range.contains(&target);
            return (self.mode != TRACE).then_some(goes_on);
        };
        Some(match mnemonic {
            Mnemonic::Jb => self.mode < with,
            Mnemonic::Jae => self.mode >= with,
            Mnemonic::Ja => self.mode > with,
            Mnemonic::Jbe => self.mode <= with,
            Mnemonic::Je => self.mode == with,
            Mnemonic::Jne => self.mode != with,
            _ => return None,
        })
    }
}

fn length(path: &[Instruction]) -> Length {
    let mut info = InstructionInfoFactory::new();
    let touches = |i: &&Instruction| !info.info(i).used_memory().is_empty();
    Length {
        instructions: path.len(),
        memory: path.iter().filter(touches).count(),
    }
}

fn print(name: &str, mode: u64, path: &[Instruction]) {
    let mut formatter = IntelFormatter::new();
    println!("{name}, gate {mode}:");
    for instruction in path {
        let mut text = String::new();
        formatter.format(instruction, &mut text);
        println!("    {text}");
    }
}

#[test]
fn hooks_stay_within_their_budgets() -> anyhow::Result<()> {
    let prints_code = std::env::var_os("GOCC_PRINT_CODE").is_some();
    let mut over = Vec::new();
    for version in sample_versions(&["1.23", "1.27"]) {
        let Some(fixture) = fixture("ops", &version, "static")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let injected = Injected::read(&patch(&fixture, place.path())?)?;
        for budget in &BUDGETS {
            let (start, size) = *injected.hooks.get(budget.hook).context(budget.hook)?;
            let range = start..start + size;
            let hook = Hook {
                range,
                mode: budget.mode,
            };
            let begin = Step {
                at: start,
                gate: None,
            };
            let path = injected.path(&hook, begin)?;
            let path = path.with_context(|| format!("{} only calls", budget.hook))?;
            let found = length(&path);
            let what = format!(
                "Go {version} {} gate {}: {found:?}",
                budget.hook, budget.mode
            );
            println!("{what}, at most {:?}", budget.most);
            if prints_code {
                print(budget.hook, budget.mode, &path);
            }
            if found.instructions > budget.most.instructions || found.memory > budget.most.memory {
                over.push(what);
            }
        }
    }
    ensure!(over.is_empty(), "hooks grew: {over:#?}");
    Ok(())
}

/// What different threads write while hooks run: a whole number of lines each, in pairs, since processors
/// fetch the neighbour too. What hooks only read, such as the gate, shares none with it.
#[test]
fn threads_share_no_cache_lines() {
    const PAIR: usize = 128;
    const LINE: usize = 64;
    assert_eq!(LANE_HEADERS_OFFSET % PAIR, 0, "lane headers");
    assert_eq!(size_of::<LaneHeader>() % PAIR, 0, "lane headers");
    assert_eq!(MARKS_OFFSET % PAIR, 0, "marks");
    assert_eq!(size_of::<Mark>() % PAIR, 0, "marks");
    assert_eq!(FRONT_SIZE % 4096, 0, "lanes begin with a page");
    let only_read = [
        offset_of!(Control, gate),
        offset_of!(Control, sample_period),
        offset_of!(Control, rate),
    ];
    let written = [
        offset_of!(Control, clock),
        offset_of!(Control, rate_count),
        offset_of!(Control, conflicts_claimed),
        offset_of!(Control, dropped_no_lane),
        offset_of!(Control, untracked),
    ];
    for (read, write) in only_read.iter().flat_map(|r| written.map(|w| (*r, w))) {
        assert_ne!(read / LINE, write / LINE, "words at {read} and {write}");
    }
}
