//! The report as Parquet tables, to be queried with DuckDB, Spark, Trino or ClickHouse: one row for each
//! finding, and, from the rings themselves, one row for each recorded operation.
//!
//! The columns are described in `src/report/tables.md`.

use super::ReportOptions;
use super::columns::{Cell, Kind, Table};
use super::otlp::{span_id, trace_id};
use super::wording::{grade_name, place};
use crate::analyze::frames;
use crate::analyze::model::{Analysis, Finding, Goroutine, RingSummary, Side, StackFrame};
use crate::analyze::{Event, EventSink};
use crate::identity::hex;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

const FINDING: [(&str, Kind); 24] = [
    ("grade", Kind::Text),
    ("evidence", Kind::Text),
    ("score", Kind::Float),
    ("pid", Kind::Int),
    ("executable", Kind::Text),
    ("build_id", Kind::Text),
    ("fatal", Kind::Bool),
    ("count", Kind::Int),
    ("instances", Kind::Int),
    ("goroutines", Kind::Int),
    ("first", Kind::Time),
    ("last", Kind::Time),
    ("map_address", Kind::Unsigned),
    ("map_seed", Kind::Unsigned),
    ("map_type", Kind::Text),
    ("made_function", Kind::Text),
    ("made_file", Kind::Text),
    ("made_line", Kind::Int),
    ("started", Kind::Time),
    ("ring", Kind::Text),
    ("similarity", Kind::Float),
    ("gap_ns", Kind::Int),
    ("alternations", Kind::Int),
    ("running", Kind::Bool),
];
/// For each of the two sides, after `noticed_` and `found_`.
const SIDE: [(&str, Kind); 10] = [
    ("operation", Kind::Text),
    ("certainty", Kind::Text),
    ("goroutine", Kind::Int),
    ("function", Kind::Text),
    ("file", Kind::Text),
    ("line", Kind::Int),
    ("stack", Kind::Text),
    ("labels", Kind::Text),
    ("trace_id", Kind::Text),
    ("span_id", Kind::Text),
];
const EVENT: [(&str, Kind); 12] = [
    ("pid", Kind::Int),
    ("executable", Kind::Text),
    ("time", Kind::Time),
    ("goroutine", Kind::Int),
    ("operation", Kind::Text),
    ("map_address", Kind::Unsigned),
    ("map_seed", Kind::Unsigned),
    ("map_type", Kind::Text),
    ("function", Kind::Text),
    ("file", Kind::Text),
    ("line", Kind::Int),
    ("stack", Kind::Text),
];

/// Writes the findings, and the suspects when they are asked for.
pub fn write(analysis: &Analysis, options: &ReportOptions, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&findings(analysis, options).map_err(to_io)?)
}

fn findings(analysis: &Analysis, options: &ReportOptions) -> Result<Vec<u8>> {
    let sides =
        ["noticed", "found"].map(|side| SIDE.map(|(name, kind)| (format!("{side}_{name}"), kind)));
    let mut columns = FINDING.to_vec();
    columns.extend(
        sides
            .iter()
            .flatten()
            .map(|(name, kind)| (name.as_str(), *kind)),
    );
    let mut bytes = Vec::new();
    let mut table = Table::new(&mut bytes, "findings", &columns)?;
    let suspects = analysis.suspects.iter().filter(|_| options.suspects);
    for finding in analysis.findings.iter().chain(suspects) {
        let ring = analysis.rings.iter().find(|ring| ring.pid == finding.pid);
        let mut cells = finding_cells(finding, ring);
        for side in &finding.sides {
            cells.extend(side_cells(side)?);
        }
        table.push(cells)?;
    }
    table.finish()?;
    Ok(bytes)
}

fn finding_cells(finding: &Finding, ring: Option<&RingSummary>) -> Vec<Cell> {
    let text = |text: Option<String>| Cell::text(&text.unwrap_or_default());
    let made = finding.map.made.as_ref();
    let made = made.and_then(|made| frames::innermost_user(&made.stack));
    let why = finding.suspicion.as_ref();
    vec![
        Cell::text(grade_name(finding.grade)),
        Cell::text(&finding.evidence.summary),
        Cell::Float(why.map(|why| why.score)),
        Cell::int(finding.pid),
        text(ring.map(|ring| ring.executable.display().to_string())),
        text(ring.map(|ring| ring.build_id.clone())),
        Cell::Bool(Some(finding.fatal)),
        Cell::int(finding.count),
        Cell::int(finding.instances as u64),
        Cell::int(finding.goroutines as u64),
        Cell::int(finding.first.unix_ns),
        Cell::int(finding.last.unix_ns),
        Cell::Int(finding.map.address.map(|address| address.0)),
        Cell::int(finding.map.instance.0),
        text(finding.map.type_name.clone()),
        text(made.map(|frame| frame.function.clone())),
        text(made.map(|frame| frame.file.clone())),
        line(made),
        Cell::Int(ring.map(|ring| ring.started_unix_ns)),
        text(ring.map(|ring| ring.path.display().to_string())),
        Cell::Float(why.map(|why| why.similarity)),
        Cell::Int(why.map(|why| why.gap_ns)),
        Cell::Int(why.map(|why| why.alternations)),
        Cell::Bool(ring.map(|ring| ring.running)),
    ]
}

fn side_cells(side: &Side) -> Result<[Cell; SIDE.len()]> {
    let goroutine = side.goroutine.as_ref();
    let frame = place(side);
    let labels = goroutine.filter(|goroutine| !goroutine.labels.is_empty());
    let labels = labels
        .map(|goroutine| serde_json::to_string(&goroutine.labels))
        .transpose();
    let labels = labels.map_err(|error| ParquetError::External(Box::new(error)))?;
    let certainty = serde_json::to_value(side.certainty).ok();
    let certainty = certainty.as_ref().and_then(|value| value.as_str());
    let id = |of: fn(&Goroutine) -> Option<Vec<u8>>| {
        Cell::text(
            &goroutine
                .and_then(of)
                .map(|id| hex(&id))
                .unwrap_or_default(),
        )
    };
    Ok([
        Cell::text(side.operation.map_or("", |operation| operation.name())),
        Cell::text(certainty.unwrap_or_default()),
        Cell::Int(goroutine.map(|goroutine| goroutine.id)),
        Cell::text(frame.map_or("", |frame| &frame.function)),
        Cell::text(frame.map_or("", |frame| &frame.file)),
        line(frame),
        Cell::text(&folded(&side.stack)),
        Cell::text(&labels.unwrap_or_default()),
        id(trace_id),
        id(span_id),
    ])
}

fn line(frame: Option<&StackFrame>) -> Cell {
    let known = frame.filter(|frame| frame.line != 0);
    Cell::Int(known.map(|frame| frame.line.into()))
}

/// A stack's functions without the runtime's own, outermost first.
fn folded(stack: &[StackFrame]) -> String {
    let shown = stack.iter().rev().filter(|frame| !frame.runtime);
    let names: Vec<&str> = shown.map(|frame| frame.function.as_str()).collect();
    names.join(";")
}

fn to_io(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

/// Takes recorded operations and writes a row for each.
pub struct Events<W: Write + Send> {
    table: Table<W>,
    /// The cells of a stack, by its address in memory: most events share theirs with others.
    stacks: HashMap<*const Vec<StackFrame>, KnownStack, foldhash::fast::RandomState>,
    texts: HashMap<String, ByteArray, foldhash::fast::RandomState>,
}

/// A stack that was met; it is kept, so that its address stays its own.
struct KnownStack {
    _stack: Rc<Vec<StackFrame>>,
    cells: [Cell; 4],
}

impl<W: Write + Send> Events<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Events<W>> {
        Ok(Events {
            table: Table::new(out, "events", &EVENT).map_err(to_io)?,
            stacks: HashMap::default(),
            texts: HashMap::default(),
        })
    }

    /// Writes the file's end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> io::Result<()> {
        self.table.finish().map_err(to_io)
    }

    fn text(&mut self, text: &str) -> Cell {
        if text.is_empty() {
            return Cell::Text(None);
        }
        if let Some(known) = self.texts.get(text) {
            return Cell::Text(Some(known.clone()));
        }
        let bytes = ByteArray::from(text);
        self.texts.insert(text.to_owned(), bytes.clone());
        Cell::Text(Some(bytes))
    }

    fn stack(&mut self, stack: &Rc<Vec<StackFrame>>) -> [Cell; 4] {
        if let Some(known) = self.stacks.get(&Rc::as_ptr(stack)) {
            return known.cells.clone();
        }
        let frame = frames::innermost_user(stack);
        let cells = [
            Cell::text(frame.map_or("", |frame| &frame.function)),
            Cell::text(frame.map_or("", |frame| &frame.file)),
            line(frame),
            Cell::text(&folded(stack)),
        ];
        let known = KnownStack {
            _stack: Rc::clone(stack),
            cells: cells.clone(),
        };
        self.stacks.insert(Rc::as_ptr(stack), known);
        cells
    }
}

impl<W: Write + Send> EventSink for Events<W> {
    type Error = io::Error;

    fn take(&mut self, event: &Event<'_>) -> io::Result<()> {
        let [function, file, line, stack] = self.stack(event.stack);
        let row = [
            Cell::int(event.pid),
            self.text(event.executable),
            Cell::int(event.unix_ns),
            Cell::int(event.goroutine),
            self.text(event.operation.name()),
            Cell::int(event.map),
            Cell::int(event.seed),
            self.text(event.map_type.unwrap_or_default()),
            function,
            file,
            line,
            stack,
        ];
        self.table.push(row).map_err(to_io)
    }
}
