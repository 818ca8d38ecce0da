//! A request and its response.

use std::pin::pin;
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout_at};

use crate::error_code::Phase;
use crate::{Body, ErrorCode, RequestOptions};

use super::Inner;
use super::builder::Times;
use super::pool::{Http1, Http2, Slot};
use super::request::{Progress, RequestBody, Sending, is_repeatable, prepare, repeated};
use super::response::{Incoming, Lease, ResponseBody, clean};
use super::target::Destination;

/// What nobody waits for.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86400);
/// How long it takes at least until a request is looked at again whose body somebody is writing.
const LOOK: Duration = Duration::from_millis(10);

impl Inner {
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        options: RequestOptions,
    ) -> Result<Response<Body>, ErrorCode> {
        let destination = Destination::of(request.method(), request.uri())?;
        let times = self.settings.times(&options);
        if times.first_byte.is_zero() {
            return Err(ErrorCode::ConnectionReadTimeout);
        }
        let (mut request, progress) = prepare(request)?;
        let mut may_repeat = is_repeatable(&request);
        let connected = after(Instant::now(), times.connect);
        loop {
            let connection = self.connection(&destination.target, connected).await?;
            let (was_used, version) = (connection.was_used, connection.version());
            destination.address(&mut request, version)?;
            let again = (was_used && may_repeat).then(|| repeated(&request));
            let failed = match connection.exchange(request, &times, progress.as_deref()).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            // The server may have closed the connection while nobody used it.
            request = match (failed.unsent, again) {
                (Some(unsent), _) if was_used => *unsent,
                (None, Some(again)) if failed.code == ErrorCode::ConnectionTerminated => {
                    may_repeat = false;
                    again
                }
                _ => return Err(failed.code),
            };
        }
    }
}

/// A connection that is to be used for one exchange.
pub(super) struct Connection {
    way: Way,
    /// For others before.
    was_used: bool,
}

enum Way {
    Own(Http1, Slot),
    Shared(Http2),
}

/// What became of an exchange.
pub(super) struct Failed {
    pub code: ErrorCode,
    /// The request, if nothing of it was sent.
    pub unsent: Option<Box<Request<RequestBody>>>,
}

impl From<ErrorCode> for Failed {
    fn from(code: ErrorCode) -> Self {
        Failed { code, unsent: None }
    }
}

impl Connection {
    pub fn own(connection: Http1, slot: Slot, was_used: bool) -> Self {
        Connection { way: Way::Own(connection, slot), was_used }
    }

    pub fn shared(connection: Http2, was_used: bool) -> Self {
        Connection { way: Way::Shared(connection), was_used }
    }

    fn version(&self) -> Version {
        match self.way {
            Way::Own(..) => Version::HTTP_11,
            Way::Shared(_) => Version::HTTP_2,
        }
    }

    async fn exchange(
        self,
        request: Request<RequestBody>,
        times: &Times,
        progress: Option<&Progress>,
    ) -> Result<Response<Body>, Failed> {
        let (response, lease, first_byte) = match self.way {
            Way::Own(mut connection, slot) => {
                let sending = connection.sender.try_send_request(request);
                let lease = Lease::Own(Some((connection, slot)));
                let sending = async { sending.await.map_err(failed) };
                let (response, deadline) = head(sending, times.first_byte, progress).await?;
                (response.map(Incoming::Http1), lease, deadline)
            }
            Way::Shared(connection) => {
                let sending = connection.sender.clone().send(request);
                let (response, deadline) = head(sending, times.first_byte, progress).await?;
                (response.map(Incoming::Http2), Lease::Shared { _connection: connection }, deadline)
            }
        };
        let (mut head, incoming) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ErrorCode::HttpUpgradeFailed.into());
        }
        clean(&mut head)?;
        let body = ResponseBody::new(incoming, lease, first_byte, times.between_bytes);
        Ok(Response::from_parts(head, Body::new(body)))
    }
}

/// Waits for the head of a response, and says until when the first byte of its body has to come.
///
/// Time that others take to write the request's body does not count.
async fn head<B>(
    sending: impl Future<Output = Result<Response<B>, Failed>>,
    timeout: Duration,
    progress: Option<&Progress>,
) -> Result<(Response<B>, Instant), Failed> {
    let mut sending = pin!(sending);
    let mut deadline = after(Instant::now(), timeout);
    loop {
        match timeout_at(deadline, &mut sending).await {
            Ok(Ok(response)) => return Ok((response, deadline)),
            Ok(Err(failed)) => {
                // HTTP/2 says no more than that the stream was reset.
                return Err(match progress.map(Progress::sending) {
                    Some(Sending::Failed(code)) => code.into(),
                    _ => failed,
                });
            }
            Err(_) => {}
        }
        let now = Instant::now();
        let (since, code) = match progress.map(Progress::sending) {
            None => return Err(ErrorCode::ConnectionReadTimeout.into()),
            Some(Sending::WaitsForBody) => {
                deadline = after(now, timeout.max(LOOK));
                continue;
            }
            Some(Sending::WaitsForPeer(since)) => (since, ErrorCode::ConnectionWriteTimeout),
            Some(Sending::Over(since)) => (since, ErrorCode::ConnectionReadTimeout),
            Some(Sending::Failed(code)) => return Err(code.into()),
        };
        deadline = after(since, timeout);
        if deadline <= now {
            return Err(code.into());
        }
    }
}

fn failed(mut error: TrySendError<Request<RequestBody>>) -> Failed {
    let unsent = error.take_message().map(Box::new);
    Failed { code: ErrorCode::of(error.error(), Phase::Awaiting), unsent }
}

/// When a time will have passed.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time.min(NEVER)).unwrap_or(start)
}
