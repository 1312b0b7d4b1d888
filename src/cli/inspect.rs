use std::path::PathBuf;
use std::process::ExitCode;

/// Tell what a patched executable is, or what would be patched
#[derive(clap::Args)]
pub struct InspectArgs {
    /// The executable
    file: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let InspectArgs { file: _, json: _ } = args;
    anyhow::bail!("inspect is not implemented yet")
}
