//! Requests that guests send.

use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};

use crate::{Body, ErrorCode};

/// A response that is on its way.
pub type SendFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, ErrorCode>> + Send>>;

/// Sends the requests of guests: what stands behind `wasi:http/client`.
///
/// A [`Client`](crate::client) sends them over the network; an embedder can have its own way with them.
pub trait SendRequest: Send + Sync + 'static {
    /// Sends a request. It has an absolute URI, unless the guest named no authority or scheme.
    ///
    /// # Errors
    /// What the guest is told.
    ///
    /// # Cancel safety
    /// The future is dropped when the guest cancels the call.
    fn send(&self, request: Request<Body>, options: RequestOptions) -> SendFuture;
}

/// How long the parts of an exchange may take (`request-options`). `None` is the sender's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// To connect.
    pub connect_timeout: Option<Duration>,
    /// From there to the first byte of the response.
    pub first_byte_timeout: Option<Duration>,
    /// Between pieces of the response's body.
    pub between_bytes_timeout: Option<Duration>,
}

/// Sends nothing: the guest is told that the request is denied.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl SendRequest for DenyAll {
    fn send(&self, _: Request<Body>, _: RequestOptions) -> SendFuture {
        Box::pin(async { Err(ErrorCode::HttpRequestDenied) })
    }
}
