use super::output;
use super::progress::Progress;
use crate::patch::{Mode, PatchRequest, patch_file};
use std::path::PathBuf;
use std::process::ExitCode;

/// Rewrite a Go executable so that it records map misuse
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc-patch ./server -o ./server.instr && ./server.instr")]
pub struct PatchArgs {
    /// The executable; it is never modified
    input: PathBuf,
    /// The instrumented executable
    #[arg(long, short, value_name = "OUTPUT")]
    output: PathBuf,
    /// off, observe, trace, hunt, guard or block
    ///
    /// What it does when GOCC does not say.
    #[arg(long, default_value_t, value_name = "MODE")]
    mode: Mode,
    /// Where its rings go when GOCC does not say
    #[arg(long)]
    dir: Option<String>,
    /// Bytes for each P's lane, a power of two
    ///
    /// When GOCC does not say.
    #[arg(long, value_name = "N")]
    ring_size: Option<u32>,
    /// Write all that will differ to this file, as JSON
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Do not check the result against the plan
    #[arg(long)]
    no_verify: bool,
}

pub fn run(args: PatchArgs) -> anyhow::Result<ExitCode> {
    let PatchArgs {
        input,
        output,
        mode,
        dir,
        ring_size,
        plan,
        no_verify,
    } = args;
    let request = PatchRequest {
        input,
        output,
        mode,
        dir,
        ring_size,
        plan,
        verify: !no_verify,
    };
    let summary = {
        let _progress = Progress::start(format!("patching {}", request.input.display()));
        patch_file(&request)?
    };
    output::to_stderr(format!("{summary}\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
