//! A line for each request: `--log`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tombolo_http::server::{Log, Record};

use super::lines::Lines;
use crate::diagnostics::printable;

/// How requests are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Words, one after the other
    Text,
    /// An object of JSON
    Json,
}

impl LogFormat {
    /// A log that puts its lines there.
    pub(super) fn to(self, lines: Lines) -> Log {
        Arc::new(move |record| {
            let line = match self {
                LogFormat::Text => text(record, SystemTime::now()),
                LogFormat::Json => json(record, SystemTime::now()),
            };
            lines.put(line.as_bytes());
        })
    }
}

/// `TIME ID PEER METHOD PATH VERSION STATUS in=BYTES out=BYTES guest=TIME total=TIME`
fn text(record: &Record<'_>, now: SystemTime) -> String {
    let status = record.status.map_or("-".to_owned(), |status| status.as_u16().to_string());
    let guest = record.handler.map_or("-".to_owned(), |time| format!("{:.3}ms", millis(time)));
    let mut line = format!(
        "{:.3} {} {} {} {} {:?} {status} in={} out={} guest={guest} total={:.3}ms",
        seconds(now),
        record.id,
        record.peer,
        record.method,
        printable(record.path),
        record.version,
        record.received,
        record.sent,
        millis(record.total),
    );
    if let Some(failure) = record.failure {
        // Writing to a string cannot fail.
        let _ = write!(line, " failed: {}", printable(failure));
    }
    line.push('\n');
    line
}

/// The same, with a field's name being the key.
#[derive(Serialize)]
struct Entry<'a> {
    /// Seconds since 1970.
    time: f64,
    id: String,
    peer: String,
    method: &'a str,
    path: &'a str,
    version: String,
    status: Option<u16>,
    received_bytes: u64,
    sent_bytes: u64,
    guest_ms: Option<f64>,
    total_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

fn json(record: &Record<'_>, now: SystemTime) -> String {
    let entry = Entry {
        time: seconds(now),
        id: record.id.to_string(),
        peer: record.peer.to_string(),
        method: record.method.as_str(),
        path: record.path,
        version: format!("{:?}", record.version),
        status: record.status.map(|status| status.as_u16()),
        received_bytes: record.received,
        sent_bytes: record.sent,
        guest_ms: record.handler.map(millis),
        total_ms: millis(record.total),
        failure: record.failure,
    };
    // Strings and numbers are always JSON.
    serde_json::to_string(&entry).unwrap_or_default() + "\n"
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1e3).round() / 1e3
}
