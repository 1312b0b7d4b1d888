//! Rings that a process of the real demo program could have written: its code, its return addresses,
//! its lines.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::rings::{RingBuilder, conflict, side};
use assert_cmd::Command;
use gocc::golang::GoBinary;
use gocc::image::Image;
use gocc::ring::layout::{self, Conflict};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use std::path::{Path, PathBuf};

/// The demo program, and addresses in it.
pub struct Demo {
    pub directory: tempfile::TempDir,
    pub program: PathBuf,
    pub image: Image,
}

impl Demo {
    pub fn unpack() -> Demo {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("demo");
        let packed = std::fs::File::open(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/demo/demo.bin.gz"
        ))
        .unwrap();
        let mut file = std::fs::File::create(&program).unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut file).unwrap();
        let image = Image::open(&program).unwrap();
        Demo {
            directory,
            program,
            image,
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A ring of a process that runs the demo at its link-time addresses plus `bias`.
    pub fn ring(&self, bias: u64) -> RingBuilder {
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
    pub fn returns(&self, caller: &str, callee: &str) -> Vec<u64> {
        let binary = GoBinary::parse(&self.image).unwrap();
        let function = binary.functions_named(caller).remove(0);
        let code = self
            .image
            .bytes_at(function.entry, function.end.0 - function.entry.0)
            .unwrap();
        let mut found = Vec::new();
        for instruction in Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE) {
            let target = gocc::image::Vaddr(instruction.near_branch_target());
            let is_call = instruction.flow_control() == FlowControl::Call;
            if is_call
                && binary
                    .function_at(target)
                    .is_some_and(|callee_at| callee_at.name.starts_with(callee))
            {
                found.push(instruction.next_ip());
            }
        }
        assert!(!found.is_empty(), "{caller} calls {callee}");
        found
    }

    pub fn entry(&self, function: &str) -> u64 {
        GoBinary::parse(&self.image)
            .unwrap()
            .functions_named(function)[0]
            .entry
            .0
    }

    /// The descriptor of the sessions' map type: the first argument of the assignment in Renew.
    pub fn map_type(&self) -> u64 {
        let binary = GoBinary::parse(&self.image).unwrap();
        let function = binary.functions_named("main.(*Server).Renew").remove(0);
        let code = self
            .image
            .bytes_at(function.entry, function.end.0 - function.entry.0)
            .unwrap();
        let decoder = Decoder::with_ip(64, code, function.entry.0, DecoderOptions::NONE);
        let mut loads = decoder
            .into_iter()
            .filter(|at| at.mnemonic() == Mnemonic::Lea && at.op0_register() == Register::RAX);
        loads
            .find(Instruction::is_ip_rel_memory_operand)
            .unwrap()
            .ip_rel_memory_address()
    }

    /// A client's stack down to the assignment in Renew.
    pub fn renewing(&self) -> Vec<u64> {
        vec![
            self.returns("main.(*Server).Renew", "runtime.mapassign_faststr")[0],
            self.returns("main.(*Server).Handle", "main.(*Server).Renew")[0],
            self.returns("main.client", "main.(*Server).Handle")[0],
            self.entry("runtime.goexit") + 1,
        ]
    }

    /// The janitor's stack down to the iteration step.
    pub fn sweeping(&self) -> Vec<u64> {
        vec![
            self.returns("runtime.mapIterNext", "internal/runtime/maps.(*Iter).Next")[0],
            self.returns("main.(*Server).Janitor", "runtime.mapIterNext")[0],
            self.entry("runtime.goexit") + 1,
        ]
    }

    /// Goroutine 7, started by main, renews a session while the janitor, goroutine 6, sweeps.
    pub fn conflict(&self, evidence: u32, certainty: u8) -> Conflict {
        let mut renewing = side(layout::OP_ASSIGN, certainty, 7, &self.renewing());
        let mut sweeping = side(layout::OP_ITERATE, layout::SIDE_SELF, 6, &self.sweeping());
        let go_statements = self.returns("main.main", "runtime.newproc");
        sweeping.created_at = go_statements[0];
        renewing.created_at = go_statements[1];
        renewing.start_fn = self.entry("main.client");
        renewing.parent_goid = 1;
        sweeping.parent_goid = 1;
        let mut conflict = conflict(evidence, 12_345_678, [sweeping, renewing]);
        conflict.map_type = self.map_type();
        conflict
    }
}

/// Runs gocc.
pub fn gocc(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> std::process::Output {
    let mut command = Command::cargo_bin("gocc").unwrap();
    arguments.iter().for_each(|argument| {
        command.arg(argument);
    });
    command.output().unwrap()
}
