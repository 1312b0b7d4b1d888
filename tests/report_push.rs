//! Reports that leave the machine's files: log records handed to an OpenTelemetry collector, tables for
//! databases, and a profile that is laid over the findings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::demo::{Demo, gocc};
use common::rings::record;
use gocc::ring::layout::{self, Context, Labels};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use prost::Message;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use zerocopy::FromZeros;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// As the shim writes them.
fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut labels = Labels::new_zeroed();
    let mut at = 0;
    for (key, value) in pairs {
        let sizes = [key.len() as u8, value.len() as u8];
        for part in [&sizes[..], key.as_bytes(), value.as_bytes()] {
            labels.text[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
    labels.used = at as u16;
    labels
}

/// One conflict whose noticing goroutine works for a trace, on a map that goroutine 3 made; 5 assignments and 3
/// steps of an iteration.
fn ring(demo: &Demo) -> PathBuf {
    let mut context = Context::new_zeroed();
    context.labels[0] = labels(&[("trace_id", TRACE), ("spanID", SPAN), ("user", "me")]);
    context.made = record(0, 3, &demo.renewing());
    let mut ring = demo.ring(0);
    ring.write_conflicts(&[demo.conflict(layout::EVIDENCE_FLAG_AT_ENTRY, layout::SIDE_INSIDE)]);
    ring.put(layout::CONTEXTS_OFFSET, &context);
    ring.write_lane(0, &[record(layout::OP_ASSIGN, 7, &demo.renewing()); 5]);
    ring.write_lane(1, &[record(layout::OP_ITERATE, 6, &demo.sweeping()); 3]);
    ring.save(demo.path(), "gocc-1.ring")
}

/// What a collector got.
struct Received {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// Answers requests one after the other with these statuses and bodies; gives back what came.
fn collector(
    answers: Vec<(&'static str, Vec<u8>)>,
) -> (String, std::thread::JoinHandle<Vec<Received>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let mut all = Vec::new();
        for (status, answer) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            all.push(receive(&mut reader));
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nRetry-After: 0\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            (&stream).write_all(head.as_bytes()).unwrap();
            (&stream).write_all(&answer).unwrap();
        }
        all
    };
    (address, std::thread::spawn(serve))
}

fn receive(reader: &mut impl BufRead) -> Received {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let headers: HashMap<String, String> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Received {
        path,
        headers,
        body,
    }
}

fn check_request(request: &ExportLogsServiceRequest) {
    let logs = &request.resource_logs[0].scope_logs[0].log_records;
    assert_eq!(logs.len(), 1);
    let hex = |id: &[u8]| {
        id.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(
        (hex(&logs[0].trace_id), hex(&logs[0].span_id)),
        (TRACE.to_owned(), SPAN.to_owned())
    );
    let has = |key: &str| {
        logs[0]
            .attributes
            .iter()
            .any(|attribute| attribute.key == key)
    };
    assert!(has("gocc.noticed.label.user") && has("gocc.map.made") && has("gocc.found.stack"));
}

#[test]
fn a_collector_gets_the_findings() {
    let demo = Demo::unpack();
    let ring = ring(&demo);
    for (encoding, content_type) in [
        ("protobuf", "application/x-protobuf"),
        ("json", "application/json"),
    ] {
        // The first answer means: later.
        let answers = vec![
            ("503 Service Unavailable", Vec::new()),
            ("200 OK", Vec::new()),
        ];
        let (address, serving) = collector(answers);
        let encoding_option = format!("--otlp-encoding={encoding}");
        let output = gocc(&[
            &"report",
            &ring,
            &"--otlp-endpoint",
            &address,
            &encoding_option,
            &"--otlp-header=Authorization=Basic x",
        ]);
        assert_eq!(output.status.code(), Some(66), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("handed 1 log record to http://127.0.0.1"),
            "{said}"
        );
        let received = serving.join().unwrap();
        assert_eq!(received.len(), 2);
        for request in &received {
            assert_eq!(request.path, "/v1/logs");
            assert_eq!(request.headers["content-type"], content_type);
            assert_eq!(request.headers["authorization"], "Basic x");
            let decoded = match encoding {
                "json" => serde_json::from_slice(&request.body).unwrap(),
                _ => ExportLogsServiceRequest::decode(request.body.as_slice()).unwrap(),
            };
            check_request(&decoded);
        }
    }
}

#[test]
fn what_a_collector_does_not_take_is_an_error() {
    let demo = Demo::unpack();
    let ring = ring(&demo);
    let partial = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let answers = [
        (
            ("401 Unauthorized", b"who are you\nsecond line".to_vec()),
            "answered 401: \"who are you\"",
        ),
        (
            ("200 OK", partial.encode_to_vec()),
            "rejected 1 of 1 log records: \"too old\"",
        ),
    ];
    for (answer, why) in answers {
        let (address, serving) = collector(vec![answer]);
        let output = gocc(&[&"report", &ring, &"--otlp-endpoint", &address]);
        serving.join().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(why) && error.lines().count() == 1, "{error}");
    }
    let nobody = gocc(&[&"report", &ring, &"--otlp-endpoint=http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    let no_address = gocc(&[&"report", &ring, &"--otlp-endpoint=localhost:4318"]);
    assert_eq!(no_address.status.code(), Some(1), "{no_address:?}");
}

/// The rows of a table by column.
fn rows(path: &Path) -> Vec<HashMap<String, Field>> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let columns = |row: Row| row.into_columns().into_iter().collect();
    rows.map(|row| columns(row.unwrap())).collect()
}

#[test]
fn tables_of_findings_and_events() {
    let demo = Demo::unpack();
    let ring = ring(&demo);
    let (findings, events) = (
        demo.path().join("findings.parquet"),
        demo.path().join("events.parquet"),
    );
    let output = gocc(&[&"report", &ring, &"--format=parquet", &"-o", &findings]);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    let output = gocc(&[&"report", &ring, &"--format=parquet-events", &"-o", &events]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = |text: &str| Field::Str(text.to_owned());
    let found = rows(&findings);
    assert_eq!(found.len(), 1);
    let row = &found[0];
    assert_eq!(row["grade"], text("confirmed"));
    assert_eq!(row["found_function"], text("main.(*Server).Renew"));
    assert_eq!(row["noticed_trace_id"], text(TRACE));
    assert_eq!(row["found_trace_id"], Field::Null);
    assert_eq!(row["made_function"], text("main.(*Server).Renew"));
    assert_eq!(row["score"], Field::Null);
    let events = rows(&events);
    let assigned = events
        .iter()
        .filter(|event| event["operation"] == text("assign"));
    assert_eq!((events.len(), assigned.count()), (8, 5));
    assert_eq!(events[0]["map_address"], Field::ULong(0xc0_0001_2340));
    assert!(
        events
            .iter()
            .any(|event| event["stack"] == text("main.(*Server).Janitor"))
    );
}

/// Where the profile's time goes is said of both sides. The profile is gocc's own of the same ring: each
/// of the two sides has half of it.
#[test]
fn a_profile_is_laid_over_the_findings() {
    let demo = Demo::unpack();
    let ring = ring(&demo);
    let profile = demo.path().join("profile.pb.gz");
    let written = gocc(&[&"report", &ring, &"--format=pprof", &"-o", &profile]);
    assert_eq!(written.status.code(), Some(66), "{written:?}");
    let output = gocc(&[&"report", &ring, &"--pprof", &profile, &"--format=json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["profile"]["kind"], "conflicts");
    for side in report["findings"][0]["sides"].as_array().unwrap() {
        assert_eq!(side["heat"]["function"], 0.5, "{side:#}");
        assert_eq!(side["heat"]["line"], 0.5, "{side:#}");
    }
    let text = gocc(&[&"report", &ring, &"--pprof", &profile]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("50.0% of the conflicts profile runs through this function"),
        "{text}"
    );
    let folded = gocc(&[&"report", &ring, &"--pprof", &profile, &"--format=folded"]);
    let folded = String::from_utf8(folded.stdout).unwrap();
    assert!(folded.contains("main.(*Server).Janitor 1\n"), "{folded}");
    let refused = gocc(&[&"report", &ring, &"--pprof", &ring]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}
