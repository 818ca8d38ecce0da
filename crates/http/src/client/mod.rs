//! The client: requests over the network.
//!
//! [`Client`] is what stands behind `wasi:http/client` for a guest that may use the network. It reaches it through
//! [`Sockets`], so that the guest's policy is asked for each name that is looked up, and for each address that a name
//! turns out to have.
//!
//! A request becomes an exchange on a connection: `target` reads from its URI where it goes, `pool` finds a connection
//! or room for one, `connect` makes it, `exchange` sends the request and waits for the head of the response,
//! over HTTP/2 by `http2`. `request` and `response` are the bodies of the two, as the connection sees them.

mod builder;
mod connect;
mod exchange;
mod http2;
mod pool;
mod request;
mod response;
mod stream;
mod target;
mod tls;

use std::sync::Arc;

use http::header::{CONNECTION, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response};
use tombolo_wasi::sockets::Sockets;

use crate::{Body, ErrorCode, RequestOptions, SendFuture, SendRequest};

pub use builder::ClientBuilder;
pub use tls::Roots;

use builder::Settings;
use pool::Pool;
use tls::Tls;

/// Headers that are about a connection alone (RFC 9110, section 7.6.1): it sets its own, and nobody else sees them.
const CONNECTION_ALONE: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Sends requests over the network: HTTP/1.1, and over TLS HTTP/2 where the server speaks it.
///
/// Connections are kept and used again. Redirects are answers like any other. Clones share their connections.
///
/// ```
/// use tombolo_http::client::Client;
/// use tombolo_wasi::WasiCtx;
/// use tombolo_wasi::sockets::AllowList;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = AllowList::new().tcp_connect("*.example.com:443".parse()?);
/// let wasi = WasiCtx::builder().socket_policy(policy).build();
/// let client = Client::new(wasi.sockets().clone());
/// # Ok(())
/// # }
/// ```
///
/// Requests are sent inside a tokio runtime with I/O and time enabled. A connection lives in the one that it was made
/// in.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    sockets: Sockets,
    settings: Settings,
    tls: Tls,
    pool: Arc<Pool>,
}

impl Client {
    /// Makes a client with the usual limits, which trusts what the system trusts.
    pub fn new(sockets: Sockets) -> Self {
        Client::builder(sockets).build()
    }

    /// Begins to put together a client.
    pub fn builder(sockets: Sockets) -> ClientBuilder {
        ClientBuilder::new(sockets)
    }

    /// Sends a request, and waits for the head of its response.
    ///
    /// The URI says where to; without a scheme that is `https`. `Host` and what is about the connection alone is set here.
    ///
    /// A request without a body whose method is safe is sent once more if a connection that was used before turns out to
    /// be closed.
    ///
    /// # Errors
    ///
    /// The code of what failed. What fails after the head of the response is an error of its body.
    ///
    /// # Cancel safety
    ///
    /// To drop the future, or the body of the response before its end, gives the exchange up: HTTP/1.1 closes the
    /// connection, HTTP/2 resets the stream.
    pub async fn send(
        &self,
        request: Request<Body>,
        options: RequestOptions,
    ) -> Result<Response<Body>, ErrorCode> {
        self.0.send(request, options).await
    }
}

impl SendRequest for Client {
    fn send(&self, request: Request<Body>, options: RequestOptions) -> SendFuture {
        let client = self.0.clone();
        Box::pin(async move { client.send(request, options).await })
    }
}
