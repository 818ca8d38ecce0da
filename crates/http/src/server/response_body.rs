//! The body of a response, on its way to the peer.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::exchange::Exchange;

/// The body of a response: the handler's, or the server's own where the handler was not asked.
///
/// When it is dropped the exchange is over.
pub struct ResponseBody<B> {
    content: Content<B>,
    exchange: Exchange,
}

enum Content<B> {
    Handler(B),
    Server(Full<Bytes>),
}

impl<B> ResponseBody<B> {
    pub(super) fn of_handler(body: B, exchange: Exchange) -> Self {
        ResponseBody { content: Content::Handler(body), exchange }
    }

    /// The text that goes with a status of the server's own.
    pub(super) fn of_server(status: StatusCode, exchange: Exchange) -> Self {
        let text = Full::from(format!("{status}\n"));
        ResponseBody { content: Content::Server(text), exchange }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Handler(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into))
            }
            Content::Server(text) => {
                ready!(Pin::new(text).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
        };
        match &frame {
            Some(Ok(frame)) => this.exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) => this.exchange.failed(&**error),
            None => this.exchange.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Handler(body) => body.is_end_stream(),
            Content::Server(text) => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Handler(body) => body.size_hint(),
            Content::Server(text) => text.size_hint(),
        }
    }
}
