//! Inputs and outputs of the core as streams of a guest, each with the future that says how it ended.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tombolo::{
    AsStoreMut, Destination, FutureReader, Lower, Result, Source, StoreMut, StreamConsumer, StreamProducer,
    StreamReader, StreamState,
};

use crate::bytes::{Input, Output};
use crate::filesystem::DirectoryReader;

use super::filesystem::{DirectoryEntry, ErrorCode};

/// How a stream ended, as guests are told.
pub(super) type Outcome<E> = std::result::Result<(), E>;

/// A stream and the future of its outcome.
pub(super) type Reading<I, E> = (StreamReader<I>, FutureReader<Outcome<E>>);

/// Lets a guest read from `input`.
pub(super) fn read<T, I, E>(
    mut store: StoreMut<'_, T>,
    input: std::result::Result<I, E>,
) -> Result<Reading<u8, E>>
where
    T: Send + 'static,
    I: Input,
    E: From<I::Error> + Lower + Send + 'static,
{
    let (report, outcome) = outcome(store.as_mut())?;
    let stream = match input {
        Ok(input) => StreamReader::new(store, ByteProducer { input, report })?,
        Err(error) => {
            report.send(Err(error));
            StreamReader::new(store, Ended)?
        }
    };
    Ok((stream, outcome))
}

/// Lets a guest write to `output`.
pub(super) fn write<T, O, E>(
    mut store: StoreMut<'_, T>,
    data: StreamReader<u8>,
    output: std::result::Result<O, E>,
) -> Result<FutureReader<Outcome<E>>>
where
    T: Send + 'static,
    O: Output,
    E: From<O::Error> + Lower + Send + 'static,
{
    let (report, outcome) = outcome(store.as_mut())?;
    match output {
        Ok(output) => data.pipe(store, ByteConsumer { output, report })?,
        Err(error) => {
            report.send(Err(error));
            data.close(store)?;
        }
    }
    Ok(outcome)
}

/// Lets a guest list a directory.
pub(super) fn list<T: Send + 'static>(
    mut store: StoreMut<'_, T>,
    reader: DirectoryReader,
) -> Result<Reading<DirectoryEntry, ErrorCode>> {
    let (report, outcome) = outcome(store.as_mut())?;
    let batch = Vec::new().into_iter();
    let stream = StreamReader::new(store, EntryProducer { reader, batch, report })?;
    Ok((stream, outcome))
}

/// Where the outcome of a stream is reported, once. To drop it is to report success: somebody lost interest.
struct Report<E>(Option<oneshot::Sender<Outcome<E>>>);

impl<E> Report<E> {
    fn send(mut self, outcome: Outcome<E>) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome<E>) {
        if let Some(sender) = self.0.take() {
            // The guest may have dropped its end of the future.
            let _ = sender.send(outcome);
        }
    }
}

fn outcome<E: Lower + Send + 'static>(
    store: impl AsStoreMut,
) -> Result<(Report<E>, FutureReader<Outcome<E>>)> {
    let (sender, receiver) = oneshot::channel();
    let future = FutureReader::new(store, async move { Ok(receiver.await.unwrap_or(Ok(()))) })?;
    Ok((Report(Some(sender)), future))
}

/// Fills a guest's reads from an input.
struct ByteProducer<I, E> {
    input: I,
    report: Report<E>,
}

impl<T, I, E> StreamProducer<T> for ByteProducer<I, E>
where
    T: Send + 'static,
    I: Input,
    E: From<I::Error> + Send + 'static,
{
    type Item = u8;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, u8>,
    ) -> Poll<Result<StreamState>> {
        let ByteProducer { input, report } = &mut *self;
        let read = match destination.remaining() {
            0 => ready!(input.poll_ready(cx)).map(|()| None),
            _ => ready!(input.poll_read(cx, destination.as_bytes())).map(Some),
        };
        Poll::Ready(Ok(match read {
            Ok(None) => StreamState::Open,
            Ok(Some(0)) => StreamState::Closed,
            Ok(Some(length)) => {
                destination.advance(length);
                StreamState::Open
            }
            Err(error) => {
                report.report(Err(error.into()));
                StreamState::Closed
            }
        }))
    }

    fn origin(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        Some(&mut self.get_mut().input)
    }
}

/// Empties a guest's writes into an output.
struct ByteConsumer<O, E> {
    output: O,
    report: Report<E>,
}

impl<T, O, E> StreamConsumer<T> for ByteConsumer<O, E>
where
    T: Send + 'static,
    O: Output,
    E: From<O::Error> + Send + 'static,
{
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &mut Source<'_, T, u8>,
    ) -> Poll<Result<StreamState>> {
        let ByteConsumer { output, report } = &mut *self;
        let result = if source.remaining() > 0 {
            ready!(output.poll_write(cx, source.as_bytes())).map(|length| {
                source.consume(length);
                StreamState::Open
            })
        } else if source.is_closed() {
            ready!(output.poll_finish(cx)).map(|()| StreamState::Closed)
        } else {
            ready!(output.poll_ready(cx)).map(|()| StreamState::Open)
        };
        Poll::Ready(Ok(match result {
            Ok(StreamState::Open) => StreamState::Open,
            Ok(StreamState::Closed) => {
                report.report(Ok(()));
                StreamState::Closed
            }
            Err(error) => {
                report.report(Err(error.into()));
                StreamState::Closed
            }
        }))
    }

    fn poll_carry(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        origin: &mut dyn Any,
    ) -> Poll<Result<Option<StreamState>>> {
        let carried = ready!(self.output.poll_carry(cx, origin));
        Poll::Ready(Ok(carried.then_some(StreamState::Open)))
    }
}

/// Fills a guest's reads with the entries of a directory.
struct EntryProducer {
    reader: DirectoryReader,
    batch: std::vec::IntoIter<crate::filesystem::DirectoryEntry>,
    report: Report<ErrorCode>,
}

impl<T: Send + 'static> StreamProducer<T> for EntryProducer {
    type Item = DirectoryEntry;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, DirectoryEntry>,
    ) -> Poll<Result<StreamState>> {
        let this = &mut *self;
        if this.batch.as_slice().is_empty() {
            match ready!(this.reader.poll_batch(cx)) {
                Ok(batch) => this.batch = batch.into_iter(),
                Err(error) => {
                    this.report.report(Err(error.into()));
                    return Poll::Ready(Ok(StreamState::Closed));
                }
            }
            if this.batch.as_slice().is_empty() {
                return Poll::Ready(Ok(StreamState::Closed));
            }
        }
        destination.extend(this.batch.by_ref().take(destination.remaining()).map(Into::into))?;
        Poll::Ready(Ok(StreamState::Open))
    }
}

/// A stream of nothing.
struct Ended;

impl<T: Send + 'static> StreamProducer<T> for Ended {
    type Item = u8;

    fn poll_produce(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut Destination<'_, T, u8>,
    ) -> Poll<Result<StreamState>> {
        Poll::Ready(Ok(StreamState::Closed))
    }
}
