use std::path::PathBuf;
use std::process::ExitCode;

/// Give back the original executable, byte for byte
#[derive(clap::Args)]
pub struct UnpatchArgs {
    /// The instrumented executable
    file: PathBuf,
    /// Where the original goes
    #[arg(long, short, value_name = "OUTPUT")]
    output: PathBuf,
}

pub fn run(args: UnpatchArgs) -> anyhow::Result<ExitCode> {
    let UnpatchArgs { file: _, output: _ } = args;
    anyhow::bail!("unpatch is not implemented yet")
}
