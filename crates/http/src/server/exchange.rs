//! One request and its response.

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::Handler;
use super::activity::Activity;
use super::admission::admit;
use super::log::{Log, Record, RequestId};
use super::request_body::{RequestBody, Upload};
use super::response_body::ResponseBody;
use super::worker::Worker;

/// Where the requests of a connection go.
pub(super) struct Front<H> {
    pub(super) worker: Rc<Worker<H>>,
    pub(super) activity: Rc<Activity>,
    pub(super) peer: SocketAddr,
}

impl<H: Handler> Front<H> {
    /// Has a request answered. The handler gets it here and now: a future that held it would be large, and moved often.
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<ResponseBody<H::Body>>, Infallible>> + use<H> {
        let worker = &self.worker;
        let upload = (!request.body().is_end_stream()).then(|| worker.expect_upload());
        let mut exchange = Exchange::begin(self, &request, upload.clone());
        let limits = &worker.config.limits;
        if let Some(record) = &exchange.record {
            request.extensions_mut().insert(record.id);
        }
        if worker.config.tls.is_some() {
            // Handlers cannot tell by the target, which has no scheme mostly.
            request.extensions_mut().insert(Scheme::HTTPS);
        }
        let (version, is_head) = (request.version(), request.method() == Method::HEAD);
        let admitted = admit(&mut request, limits);
        let worker = worker.clone();
        let last = move |mut response: Response<_>| {
            if worker.is_draining() && version < Version::HTTP_2 {
                // The connection is not to be used again.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        };
        if let Err(status) = admitted {
            return Either::Left(ready(last(exchange.refuse(status))));
        }
        let request = request.map(|body| RequestBody::new(body, limits.body_bytes, upload));
        Either::Right(self.worker.handler.handle(request).map(move |response| {
            last(match is_answer(is_head, &response) {
                true => {
                    exchange.answered(response.status());
                    response.map(|body| ResponseBody::of_handler(body, exchange))
                }
                false => {
                    exchange.failed(&MalformedResponse);
                    exchange.refuse(StatusCode::INTERNAL_SERVER_ERROR)
                }
            })
        }))
    }
}

/// Whether a handler's response can be sent: interim responses are not answers.
fn is_answer(is_head: bool, response: &Response<impl Body>) -> bool {
    !response.status().is_informational() && keeps_its_promise(is_head, response)
}

/// Whether a response's `content-length`, if there is one, is that of its body, as far as is known yet. hyper takes it on
/// trust: a peer would look for the next response in the wrong place.
fn keeps_its_promise(is_head: bool, response: &Response<impl Body>) -> bool {
    let mut promises = response.headers().get_all(CONTENT_LENGTH).iter();
    let Some(promise) = promises.next() else { return true };
    let promise = promise.to_str().ok().and_then(|promise| promise.parse::<u64>().ok());
    let (Some(promise), None) = (promise, promises.next()) else { return false };
    let no_body = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    let body = response.body();
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    match length {
        Some(0) if no_body || is_head => true,
        Some(length) => length == promise,
        None => true,
    }
}

/// The handler's response cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("the response's status or content-length makes no sense")]
struct MalformedResponse;

/// A request that is being answered, until it is dropped.
pub(super) struct Exchange {
    activity: Rc<Activity>,
    record: Option<Box<Entry>>,
}

/// What the log will say of it.
struct Entry {
    log: Log,
    id: RequestId,
    peer: SocketAddr,
    version: Version,
    method: Method,
    target: Uri,
    begun: Instant,
    upload: Option<Arc<Upload>>,
    status: Option<StatusCode>,
    handler: Option<Duration>,
    sent: u64,
    complete: bool,
    failure: Option<String>,
}

impl Exchange {
    fn begin<H>(front: &Front<H>, request: &Request<Incoming>, upload: Option<Arc<Upload>>) -> Exchange {
        front.activity.request_begins();
        let record = front.worker.config.log.as_ref().map(|log| {
            Box::new(Entry {
                log: log.clone(),
                id: front.worker.next_request(),
                peer: front.peer,
                version: request.version(),
                method: request.method().clone(),
                target: request.uri().clone(),
                begun: Instant::now(),
                upload,
                status: None,
                handler: None,
                sent: 0,
                complete: false,
                failure: None,
            })
        });
        Exchange { activity: front.activity.clone(), record }
    }

    /// Answers it with a status of the server's own.
    fn refuse<B>(mut self, status: StatusCode) -> Response<ResponseBody<B>> {
        if let Some(record) = &mut self.record {
            record.status = Some(status);
        }
        let mut response = Response::new(ResponseBody::of_server(status, self));
        *response.status_mut() = status;
        response
    }

    /// The handler's response has begun.
    fn answered(&mut self, status: StatusCode) {
        if let Some(record) = &mut self.record {
            record.status = Some(status);
            record.handler = Some(record.begun.elapsed());
        }
    }

    /// A part of the response's body goes to the peer.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.sent = record.sent.saturating_add(bytes as u64);
        }
    }

    /// The response's body is whole.
    pub(super) fn complete(&mut self) {
        if let Some(record) = &mut self.record {
            record.complete = true;
        }
    }

    /// The response's body ended before its time.
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) {
        if let Some(record) = &mut self.record {
            record.failure = Some(error.to_string());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.request_ends();
        if let Some(record) = &self.record {
            record.tell();
        }
    }
}

impl Entry {
    fn tell(&self) {
        (self.log)(&Record {
            id: self.id,
            peer: self.peer,
            version: self.version,
            method: &self.method,
            path: self.target.path_and_query().map_or("", |path| path.as_str()),
            status: self.status,
            received: self.upload.as_ref().map_or(0, |upload| upload.received()),
            sent: self.sent,
            handler: self.handler,
            total: self.begun.elapsed(),
            failure: self.failure.as_deref(),
        });
    }
}
