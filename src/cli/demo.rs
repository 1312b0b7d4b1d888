use super::exec::{analyze_run, render};
use super::output;
use super::progress::Progress;
use super::runner::{RingDir, Run, Settings};
use crate::patch::{Mode, PatchRequest, patch_file};
use crate::report::Format;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A small server with a bug (testdata/demo/main.go), built by scripts/build-demo.
const PROGRAM: &[u8] = include_bytes!("../../testdata/demo/demo.bin.gz");
/// It is larger than this only if something is wrong, in bytes.
const MOST: u64 = 64 << 20;
/// Runs until gocc gives up. The bug shows itself in nearly every one.
const RUNS: u32 = 8;

/// Show what a finding looks like
///
/// A small server with a bug is patched, run and reported in seconds. Needs no Go and no network. Exit code: 0 when the bug was found.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc demo")]
pub struct DemoArgs {
    /// How to write it: text, json, html, sarif and more
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    format: Format,
}

pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("gocc-demo-")
        .permissions(Permissions::from_mode(0o700));
    let place = builder
        .tempdir()
        .context("cannot make a directory for the demo")?;
    let original = unpack(place.path())?;
    let patched = place.path().join("demo.instr");
    output::note_line(&format!(
        "gocc-patch demo -o demo.instr   (a small server with a bug, {} bytes)",
        size(&original)
    ));
    patch_file(&request(original, patched.clone()))?;
    for attempt in 1..=RUNS {
        output::note_line(&format!("./demo.instr   (run {attempt})"));
        if let Some(report) = run_once(&patched, place.path(), args.format)? {
            output::to_stdout(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    bail!("the demo's bug did not show itself in {RUNS} runs (try again)")
}

/// Gives back the report when there are findings.
fn run_once(patched: &Path, place: &Path, format: Format) -> anyhow::Result<Option<Vec<u8>>> {
    let rings = RingDir::new(None)?;
    let log = place.join("output");
    let file = File::create(&log).context("cannot make a file for the demo's output")?;
    let argv = [OsString::from("./demo.instr")];
    let run = Run {
        executable: patched,
        argv: &argv,
        settings: Settings {
            mode: Some(Mode::Observe),
            ..Settings::default()
        },
        rings: &rings,
        output: Some(&file),
    };
    let status = {
        let _progress = Progress::start("the demo is running");
        run.to_end()?
    };
    let said = std::fs::read(&log).context("cannot read the demo's output")?;
    let said = String::from_utf8_lossy(&said);
    said.lines()
        .take(3)
        .filter(|line| !line.is_empty())
        .for_each(|line| output::note_line(&format!("  | {line}")));
    output::note_line(&format!("  the demo ended: {status}"));
    let (analysis, _) = analyze_run(&rings)?;
    if analysis.findings.is_empty() {
        Ok(None)
    } else {
        render(&analysis, format).map(Some)
    }
}

fn request(input: PathBuf, output: PathBuf) -> PatchRequest {
    PatchRequest {
        input,
        output,
        mode: Mode::Observe,
        dir: None,
        ring_size: None,
        plan: None,
        verify: true,
    }
}

fn unpack(place: &Path) -> anyhow::Result<PathBuf> {
    let mut program = Vec::new();
    flate2::read::GzDecoder::new(PROGRAM)
        .take(MOST)
        .read_to_end(&mut program)
        .context("the embedded demo is damaged")?;
    let path = place.join("demo");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)?;
    file.write_all(&program)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
