//! Exchanges over HTTP/2.
//!
//! They stand on `h2` itself: a stream that is given up is reset at once, even if the peer takes nothing of its request.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::ErrorCode;
use crate::error_code::Phase;

use super::connect::run;
use super::exchange::Failed;
use super::request::RequestBody;

/// What a stream, and what all of a connection, may receive or send before somebody takes it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The way to new streams of a connection.
#[derive(Clone)]
pub(super) struct Sender {
    streams: SendRequest<Bytes>,
    is_closed: Arc<AtomicBool>,
}

impl Sender {
    /// Begins to speak HTTP/2 on a connection, which closes when there are neither senders nor streams any more.
    pub async fn new<S>(stream: S, permit: OwnedSemaphorePermit, header_bytes: u32) -> Result<Self, ErrorCode>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let made = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(STREAM_WINDOW as usize)
            .max_header_list_size(header_bytes)
            .handshake(stream)
            .await;
        let (streams, connection) = made.map_err(|error| ErrorCode::of(&error, Phase::Awaiting))?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let close = is_closed.clone();
        tokio::spawn(async move {
            run(connection, permit).await;
            close.store(true, Ordering::Relaxed);
        });
        Ok(Sender { streams, is_closed })
    }

    /// Whether it takes no requests any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Sends a request, and waits for the head of its response. To drop the future is to reset the stream.
    pub async fn send(self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failed> {
        let Sender { streams, is_closed } = self;
        let awaiting = |error: &h2::Error| ErrorCode::of(error, Phase::Awaiting);
        let mut streams = match streams.ready().await {
            Ok(streams) => streams,
            Err(error) => {
                // The server is leaving.
                is_closed.store(true, Ordering::Relaxed);
                return Err(Failed { code: awaiting(&error), unsent: Some(Box::new(request)) });
            }
        };
        let (mut head, body) = request.into_parts();
        let is_over = body.is_end_stream();
        if let Some(length) = body.size_hint().exact().filter(|_| !is_over) {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let sent = streams.send_request(Request::from_parts(head, ()), is_over);
        let (response, stream) = sent.map_err(|error| awaiting(&error))?;
        let upload = (!is_over).then(|| Upload(Some(tokio::spawn(upload(body, stream)).abort_handle())));
        let response = response.await.map_err(|error| awaiting(&error))?;
        Ok(response.map(|stream| Incoming { stream, upload, has_data: true }))
    }
}

/// A request's body on its way. To drop it is to give it up.
struct Upload(Option<AbortHandle>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends the body of a request. A stream that is dropped before its end is reset.
async fn upload(mut body: RequestBody, mut stream: SendStream<Bytes>) {
    loop {
        let frame = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Some),
        });
        let sent = match frame.await {
            // The peer wants no more of it.
            None => return,
            Some(None) => return drop(stream.send_data(Bytes::new(), true)),
            Some(Some(Err(_))) => return stream.send_reset(Reason::INTERNAL_ERROR),
            Some(Some(Ok(frame))) => match frame.into_data().map_err(Frame::into_trailers) {
                Ok(data) => send_data(&mut stream, data, body.is_end_stream()).await,
                Err(Ok(trailers)) => return drop(stream.send_trailers(trailers)),
                Err(Err(_)) => Ok(()),
            },
        };
        if sent.is_err() || body.is_end_stream() {
            return;
        }
    }
}

/// Sends bytes as the peer has room for them.
async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, is_last: bool) -> Result<(), h2::Error> {
    if data.is_empty() && is_last {
        return stream.send_data(data, true);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => room?,
                // The stream is not open any more.
                None => return Err(Reason::STREAM_CLOSED.into()),
            };
        }
        let piece = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(piece, is_last && data.is_empty())?;
    }
    Ok(())
}

/// The body of a response.
pub(super) struct Incoming {
    stream: RecvStream,
    /// Until the end, after which the request goes on alone.
    upload: Option<Upload>,
    /// Trailers come after the data.
    has_data: bool,
}

impl Incoming {
    /// Lets the request go on alone.
    pub fn finish(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.0 = None;
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while self.has_data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.stream.flow_control().release_capacity(data.len())?;
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_data = false,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
