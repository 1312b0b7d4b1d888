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
mod fix;
mod focus;
mod help;
mod inspect;
mod merge;
mod output;
mod patch;
mod progress;
mod push;
mod report;
mod runner;
mod scan;
mod scan_binary;
mod scanned;
mod signals;
mod stats;
mod stop;
pub mod suspects;
mod test;
mod unpatch;
mod watch;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Exit code when there are findings.
pub const EXIT_FINDINGS: u8 = 66;

/// Of all commands: no room for more.
const SCREEN: &str = "\
{usage-heading} {usage}      Example: gocc exec -- ./server

{subcommands}

Exit codes: 0 fine, 66 findings, 2 usage, 1 other. Version {version}.
";

/// Finds concurrent map misuse in Go programs that are already compiled.
#[derive(Parser)]
#[command(
    name = "gocc",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    help_template = SCREEN
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
    Watch(watch::WatchArgs),
    Scan(scan::ScanArgs),
    Ctl(ctl::CtlArgs),
    Config(config::ShowArgs),
    Baseline(baseline::BaselineArgs),
    Patch(patch::PatchArgs),
    Inspect(inspect::InspectArgs),
    Unpatch(unpatch::UnpatchArgs),
    Demo(demo::DemoArgs),
    Completions(help::CompletionsArgs),
    Man(help::ManArgs),
}

/// The command line of `gocc`.
fn gocc_command() -> clap::Command {
    help::fitted(Gocc::command())
}

/// The command line of `gocc-patch`: that of `gocc patch`.
fn gocc_patch_command() -> clap::Command {
    let command = clap::Command::new("gocc-patch")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .arg_required_else_help(true);
    help::fitted(patch::PatchArgs::augment_args(command))
}

/// What was asked for; whoever asks for help gets it, and a wrong usage ends here.
fn arguments<T: FromArgMatches>(mut command: clap::Command) -> T {
    let matches = command.clone().get_matches();
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// The `gocc` executable.
pub fn main_gocc() -> ExitCode {
    let result = match arguments::<Gocc>(gocc_command()).command {
        Command::Exec(args) => exec::run(args),
        Command::Test(args) => test::run(args),
        Command::Report(args) => report::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Scan(args) => scan::run(args),
        Command::Ctl(args) => ctl::run(args),
        Command::Config(args) => config::run(args),
        Command::Baseline(args) => baseline::run(args),
        Command::Patch(args) => patch::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Unpatch(args) => unpatch::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Completions(args) => help::completions(args),
        Command::Man(args) => help::man(args),
    };
    exit_code(result, "gocc")
}

/// The `gocc-patch` executable.
pub fn main_gocc_patch() -> ExitCode {
    exit_code(patch::run(arguments(gocc_patch_command())), "gocc-patch")
}

fn exit_code(result: anyhow::Result<ExitCode>, program: &str) -> ExitCode {
    result.unwrap_or_else(|error| {
        // Where even stderr is gone there is nobody left to tell.
        let _ = output::error_line(program, &error);
        ExitCode::FAILURE
    })
}
