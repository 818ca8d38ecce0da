//! `wasi:http` for Tombolo.

mod body;
pub mod client;
mod contents;
mod context;
mod error;
mod error_code;
mod fields;
mod message;
mod outgoing;
mod send;
pub mod server;
mod service;
mod types;

pub use body::Body;
pub use context::{HttpCtx, HttpCtxView, HttpView};
pub use error::Error;
pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};
pub use fields::FieldLimits;
pub use outgoing::{DenyAll, RequestOptions, SendFuture, SendRequest};
pub use service::{Dispatcher, Service};

use tombolo::{Linker, Result};

/// Defines the interfaces of `wasi:http` that components import: `types` and `client`.
///
/// `handler` is what components import that stand in front of others: see [`Service::behind`].
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: HttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    types::add_to_linker(linker)?;
    send::add_to_linker(linker)
}
