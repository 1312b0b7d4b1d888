//! `gocc inspect`: what a patched executable says about itself, or what patching would do. The JSON
//! object is described in `src/cli/inspect-schema.md`.

use super::output;
use super::progress::Progress;
use crate::golang::{GoBinary, Layout, LayoutSource, MapImpl};
use crate::image::{Image, Vaddr};
use crate::patch::note::{self, EditNote, Note, SegmentNote};
use crate::patch::plan::{Outcome, PatchPlan, SiteOutcome};
use crate::patch::planner::{self, PlanOptions};
use anyhow::Context;
use serde::Serialize;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Name and version of the schema.
const SCHEMA: &str = "gocc-inspect/1";

/// Tell what a patched executable is, or what would be patched
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc inspect ./server.instr")]
pub struct InspectArgs {
    /// The executable
    file: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let InspectArgs { file, json } = args;
    let inspection = {
        let _progress = Progress::start(format!("inspecting {}", file.display()));
        Inspection::of(&Image::open(&file)?)?
    };
    let text = if json {
        serde_json::to_string_pretty(&inspection)? + "\n"
    } else {
        inspection.text()?
    };
    output::to_stdout(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Everything there is to tell about an executable.
#[derive(Serialize)]
struct Inspection {
    schema: &'static str,
    file: String,
    size: u64,
    patched: bool,
    go: GoFacts,
    /// What was done to it.
    note: Option<Note>,
    /// What would be done to it.
    plan: Option<Planned>,
    /// Why nothing can be done to it.
    refused: Option<String>,
}

/// What kind of Go executable it is.
#[derive(Serialize)]
struct GoFacts {
    version: String,
    maps: MapImpl,
    layout_source: LayoutSource,
    layout: Layout,
    build_id: Option<String>,
    race: bool,
    position_independent: bool,
    text_start: Vaddr,
    text_end: Vaddr,
}

/// What patching with the default options would do.
#[derive(Serialize)]
struct Planned {
    sites: Vec<SiteOutcome>,
    segments: Vec<SegmentNote>,
    edits: Vec<EditNote>,
}

impl Inspection {
    fn of(image: &Image) -> anyhow::Result<Inspection> {
        let path = image.path().display().to_string();
        let note = note::find(image).with_context(|| path.clone())?;
        let go = GoBinary::parse(image).with_context(|| path.clone())?;
        let mut inspection = Inspection {
            schema: SCHEMA,
            file: path,
            size: image.data().len() as u64,
            patched: note.is_some(),
            go: GoFacts::of(&go),
            note,
            plan: None,
            refused: None,
        };
        if !inspection.patched {
            match planner::plan(&go, &PlanOptions::default()) {
                Ok(plan) => inspection.plan = Some(Planned::of(plan)),
                Err(error) => inspection.refused = Some(output::one_line(&error.into())),
            }
        }
        Ok(inspection)
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let go = &self.go;
        writeln!(text, "{}: {} bytes", self.file.escape_debug(), self.size)?;
        writeln!(text, "Go:      {}{}", go.version.escape_debug(), go.kind())?;
        writeln!(text, "Layouts: from {}", describe(go.layout_source))?;
        if let Some(id) = &go.build_id {
            writeln!(text, "Build:   {}", id.escape_debug())?;
        }
        if let Some(note) = &self.note {
            note_text(&mut text, note)?;
        }
        if let Some(plan) = &self.plan {
            writeln!(
                text,
                "Not patched. Patching with the default options would do this:"
            )?;
            changes_text(&mut text, &plan.sites, &plan.segments, &plan.edits)?;
        }
        if let Some(why) = &self.refused {
            writeln!(text, "Not patched, and cannot be: {}", why.escape_debug())?;
        }
        Ok(text)
    }
}

impl GoFacts {
    fn of(go: &GoBinary<'_>) -> GoFacts {
        GoFacts {
            version: go.version.text.clone(),
            maps: go.map_impl,
            layout_source: go.layout_source,
            layout: go.layout.clone(),
            build_id: go.build_id.clone(),
            race: go.race,
            position_independent: go.image.is_pie(),
            text_start: go.text_start,
            text_end: go.text_end,
        }
    }

    fn kind(&self) -> String {
        let maps = match self.maps {
            MapImpl::Hmap => ", hash maps with buckets (hmap)",
            MapImpl::Swiss => ", Swiss maps",
        };
        let pie = if self.position_independent {
            ", position-independent"
        } else {
            ""
        };
        let race = if self.race { ", built with -race" } else { "" };
        format!("{maps}{pie}{race}")
    }
}

impl Planned {
    fn of(plan: PatchPlan) -> Planned {
        Planned {
            segments: plan.segments.iter().map(SegmentNote::new).collect(),
            edits: plan.edits.iter().map(EditNote::new).collect(),
            sites: plan.sites,
        }
    }
}

fn describe(source: LayoutSource) -> &'static str {
    match source {
        LayoutSource::Dwarf => "the executable's DWARF",
        LayoutSource::VersionTable => "gocc's table for this Go version",
    }
}

// What follows comes from a file that is not trusted: nothing in it may steer a terminal.

fn note_text(text: &mut String, note: &Note) -> fmt::Result {
    let contents = &note.contents;
    let provenance = &contents.provenance;
    writeln!(
        text,
        "Patched by gocc {}",
        provenance.gocc_version.escape_debug()
    )?;
    let options = provenance.options.join(" ");
    writeln!(text, "Options: {}", options.escape_debug())?;
    writeln!(
        text,
        "Input:   {} bytes, SHA-256 {}",
        note.input_size,
        note.sha256_text()
    )?;
    changes_text(text, &contents.sites, &contents.segments, &contents.edits)?;
    let ranges = contents.restore.len();
    writeln!(
        text,
        "{ranges} ranges of the input are kept for gocc unpatch"
    )
}

fn changes_text(
    text: &mut String,
    sites: &[SiteOutcome],
    segments: &[SegmentNote],
    edits: &[EditNote],
) -> fmt::Result {
    writeln!(text, "\nFunctions:")?;
    for site in sites {
        let function = site.function.escape_debug();
        let operation = site.operation.escape_debug();
        match (&site.entry, site.vaddr) {
            (Outcome::Patched(how), Some(at)) => {
                let how = how.escape_debug();
                writeln!(
                    text,
                    "  {function} at {at} ({operation}): {how}, {} exits",
                    site.exits
                )?;
            }
            (Outcome::Patched(why) | Outcome::Skipped(why), _) => {
                writeln!(
                    text,
                    "  {function} ({operation}): skipped, {}",
                    why.escape_debug()
                )?;
            }
        }
    }
    writeln!(text, "\nNew segments:")?;
    for segment in segments {
        let (name, flags) = (segment.name.escape_debug(), flags_text(segment.flags));
        let at = Vaddr(segment.vaddr);
        writeln!(
            text,
            "  {name} at {at}, {} bytes, {flags}",
            segment.mem_size
        )?;
    }
    let bytes: u64 = edits
        .iter()
        .fold(0, |sum, edit| sum.saturating_add(edit.len));
    writeln!(text, "\n{} changes in place, {bytes} bytes", edits.len())
}

fn flags_text(flags: u32) -> String {
    let letters = [(4, 'R'), (2, 'W'), (1, 'X')];
    letters
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, letter)| letter)
        .collect()
}
