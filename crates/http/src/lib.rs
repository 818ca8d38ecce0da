//! `wasi:http` for Tombolo.

mod error_code;

pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};
