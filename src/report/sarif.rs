//! The report as SARIF 2.1.0 (OASIS), for code hosts' scanning pages.
//!
//! One run, one result for each finding: its two sides are two locations, two stacks and the two
//! thread flows of one code flow. Only the parts of the format that gocc writes are described here.

use super::ReportOptions;
use super::wording::{self, grade_name};
use crate::analyze::model::{Allowance, Analysis, Finding, Grade, Severity, Side, StackFrame};
use crate::scan::rules::{self as source, RULES};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const HOME: &str = env!("CARGO_PKG_NAME");
const SOURCE_ROOT: &str = "SRCROOT";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    original_uri_base_ids: BTreeMap<&'static str, ArtifactLocation>,
    results: Vec<SarifResult>,
    column_kind: &'static str,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    name: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: Vec<Location>,
    related_locations: Vec<Location>,
    stacks: Vec<Stack>,
    code_flows: Vec<CodeFlow>,
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrence_count: Option<u64>,
    /// Without any, the member is left out: nobody has looked whether the result should be suppressed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
    properties: serde_json::Value,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    logical_locations: [LogicalLocation; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Clone, Serialize)]
struct Message {
    text: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactLocation {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct Stack {
    message: Text,
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    location: Location,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CodeFlow {
    thread_flows: Vec<ThreadFlow>,
}

#[derive(Serialize)]
struct ThreadFlow {
    id: String,
    message: Text,
    locations: Vec<Frame>,
}

/// Writes the log, indented, with a newline at the end.
pub fn write(analysis: &Analysis, options: &ReportOptions, out: &mut dyn Write) -> io::Result<()> {
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [run(analysis, options)],
    };
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn run(analysis: &Analysis, options: &ReportOptions) -> Run {
    let writer = Writer { options };
    let suspects = analysis.suspects.iter().filter(|_| options.suspects);
    let root = options.source_root.as_deref().map(|root| ArtifactLocation {
        uri: directory_uri(root),
        uri_base_id: None,
    });
    Run {
        tool: Tool {
            driver: driver(analysis.source.is_some()),
        },
        original_uri_base_ids: root.map(|root| (SOURCE_ROOT, root)).into_iter().collect(),
        results: analysis
            .findings
            .iter()
            .chain(suspects)
            .map(|finding| writer.result(finding))
            .collect(),
        column_kind: "utf16CodeUnits",
    }
}

/// The scanner's rules come after those of what ran.
const FIRST_OF_SOURCE: usize = 2;

fn driver(is_scan: bool) -> Driver {
    let mut driver = driver_of_runs();
    if is_scan {
        driver
            .rules
            .extend(RULES.iter().map(|rule| source_rule(rule)));
    }
    driver
}

fn source_rule(rule: &'static source::Rule) -> Rule {
    Rule {
        id: rule.id,
        name: rule.id,
        short_description: text(rule.title),
        full_description: text(rule.rationale),
        help: text(&format!("Wrong:\n{}\n\nRight:\n{}", rule.bad, rule.good)),
        default_configuration: Configuration {
            level: level_of(rule.severity),
        },
    }
}

fn level_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Id, index and level of the rule of a finding.
fn rule_of(finding: &Finding) -> (&'static str, usize, &'static str) {
    let scan = finding.scan.as_ref().filter(|_| finding.is_of_source());
    let of_source = scan.and_then(|scan| {
        let found = |(_, rule): &(usize, &&'static source::Rule)| rule.id == scan.rule;
        RULES.iter().enumerate().find(found)
    });
    if let Some((index, rule)) = of_source {
        return (rule.id, FIRST_OF_SOURCE + index, level_of(rule.severity));
    }
    let (id, _, _, level) = rule_texts(finding.grade);
    (id, usize::from(finding.grade == Grade::Suspect), level)
}

fn message(finding: &Finding) -> String {
    let joined = wording::joined_line(finding);
    let joined = joined.map_or(String::new(), |line| format!(" {line}."));
    if let Some(scan) = &finding.scan
        && finding.is_of_source()
    {
        let because = scan.because.join("; ");
        return format!("{}: {}. {because}.{joined}", scan.map, scan.title);
    }
    format!(
        "{} ({}: {}).{joined}",
        wording::sentence(finding),
        grade_name(finding.grade),
        finding.evidence.summary
    )
}

fn driver_of_runs() -> Driver {
    Driver {
        name: HOME,
        semantic_version: env!("CARGO_PKG_VERSION"),
        rules: vec![
            rule(
                Grade::Confirmed,
                "Two goroutines use one map at the same time, and at least one of them writes. This was \
                 observed in the running program; it is not an estimate.",
            ),
            rule(
                Grade::Suspect,
                "Two goroutines use one map shortly after each other, and at least one of them writes. \
                 Whether something keeps them apart is not known.",
            ),
        ],
    }
}

fn rule(grade: Grade, description: &str) -> Rule {
    let (id, name, short, level) = rule_texts(grade);
    Rule {
        id,
        name,
        short_description: text(short),
        full_description: text(description),
        help: text(
            "A Go map must not be written while it is used by another goroutine. Protect it with a \
             sync.Mutex or sync.RWMutex, use sync.Map, or leave it to a single goroutine.",
        ),
        default_configuration: Configuration { level },
    }
}

/// Id, name, description and level.
fn rule_texts(grade: Grade) -> (&'static str, &'static str, &'static str, &'static str) {
    match grade {
        Grade::Confirmed => (
            "concurrent-map-access",
            "ConcurrentMapAccess",
            "Concurrent map access",
            "error",
        ),
        Grade::Suspect => (
            "suspected-concurrent-map-access",
            "SuspectedConcurrentMapAccess",
            "Suspected concurrent map access",
            "note",
        ),
    }
}

fn text(text: &str) -> Text {
    Text {
        text: text.to_owned(),
    }
}

/// Turns findings into results.
struct Writer<'a> {
    options: &'a ReportOptions,
}

impl Writer<'_> {
    fn result(&self, finding: &Finding) -> SarifResult {
        let (rule_id, rule_index, level) = rule_of(finding);
        let [noticed, found] = &finding.sides;
        SarifResult {
            rule_id,
            rule_index,
            level,
            message: text(&message(finding)),
            locations: self.side_location(noticed, None).into_iter().collect(),
            related_locations: self.side_location(found, Some(1)).into_iter().collect(),
            stacks: finding.sides.iter().map(|side| self.stack(side)).collect(),
            code_flows: self.code_flow(finding).into_iter().collect(),
            partial_fingerprints: BTreeMap::from([("goccPlaces/v1", fingerprint(finding))]),
            occurrence_count: (finding.count > 0).then_some(finding.count),
            suppressions: finding.allowed.iter().map(suppression).collect(),
            properties: properties(finding),
        }
    }

    fn side_location(&self, side: &Side, id: Option<u32>) -> Option<Location> {
        let mut location = self.location(wording::place(side)?);
        location.id = id;
        location.message = Some(Message {
            text: wording::capitalised(&wording::deed(side)),
        });
        Some(location)
    }

    fn location(&self, frame: &StackFrame) -> Location {
        Location {
            id: None,
            physical_location: (!frame.file.is_empty()).then(|| self.physical(frame)),
            logical_locations: [LogicalLocation {
                fully_qualified_name: frame.function.clone(),
                kind: "function",
            }],
            message: None,
        }
    }

    fn physical(&self, frame: &StackFrame) -> PhysicalLocation {
        let below_root = self.options.source_root.as_deref().and_then(|root| {
            let below = Path::new(&frame.file).strip_prefix(root).ok()?;
            below.to_str()
        });
        let artifact_location = match below_root {
            Some(below) => ArtifactLocation {
                uri: percent_encoded(below),
                uri_base_id: Some(SOURCE_ROOT),
            },
            None => ArtifactLocation {
                uri: file_uri(&frame.file),
                uri_base_id: None,
            },
        };
        PhysicalLocation {
            artifact_location,
            region: (frame.line > 0).then_some(Region {
                start_line: frame.line,
            }),
        }
    }

    fn shown<'s>(&self, side: &'s Side) -> impl DoubleEndedIterator<Item = &'s StackFrame> {
        let all = self.options.all_frames;
        side.stack.iter().filter(move |frame| all || !frame.runtime)
    }

    fn stack(&self, side: &Side) -> Stack {
        Stack {
            message: Text {
                text: wording::capitalised(&wording::deed(side)),
            },
            frames: self
                .shown(side)
                .map(|frame| Frame {
                    location: self.location(frame),
                })
                .collect(),
        }
    }

    /// Each goroutine's way to the map, the outermost call first. A side without a stack has none,
    /// and the format wants at least one step.
    fn code_flow(&self, finding: &Finding) -> Option<CodeFlow> {
        let flow = |(number, side): (usize, &Side)| ThreadFlow {
            id: (number + 1).to_string(),
            message: Text {
                text: wording::capitalised(&wording::deed(side)),
            },
            locations: self
                .shown(side)
                .rev()
                .map(|frame| Frame {
                    location: self.location(frame),
                })
                .collect(),
        };
        let mut thread_flows: Vec<_> = finding.sides.iter().enumerate().map(flow).collect();
        thread_flows.retain(|flow| !flow.locations.is_empty());
        (!thread_flows.is_empty()).then_some(CodeFlow { thread_flows })
    }
}

fn suppression(allowed: &Allowance) -> Suppression {
    let until = allowed.until.as_ref();
    let until = until.map_or(String::new(), |day| format!(", until {day}"));
    Suppression {
        kind: "external",
        status: "accepted",
        justification: format!("{} ({}{until})", allowed.reason, allowed.at),
    }
}

fn properties(finding: &Finding) -> serde_json::Value {
    json!({
        "grade": grade_name(finding.grade),
        "evidence": finding.evidence,
        "map": finding.map,
        "pid": finding.pid,
        "fatal": finding.fatal,
        "instances": finding.instances,
        "goroutines": finding.goroutines,
        "suspicion": finding.suspicion,
        "joined": finding.joined,
    })
}

/// The same for the same two places, whichever side noticed, wherever the sources lie. Lines are left
/// out: code that moves stays the same finding.
fn fingerprint(finding: &Finding) -> String {
    let place = |side: &Side| {
        let frame = wording::place(side);
        let file = frame.map_or("", |frame| wording::file_name(&frame.file));
        let function = frame.map_or("", |frame| frame.function.as_str());
        format!("{:?} {function} {file}", side.operation)
    };
    let [a, b] = &finding.sides;
    let mut places = [place(a), place(b)];
    places.sort();
    let digest = Sha256::digest(places.join("\n").as_bytes());
    digest
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// An absolute path as a URI; a relative one (`-trimpath`) as a relative reference.
fn file_uri(path: &str) -> String {
    let encoded = percent_encoded(path);
    if path.starts_with('/') {
        format!("file://{encoded}")
    } else {
        encoded
    }
}

fn directory_uri(path: &Path) -> String {
    let mut uri = file_uri(&path.to_string_lossy());
    if !uri.ends_with('/') {
        uri.push('/');
    }
    uri
}

/// RFC 3986: what is neither unreserved nor a slash is encoded.
fn percent_encoded(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
