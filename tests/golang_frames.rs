//! Frames, stack depths and type names against what the programs themselves say at run time.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::{VERSIONS, fixture};
use gocc::golang::GoBinary;
use gocc::image::{Image, Vaddr};
use std::path::Path;
use std::process::Command;

/// A frame as text: link-time PC, line, function, file.
type Named = (u64, u32, String, String);

#[derive(Default)]
struct Stack {
    name: String,
    /// Return addresses and the stack slots they lie in.
    returns: Vec<(u64, u64)>,
    frames: Vec<Named>,
}

#[derive(Default)]
struct Output {
    main: u64,
    types: Vec<(u64, String)>,
    stacks: Vec<Stack>,
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

fn run(path: &Path) -> Output {
    let output = Command::new(path).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut found = Output::default();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "main" => found.main = hex(rest),
            "stack" => found.stacks.push(Stack {
                name: rest.to_owned(),
                ..Stack::default()
            }),
            "type" => {
                let (address, name) = rest.split_once(' ').unwrap();
                found.types.push((hex(address), name.to_owned()));
            }
            "return" => {
                let (address, slot) = rest.split_once(' ').unwrap();
                found
                    .stacks
                    .last_mut()
                    .unwrap()
                    .returns
                    .push((hex(address), hex(slot)));
            }
            "frame" => found
                .stacks
                .last_mut()
                .unwrap()
                .frames
                .push(parse_frame(rest)),
            other => panic!("unknown line {other}"),
        }
    }
    found
}

fn parse_frame(text: &str) -> Named {
    let mut words = text.splitn(3, ' ');
    let (pc, line) = (
        hex(words.next().unwrap()),
        words.next().unwrap().parse().unwrap(),
    );
    let (function, file) = words.next().unwrap().split_once('\t').unwrap();
    (pc, line, function.to_owned(), file.to_owned())
}

fn check(path: &Path) {
    let output = run(path);
    let image = Image::open(path).unwrap();
    let go = GoBinary::parse(&image).unwrap();
    let main = go.functions_named("main.main");
    assert_eq!(main.len(), 1, "{}", path.display());
    let bias = output.main - main[0].entry.0;
    assert!(image.is_pie() || bias == 0);
    for stack in &output.stacks {
        check_frames(&go, stack, bias, path);
        check_depths(&go, stack, bias, path);
    }
    assert!(
        output.stacks.len() >= 25,
        "{}: {} stacks",
        path.display(),
        output.stacks.len()
    );
    for (address, name) in &output.types {
        assert_eq!(
            go.type_name(Vaddr(address - bias)).as_ref(),
            Some(name),
            "{}",
            path.display()
        );
    }
}

/// The frames of all return addresses together are those that the runtime names. The first frame is
/// report's own, and the first return address may be, but at another line.
fn check_frames(go: &GoBinary<'_>, stack: &Stack, bias: u64, path: &Path) {
    let ours = stack
        .returns
        .iter()
        .flat_map(|(address, _)| go.frames_of_return(Vaddr(address - bias)));
    let ours = ours.skip_while(|frame| frame.function == "main.report");
    let ours: Vec<Named> = ours
        .map(|frame| (frame.pc.0, frame.line, frame.function, frame.file))
        .collect();
    let theirs = stack.frames[1..]
        .iter()
        .map(|(pc, line, function, file)| (pc - bias, *line, function.clone(), file.clone()));
    let theirs: Vec<Named> = theirs.collect();
    assert_eq!(ours, theirs, "stack {} of {}", stack.name, path.display());
}

/// Between two return addresses lies the frame of the function that the first one leads to.
fn check_depths(go: &GoBinary<'_>, stack: &Stack, bias: u64, path: &Path) {
    for pair in stack.returns.windows(2) {
        let [(address, slot), (_, next_slot)] = [pair[0], pair[1]];
        let expected = i32::try_from(next_slot - (slot + 8)).unwrap();
        let call = Vaddr(address - bias - 1);
        assert_eq!(
            go.sp_delta_at(call),
            Some(expected),
            "{call} in stack {} of {}",
            stack.name,
            path.display()
        );
    }
}

fn check_all(variant: &str, versions: &[&str]) {
    for version in versions {
        if let Some(fixture) = fixture("frames", version, variant).unwrap() {
            check(&fixture.path);
        }
    }
}

#[test]
fn static_executables() {
    check_all("static", &VERSIONS);
}

#[test]
fn without_symbols_and_dwarf() {
    check_all("stripped", &VERSIONS);
}

#[test]
fn position_independent() {
    check_all("strippedpie", &VERSIONS);
}

#[test]
fn externally_linked_and_stripped() {
    check_all("externalpie", &VERSIONS);
}

#[test]
fn unoptimised() {
    check_all("noopt", &[VERSIONS[0], VERSIONS[9]]);
}

#[test]
fn race_detector() {
    check_all("race", &[VERSIONS[0], VERSIONS[9]]);
}
