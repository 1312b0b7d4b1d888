//! An oracle for what hooks displace: instruction sequences run where they were and where the patcher moved them, on
//! the processor itself, from the same state. Registers, flags, vector state and memory must end alike, and so
//! must faults: same signal, same instruction, same address.
//!
//! Sequences are cut out of real Go programs, cut out and damaged, or made of random bytes. Every instruction that the
//! patcher may displace can occur, but for those of `generate::is_left_out`. `GOCC_RELOCATIONS` says how many are
//! tried of each kind, `GOCC_RELOCATION_SEED` makes other ones.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;
mod relocation_oracle;

use anyhow::ensure;
use common::fixture;
use common::random::Random;
use gocc::golang::GoBinary;
use gocc::image::{Image, Vaddr};
use gocc::patch::asm::{Assembler, stack_change};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use relocation_oracle::generate::{self, Sequence};
use relocation_oracle::sandbox::{self, MOVED_TO, Outcome, Run};

/// Sequences that one child runs.
const BATCH: usize = 200;

fn number(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The sequence as the patcher moves it.
fn moved(sequence: &Sequence, to: u64) -> Option<Vec<u8>> {
    let mut asm = Assembler::new().ok()?;
    asm.relocated(&sequence.instructions).ok()?;
    Some(asm.finish(Vaddr(to), 0).ok()?.bytes)
}

#[derive(Debug, Default)]
struct Counts {
    same: u64,
    same_faults: u64,
    refused: u64,
    lost: u64,
}

/// Runs sequences in children; a child that dies of one is counted, and that one is left out.
fn compare(kind: &str, sequences: &[Sequence], random: &mut Random) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for batch in sequences.chunks(BATCH) {
        let mut runs = Vec::new();
        for sequence in batch {
            let to = MOVED_TO[random.next() as usize % MOVED_TO.len()];
            match moved(sequence, to) {
                Some(bytes) => runs.push(Run::new(sequence, to, bytes, random)),
                None => counts.refused += 1,
            }
        }
        for (run, outcome) in sandbox::run(&runs)? {
            match outcome {
                Outcome::Lost => counts.lost += 1,
                Outcome::Ran(before, after) => {
                    ensure!(
                        before == after,
                        "{kind}, moved to {:#x}:\n{}\n{:02x?}\nmoved:\n{:02x?}\n{}",
                        run.to,
                        listing(&run.sequence.instructions),
                        run.sequence.bytes,
                        run.moved,
                        before.difference(&after),
                    );
                    counts.same += 1;
                    counts.same_faults += u64::from(before.signal != 0);
                }
            }
        }
    }
    println!("{kind}: {counts:?}");
    Ok(counts)
}

fn listing(instructions: &[Instruction]) -> String {
    let lines = instructions.iter().map(|i| format!("  {:#x} {i}", i.ip()));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn displaced_instructions_do_what_they_did() -> anyhow::Result<()> {
    let count = number("GOCC_RELOCATIONS", 6000) as usize;
    let mut random = Random(0x2545_f491_4f6c_dd1d ^ number("GOCC_RELOCATION_SEED", 0));
    let wild: Vec<_> = (0..count).map(|_| generate::wild(&mut random)).collect();
    let counts = compare("random bytes", &wild, &mut random)?;
    ensure!(counts.same > count as u64 / 2, "{counts:?}");
    for version in ["1.18", "1.27"] {
        let Some(built) = fixture("pairs", version, "static")? else {
            continue;
        };
        let image = Image::open(&built.path)?;
        let go = GoBinary::parse(&image)?;
        let functions = generate::functions(&go);
        for (what, damage) in [("as compiled", false), ("damaged", true)] {
            let cut = (0..count).map(|_| generate::cut(&functions, damage, &mut random));
            let cut: Vec<_> = cut.collect();
            let kind = format!("Go {version} {what}");
            let counts = compare(&kind, &cut, &mut random)?;
            ensure!(counts.same > count as u64 / 2, "{kind}: {counts:?}");
            ensure!(
                damage || counts.same_faults < counts.same / 2,
                "{kind}: nearly all fault: {counts:?}"
            );
        }
    }
    Ok(())
}

/// Where an operand cannot be reached, nothing is moved.
#[test]
fn out_of_reach_is_refused() {
    // lea rax, [rip+0x100]
    let code = [0x48, 0x8d, 0x05, 0, 1, 0, 0];
    let sequence = Sequence::decode(&code).unwrap();
    for to in MOVED_TO {
        assert!(moved(&sequence, to).is_some(), "{to:#x}");
    }
    let high = Decoder::with_ip(64, &code, 0x7f00_0000_0000, DecoderOptions::NONE);
    let sequence = Sequence {
        bytes: code.to_vec(),
        instructions: high.into_iter().collect(),
    };
    for to in MOVED_TO {
        assert!(moved(&sequence, to).is_none(), "{to:#x}");
    }
}

/// The oracle itself sees a displacement that is one byte off.
#[test]
fn a_wrong_operand_is_seen() -> anyhow::Result<()> {
    let mut random = Random(1);
    // mov rax, [rip+disp]
    let mut sequence = Sequence::decode(&[0x48, 0x8b, 0x05, 0, 1, 0, 0]).unwrap();
    sequence.aim(&mut random);
    let to = MOVED_TO[0];
    let mut bytes = moved(&sequence, to).unwrap();
    bytes[3] ^= 1;
    let runs = [Run::new(&sequence, to, bytes, &mut random)];
    let (_, outcome) = sandbox::run(&runs)?.remove(0);
    let Outcome::Ran(before, after) = outcome else {
        anyhow::bail!("lost")
    };
    ensure!(before != after, "not seen");
    Ok(())
}

/// How far the stack pointer moves is known, or known to be unknown: then nothing is displaced.
#[test]
fn stack_pointer() {
    let cases: [(&[u8], Option<i32>); 14] = [
        (&[0x48, 0x83, 0xc4, 0x20], Some(32)),         // add rsp, 32
        (&[0x48, 0x81, 0xec, 0, 1, 0, 0], Some(-256)), // sub rsp, 256
        (&[0x48, 0x8d, 0x64, 0x24, 0x08], Some(8)),    // lea rsp, [rsp+8]
        (&[0x5d], Some(8)),                            // pop rbp
        (&[0x55], Some(-8)),                           // push rbp
        (&[0x48, 0x89, 0xe5], Some(0)),                // mov rbp, rsp
        (&[0x48, 0x01, 0xc4], None),                   // add rsp, rax
        (&[0x48, 0x2b, 0x64, 0x24, 0x08], None),       // sub rsp, [rsp+8]
        (&[0x48, 0x8d, 0x60, 0x08], None),             // lea rsp, [rax+8]
        (&[0x48, 0x89, 0xec], None),                   // mov rsp, rbp
        (&[0x5c], None),                               // pop rsp
        (&[0xc9], None),                               // leave
        (&[0x48, 0x83, 0xe4, 0xf0], None),             // and rsp, -16
        (&[0x83, 0xc4, 0x20], None),                   // add esp, 32
    ];
    for (code, expected) in cases {
        let instruction = Decoder::new(64, code, DecoderOptions::NONE).decode();
        assert_eq!(stack_change(&instruction), expected, "{instruction}");
    }
}

/// A hooked function that leaves in such a way is refused, by name.
#[test]
fn a_stack_pointer_out_of_sight_is_refused() -> anyhow::Result<()> {
    let Some(built) = fixture("pairs", "1.27", "static")? else {
        return Ok(());
    };
    let mut bytes = std::fs::read(&built.path)?;
    let image = Image::open(&built.path)?;
    let go = GoBinary::parse(&image)?;
    let function = go.find_functions(&["runtime.mapassign_faststr"])[0].clone();
    let start = image.offset_of(function.entry).unwrap().0 as usize;
    let code = start..start + (function.end.0 - function.entry.0) as usize;
    // add rsp, N; pop rbp; ret
    let at = bytes[code.clone()]
        .windows(9)
        .position(|code| code.starts_with(&[0x48, 0x81, 0xc4]) && code.ends_with(&[0x5d, 0xc3]));
    let at = code.start + at.expect("an exit as Go makes it");
    // nop dword ptr [rax]; add rsp, rax
    bytes[at..at + 7].copy_from_slice(&[0x0f, 0x1f, 0x40, 0, 0x48, 0x01, 0xc4]);
    let place = tempfile::tempdir()?;
    let changed = place.path().join("changed");
    std::fs::write(&changed, bytes)?;
    let refused = common::Program::new(common::gocc::GOCC)
        .arg("patch")
        .arg(&changed)
        .arg("-o")
        .arg(place.path().join("output"))
        .run()?;
    ensure!(
        refused.ending() == "exit 1" && refused.stderr.contains("moves by no constant"),
        "{}",
        refused.tail()
    );
    Ok(())
}
