//! The client against real servers on this machine: raw sockets where no library would send what is to be sent, `hyper`
//! and `h2` where one does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bodies;
mod cancel;
mod errors;
mod http2;
mod policy;
mod pool;
mod server;
mod timeouts;
mod tls;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tombolo_http::client::{Client, ClientBuilder};
use tombolo_http::{Body, ErrorCode, RequestOptions};
use tombolo_wasi::WasiCtx;

type Result<T, E = ErrorCode> = std::result::Result<T, E>;

/// A client that may do everything.
fn builder() -> ClientBuilder {
    Client::builder(WasiCtx::builder().inherit_network().build().sockets().clone())
}

fn client() -> Client {
    builder().build()
}

fn get(uri: impl AsRef<str>) -> Request<Body> {
    Request::get(uri.as_ref()).body(Body::empty()).unwrap()
}

fn post(uri: impl AsRef<str>, body: impl Into<Body>) -> Request<Body> {
    Request::post(uri.as_ref()).body(body.into()).unwrap()
}

async fn send(client: &Client, request: Request<Body>) -> Result<Response<Body>> {
    client.send(request, RequestOptions::default()).await
}

/// All of a response's body.
async fn read(response: Response<Body>) -> Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Sends a request and reads the response.
async fn fetch(client: &Client, request: Request<Body>) -> Result<Bytes> {
    read(send(client, request).await?).await
}

/// Waits for something that has to happen soon.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// A body that never ends.
fn endless() -> Body {
    struct Endless;

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = ErrorCode;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))))
        }
    }

    Body::new(Endless)
}

/// A body whose length nobody knows before, and which may fail in the end.
fn pieces<const N: usize>(pieces: [&'static str; N], failure: Option<ErrorCode>) -> Body {
    struct Pieces<I>(I);

    impl<I: Iterator<Item = Result<Frame<Bytes>>> + Unpin> http_body::Body for Pieces<I> {
        type Data = Bytes;
        type Error = ErrorCode;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
            Poll::Ready(self.0.next())
        }
    }

    let pieces = pieces.into_iter().map(|piece| Ok(Frame::data(piece.into())));
    Body::new(Pieces(pieces.chain(failure.map(Err))))
}
