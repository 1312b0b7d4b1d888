use super::output;
use super::progress::Progress;
use super::report::RingArgs;
use crate::analyze::{Stats, statistics};
use std::fmt::Write;
use std::process::ExitCode;

/// Count the recorded map operations by function
#[derive(clap::Args)]
pub struct StatsArgs {
    #[command(flatten)]
    rings: RingArgs,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: StatsArgs) -> anyhow::Result<ExitCode> {
    let rings = args.rings.open()?;
    let stats = {
        let _progress = Progress::start("reading rings");
        statistics(rings, &args.rings.options())?
    };
    let text = if args.json {
        serde_json::to_string_pretty(&stats)? + "\n"
    } else {
        table(&stats)?
    };
    output::to_stdout(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn table(stats: &Stats) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut rows: Vec<_> = stats.operations.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    for row in rows {
        // Names come from a file that is not trusted: nothing in them may steer a terminal.
        writeln!(
            text,
            "{:>12}  {:<8} {}",
            row.count,
            row.operation.name(),
            row.function.escape_debug()
        )?;
    }
    let lost = &stats.lost;
    let losses = [
        (stats.internal, "inside other operations, not counted above"),
        (lost.overwritten, "overwritten by newer ones"),
        (lost.dropped_no_lane, "dropped: no lane for their P"),
        (lost.dropped_no_p, "dropped: thread without a P"),
        (lost.damaged_records, "damaged records"),
        (lost.damaged_lanes, "damaged lanes"),
    ];
    for (count, what) in losses.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(text, "{count:>12}  ({what})")?;
    }
    for problem in &stats.problems {
        writeln!(text, "Note: {}", problem.escape_debug())?;
    }
    Ok(text)
}
