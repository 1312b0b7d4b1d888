//! Findings and their text, on rings that a process of the real demo program could have written: its
//! code, its return addresses, its lines.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test fails by panicking")]

mod support;

use assert_cmd::Command;
use gocc::golang::GoBinary;
use gocc::image::Image;
use gocc::ring::layout::{self, Conflict};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use std::path::{Path, PathBuf};
use support::{RingBuilder, conflict, record, side};

/// The demo program, and addresses in it.
struct Demo {
    directory: tempfile::TempDir,
    program: PathBuf,
    image: Image,
}

impl Demo {
    fn unpack() -> Demo {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("demo");
        let packed = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo/demo.bin.gz")).unwrap();
        let mut file = std::fs::File::create(&program).unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut file).unwrap();
        let image = Image::open(&program).unwrap();
        Demo { directory, program, image }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A ring of a process that runs the demo at its link-time addresses plus `bias`.
    fn ring(&self, bias: u64) -> RingBuilder {
        let binary = GoBinary::parse(&self.image).unwrap();
        let mut ring = RingBuilder::new(2);
        ring.header.load_bias = bias;
        ring.header.text_start = binary.text_start.0 + bias;
        ring.header.text_end = binary.text_end.0 + bias;
        ring.set_exe(&self.program, &binary.build_id.unwrap_or_default());
        ring
    }

    /// Where the calls in `caller` to functions whose name starts with `callee` return to, in address
    /// order.
    fn returns(&self, caller: &str, callee: &str) -> Vec<u64> {
        let binary = GoBinary::parse(&self.image).unwrap();
        let function = binary.functions_named(caller).remove(0);
        let code = self.image.bytes_at(function.entry, function.end.0 - function.entry.0).unwrap();
        let mut found = Vec::new();
        for instruction in Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE) {
            let target = gocc::image::Vaddr(instruction.near_branch_target());
            let is_call = instruction.flow_control() == FlowControl::Call;
            if is_call && binary.function_at(target).is_some_and(|callee_at| callee_at.name.starts_with(callee)) {
                found.push(instruction.next_ip());
            }
        }
        assert!(!found.is_empty(), "{caller} calls {callee}");
        found
    }

    fn entry(&self, function: &str) -> u64 {
        GoBinary::parse(&self.image).unwrap().functions_named(function)[0].entry.0
    }

    /// A client's stack down to the assignment in Renew.
    fn renewing(&self) -> Vec<u64> {
        // Handle and Renew may be inlined: whichever physical function calls mapassign is the first.
        let assign = self.returns("main.(*Server).Renew", "runtime.mapassign_faststr");
        let renew = self.returns("main.client", "main.(*Server).Renew");
        vec![assign[0], renew[0], self.returns("runtime.goexit.abi0", "runtime.goexit1")[0]]
    }

    /// The janitor's stack down to the iteration step.
    fn sweeping(&self) -> Vec<u64> {
        let callee = if self.swiss() { "internal/runtime/maps.(*Iter).Next" } else { "runtime.mapiternext" };
        vec![self.returns("main.(*Server).Janitor", callee)[0]]
    }

    fn swiss(&self) -> bool {
        GoBinary::parse(&self.image).unwrap().map_impl == gocc::golang::MapImpl::Swiss
    }

    /// Goroutine 7, started by main, renews a session while the janitor, goroutine 6, sweeps.
    fn conflict(&self, evidence: u32, certainty: u8) -> Conflict {
        let mut renewing = side(layout::OP_ASSIGN, certainty, 7, &self.renewing());
        let mut sweeping = side(layout::OP_ITERATE, layout::SIDE_SELF, 6, &self.sweeping());
        let go_statements = self.returns("main.main", "runtime.newproc");
        sweeping.created_at = go_statements[0];
        renewing.created_at = go_statements[1];
        renewing.start_fn = self.entry("main.client");
        renewing.parent_goid = 1;
        sweeping.parent_goid = 1;
        conflict(evidence, 12_345_678, [sweeping, renewing])
    }
}

fn gocc(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> std::process::Output {
    let mut command = Command::cargo_bin("gocc").unwrap();
    arguments.iter().for_each(|argument| {
        command.arg(argument);
    });
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn caught_in_the_act() {
    let demo = Demo::unpack();
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    let path = ring.save(demo.path(), "gocc-1.ring");
    let output = gocc(&[&"report", &path]);
    assert_eq!(output.status.code(), Some(66));
    insta::assert_snapshot!(text(&output.stdout));
}
