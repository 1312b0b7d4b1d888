//! What gocc tells people: the findings model. Its serialised form is the JSON report's (see
//! `src/report/json-schema.md`), so a change here is a change of that schema.

use super::chains::Chain;
use crate::profile::Overlay;
use crate::ring::Operation;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// Everything that was learned from a set of rings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Analysis {
    /// Confirmed ones first, then in the order in which they were first seen.
    pub findings: Vec<Finding>,
    /// What nothing proves: near misses among the recorded operations, the likeliest first.
    #[serde(default)]
    pub suspects: Vec<Finding>,
    /// Suspects that are not listed because there are too many.
    #[serde(default)]
    pub suspects_unlisted: u64,
    /// The rings that were read.
    pub rings: Vec<RingSummary>,
    /// What is known to be missing, over all rings.
    pub lost: Losses,
    /// The source that was scanned, if any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSummary>,
    /// Recorded operations by stack. Not part of the JSON report: the formats for profiles have them.
    #[serde(skip)]
    pub operations: Vec<OperationStack>,
    /// A profile of the same program, laid over the findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Its stacks. Not part of the JSON report.
    #[serde(skip)]
    pub overlay: Overlay,
    /// Who touched the maps after whom that goroutines collided on. Not part of the JSON report.
    #[serde(skip)]
    pub chains: Vec<Chain>,
}

/// A profile that was laid over the findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSummary {
    /// The file.
    pub file: String,
    /// What its values are: `cpu`, `goroutine`.
    pub kind: String,
    /// Their unit: `nanoseconds`, `count`.
    pub unit: String,
    /// Their sum.
    pub total: u64,
}

/// How much of a profile runs through a place: from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Through its function, at any line.
    pub function: f64,
    /// Through its line.
    pub line: f64,
}

/// Source that was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSummary {
    /// Files.
    pub files: u64,
    /// Their lines.
    pub lines: u64,
}

/// The operations of one kind that were recorded with one stack.
#[derive(Clone, Debug)]
pub struct OperationStack {
    /// What was done.
    pub operation: Operation,
    /// The innermost calls (a record has room for few), innermost first.
    pub stack: Vec<StackFrame>,
    /// The stack goes on.
    pub truncated: bool,
    /// How often.
    pub count: u64,
    /// The goroutines that did, each with its process; only when they were asked for.
    pub goroutines: HashSet<(u32, u64)>,
}

/// One pair of places that touch one map (or maps made in one way) without synchronisation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How sure it is.
    pub grade: Grade,
    /// Why.
    pub evidence: Evidence,
    /// The map, for the conflict that is shown.
    pub map: MapIdentity,
    /// The goroutine that noticed the conflict, and the one that it found there.
    pub sides: [Side; 2],
    /// The process whose conflict is shown.
    pub pid: u32,
    /// One of the conflicts ended its process (`fatal error: concurrent map ...`).
    pub fatal: bool,
    /// Conflicts at this pair of places.
    pub count: u64,
    /// Different map instances among them.
    pub instances: usize,
    /// Different goroutines among them.
    pub goroutines: usize,
    /// When the first one was noticed.
    pub first: Moment,
    /// When the last one was noticed.
    pub last: Moment,
    /// Why it is suspected, when nothing is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<Suspicion>,
    /// What the source says, when the scanner found it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanArgument>,
    /// Why it does not fail a build, when something allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowance>,
    /// What the other mode says of it, when what ran was joined with what the source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
}

impl Finding {
    /// The source alone says so.
    pub fn is_of_source(&self) -> bool {
        self.evidence.kind == EvidenceKind::Source
    }

    /// Where its sides stand, and what else the scanner says conflicts with the first of them.
    pub fn places(&self) -> impl Iterator<Item = &StackFrame> {
        let sides = self.sides.iter().filter_map(|side| side.stack.first());
        sides.chain(self.scan.iter().flat_map(|scan| &scan.also))
    }
}

/// What became of a finding when the two modes were joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found_by", rename_all = "snake_case")]
pub enum Joined {
    /// It was seen while the program ran, and `scan` says what the source shows at the same places.
    Both,
    /// It was seen while the program ran; the scanner does not show it.
    Runtime {
        /// What kind of reason there is.
        reason: Absence,
        /// The reason in a sentence.
        because: String,
    },
    /// The source shows it; while the program ran nobody collided there.
    Source {
        /// What was recorded at its places.
        ran: Ran,
    },
}

/// Why the scanner does not show what was seen while the program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The place is not in a file that was scanned.
    OutsideTree,
    /// Only the scanner's report was there, and has nothing about these places.
    NotReported,
    /// No symbols: there is no place to look for.
    NoPlace,
    /// The file has syntax errors.
    SyntaxErrors,
    /// Nothing that the scanner follows leads to the function.
    NotFollowed,
    /// What leads to it was too large to be followed to its end.
    TooLarge,
    /// The scanner sees no map operation in that line.
    NoOperation,
    /// Both are known, and hold the same lock as far as the scanner sees.
    CommonLock,
    /// Both are known, but not that they are two goroutines at one map.
    NotPaired,
    /// A `//gocc:ignore` silences it.
    Ignored,
}

/// What was recorded at the places of a finding of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Recorded operations.
    pub operations: u64,
    /// Different goroutines that did them.
    pub goroutines: u64,
    /// Places of the finding at which anything was recorded.
    pub places: u32,
    /// Places that it has: one or two.
    pub of_places: u32,
    /// Its confidence is a step lower because of that.
    pub ranked_down: bool,
}

/// What allows a finding: see [`crate::config`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// What kind of thing.
    pub by: AllowedBy,
    /// Where that stands: `gocc.toml:12`, or the baseline's file.
    pub at: String,
    /// Why it is allowed.
    pub reason: String,
    /// The last day on which it is, `2027-03-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The kinds of things that allow a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowedBy {
    /// A suppression in `gocc.toml`.
    Suppression,
    /// The finding was known when the baseline was written.
    Baseline,
}

/// Why the source looks wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanArgument {
    /// The identifier of the rule that is broken.
    pub rule: Cow<'static, str>,
    /// What the rule says in a few words.
    pub title: Cow<'static, str>,
    /// How bad it is when it is true.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The map as the code calls it.
    pub map: String,
    /// For each side that there is: what starts its goroutine, and the locks it holds.
    pub sides: Vec<ScanSide>,
    /// What else is known.
    pub because: Vec<String>,
    /// Other places that conflict with the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<StackFrame>,
}

/// What the source says about one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanSide {
    /// `go`, `errgroup.Group.Go`, `http handler`, `caller`.
    pub how: Cow<'static, str>,
    /// The locks that are held, as the code calls them.
    pub locks: Vec<String>,
    /// The function of another module that touches the map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Cow<'static, str>>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Wrong results.
    Warning,
    /// Ends the program, or damages memory.
    Error,
}

/// How sure something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A hint; shown only when asked for.
    Low,
    /// Argued, with a step that is an assumption.
    Medium,
    /// Argued from the code alone.
    High,
}

/// What makes a near miss suspect.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    /// From 0 to 1: how likely it looks.
    pub score: f64,
    /// The smallest distance between the two, in nanoseconds; as exact as the recorded clocks, which
    /// are read every few operations.
    pub gap_ns: u64,
    /// How often the two took turns.
    pub alternations: u64,
    /// The share of functions that the two stacks have in common (Jaccard).
    pub similarity: f64,
    /// Whether the code around the operations takes locks.
    pub locks: LocksSeen,
    /// What hunting has made of it: 1 when operations at its places were never held or caught somebody,
    /// less for each hold that caught nobody.
    #[serde(default = "untried")]
    pub untried: f64,
}

fn untried() -> f64 {
    1.0
}

/// Locks in the code around the two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocksSeen {
    /// On both sides the same one, as far as the code tells: one global lock, or the same field of the same
    /// type.
    Common,
    /// On both sides, and they are not the same one.
    Different,
    /// On both sides; whether it is the same one is not known.
    Both,
    /// On one side only.
    One,
    /// On no side.
    Neither,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Proven: never a false alarm.
    Confirmed,
    /// Anything weaker.
    Suspect,
}

/// What a grade rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of proof or hint it is.
    pub kind: EvidenceKind,
    /// A few words, for a headline.
    pub summary: Cow<'static, str>,
    /// The same in a sentence.
    pub statement: Cow<'static, str>,
}

/// The ways in which gocc learns of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// One goroutine came to the map and saw another one inside.
    CaughtInTheAct,
    /// The Go runtime's own check failed, which ended the program.
    RuntimeFatal,
    /// The map was marked as being written; by whom is not proven.
    WritingFlag,
    /// Two goroutines used the map shortly after each other.
    NearMiss,
    /// The source says so; nothing has run.
    Source,
    /// Recorded by a later version, which this one does not understand.
    #[serde(other)]
    Unknown,
}

/// Which map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapIdentity {
    /// Address of its header; `None` when it was not known.
    pub address: Option<Hex>,
    /// Its random seed, which tells instances apart when memory is reused.
    pub instance: Hex,
    /// Its Go type, `map[string]*main.Session`.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Where it was made; `None` when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Making>,
}

/// The making of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Making {
    /// The goroutine that made it.
    pub goroutine: u64,
    /// It has become empty since, which changes its seed.
    #[serde(default)]
    pub emptied: bool,
    /// The innermost calls (few are recorded), innermost first.
    pub stack: Vec<StackFrame>,
}

/// One of the two goroutines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Side {
    /// What it did with the map.
    pub operation: Option<Operation>,
    /// What is known about it.
    pub certainty: Certainty,
    /// Which goroutine; `None` when nothing is known about this side.
    pub goroutine: Option<Goroutine>,
    /// Its calls, innermost first.
    pub stack: Vec<StackFrame>,
    /// The stack goes on, or only its innermost part was recorded.
    pub truncated: bool,
    /// How hot its place is, by the profile that was laid over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat: Option<Heat>,
}

/// What is known about a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It recorded the conflict itself.
    Noticed,
    /// It was inside the operation at that moment.
    Inside,
    /// Its operation on the map was the last one on some P, and over by the time it was looked at.
    JustLeft,
    /// It was held at the door, about to begin the operation.
    Held,
    /// It is the last one known to have worked on the map.
    Latest,
    /// Its operation was recorded.
    Recorded,
    /// The source has it; nothing has run.
    Possible,
    /// Nothing.
    #[serde(other)]
    Unknown,
}

/// A goroutine and where it comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Goroutine {
    /// Its id, as in Go's own tracebacks.
    pub id: u64,
    /// The goroutine that created it; unknown before Go 1.21.
    pub parent: Option<u64>,
    /// The `go` statement, with the calls that were inlined around it.
    pub created_by: Vec<StackFrame>,
    /// The function that it runs.
    pub start: Option<String>,
    /// Its labels (package runtime/pprof) at the time of the conflict.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Labels that found no room in the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub labels_left_out: u64,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFrame {
    /// `main.(*Cache).Put`; an address where there are no symbols.
    pub function: String,
    /// Source file; empty when unknown.
    pub file: String,
    /// Line; 0 when unknown.
    pub line: u32,
    /// Inlined into the function of the next frame.
    pub inlined: bool,
    /// Part of Go's runtime, between the user's code and the map, or below `main` or the `go`
    /// statement's function: not shown unless asked for.
    pub runtime: bool,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Nanoseconds since 1970, by the clock of the machine that ran the program.
    pub unix_ns: u64,
    /// Nanoseconds since the process started.
    pub since_start_ns: u64,
}

/// One ring that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RingSummary {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its process.
    pub pid: u32,
    /// That process is still running.
    pub running: bool,
    /// When it started, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// The executable, as the process saw its path.
    #[serde(serialize_with = "lossy")]
    pub executable: PathBuf,
    /// Go's build ID of it.
    pub build_id: String,
    /// SHA-256 of the executable before it was patched, as the patcher left it in the ring.
    #[serde(default)]
    pub input_sha256: String,
    /// SHA-256 of the ring's file: see [`add_digests`](super::add_digests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_sha256: Option<String>,
    /// SHA-256 of the file that the symbols come from: see [`add_digests`](super::add_digests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols_sha256: Option<String>,
    /// Where the symbols come from; `None` when there are none.
    #[serde(serialize_with = "lossy_option")]
    pub symbols: Option<PathBuf>,
    /// Why there are no symbols, or why the ring could be read only in part.
    pub problems: Vec<String>,
    /// What is missing in it.
    pub lost: Losses,
}

/// What is known to be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Conflict records that were begun and not completed.
    pub conflicts_torn: u64,
    /// Conflicts noticed when the list was full.
    pub conflicts_dropped: u64,
    /// Operations that newer ones have overwritten.
    pub overwritten: u64,
    /// Operations not recorded because the P had no lane.
    pub dropped_no_lane: u64,
    /// Operations not recorded because the thread had no P.
    pub dropped_no_p: u64,
    /// Operations at busy places that hunt did not look at, to keep its budget.
    #[serde(default)]
    pub left_out: u64,
    /// Lanes that could not be read.
    pub damaged_lanes: u64,
    /// Records that make no sense.
    pub damaged_records: u64,
}

impl Losses {
    /// Adds the losses of another ring.
    pub fn add(&mut self, other: &Losses) {
        self.conflicts_torn += other.conflicts_torn;
        self.conflicts_dropped += other.conflicts_dropped;
        self.overwritten = self.overwritten.saturating_add(other.overwritten);
        self.dropped_no_lane = self.dropped_no_lane.saturating_add(other.dropped_no_lane);
        self.dropped_no_p = self.dropped_no_p.saturating_add(other.dropped_no_p);
        self.left_out = self.left_out.saturating_add(other.left_out);
        self.damaged_lanes += other.damaged_lanes;
        self.damaged_records += other.damaged_records;
    }
}

/// A number that people write in hexadecimal; a string in JSON, where it would lose digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex(pub u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u64::from_str_radix(digits, 16)
            .map(Hex)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is no hexadecimal number")))
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A path that is not UTF-8 must not make a report impossible.
fn lossy<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref()
        .map(|path| path.display().to_string())
        .serialize(serializer)
}
