//! A response as whoever asked for it sees it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, TRANSFER_ENCODING};
use http::{Version, response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::ErrorCode;
use crate::error_code::Phase;

use super::CONNECTION_ALONE;
use super::exchange::after;
use super::http2;
use super::pool::{Http1, Http2, Slot};

/// How many pieces of a body that nobody wants are taken so that its connection can be kept.
const LEFTOVERS: usize = 16;

/// Takes away what a response says about its connection alone (RFC 9110, section 7.6.1).
///
/// # Errors
///
/// Its body is coded in a way that is not understood.
pub(super) fn clean(head: &mut response::Parts) -> Result<(), ErrorCode> {
    if head.version < Version::HTTP_2
        && let Some(coding) =
            head.headers.get_all(TRANSFER_ENCODING).iter().find(|coding| {
                !coding.to_str().is_ok_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
            })
    {
        let coding = String::from_utf8_lossy(coding.as_bytes()).into_owned();
        return Err(ErrorCode::HttpResponseTransferCoding(Some(coding)));
    }
    let named: Vec<HeaderName> = head
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in CONNECTION_ALONE.iter().chain(&named) {
        head.headers.remove(name);
    }
    Ok(())
}

/// What an exchange holds on to until it is over. To drop it before is to give the exchange up.
pub(super) enum Lease {
    /// The connection is closed.
    Own(Option<(Http1, Slot)>),
    /// The stream is reset, by its own end.
    Shared { _connection: Http2 },
}

impl Lease {
    /// The response is complete. The connection is free again as soon as the request is.
    fn finish(mut self) {
        let Lease::Own(own) = &mut self else { return };
        let Some((mut connection, slot)) = own.take() else { return };
        if connection.sender.is_ready() {
            return slot.give_back(connection);
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if connection.sender.ready().await.is_ok() {
                slot.give_back(connection);
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Lease::Own(Some((connection, _))) = self {
            connection.task.abort();
        }
    }
}

/// The body as the connection has it.
pub(super) enum Incoming {
    Http1(hyper::body::Incoming),
    Http2(http2::Incoming),
}

impl Incoming {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match self {
            Incoming::Http1(body) => Pin::new(body).poll_frame(cx).map_err(|error| failed(&error)),
            Incoming::Http2(body) => Pin::new(body).poll_frame(cx).map_err(|error| failed(&error)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Incoming::Http1(body) => body.is_end_stream(),
            Incoming::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Incoming::Http1(body) => body.size_hint(),
            Incoming::Http2(body) => body.size_hint(),
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ErrorCode {
    ErrorCode::of(error, Phase::ResponseBody)
}

/// The body of a response.
pub(super) struct ResponseBody {
    incoming: Incoming,
    /// Until the end.
    lease: Option<Lease>,
    /// When the next bytes are to be there, if somebody waits for them.
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    between_bytes: Duration,
}

impl ResponseBody {
    pub fn new(incoming: Incoming, lease: Lease, first_byte: Instant, between_bytes: Duration) -> Self {
        let deadline = Some(first_byte);
        ResponseBody { incoming, lease: Some(lease), deadline, timer: None, between_bytes }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| after(Instant::now(), self.between_bytes));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    fn finish(&mut self) {
        if let Incoming::Http2(body) = &mut self.incoming {
            body.finish();
        }
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if self.lease.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = self.incoming.poll_frame(cx) else {
            ready!(self.poll_timer(cx));
            self.lease = None;
            return Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout)));
        };
        self.deadline = None;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.lease = None;
                Some(Err(error))
            }
            None => {
                self.finish();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none() || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    /// Keeps the connection if all that is left of the body is here already.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..LEFTOVERS {
            if self.lease.is_none() {
                return;
            }
            if self.incoming.is_end_stream() {
                return self.finish();
            }
            // Streams of HTTP/2 cost nobody else a connection.
            let Incoming::Http1(_) = &self.incoming else { return };
            match self.incoming.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => return self.finish(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return,
            }
        }
    }
}
