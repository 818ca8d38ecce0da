//! What is in a message, and how it gets from the host to a guest, from a guest to the host, and past both.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::sync::oneshot;
use tombolo::{
    Destination, Error, FutureProducer, FutureReader, Resource, Result, Source, StoreMut, StreamConsumer,
    StreamProducer, StreamReader, StreamState,
};

use crate::body::{Body, ContentLength, ContentsSender, Direction, Ending, Fate, Inflow, Outgoing, Sent};
use crate::fields::{FieldMap, Headers, is_forbidden_in_trailers};
use crate::types::Fields;
use crate::{ErrorCode, HttpView};

/// Trailers as guests have them.
pub(crate) type Trailers = std::result::Result<Option<Resource<Fields>>, ErrorCode>;

/// The contents of a message.
pub(crate) enum Contents {
    /// They come from the host.
    Host { body: Body, length: ContentLength },
    /// A guest writes them.
    Guest { stream: Option<StreamReader<u8>>, trailers: FutureReader<Trailers>, body: Outgoing },
}

impl Contents {
    /// Contents that a guest writes, and the future of what becomes of them.
    pub fn of_guest<T: HttpView + 'static>(
        store: StoreMut<'_, T>,
        stream: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
    ) -> Result<(Self, FutureReader<Sent>)> {
        let (body, fate) = Outgoing::new();
        let fate = FutureReader::produce(store, FateProducer(fate))?;
        Ok((Contents::Guest { stream, trailers, body }, fate))
    }

    /// Lets a guest read them.
    pub fn consume<T: HttpView + 'static>(
        self,
        mut store: StoreMut<'_, T>,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        match self {
            Contents::Host { body, length } => {
                // Who sent it learns from the answer, or from its absence.
                handled.close(store.as_mut())?;
                let (inflow, ending) = Inflow::new(body, length);
                let producer = InflowProducer { inflow: Some(inflow), chunk: Bytes::new() };
                let stream = StreamReader::new(store.as_mut(), producer)?;
                let trailers = TrailersProducer { ending, direction: length.direction() };
                Ok((stream, FutureReader::produce(store, trailers)?))
            }
            Contents::Guest { stream, trailers, body } => {
                handled.pipe(store.as_mut(), move |_, handled| {
                    body.tell(handled.unwrap_or(Ok(())));
                    Ok(())
                })?;
                let stream = match stream {
                    Some(stream) => stream,
                    None => StreamReader::new(store, InflowProducer { inflow: None, chunk: Bytes::new() })?,
                };
                Ok((stream, trailers))
            }
        }
    }

    /// Has them read outside of the store, by whoever has the body.
    pub fn into_body<T: HttpView + 'static>(
        self,
        mut store: StoreMut<'_, T>,
        headers: &HeaderMap,
        direction: Direction,
    ) -> Result<std::result::Result<Body, ErrorCode>> {
        let (stream, trailers, body) = match self {
            Contents::Host { body, .. } => return Ok(Ok(body)),
            Contents::Guest { stream, trailers, body } => (stream, trailers, body),
        };
        let length = match ContentLength::of(headers, direction) {
            Ok(length) => length,
            Err(error) => {
                body.tell(Err(error.clone()));
                close(store, stream, trailers)?;
                return Ok(Err(error));
            }
        };
        let (mut contents, ending, receiver) = body.send(length);
        match stream {
            Some(stream) => stream.pipe(store.as_mut(), ContentsConsumer(contents))?,
            None => contents.finish(),
        }
        trailers.pipe(store, move |mut store, trailers| {
            // Without a value the guest is no more, and the body fails.
            if let Some(trailers) = trailers {
                ending.finish(taken(&mut store, trailers)?);
            }
            Ok(())
        })?;
        Ok(Ok(Body::of_guest(receiver)))
    }

    /// Lets go of contents that are not to be sent, and tells the sender how it went without.
    pub fn close<T: HttpView + 'static>(self, store: StoreMut<'_, T>, fate: Sent) -> Result<()> {
        match self {
            Contents::Host { .. } => Ok(()),
            Contents::Guest { stream, trailers, body } => {
                body.tell(fate);
                close(store, stream, trailers)
            }
        }
    }

    /// Lets go of contents that nobody asked for.
    pub fn drop<T: HttpView + 'static>(self, store: StoreMut<'_, T>) -> Result<()> {
        match self {
            Contents::Host { .. } => Ok(()),
            Contents::Guest { stream, trailers, .. } => close(store, stream, trailers),
        }
    }
}

fn close<T: HttpView + 'static>(
    mut store: StoreMut<'_, T>,
    stream: Option<StreamReader<u8>>,
    trailers: FutureReader<Trailers>,
) -> Result<()> {
    if let Some(stream) = stream {
        stream.close(store.as_mut())?;
    }
    // Trailers that are a resource already are not to stay in the table.
    trailers.pipe(store, |mut store, trailers| {
        if let Some(trailers) = trailers {
            let _: Ending = taken(&mut store, trailers)?;
        }
        Ok(())
    })
}

/// Takes the trailers that a guest sends out of its table.
fn taken<T: HttpView + 'static>(store: &mut StoreMut<'_, T>, trailers: Trailers) -> Result<Ending> {
    let fields = match trailers {
        Err(error) => return Ok(Err(error)),
        Ok(None) => return Ok(Ok(None)),
        Ok(Some(fields)) => store.data_mut().http().table.take(fields).map_err(Error::host)?,
    };
    let trailers = fields.into_inner().into_headers();
    Ok(match trailers.keys().find(|name| is_forbidden_in_trailers(name)) {
        Some(name) => Err(ErrorCode::InternalError(Some(format!("`{name}` must not be sent as a trailer")))),
        None => Ok(Some(trailers).filter(|trailers| !trailers.is_empty())),
    })
}

/// Fills a guest's reads with a body of the host's.
struct InflowProducer {
    inflow: Option<Inflow>,
    /// What was received, and not read yet.
    chunk: Bytes,
}

impl<T: HttpView + 'static> StreamProducer<T> for InflowProducer {
    type Item = u8;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, u8>,
    ) -> Poll<Result<StreamState>> {
        let InflowProducer { inflow, chunk } = &mut *self;
        if chunk.is_empty() {
            let Some(inflow) = inflow else { return Poll::Ready(Ok(StreamState::Closed)) };
            match ready!(inflow.poll_data(cx)) {
                Some(data) => *chunk = data,
                None => return Poll::Ready(Ok(StreamState::Closed)),
            }
        }
        let room = destination.as_bytes();
        let length = room.len().min(chunk.len());
        if let (Some(room), Some(data)) = (room.get_mut(..length), chunk.get(..length)) {
            room.copy_from_slice(data);
        }
        chunk.advance(length);
        destination.advance(length);
        Poll::Ready(Ok(StreamState::Open))
    }

    fn origin(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        Some(self.get_mut())
    }
}

/// Empties a guest's writes into a body of the host's.
struct ContentsConsumer(ContentsSender);

impl<T: HttpView + 'static> StreamConsumer<T> for ContentsConsumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &mut Source<'_, T, u8>,
    ) -> Poll<Result<StreamState>> {
        if source.remaining() == 0 && source.is_closed() {
            self.0.finish();
            return Poll::Ready(Ok(StreamState::Closed));
        }
        let Some(taken) = ready!(self.0.poll_send(cx, source.as_bytes())) else {
            return Poll::Ready(Ok(StreamState::Closed));
        };
        source.consume(taken);
        Poll::Ready(Ok(StreamState::Open))
    }

    /// A body of the host's that the guest passes on goes as it is.
    fn poll_carry(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        origin: &mut dyn Any,
    ) -> Poll<Result<Option<StreamState>>> {
        let Some(InflowProducer { inflow, chunk }) = origin.downcast_mut() else {
            return Poll::Ready(Ok(None));
        };
        if !chunk.is_empty() {
            self.0.send(std::mem::take(chunk));
        }
        match inflow.take() {
            Some(inflow) => self.0.forward(inflow),
            None => self.0.finish(),
        }
        Poll::Ready(Ok(Some(StreamState::Closed)))
    }
}

/// Makes the trailers of a body of the host's, once it has ended and a guest asks for them.
struct TrailersProducer {
    ending: oneshot::Receiver<Ending>,
    direction: Direction,
}

impl<T: HttpView + 'static> FutureProducer<T> for TrailersProducer {
    type Value = Trailers;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreMut<'_, T>,
    ) -> Poll<Result<Trailers>> {
        // If the guest dropped the stream, it does not know what comes after it.
        let mut trailers = match ready!(Pin::new(&mut self.ending).poll(cx)) {
            Err(_) | Ok(Ok(None)) => return Poll::Ready(Ok(Ok(None))),
            Ok(Err(error)) => return Poll::Ready(Ok(Err(error))),
            Ok(Ok(Some(trailers))) => trailers,
        };
        let forbidden: Vec<_> =
            trailers.keys().filter(|name| is_forbidden_in_trailers(name)).cloned().collect();
        for name in forbidden {
            trailers.remove(name);
        }
        let http = store.data_mut().http();
        let fields = match FieldMap::incoming(trailers, &http.ctx.fields) {
            Ok(fields) => Fields::immutable(Headers::Own(fields)),
            Err(size) => {
                let size = u32::try_from(size).ok();
                return Poll::Ready(Ok(Err(match self.direction {
                    Direction::Request => ErrorCode::HttpRequestTrailerSectionSize(size),
                    Direction::Response => ErrorCode::HttpResponseTrailerSectionSize(size),
                })));
            }
        };
        Poll::Ready(http.table.push(fields).map(|fields| Ok(Some(fields))).map_err(Error::host))
    }
}

/// Tells a guest what became of its message.
struct FateProducer(Fate);

impl<T: HttpView + 'static> FutureProducer<T> for FateProducer {
    type Value = Sent;

    fn poll_produce(self: Pin<&mut Self>, cx: &mut Context<'_>, _: StoreMut<'_, T>) -> Poll<Result<Sent>> {
        self.0.poll(cx).map(Ok)
    }
}
