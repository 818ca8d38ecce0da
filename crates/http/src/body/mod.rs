//! Bodies of requests and responses.

mod channel;
mod content_length;
mod inflow;

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

pub(crate) use channel::{BodyReceiver, ContentsSender, Fate, Outgoing, Sent};
pub(crate) use content_length::{ContentLength, Direction};
pub(crate) use inflow::{Ending, Inflow};

use crate::ErrorCode;
use crate::error_code::Phase;

/// The body of a request or response: bytes, and perhaps trailers after them.
///
/// Made of whatever implements [`http_body::Body`], or of bytes that are there already.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    /// What a guest writes.
    Guest(BodyReceiver),
    Other(Pin<Box<dyn http_body::Body<Data = Bytes, Error = ErrorCode> + Send>>),
}

impl Body {
    /// A body without bytes and trailers.
    pub fn empty() -> Self {
        Body::default()
    }

    /// The body that another one is, whose errors are error codes or become some.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<ErrorCode>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body(Kind::Other(Box::pin(body.map_err(Into::into))))
    }

    /// Keeps something for as long as the body may need it.
    pub(crate) fn keep(&mut self, kept: Arc<dyn Any + Send + Sync>) {
        if let Kind::Guest(receiver) = &mut self.0 {
            receiver.keep(kept);
        }
    }

    /// Whether all that will come is here, or no more is taken before somebody reads.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.0 {
            Kind::Guest(receiver) => receiver.is_settled(),
            _ => true,
        }
    }

    /// Takes over what a guest has written, if that is all: then the body needs neither the guest nor its store any more.
    ///
    /// # Errors
    /// If a guest was to write the body and has failed. As long as nothing was read, a server can still answer with an error.
    pub fn gather(&mut self) -> Result<(), ErrorCode> {
        if let Kind::Guest(receiver) = &mut self.0
            && let Some(bytes) = receiver.gather()?
        {
            *self = bytes.into();
        }
        Ok(())
    }

    pub(crate) fn of_guest(receiver: BodyReceiver) -> Self {
        Body(Kind::Guest(receiver))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// Of a server's: the bodies that a client receives come from [`client`](crate::client).
impl From<hyper::Error> for ErrorCode {
    fn from(error: hyper::Error) -> Self {
        ErrorCode::of(&error, Phase::RequestBody)
    }
}

impl From<Infallible> for ErrorCode {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Guest(receiver) => receiver.poll_frame(cx),
            Kind::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Guest(receiver) => receiver.is_end_stream(),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Guest(receiver) => receiver.size_hint(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("size", &http_body::Body::size_hint(self)).finish_non_exhaustive()
    }
}
