use super::output;
use super::progress::Progress;
use crate::image::Image;
use crate::patch::unpatch::unpatch;
use std::path::PathBuf;
use std::process::ExitCode;

/// Give back the original executable, byte for byte
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc unpatch ./server.instr -o ./server")]
pub struct UnpatchArgs {
    /// The instrumented executable
    file: PathBuf,
    /// Where the original goes
    #[arg(long, short, value_name = "OUTPUT")]
    output: PathBuf,
}

pub fn run(args: UnpatchArgs) -> anyhow::Result<ExitCode> {
    let UnpatchArgs { file, output } = args;
    let note = {
        let _progress = Progress::start(format!("unpatching {}", file.display()));
        unpatch(&Image::open(&file)?, &output)?
    };
    let summary = format!(
        "{}: the original, {} bytes, SHA-256 {}\n",
        output.display(),
        note.input_size,
        note.sha256_text()
    );
    output::to_stderr(summary.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
