//! What answers the requests of a worker.

use std::cell::RefCell;
use std::future::ready;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tombolo_http::client::Client;
use tombolo_http::server::{Handler, RequestBody};
use tombolo_http::{Body, Error, ErrorCode};

use super::app::App;
use super::complaints::Complaints;
use super::instance::{Outcome, Outcomes, Seat};
use super::pool::Pool;
use crate::diagnostics::Failure;

/// How often instances are looked at that may not be needed any more.
const TRIM_EVERY: Duration = Duration::from_secs(5);

/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(1 << 32);

/// The handler of a worker's server.
pub(super) struct Backend {
    pool: Rc<Current>,
    timeout: Duration,
    complaints: Arc<Complaints>,
}

/// The pool that new requests go to.
type Current = RefCell<Rc<Pool>>;

/// Another application to serve, and where it is told that it is.
pub(super) struct Swap {
    pub(super) app: Arc<App>,
    pub(super) done: oneshot::Sender<Result<(), Failure>>,
}

impl Backend {
    /// Makes the first instance, and serves another application whenever `swaps` has one. Must be called on the worker.
    ///
    /// # Errors
    ///
    /// The instance cannot be made.
    pub(super) fn new(
        app: Arc<App>,
        swaps: mpsc::UnboundedReceiver<Swap>,
        complaints: Arc<Complaints>,
    ) -> Result<Backend, Failure> {
        let client = app.given().client();
        let timeout = app.given().arguments.instances.timeout.0.unwrap_or(NEVER).min(NEVER);
        let pool = Rc::new(Pool::new(app, client.clone(), complaints.clone())?);
        let pool = Rc::new(RefCell::new(pool));
        tokio::task::spawn_local(follow(Rc::downgrade(&pool), swaps, client, complaints.clone()));
        tokio::task::spawn_local(trim(Rc::downgrade(&pool)));
        Ok(Backend { pool, timeout, complaints })
    }

    /// Has an instance answer a request, if there is one that does it at once.
    fn answer_now(&self, request: Box<Request<Body>>) -> Result<Response<Reply>, Step> {
        let pool = self.pool.borrow().clone();
        let seat = match pool.claim_now() {
            Ok(Some(seat)) => seat,
            Ok(None) => return Err(Step::Unseated(request)),
            Err(failure) => return Ok(self.no_instance(&failure)),
        };
        let mut outcome = seat.handle(request);
        match outcome.try_recv() {
            Ok(outcome) => answer(seat, Some(outcome)),
            Err(TryRecvError::Closed) => answer(seat, None),
            Err(TryRecvError::Empty) => Err(Step::Seated(seat, outcome)),
        }
    }

    /// Has instances answer a request, or one after the other try to, as long as there is time.
    async fn answer_in_time(self: Rc<Self>, mut step: Step) -> Response<Reply> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let answered = match step {
                Step::Unseated(request) => {
                    let pool = self.pool.borrow().clone();
                    match timeout_at(deadline, pool.claim()).await {
                        Ok(Ok(seat)) => {
                            let outcome = seat.handle(request);
                            Err(Step::Seated(seat, outcome))
                        }
                        Ok(Err(failure)) => Ok(self.no_instance(&failure)),
                        Err(_) => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE)),
                    }
                }
                Step::Seated(seat, outcome) => match timeout_at(deadline, outcome).await {
                    Ok(outcome) => answer(seat, outcome.ok()),
                    Err(_) => {
                        // Whatever it is that takes so long may hold up others as well.
                        seat.instance().retire();
                        seat.instance().give_back();
                        Ok(refusal(StatusCode::GATEWAY_TIMEOUT))
                    }
                },
            };
            match answered {
                Ok(answer) => return answer,
                Err(next) => step = next,
            }
        }
    }

    fn no_instance(&self, failure: &Failure) -> Response<Reply> {
        self.complaints.about(failure);
        refusal(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// How far a request has come.
enum Step {
    /// It needs an instance.
    Unseated(Box<Request<Body>>),
    Seated(Seat, Outcomes),
}

/// The response that an outcome is, if the component had to do with it.
fn answer(seat: Seat, outcome: Option<Outcome>) -> Result<Response<Reply>, Step> {
    seat.is_answered();
    let answered = match outcome {
        Some(Outcome::Unseen(request)) => return Err(Step::Unseated(request)),
        Some(Outcome::Answered(answered)) => answered,
        // It failed while it answered another request.
        None => Err(Error::Abandoned),
    };
    Ok(match answered {
        Ok(mut response) => match response.body_mut().gather() {
            Ok(()) => response.map(|body| Reply { body, _seat: Some(seat) }),
            Err(code) => refusal(status_of(&code)),
        },
        Err(Error::Response(code)) => refusal(status_of(&code)),
        Err(Error::Runtime(error)) => {
            seat.instance().failed(&error);
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(error) => refusal(error.status()),
    })
}

impl Handler for Backend {
    type Body = Reply;

    /// Most requests are answered here and now: they need no clock, and there is no future of theirs to be moved about.
    fn handle(
        self: &Rc<Self>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Reply>> + use<> {
        match self.answer_now(Box::new(request.map(Body::new))) {
            Ok(response) => Either::Left(ready(response)),
            Err(step) => Either::Right(Box::pin(self.clone().answer_in_time(step))),
        }
    }
}

/// A response of ours.
#[cold]
fn refusal(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply { body: format!("{status}\n").into(), _seat: None });
    *response.status_mut() = status;
    response
}

impl Drop for Backend {
    /// The worker ends, and whatever it had to do.
    fn drop(&mut self) {
        self.pool.borrow().end();
    }
}

/// The status that says what an error code means to a client of ours.
fn status_of(code: &ErrorCode) -> StatusCode {
    use ErrorCode::*;
    match code {
        // The client's own fault.
        HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
        HttpRequestHeaderSectionSize(_) | HttpRequestHeaderSize(_) => {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        }
        HttpRequestUriTooLong => StatusCode::URI_TOO_LONG,
        HttpRequestUriInvalid | HttpRequestMethodInvalid => StatusCode::BAD_REQUEST,
        HttpRequestLengthRequired => StatusCode::LENGTH_REQUIRED,
        HttpRequestDenied => StatusCode::FORBIDDEN,
        // That of somebody whom the component asked.
        DnsTimeout
        | ConnectionTimeout
        | ConnectionReadTimeout
        | ConnectionWriteTimeout
        | HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        DnsError(_)
        | DestinationNotFound
        | DestinationUnavailable
        | DestinationIpUnroutable
        | ConnectionRefused
        | ConnectionTerminated
        | ConnectionLimitReached
        | TlsProtocolError
        | TlsCertificateError
        | TlsAlertReceived(_)
        | HttpProtocolError
        | HttpResponseIncomplete => StatusCode::BAD_GATEWAY,
        LoopDetected => StatusCode::LOOP_DETECTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of an answer. With it goes the request's seat.
pub(super) struct Reply {
    body: Body,
    _seat: Option<Seat>,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves other applications as they come.
async fn follow(
    current: Weak<Current>,
    mut swaps: mpsc::UnboundedReceiver<Swap>,
    client: Client,
    complaints: Arc<Complaints>,
) {
    while let Some(Swap { app, done }) = swaps.recv().await {
        let Some(current) = current.upgrade() else { return };
        let outcome = Pool::new(app, client.clone(), complaints.clone()).map(|pool| {
            current.replace(Rc::new(pool)).retire();
        });
        // Whoever wanted to know may be gone.
        let _ = done.send(outcome);
    }
}

async fn trim(current: Weak<Current>) {
    loop {
        tokio::time::sleep(TRIM_EVERY).await;
        let Some(current) = current.upgrade() else { return };
        current.borrow().trim();
    }
}
