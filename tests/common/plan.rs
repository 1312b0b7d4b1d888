//! A plan that adds everything a patched file has but changes nothing that the program does, and
//! running what it gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use gocc::image::{Image, Vaddr};
use gocc::patch::plan::{Edit, NewSegment, NewSymbol, Outcome, PatchPlan, Provenance, SiteOutcome};
use gocc::patch::space::first_free_vaddr;
use object::{Object, ObjectSymbol};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// A place for this test's files.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a program and demands that it succeeds. If it is a patched one, its ring goes away with it.
pub fn run(command: &mut Command) -> Output {
    let rings = tempfile::tempdir().unwrap();
    command.env("GOCC", format!("dir={}", rings.path().display()));
    let output = loop {
        match command.output() {
            // Another test's child holds the file it has just written, until it calls exec itself.
            Err(e) if e.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            result => break result.unwrap_or_else(|e| panic!("{command:?}: {e}")),
        }
    };
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What the test program prints.
pub fn output_of(program: &Path) -> String {
    String::from_utf8(run(Command::new(program).arg("x")).stdout).unwrap()
}

/// Adds code that jumps to the original entry, data with an unfilled rest, 2 MB of nothing, and
/// symbols. Where a function with a known first instruction is found, that is displaced too.
pub fn harmless_plan(image: &Image) -> PatchPlan {
    let text = first_free_vaddr(image).unwrap();
    let data = Vaddr(text.0 + 0x1000);
    let ring = Vaddr(text.0 + 0x5000);
    let parsed = object::File::parse(image.data()).unwrap();
    let entry = parsed.entry();
    let mut code = jump(text.0, entry);
    let edits: Vec<Edit> = displaced(image, &parsed, &mut code, text.0)
        .into_iter()
        .collect();
    let code_size = code.len() as u64;
    let symbol = |name: &str, vaddr, size, is_function| NewSymbol {
        name: name.into(),
        vaddr,
        size,
        is_function,
    };
    let sites = edits.iter().map(|e| SiteOutcome {
        function: "runtime.rt0_go".into(),
        vaddr: Some(e.at),
        operation: "start".into(),
        entry: Outcome::Patched("jump".into()),
        exits: 0,
    });
    PatchPlan {
        segments: vec![
            segment(".gocc.text", text, code, code_size, 5),
            segment(".gocc.data", data, vec![7; 0x123], 0x3000, 6),
            segment(".gocc.ring", ring, vec![], 2 << 20, 6),
        ],
        symbols: vec![
            symbol("gocc.init", text, 5, true),
            symbol("gocc.hook_start", Vaddr(text.0 + 16), code_size - 16, true),
            symbol("gocc.data", data, 0x123, false),
            symbol("gocc.ring", ring, 2 << 20, false),
        ],
        entry: text,
        input_sha256_at: vec![Vaddr(data.0 + 0x20)],
        provenance: Provenance {
            gocc_version: "0.1.0".into(),
            options: vec!["mode=observe".into()],
        },
        sites: sites.collect(),
        edits,
    }
}

fn segment(name: &str, vaddr: Vaddr, bytes: Vec<u8>, mem_size: u64, flags: u32) -> NewSegment {
    NewSegment {
        name: name.into(),
        vaddr,
        bytes,
        mem_size,
        flags,
    }
}

/// `jmp rel32`
pub fn jump(from: u64, to: u64) -> Vec<u8> {
    let distance = i32::try_from(to as i64 - (from as i64 + 5)).unwrap();
    let mut bytes = vec![0xe9];
    bytes.extend(distance.to_le_bytes());
    bytes
}

/// `runtime.rt0_go` starts with `mov rax, rdi; mov rbx, rsi` in every version.
const RT0_GO: [u8; 6] = [0x48, 0x89, 0xf8, 0x48, 0x89, 0xf3];

fn displaced(
    image: &Image,
    parsed: &object::File<'_>,
    code: &mut Vec<u8>,
    text: u64,
) -> Option<Edit> {
    code.resize(16, 0xcc);
    let hook = text + 16;
    let found = parsed
        .symbols()
        .find(|s| matches!(s.name(), Ok("runtime.rt0_go" | "runtime.rt0_go.abi0")));
    let Some(symbol) = found else {
        code.push(0xc3);
        return None;
    };
    let at = symbol.address();
    let old = image_bytes(image, at, 6);
    assert_eq!(old, RT0_GO);
    code.extend(RT0_GO);
    code.extend(jump(hook + 6, at + 6));
    let mut new = jump(at, hook);
    new.push(0xcc);
    Some(Edit {
        at: Vaddr(at),
        old,
        new,
        purpose: "entry of runtime.rt0_go".into(),
    })
}

fn image_bytes(image: &Image, at: u64, len: usize) -> Vec<u8> {
    use object::{Object, ObjectSegment};
    let parsed = object::File::parse(image.data()).unwrap();
    let bytes = parsed
        .segments()
        .find_map(|s| s.data_range(at, len as u64).ok().flatten());
    bytes.unwrap().to_vec()
}
