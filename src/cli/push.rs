//! The options of a collector that reports are handed to.

use super::output;
use crate::analyze::model::Analysis;
use crate::report::ReportOptions;
use crate::report::push::{self, Collector, Encoding};
use anyhow::{Context, bail};

/// An OpenTelemetry collector.
#[derive(clap::Args)]
pub struct PushArgs {
    /// Hand the findings to an OpenTelemetry collector too
    ///
    /// Its address for OTLP over HTTP, such as http://localhost:4318. The findings become log records; a finding
    /// whose goroutine has trace_id and span_id labels names its trace.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// A header for the collector
    #[arg(
        long,
        value_name = "NAME=VALUE",
        requires = "otlp_endpoint",
        hide_short_help = true
    )]
    otlp_header: Vec<String>,
    /// How the collector gets them
    #[arg(
        long,
        value_enum,
        value_name = "ENCODING",
        default_value_t,
        requires = "otlp_endpoint",
        hide_short_help = true
    )]
    otlp_encoding: Encoding,
}

impl PushArgs {
    /// The collector that was named, if any.
    pub fn collector(&self) -> anyhow::Result<Option<Collector>> {
        let Some(endpoint) = &self.otlp_endpoint else {
            return Ok(None);
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            bail!("--otlp-endpoint {endpoint:?} begins with neither http:// nor https://");
        }
        let header = |text: &String| {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("--otlp-header {text:?} is not NAME=VALUE"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(Some(Collector {
            endpoint: endpoint.clone(),
            headers: self
                .otlp_header
                .iter()
                .map(header)
                .collect::<anyhow::Result<_>>()?,
            encoding: self.otlp_encoding,
        }))
    }
}

/// Hands a report over and says so.
pub fn push(
    analysis: &Analysis,
    options: &ReportOptions,
    collector: &Collector,
) -> anyhow::Result<()> {
    let sent = push::push(analysis, options, collector)?;
    let records = if sent == 1 { "record" } else { "records" };
    output::note_line(&format!(
        "handed {sent} log {records} to {}",
        collector.endpoint
    ));
    Ok(())
}
