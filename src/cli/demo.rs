use std::process::ExitCode;

/// Show what a finding looks like: run a small racy server, no Go needed
#[derive(clap::Args)]
pub struct DemoArgs {}

pub fn run(_args: DemoArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the demo program is not part of this build yet")
}
