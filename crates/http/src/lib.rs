//! `wasi:http` for Tombolo.

#[expect(dead_code, unused_imports, reason = "guests come to write bodies with the next change")]
mod body;
pub mod client;
mod error_code;
mod outgoing;
pub mod server;

pub use body::Body;
pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};
pub use outgoing::{DenyAll, RequestOptions, SendFuture, SendRequest};
