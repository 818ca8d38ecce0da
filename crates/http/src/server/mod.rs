//! A server for HTTP/1.1 and HTTP/2, in clear and over TLS, whose requests are answered on the thread they arrive at.
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tombolo_http::server::{Config, RequestBody, Server};
//!
//! let server = Server::bind(([127, 0, 0, 1], 8080).into(), Config::default())?;
//! let running = server.start(|_worker| async {
//!     Ok::<_, Infallible>(async |request: Request<RequestBody>| {
//!         Response::new(Full::from(format!("You asked for {}\n", request.uri().path())))
//!     })
//! })?;
//! # let signal = async {};
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! runtime.block_on(async {
//!     signal.await;
//!     // What has begun is finished, and nothing new accepted.
//!     running.drain();
//!     running.ended().await;
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A thread accepts connections and gives each to the worker that has the fewest. A worker is a thread with an executor
//! and a [`Handler`] of its own; a connection stays with its worker, and no request changes threads. [`Config`] has the
//! bounds on how long peers may take and how much they may send.

mod activity;
mod admission;
mod clock;
mod config;
mod connection;
mod exchange;
mod listen;
mod log;
mod outbox;
mod request_body;
mod response_body;
mod tls;
mod transport;
mod vigil;
mod worker;

use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

pub use config::{Config, Limits, Timeouts};
pub use listen::{Running, Server, StartError};
pub use log::{Log, Record, RequestId};
pub use request_body::RequestBody;
pub use response_body::ResponseBody;
pub use tls::{Tls, TlsError};

/// What answers the requests of one worker.
///
/// Functions that take a request and return a future of a response are handlers.
pub trait Handler: 'static {
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static;

    /// Answers a request. That it came over TLS is said by an extension of type [`http::uri::Scheme`]. An error of the
    /// response's body ends the connection, or the stream of HTTP/2.
    ///
    /// Called as soon as the request's headers are there, before anything is polled: what can be done at once is best done
    /// here, and the future small.
    ///
    /// # Cancel safety
    /// The future is dropped when the peer goes away.
    fn handle(
        self: &Rc<Self>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + use<Self>;
}

impl<F, B> Handler for F
where
    F: AsyncFn(Request<RequestBody>) -> Response<B> + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    type Body = B;

    fn handle(
        self: &Rc<Self>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<B>> + use<F, B> {
        let handler = self.clone();
        async move { handler(request).await }
    }
}
