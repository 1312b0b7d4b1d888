//! The command line of the two executables. Arguments are parsed here, work is done elsewhere, and
//! every error becomes one line on stderr.
//!
//! Exit codes: 0, nothing found; 66, findings (as with Go's race detector); 1, an error; 2, wrong
//! usage. `gocc exec` gives back the program's own status where it can.

mod baseline;
mod cache;
mod config;
mod ctl;
mod demo;
mod exec;
mod inspect;
mod merge;
mod output;
mod patch;
mod progress;
mod report;
mod runner;
mod signals;
mod stats;
mod suspects;
mod test;
mod unpatch;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code when there are findings.
pub const EXIT_FINDINGS: u8 = 66;

/// Finds concurrent map misuse in Go programs that are already compiled.
#[derive(Parser)]
#[command(
    name = "gocc",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Gocc {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Exec(exec::ExecArgs),
    Test(test::TestArgs),
    Report(report::ReportArgs),
    Merge(merge::MergeArgs),
    Stats(stats::StatsArgs),
    Ctl(ctl::CtlArgs),
    Config(config::ShowArgs),
    Baseline(baseline::BaselineArgs),
    Patch(patch::PatchArgs),
    Inspect(inspect::InspectArgs),
    Unpatch(unpatch::UnpatchArgs),
    Demo(demo::DemoArgs),
}

/// Rewrites a Go executable so that it records concurrent map misuse.
#[derive(Parser)]
#[command(
    name = "gocc-patch",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct GoccPatch {
    #[command(flatten)]
    args: patch::PatchArgs,
}

/// The `gocc` executable.
pub fn main_gocc() -> ExitCode {
    let result = match Gocc::parse().command {
        Command::Exec(args) => exec::run(args),
        Command::Test(args) => test::run(args),
        Command::Report(args) => report::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Ctl(args) => ctl::run(args),
        Command::Config(args) => config::run(args),
        Command::Baseline(args) => baseline::run(args),
        Command::Patch(args) => patch::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Unpatch(args) => unpatch::run(args),
        Command::Demo(args) => demo::run(args),
    };
    exit_code(result, "gocc")
}

/// The `gocc-patch` executable.
pub fn main_gocc_patch() -> ExitCode {
    exit_code(patch::run(GoccPatch::parse().args), "gocc-patch")
}

fn exit_code(result: anyhow::Result<ExitCode>, program: &str) -> ExitCode {
    result.unwrap_or_else(|error| {
        // Where even stderr is gone there is nobody left to tell.
        let _ = output::error_line(program, &error);
        ExitCode::FAILURE
    })
}
