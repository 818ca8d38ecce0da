//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Order};
use super::config::DEFAULT_HEADERS;
use super::exchange::Front;
use super::outbox::Socket;
use super::tls::chose_http2;
use super::transport::Transport;
use super::worker::Worker;
use super::{Config, Handler, Tls};

/// Serves a connection until it ends.
pub(super) async fn serve<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    worker: Rc<Worker<H>>,
    activity: Rc<Activity>,
) {
    let stream = Socket::new(stream, worker.outbox.clone(), activity.clone());
    let front = Rc::new(Front { worker, activity, peer });
    match front.worker.config.tls.clone() {
        None => open(stream, None, front).await,
        // As large as it is, it is not to make every connection larger.
        Some(tls) => Box::pin(open_tls(stream, tls, front)).await,
    }
}

async fn open_tls<H: Handler>(stream: Socket, tls: Tls, front: Rc<Front<H>>) {
    let handshake = Box::pin(TlsAcceptor::from(tls.config).accept(stream));
    // A peer that does not finish its handshake, or cannot, has nobody to be told anything.
    if let Some(Ok(stream)) = unless_aborted(&front.activity, handshake).await {
        let http2 = chose_http2(stream.get_ref().1);
        open(stream, http2, front).await;
    }
}

/// Finds out the version, if it was not negotiated, and serves it.
async fn open<S, H>(stream: S, http2: Option<bool>, front: Rc<Front<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    let mut transport = Transport::new(stream, front.activity.clone());
    let http2 = match http2 {
        Some(http2) => http2,
        None => match unless_aborted(&front.activity, transport.speaks_http2()).await {
            Some(Ok(http2)) => http2,
            _ => return,
        },
    };
    front.activity.opened();
    match http2 {
        true => Box::pin(serve_http2(transport, front)).await,
        false => serve_http1(transport, front).await,
    }
}

async fn serve_http1<S, H>(transport: Transport<S>, front: Rc<Front<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    if transport.has_begun() {
        front.activity.headers_begin();
    }
    let (activity, worker) = (front.activity.clone(), front.worker.clone());
    let service = service_fn(move |request| front.answer(request));
    let mut connection = worker.protocols.http1.serve_connection(TokioIo::new(transport), service);
    let end = poll_fn(|cx| {
        match activity.take_order(cx.waker()) {
            Some(Order::Close) => Pin::new(&mut connection).graceful_shutdown(),
            Some(order) => return Poll::Ready(End::Ordered(order)),
            None => {}
        }
        Pin::new(&mut connection).poll(cx).map(|result| End::Own(result.is_ok()))
    })
    .await;
    let say = match end {
        End::Own(true) | End::Ordered(Order::Abort) => return,
        End::Own(false) => &[],
        End::Ordered(_) => REQUEST_TIMEOUT,
    };
    // What is seldom needed is not to make every connection larger.
    Box::pin(close(connection.into_parts().io.into_inner(), say)).await;
}

/// How a connection came to its end.
enum End {
    /// Of itself, and whether everything had been said.
    Own(bool),
    Ordered(Order),
}

const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 20\r\n\r\n408 Request Timeout\n";

/// How long it may take to be rid of them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Says something and closes a connection so that the peer gets to read what was said last.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut transport: Transport<S>, last_words: &[u8]) {
    // Nobody minds if it cannot be said.
    let _ = timeout(LAST_WORDS, transport.write_all(last_words)).await;
    let _ = transport.shutdown().await;
}

async fn serve_http2<S, H>(transport: Transport<S>, front: Rc<Front<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    let (activity, worker) = (front.activity.clone(), front.worker.clone());
    let service = service_fn(move |request| front.answer(request));
    let mut connection = worker.protocols.http2.serve_connection(TokioIo::new(transport), service);
    let mut closing = false;
    poll_fn(|cx| {
        match activity.take_order(cx.waker()) {
            Some(Order::Abort) => return Poll::Ready(()),
            Some(Order::Close | Order::Refuse) => closing = true,
            None => {}
        }
        if closing || worker.is_draining() {
            closing = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx).map(drop)
    })
    .await;
}

/// How connections are spoken with.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<Local>,
}

impl Protocols {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let header_bytes = limits.header_bytes.max(MIN_BUFFER);
        let mut http1 = http1::Builder::new();
        http1
            // The activity has times of its own, which cost less.
            .header_read_timeout(None)
            .max_header_size(header_bytes)
            .max_buf_size(header_bytes.max(BUFFER));
        if limits.headers != DEFAULT_HEADERS {
            http1.max_headers(limits.headers);
        }
        let mut http2 = http2::Builder::new(Local);
        http2
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(BUFFER);
        Protocols { http1, http2 }
    }
}

/// The least that hyper works with.
const MIN_BUFFER: usize = 8 << 10;

/// What a connection may hold of what is to be sent.
const BUFFER: usize = 128 << 10;

/// Runs the streams of HTTP/2 on the thread of their connection.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Waits for `future`, unless the worker wants the connection to end.
async fn unless_aborted<F: Future>(activity: &Activity, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match activity.take_order(cx.waker()) {
        Some(Order::Abort) => Poll::Ready(None),
        _ => future.as_mut().poll(cx).map(Some),
    })
    .await
}
