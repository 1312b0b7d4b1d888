//! The report as OpenTelemetry logs, one record for each finding: as the OTLP JSON of a file exporter
//! (one request in a line) or as the protobuf request itself. The messages are those of the
//! OpenTelemetry project's own crate.
//!
//! A goroutine whose labels hold a trace id (`trace_id`, `span_id`, however they are spelled) ties its
//! finding to a request. A record can name one: that of the goroutine that noticed the conflict, else that of
//! the other. Both are attributes as well.

use super::ReportOptions;
use super::wording::{deed, grade_name, making_line, place, sentence};
use crate::analyze::model::{Analysis, Finding, Goroutine, Grade, Side};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Bytes of a trace id and of a span id (W3C Trace Context).
const TRACE_ID: usize = 16;
const SPAN_ID: usize = 8;

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
pub fn request(analysis: &Analysis, options: &ReportOptions) -> ExportLogsServiceRequest {
    let suspects = analysis.suspects.iter().filter(|_| options.suspects);
    let all: Vec<&Finding> = analysis.findings.iter().chain(suspects).collect();
    let mut processes: Vec<u32> = all.iter().map(|finding| finding.pid).collect();
    processes.sort_unstable();
    processes.dedup();
    let of_process = |pid: u32| ResourceLogs {
        resource: Some(resource(analysis, pid)),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            log_records: all
                .iter()
                .filter(|finding| finding.pid == pid)
                .map(|finding| record(finding, options))
                .collect(),
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest {
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
    Resource {
        attributes,
        ..Resource::default()
    }
}

fn record(finding: &Finding, options: &ReportOptions) -> LogRecord {
    let (severity, severity_text) = match finding.grade {
        Grade::Confirmed => (SeverityNumber::Error, "ERROR"),
        Grade::Suspect => (SeverityNumber::Info, "INFO"),
    };
    let mut attributes = facts(finding);
    for (name, side) in ["gocc.noticed", "gocc.found"].iter().zip(&finding.sides) {
        add_side(name, side, options, &mut attributes);
    }
    let trace = finding.sides.iter().find_map(|side| {
        let goroutine = side.goroutine.as_ref()?;
        let trace_id = trace_id(goroutine)?;
        Some((trace_id, span_id(goroutine).unwrap_or_default()))
    });
    let (trace_id, span_id) = trace.unwrap_or_default();
    LogRecord {
        time_unix_nano: finding.first.unix_ns,
        severity_number: severity.into(),
        severity_text: severity_text.to_owned(),
        body: Some(string(&sentence(finding))),
        attributes,
        trace_id,
        span_id,
        ..LogRecord::default()
    }
}

fn facts(finding: &Finding) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("gocc.grade", grade_name(finding.grade)),
        text("gocc.evidence", &finding.evidence.summary),
        number("gocc.count", finding.count),
        number("gocc.instances", finding.instances as u64),
        number("gocc.goroutines", finding.goroutines as u64),
        attribute("gocc.fatal", Value::BoolValue(finding.fatal)),
    ];
    if let Some(name) = &finding.map.type_name {
        attributes.push(text("gocc.map.type", name));
    }
    if finding.map.made.is_some() {
        attributes.push(text("gocc.map.made", &making_line(&finding.map)));
    }
    if let Some(frame) = place(&finding.sides[0]) {
        // The names of OpenTelemetry's semantic conventions.
        attributes.push(text("code.function.name", &frame.function));
        attributes.push(text("code.file.path", &frame.file));
        attributes.push(number("code.line.number", frame.line.into()));
    }
    attributes
}

fn add_side(name: &str, side: &Side, options: &ReportOptions, attributes: &mut Vec<KeyValue>) {
    attributes.push(text(name, &deed(side)));
    attributes.push(text(&format!("{name}.stack"), &stack(side, options)));
    let labels = side
        .goroutine
        .iter()
        .flat_map(|goroutine| &goroutine.labels);
    attributes.extend(labels.map(|(key, value)| text(&format!("{name}.label.{key}"), value)));
}

/// The trace that a goroutine worked for, by its labels.
pub fn trace_id(goroutine: &Goroutine) -> Option<Vec<u8>> {
    id_label(goroutine, "traceid", TRACE_ID)
}

/// The span that a goroutine worked for, by its labels.
pub fn span_id(goroutine: &Goroutine) -> Option<Vec<u8>> {
    id_label(goroutine, "spanid", SPAN_ID)
}

/// `trace_id`, `traceID`, `otel.trace_id` and `trace-id` are all the same. An id of zeros is none.
fn id_label(goroutine: &Goroutine, name: &str, size: usize) -> Option<Vec<u8>> {
    let is_it = |key: &str| {
        let letters = key.chars().filter(char::is_ascii_alphanumeric);
        let plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
        plain.ends_with(name)
    };
    let values = goroutine.labels.iter().filter(|(key, _)| is_it(key));
    values
        .filter_map(|(_, value)| bytes_of_hex(value, size))
        .find(|id| id.iter().any(|&byte| byte != 0))
}

fn bytes_of_hex(text: &str, size: usize) -> Option<Vec<u8>> {
    if text.len() != 2 * size {
        return None;
    }
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let bytes = digits.chunks_exact(2).map(|pair| match pair {
        // Two digits are at most 255.
        [high, low] => (high << 4 | low) as u8,
        _ => 0,
    });
    Some(bytes.collect())
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
        value: Some(Value::StringValue(value.to_owned())),
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    attribute(key, Value::IntValue(value))
}
