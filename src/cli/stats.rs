use super::output;
use super::progress::Progress;
use super::report::RingArgs;
use crate::analyze::{Chains, Instances, Link, Stats, chains, instances, statistics};
use crate::ring::Operation;
use std::fmt::Write;
use std::process::ExitCode;

/// Count map operations by function or map, or follow them
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc stats --by instances /dev/shm")]
pub struct StatsArgs {
    #[command(flatten)]
    rings: RingArgs,
    /// What to tell
    #[arg(long, value_enum, default_value_t)]
    by: Grain,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// The grains at which operations can be looked at.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Grain {
    /// Which functions perform how many operations
    #[default]
    Functions,
    /// Which maps are shared by how many goroutines, and how much they are read and written
    Instances,
    /// Who touched the maps after whom that goroutines collided on
    Chains,
}

pub fn run(args: StatsArgs) -> anyhow::Result<ExitCode> {
    let rings = args.rings.open()?;
    let options = args.rings.options()?;
    let progress = Progress::start("reading rings");
    let text = match args.by {
        Grain::Functions => {
            let stats = statistics(rings, &options)?;
            if args.json {
                json(&stats)?
            } else {
                table(&stats)?
            }
        }
        Grain::Instances => {
            let maps = instances(rings, &options)?;
            if args.json {
                json(&maps)?
            } else {
                instance_table(&maps)?
            }
        }
        Grain::Chains => {
            let all = chains(rings, &options)?;
            if args.json {
                json(&all)?
            } else {
                chain_text(&all)?
            }
        }
    };
    drop(progress);
    output::to_stdout(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn instance_table(all: &Instances) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "{:>12}  {:>12}  {:>10}  {:<14} {:<32} first used in",
        "reads", "writes", "goroutines", "map", "type"
    )?;
    for map in &all.maps {
        let goroutines = format!(
            "{}{}",
            map.goroutines,
            if map.more_goroutines { "+" } else { "" }
        );
        writeln!(
            text,
            "{:>12}  {:>12}  {:>10}  {:<14} {:<32} {}",
            map.reads,
            map.writes,
            goroutines,
            map.address.to_string(),
            map.type_name
                .as_deref()
                .unwrap_or("?")
                .escape_debug()
                .to_string(),
            map.first_used_in.escape_debug()
        )?;
    }
    let rest = [
        (all.unlisted, "maps not listed"),
        (all.beyond, "operations on maps too many to be told apart"),
    ];
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(text, "{count:>12}  ({what})")?;
    }
    notes(&mut text, &all.problems)?;
    Ok(text)
}

fn chain_text(all: &Chains) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for chain in &all.chains {
        let name = chain.type_name.as_deref().unwrap_or("unknown type");
        writeln!(
            text,
            "Map {} at {}, process {}:",
            name.escape_debug(),
            chain.address,
            chain.pid
        )?;
        if chain.earlier > 0 {
            writeln!(text, "  ({} earlier links are not shown)", chain.earlier)?;
        }
        chain
            .links
            .iter()
            .try_for_each(|link| write_link(&mut text, link))?;
        writeln!(text)?;
    }
    if all.chains.is_empty() {
        writeln!(text, "No goroutines collided on a map.")?;
    }
    notes(&mut text, &all.problems)?;
    Ok(text)
}

fn write_link(text: &mut String, link: &Link) -> std::fmt::Result {
    let ms = link.since_start_ns as f64 / 1e6;
    let operation = link.operation.map_or("?", Operation::name);
    let Link {
        goroutine,
        count,
        line,
        ..
    } = link;
    if link.conflict {
        return writeln!(
            text,
            "{ms:>12.3} ms  goroutine {goroutine:<6} {operation:<8} *** noticed the conflict"
        );
    }
    let (function, file) = (link.function.escape_debug(), link.file.escape_debug());
    writeln!(
        text,
        "{ms:>12.3} ms  goroutine {goroutine:<6} {operation:<8} x{count:<6} {function} ({file}:{line})"
    )
}

fn notes(text: &mut String, problems: &[String]) -> std::fmt::Result {
    problems
        .iter()
        .try_for_each(|problem| writeln!(text, "Note: {}", problem.escape_debug()))
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
        (lost.left_out, "left out to keep hunt's budget"),
        (lost.damaged_records, "damaged records"),
        (lost.damaged_lanes, "damaged lanes"),
    ];
    for (count, what) in losses.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(text, "{count:>12}  ({what})")?;
    }
    notes(&mut text, &stats.problems)?;
    Ok(text)
}
