//! A body that comes from outside of the store, on its way to a guest or past it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;

use super::{Body, ContentLength};
use crate::ErrorCode;

/// How a body ended: with its trailers, if there were any.
pub(crate) type Ending = Result<Option<HeaderMap>, ErrorCode>;

/// Empty frames that are passed over before others have their turn: a peer may send them without an end.
const FRAMES_PER_TURN: usize = 32;

/// The bytes of a body, whose end is reported elsewhere: to the future that stands beside a guest's stream.
///
/// To drop it early is no error: nobody is interested in the rest.
pub(crate) struct Inflow {
    body: Body,
    length: ContentLength,
    report: Option<oneshot::Sender<Ending>>,
}

impl Inflow {
    /// The body's bytes, and where its end is reported.
    pub fn new(body: Body, length: ContentLength) -> (Self, oneshot::Receiver<Ending>) {
        let (report, ending) = oneshot::channel();
        (Inflow { body, length, report: Some(report) }, ending)
    }

    /// The next bytes, never empty; `None` at the end, whether good or bad.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for _ in 0..FRAMES_PER_TURN {
            if self.report.is_none() {
                return Poll::Ready(None);
            }
            let ending = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.length.finish().map(|()| None),
                Some(Err(error)) => Err(error),
                Some(Ok(frame)) => match frame.into_data().map_err(Frame::into_trailers) {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => match self.length.add(data.len()) {
                        Ok(()) => return Poll::Ready(Some(data)),
                        Err(error) => Err(error),
                    },
                    Err(Ok(trailers)) => self.length.finish().map(|()| Some(trailers)),
                    Err(Err(_)) => continue,
                },
            };
            self.end(ending);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// How many bytes are to come.
    pub fn size_hint(&self) -> SizeHint {
        match self.report {
            Some(_) => self.body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.body = Body::empty();
        if let Some(report) = self.report.take() {
            // The guest may have dropped its end of the future.
            let _ = report.send(ending);
        }
    }
}
