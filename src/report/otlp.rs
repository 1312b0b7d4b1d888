//! The report as OpenTelemetry logs, one record for each finding: as the OTLP JSON of a file exporter
//! (one request in a line) or as the protobuf request itself.
//!
//! The messages are those of github.com/open-telemetry/opentelemetry-proto, logs/v1 and
//! collector/logs/v1; the fields that gocc does not use are left out, which the encoding allows. Both
//! forms come from the same structs: in JSON, 64-bit integers are strings, and names are in camel case.

use super::ReportOptions;
use super::wording::{deed, grade_name, place, sentence};
use crate::analyze::model::{Analysis, Finding, Grade, Side};
use prost::Message;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::io::{self, Write};

/// SeverityNumber of ERROR and of INFO.
const ERROR: i32 = 17;
const INFO: i32 = 9;

#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    #[serde(serialize_with = "as_text")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    #[serde(flatten)]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof, Serialize)]
enum Value {
    #[prost(string, tag = "1")]
    #[serde(rename = "stringValue")]
    String(String),
    #[prost(bool, tag = "2")]
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    #[serde(rename = "intValue")]
    Int(#[serde(serialize_with = "as_text")] i64),
}

fn as_text<S: Serializer>(number: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&number.to_string())
}

/// Writes one request in a line.
pub fn write_json(
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &request(analysis, options))?;
    writeln!(out)
}

/// Writes the request as a collector takes it over HTTP.
pub fn write_protobuf(
    analysis: &Analysis,
    options: &ReportOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    out.write_all(&request(analysis, options).encode_to_vec())
}

/// Findings by process, since a resource is one.
fn request(analysis: &Analysis, options: &ReportOptions) -> Request {
    let suspects = analysis.suspects.iter().filter(|_| options.suspects);
    let all: Vec<&Finding> = analysis.findings.iter().chain(suspects).collect();
    let mut processes: Vec<u32> = all.iter().map(|finding| finding.pid).collect();
    processes.sort_unstable();
    processes.dedup();
    let of_process = |pid: u32| ResourceLogs {
        resource: Some(resource(analysis, pid)),
        scope_logs: vec![ScopeLogs {
            scope: Some(Scope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            log_records: all
                .iter()
                .filter(|finding| finding.pid == pid)
                .map(|finding| record(finding, options))
                .collect(),
        }],
    };
    Request {
        resource_logs: processes.into_iter().map(of_process).collect(),
    }
}

fn resource(analysis: &Analysis, pid: u32) -> Resource {
    let mut attributes = vec![number("process.pid", pid.into())];
    if let Some(ring) = analysis.rings.iter().find(|ring| ring.pid == pid) {
        let name = ring.executable.file_name().unwrap_or_default();
        let path = ring.executable.to_string_lossy();
        attributes.push(text("service.name", &name.to_string_lossy()));
        attributes.push(text("process.executable.path", &path));
        attributes.push(text("process.executable.build_id.go", &ring.build_id));
    }
    Resource { attributes }
}

fn record(finding: &Finding, options: &ReportOptions) -> LogRecord {
    let (severity_number, severity_text) = match finding.grade {
        Grade::Confirmed => (ERROR, "ERROR"),
        Grade::Suspect => (INFO, "INFO"),
    };
    let mut attributes = vec![
        text("gocc.grade", grade_name(finding.grade)),
        text("gocc.evidence", &finding.evidence.summary),
        number("gocc.count", finding.count),
        number("gocc.instances", finding.instances as u64),
        number("gocc.goroutines", finding.goroutines as u64),
        KeyValue {
            key: "gocc.fatal".to_owned(),
            value: Some(AnyValue {
                value: Some(Value::Bool(finding.fatal)),
            }),
        },
    ];
    if let Some(name) = &finding.map.type_name {
        attributes.push(text("gocc.map.type", name));
    }
    if let Some(frame) = place(&finding.sides[0]) {
        // The names of OpenTelemetry's semantic conventions.
        attributes.push(text("code.function.name", &frame.function));
        attributes.push(text("code.file.path", &frame.file));
        attributes.push(number("code.line.number", frame.line.into()));
    }
    for (name, side) in ["gocc.noticed", "gocc.found"].iter().zip(&finding.sides) {
        attributes.push(text(name, &deed(side)));
        attributes.push(text(&format!("{name}.stack"), &stack(side, options)));
    }
    LogRecord {
        time_unix_nano: finding.first.unix_ns,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(string(&sentence(finding))),
        attributes,
    }
}

/// In the layout of Go's own tracebacks.
fn stack(side: &Side, options: &ReportOptions) -> String {
    let shown = side
        .stack
        .iter()
        .filter(|frame| options.all_frames || !frame.runtime);
    shown.fold(String::new(), |mut text, frame| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}()\n\t{}:{}",
            frame.function, frame.file, frame.line
        );
        text
    })
}

fn string(value: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::String(value.to_owned())),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(string(value)),
    }
}

fn number(key: &str, value: u64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::Int(i64::try_from(value).unwrap_or(i64::MAX))),
        }),
    }
}
