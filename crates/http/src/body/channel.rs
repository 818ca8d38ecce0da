//! A body that is written inside a store and read outside of it.
//!
//! Contents and trailers come from different ends of the guest's: the body is over when both are. The reader holds the
//! writer back: at most a window of bytes is kept for it.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::inflow::Ending;
use super::{ContentLength, Inflow};
use crate::ErrorCode;

/// Bytes that are kept for a reader at most.
const WINDOW: usize = 64 << 10;

/// Makes a body. What became of it is told to `sent`, once.
pub(crate) fn channel(
    length: ContentLength,
    sent: oneshot::Sender<Result<(), ErrorCode>>,
) -> (ContentsSender, TrailersSender, BodyReceiver) {
    let shared = Shared(Arc::new(Mutex::new(State {
        chunks: VecDeque::new(),
        kept: 0,
        inflow: None,
        contents: Contents::Coming,
        trailers: None,
        failed: None,
        length,
        reader_is_gone: false,
        reader: None,
        writer: None,
    })));
    let receiver = BodyReceiver { shared: shared.clone(), sent: Some(sent), kept: None };
    (ContentsSender(shared.clone()), TrailersSender(Some(shared)), receiver)
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

struct State {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    kept: usize,
    /// Contents that the guest passed on unread, behind `chunks`.
    inflow: Option<Inflow>,
    contents: Contents,
    /// The trailers, once they are known.
    trailers: Option<Option<HeaderMap>>,
    failed: Option<ErrorCode>,
    length: ContentLength,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    Coming,
    /// Whoever wrote them is done.
    Over,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the reader.
    fn change(&self, f: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        f(&mut state);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl State {
    fn fail(&mut self, error: ErrorCode) {
        if self.failed.is_none() {
            self.failed = Some(error);
        }
        self.contents = Contents::Over;
        self.chunks.clear();
        self.kept = 0;
        self.inflow = None;
    }

    /// Whether everything that there will be is here.
    fn is_complete(&self) -> bool {
        self.contents == Contents::Over && self.inflow.is_none() && self.trailers.is_some()
    }

    /// Whether all contents were read, and were what was promised.
    fn is_over(&self) -> bool {
        let whole = self.failed.is_none() && self.length.finish().is_ok();
        whole && self.is_complete() && self.chunks.is_empty()
    }
}

/// Where the contents of a body are written. To drop it before [`finish`](Self::finish) is to fail.
pub(crate) struct ContentsSender(Shared);

impl ContentsSender {
    /// How many bytes there is room for; waits until there is some. 0 if nobody reads any more.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.0.lock();
        if state.reader_is_gone || state.failed.is_some() {
            return Poll::Ready(0);
        }
        match WINDOW.saturating_sub(state.kept) {
            0 => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            room => Poll::Ready(room),
        }
    }

    /// Adds bytes.
    pub fn send(&self, bytes: Bytes) {
        self.0.change(|state| match state.length.add(bytes.len()) {
            _ if state.contents == Contents::Over => {}
            Err(error) => state.fail(error),
            Ok(()) => {
                state.kept = state.kept.saturating_add(bytes.len());
                state.chunks.push_back(bytes);
            }
        });
    }

    /// Adds all bytes of another body, and ends.
    pub fn forward(&self, inflow: Inflow) {
        self.0.change(|state| {
            if state.contents == Contents::Coming && !state.reader_is_gone {
                state.inflow = Some(inflow);
                state.contents = Contents::Over;
            }
        });
    }

    /// Ends the contents.
    pub fn finish(&self) {
        self.0.change(|state| {
            if state.contents == Contents::Coming {
                state.contents = Contents::Over;
            }
        });
    }
}

impl Drop for ContentsSender {
    fn drop(&mut self) {
        self.0.change(|state| {
            if state.contents == Contents::Coming {
                state.fail(abandoned());
            }
        });
    }
}

/// Where the trailers of a body are written. To drop it instead is to fail.
pub(crate) struct TrailersSender(Option<Shared>);

impl TrailersSender {
    /// Ends the body, once its contents have ended.
    pub fn finish(mut self, ending: Ending) {
        if let Some(shared) = self.0.take() {
            end(&shared, ending);
        }
    }
}

impl Drop for TrailersSender {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            end(&shared, Err(abandoned()));
        }
    }
}

fn end(shared: &Shared, ending: Ending) {
    shared.change(|state| match ending {
        Ok(trailers) => state.trailers = Some(trailers),
        Err(error) => state.fail(error),
    });
}

/// The guest that was writing is no more.
fn abandoned() -> ErrorCode {
    ErrorCode::InternalError(Some("the component ended before the body did".to_owned()))
}

/// Where a body is read. To drop it ends the writing.
pub(crate) struct BodyReceiver {
    shared: Shared,
    /// Until it was told.
    sent: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

impl BodyReceiver {
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let mut state = self.shared.lock();
        let frame = match state.poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.tell(Err(error.clone())),
            None => self.tell(Ok(())),
        }
        Poll::Ready(frame)
    }

    pub fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        state.is_over() && state.trailers == Some(None)
    }

    pub fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        if state.failed.is_some() {
            return SizeHint::default();
        }
        let kept = state.kept as u64;
        if let Some(remaining) = state.length.remaining() {
            return SizeHint::with_exact(kept.saturating_add(remaining));
        }
        if state.contents == Contents::Coming {
            return SizeHint::default();
        }
        let mut hint = state.inflow.as_ref().map_or_else(|| SizeHint::with_exact(0), Inflow::size_hint);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(hint.lower().saturating_add(kept));
        hint
    }

    /// Whether all that will come is here, or no more is taken before somebody reads.
    pub fn is_settled(&self) -> bool {
        let state = self.shared.lock();
        state.failed.is_some() || state.is_complete() || state.inflow.is_some() || state.kept >= WINDOW
    }

    /// Why no more will come than was read, if the body has failed.
    pub fn failure(&self) -> Option<ErrorCode> {
        self.shared.lock().failed.clone()
    }

    /// Keeps something until the body is dropped.
    pub fn keep(&mut self, kept: Arc<dyn Any + Send + Sync>) {
        self.kept = Some(kept);
    }

    fn tell(&mut self, result: Result<(), ErrorCode>) {
        if let Some(sent) = self.sent.take() {
            // The guest may have dropped its end of the future.
            let _ = sent.send(result);
        }
    }
}

impl State {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if let Some(error) = self.failed.clone() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(chunk) = self.chunks.pop_front() {
            self.kept = self.kept.saturating_sub(chunk.len());
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(inflow) = &mut self.inflow {
            match inflow.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(data)) => match self.length.add(data.len()) {
                    Ok(()) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(error) => self.fail(error),
                },
                Poll::Ready(None) => self.inflow = None,
            }
        }
        // If the contents failed, the trailers say how: that counts more than the length.
        if self.is_complete()
            && let Err(error) = self.length.finish()
        {
            self.fail(error);
        }
        match (&self.failed, self.contents, &mut self.trailers) {
            (Some(error), ..) => Poll::Ready(Some(Err(error.clone()))),
            (None, Contents::Over, Some(trailers)) => match trailers.take() {
                Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                None => Poll::Ready(None),
            },
            _ => Poll::Pending,
        }
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reader_is_gone = true;
        let result = match &state.failed {
            Some(error) => Err(error.clone()),
            None if state.is_over() => Ok(()),
            None => Err(ErrorCode::ConnectionTerminated),
        };
        state.chunks.clear();
        state.kept = 0;
        let (writer, inflow) = (state.writer.take(), state.inflow.take());
        drop(state);
        drop(inflow);
        if let Some(writer) = writer {
            writer.wake();
        }
        self.tell(result);
    }
}
