//! `wasi:http` for the Tombolo runtime: components that answer requests, and requests that components send.
//!
//! ```
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
//! use tombolo_http::{Body, HttpCtx, HttpCtxView, HttpView, Service};
//! use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};
//!
//! struct Host {
//!     wasi: WasiCtx,
//!     http: HttpCtx,
//!     table: ResourceTable,
//! }
//!
//! impl WasiView for Host {
//!     fn wasi(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
//!     }
//! }
//!
//! impl HttpView for Host {
//!     fn http(&mut self) -> HttpCtxView<'_> {
//!         HttpCtxView { ctx: &mut self.http, table: &mut self.table }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/http-hello/http-hello.wasm");
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::from_file(&engine, file)?;
//! let mut linker = Linker::new(&engine);
//! tombolo_wasi::p3::add_to_linker(&mut linker)?;
//! tombolo_http::add_to_linker(&mut linker)?;
//!
//! let host = Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
//! let mut store = Store::new(&engine, host);
//! let (service, driver) = Service::new(&mut store, &linker, &component)?.start(store);
//! tokio::spawn(driver);
//!
//! // From here on it is a function from requests to responses, for any server to call.
//! let response = service.handle(Request::get("http://localhost/").body(Body::empty())?).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "Hello, World!\n");
//! # Ok(())
//! # }
//! ```
//!
//! - A [`Service`] is an instance of a component that exports `wasi:http/handler`. [`Service::behind`] puts middleware in
//!   front of it, in the same store. A [`Dispatcher`] hands it requests from outside of the store; inside,
//!   [`Service::handle`] does.
//! - What components send goes to a [`SendRequest`]: [`client`] has one for the network, and an embedder can have its own.
//!   An [`HttpCtx`] says which, and how much the host holds for a guest.
//! - [`server`] is a server for whatever answers requests, components or not.
//!
//! # Bodies
//!
//! A [`Body`] is an [`http_body::Body`], with trailers, whose errors are [`ErrorCode`]s. What a guest writes waits for its
//! reader: 64 KiB of it at most. A body of the host's that a guest passes on unread, from a request to a response or through
//! middleware, is handed over as it is: its frames come out as they went in. Dropping either end stops whoever works
//! behind the other.
//!
//! Headers that belong to a connection (`connection`, `transfer-encoding`, …) never reach a guest, and a guest cannot
//! set them; nor `host`, which is the request's authority. A `content-length` is a promise: a body that breaks it fails,
//! and both sides learn of it. HTTP/1.1 carries only those trailers that a `trailer` header announced, which is the guest's
//! to set; HTTP/2 carries all.

mod authority;
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
