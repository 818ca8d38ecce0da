//! A request as the connection sees it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::TRAILER;
use http::{Method, Request};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::{ContentLength, Direction};
use crate::{Body, ErrorCode};

use super::CONNECTION_ALONE;

/// Prepares a request for sending, but for its address.
///
/// # Errors
///
/// Its headers promise another body than it has, or none that could be.
pub(super) fn prepare(
    request: Request<Body>,
) -> Result<(Request<RequestBody>, Option<Arc<Progress>>), ErrorCode> {
    let (mut head, body) = request.into_parts();
    for name in &CONNECTION_ALONE {
        head.headers.remove(name);
    }
    let length = ContentLength::of(&head.headers, Direction::Request)
        .map_err(|_| ErrorCode::HttpRequestBodySize(None))?;
    let may_have_trailers = head.headers.contains_key(TRAILER);
    if body.is_end_stream() {
        length.finish()?;
        let body = RequestBody { body, length, may_have_trailers, progress: None };
        return Ok((Request::from_parts(head, body), None));
    }
    let progress = Arc::new(Progress::new(body.size_hint().exact() == Some(0)));
    let body = RequestBody { body, length, may_have_trailers, progress: Some(progress.clone()) };
    Ok((Request::from_parts(head, body), Some(progress)))
}

/// Whether a request can be sent again without anybody noticing (RFC 9110, section 9.2.1).
pub(super) fn is_repeatable(request: &Request<RequestBody>) -> bool {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    is_safe && request.body().size_hint().exact() == Some(0)
}

/// The same request once more, without its body.
pub(super) fn repeated(request: &Request<RequestBody>) -> Request<RequestBody> {
    let length = ContentLength::none(Direction::Request);
    let mut copy =
        Request::new(RequestBody { body: Body::empty(), length, may_have_trailers: false, progress: None });
    *copy.method_mut() = request.method().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// The body of a request, whose length is what was promised, and whose progress is watched.
pub(super) struct RequestBody {
    body: Body,
    length: ContentLength,
    /// In HTTP/1.1 they come after chunks, not after a body whose length was told.
    may_have_trailers: bool,
    progress: Option<Arc<Progress>>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx).map(|frame| match frame {
            Some(Ok(frame)) => {
                let more = frame.data_ref().map_or(0, Bytes::len);
                Some(this.length.add(more).map(|()| frame))
            }
            Some(Err(error)) => Some(Err(error)),
            None => this.length.finish().err().map(Err),
        });
        if let Some(progress) = &this.progress {
            let is_over = this.body.is_end_stream() || this.size_hint().exact() == Some(0);
            progress.note(match &frame {
                Poll::Pending => Sending::WaitsForBody,
                Poll::Ready(Some(Err(error))) => Sending::Failed(error.clone()),
                Poll::Ready(Some(Ok(_))) if !is_over => Sending::WaitsForPeer(Instant::now()),
                Poll::Ready(_) => Sending::Over(Instant::now()),
            });
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.length.finish().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length.remaining() {
            Some(remaining) => SizeHint::with_exact(remaining),
            None if self.may_have_trailers => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}

/// How far the body of a request has come.
pub(super) struct Progress(Mutex<Sending>);

/// What has to happen for a request to be sent.
#[derive(Clone)]
pub(super) enum Sending {
    /// Who writes the body has to go on.
    WaitsForBody,
    /// The peer has to take what was written last, then.
    WaitsForPeer(Instant),
    /// Nothing, since then.
    Over(Instant),
    /// It cannot be.
    Failed(ErrorCode),
}

impl Progress {
    /// `is_over` is a body that has no bytes, though it may not know yet whether it has trailers.
    fn new(is_over: bool) -> Self {
        let now = Instant::now();
        Progress(Mutex::new(if is_over { Sending::Over(now) } else { Sending::WaitsForPeer(now) }))
    }

    pub fn sending(&self) -> Sending {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, sending: Sending) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sending;
    }
}
