//! The body of a request, as its handler gets it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::ErrorCode;
use crate::error_code::Phase;

/// The body of a request: read as it comes, within the server's limits of time and size.
///
/// # Errors
/// [`ErrorCode::HttpRequestBodySize`] when it is longer than allowed, [`ErrorCode::ConnectionReadTimeout`] when it takes too
/// long, and what happens to the connection.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// How many bytes may still come.
    allowance: u64,
    limit: u64,
    upload: Option<Arc<Upload>>,
}

/// What a server knows of a body that is on its way.
#[derive(Debug, Default)]
pub(super) struct Upload {
    received: AtomicU64,
    late: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, limit: Option<u64>, upload: Option<Arc<Upload>>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        RequestBody { incoming, allowance: limit, limit, upload }
    }
}

impl Upload {
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Has reading fail from now on.
    pub(super) fn expire(&self) {
        self.late.store(true, Relaxed);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether reading is to fail; if not, `reader` is told when.
    fn is_late(&self, reader: &Waker) -> bool {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if !slot.as_ref().is_some_and(|slot| slot.will_wake(reader)) {
            *slot = Some(reader.clone());
        }
        self.late.load(Relaxed)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            return match &this.upload {
                Some(upload) if upload.is_late(cx.waker()) => {
                    Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout)))
                }
                _ => Poll::Pending,
            };
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(ErrorCode::of(&error, Phase::RequestBody)))),
            None => return Poll::Ready(None),
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            if let Some(upload) = &this.upload {
                upload.received.fetch_add(length, Relaxed);
            }
            match this.allowance.checked_sub(length) {
                Some(allowance) => this.allowance = allowance,
                None => return Poll::Ready(Some(Err(ErrorCode::HttpRequestBodySize(Some(this.limit))))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
