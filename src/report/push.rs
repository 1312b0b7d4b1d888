//! Handing a report to an OpenTelemetry collector: OTLP over HTTP, POST to `/v1/logs`.

use super::ReportOptions;
use super::otlp::request;
use crate::analyze::model::Analysis;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;

/// Where a collector takes logs, below its base address (OTLP specification, "OTLP/HTTP Request").
const LOGS: &str = "/v1/logs";
/// The whole of a request may take this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries for answers that mean "later".
const TRIES: u32 = 4;
/// Largest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How requests are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// `application/x-protobuf`
    #[default]
    Protobuf,
    /// `application/json`
    Json,
}

/// Where and how reports are handed over.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its address: `http://localhost:4318`, or the whole path to its logs.
    pub endpoint: String,
    /// `Authorization` and the like.
    pub headers: Vec<(String, String)>,
    /// How requests are encoded.
    pub encoding: Encoding,
}

/// Why a report was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No connection, or it broke.
    #[error("cannot reach the collector at {url}: {source}")]
    Unreachable {
        /// Where the request went.
        url: String,
        /// What happened.
        source: Box<ureq::Error>,
    },
    /// The collector said no.
    #[error("the collector at {url} answered {status}: {answer:?}")]
    Refused {
        /// Where the request went.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The first line of what it said.
        answer: String,
    },
    /// The collector took only a part.
    #[error("the collector at {url} rejected {rejected} of {sent} log records: {reason:?}")]
    Partial {
        /// Where the request went.
        url: String,
        /// Records that it did not take.
        rejected: i64,
        /// Records that were sent.
        sent: usize,
        /// What it said.
        reason: String,
    },
    /// The request cannot be encoded.
    #[error("cannot encode the request: {0}")]
    Encoding(#[from] serde_json::Error),
}

/// Hands a report over; how many log records that were. A report without findings is not sent.
///
/// # Errors
/// When the collector cannot be reached, or does not take all of it.
pub fn push(
    analysis: &Analysis,
    options: &ReportOptions,
    collector: &Collector,
) -> Result<usize, PushError> {
    let request = request(analysis, options);
    let sent = records_of(&request);
    if sent == 0 {
        return Ok(0);
    }
    let (content_type, body) = match collector.encoding {
        Encoding::Protobuf => ("application/x-protobuf", request.encode_to_vec()),
        Encoding::Json => ("application/json", serde_json::to_vec(&request)?),
    };
    let url = logs_address(&collector.endpoint);
    let (status, answer) = post(&url, content_type, &body, &collector.headers)?;
    if !(200..300).contains(&status) {
        let answer = String::from_utf8_lossy(&answer);
        let answer = answer.lines().next().unwrap_or_default().to_owned();
        return Err(PushError::Refused {
            url,
            status,
            answer,
        });
    }
    check_answer(url, &answer, collector.encoding, sent)
}

fn records_of(request: &ExportLogsServiceRequest) -> usize {
    let scopes = request
        .resource_logs
        .iter()
        .flat_map(|logs| &logs.scope_logs);
    scopes.map(|scope| scope.log_records.len()).sum()
}

/// A base address gets the path that the specification gives to logs.
fn logs_address(endpoint: &str) -> String {
    if endpoint.trim_end_matches('/').ends_with(LOGS) {
        return endpoint.to_owned();
    }
    format!("{}{LOGS}", endpoint.trim_end_matches('/'))
}

/// Sends it, again after a while when the collector asks for that.
fn post(
    url: &str,
    content_type: &str,
    body: &[u8],
    headers: &[(String, String)],
) -> Result<(u16, Vec<u8>), PushError> {
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false);
    let agent: Agent = config.build().into();
    let unreachable = |source| PushError::Unreachable {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let mut pause = Duration::from_millis(250);
    for last in (0..TRIES).map(|at| at + 1 == TRIES) {
        let mut request = agent.post(url).content_type(content_type);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.send(body).map_err(unreachable)?;
        if last || !means_later(&response) {
            let reader = response.body_mut().with_config().limit(LONGEST_ANSWER);
            let answer = reader.read_to_vec().map_err(unreachable)?;
            return Ok((response.status().as_u16(), answer));
        }
        std::thread::sleep(retry_after(&response).unwrap_or(pause).min(PATIENCE));
        pause *= 2;
    }
    // The last try returns above.
    Ok((503, Vec::new()))
}

/// The answers after which the specification wants another try.
fn means_later<B>(response: &Response<B>) -> bool {
    matches!(response.status().as_u16(), 429 | 502 | 503 | 504)
}

fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// The answer to a request that was taken may say that a part was not. One that is not understood says
/// nothing.
fn check_answer(
    url: String,
    answer: &[u8],
    encoding: Encoding,
    sent: usize,
) -> Result<usize, PushError> {
    let answer = match encoding {
        Encoding::Protobuf => ExportLogsServiceResponse::decode(answer).ok(),
        Encoding::Json => serde_json::from_slice(answer).ok(),
    };
    let partial = answer.and_then(|answer| answer.partial_success);
    match partial.filter(|partial| partial.rejected_log_records > 0) {
        Some(partial) => Err(PushError::Partial {
            url,
            rejected: partial.rejected_log_records,
            sent,
            reason: partial.error_message,
        }),
        None => Ok(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_logs_go() {
        let cases = [
            ("http://localhost:4318", "http://localhost:4318/v1/logs"),
            ("http://h/otlp/", "http://h/otlp/v1/logs"),
            ("https://h/v1/logs", "https://h/v1/logs"),
        ];
        for (endpoint, address) in cases {
            assert_eq!(logs_address(endpoint), address);
        }
    }
}
