//! A body that is written inside a store and read outside of it.
//!
//! Contents and trailers come from different ends of the guest's: the body is over when both are. The reader holds the
//! writer back: at most a window of bytes is kept for it. What became of the body is told once, to whoever has its
//! [`Fate`].

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::inflow::Ending;
use super::{ContentLength, Direction, Inflow};
use crate::ErrorCode;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// Bytes that are kept for a reader at most.
const WINDOW: usize = 64 << 10;

/// A body that a guest has made and that nobody sends yet. To drop it is to tell its fate: that it was not sent.
pub(crate) struct Outgoing(BodyReceiver);

/// What becomes of a body.
pub(crate) struct Fate(Shared);

/// How it went, as the guest is told.
pub(crate) type Sent = Result<(), ErrorCode>;

impl Outgoing {
    /// Makes a body.
    pub fn new() -> (Self, Fate) {
        let shared = Shared(Arc::new(Mutex::new(State {
            first: None,
            chunks: VecDeque::new(),
            kept: 0,
            inflow: None,
            contents: Contents::Unsent,
            trailers: None,
            failed: None,
            length: ContentLength::none(Direction::Response),
            reader_is_gone: false,
            reader: None,
            writer: None,
            fate: None,
            guest: None,
        })));
        (Outgoing(BodyReceiver { shared: shared.clone(), kept: None }), Fate(shared))
    }

    /// Has it sent by whoever reads it. It is to be as long as `length` says.
    pub fn send(self, length: ContentLength) -> (ContentsSender, TrailersSender, BodyReceiver) {
        let Outgoing(receiver) = self;
        receiver.shared.change(|state| {
            state.contents = Contents::Coming;
            state.length = length;
        });
        let shared = &receiver.shared;
        let contents = ContentsSender { shared: shared.clone(), is_done: false };
        (contents, TrailersSender(Some(shared.clone())), receiver)
    }

    /// Tells its fate without having it sent.
    pub fn tell(self, fate: Sent) {
        let guest = self.0.shared.lock().tell(|| fate);
        wake(guest);
    }
}

impl Fate {
    /// How it went, once that is known.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Sent> {
        let mut state = self.0.lock();
        match &state.fate {
            Some(fate) => Poll::Ready(fate.clone()),
            None => {
                state.guest = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

/// What few bodies have is boxed: every body begins with all of this, and most end soon.
struct State {
    /// What is read first, if anything is kept: the only chunk, mostly.
    first: Option<Bytes>,
    chunks: VecDeque<Bytes>,
    /// Bytes in both.
    kept: usize,
    /// Contents that the guest passed on unread, behind `chunks`.
    inflow: Option<Box<Inflow>>,
    contents: Contents,
    /// The trailers, once they are known.
    trailers: Option<Option<Box<HeaderMap>>>,
    failed: Option<ErrorCode>,
    length: ContentLength,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Once it is known.
    fate: Option<Sent>,
    /// Waits for `fate`.
    guest: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nobody has asked for them.
    Unsent,
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
        wake(reader);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    /// Tells the body's fate, if that is not known yet; who is to be woken is returned.
    fn tell(&mut self, fate: impl FnOnce() -> Sent) -> Option<Waker> {
        if self.fate.is_none() {
            self.fate = Some(fate());
        }
        self.guest.take()
    }

    /// The chunk that is read next.
    fn next_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.first.take().or_else(|| self.chunks.pop_front())?;
        self.kept = self.kept.saturating_sub(chunk.len());
        Some(chunk)
    }

    /// Adds bytes to the contents, as long as these are as long as promised.
    fn add(&mut self, chunk: Bytes) {
        if self.contents == Contents::Over {
            return;
        }
        if let Err(error) = self.length.add(chunk.len()) {
            return self.fail(error);
        }
        self.kept = self.kept.saturating_add(chunk.len());
        if self.first.is_none() && self.chunks.is_empty() {
            self.first = Some(chunk);
        } else {
            self.chunks.push_back(chunk);
        }
    }

    fn forget_chunks(&mut self) {
        self.first = None;
        self.chunks.clear();
        self.kept = 0;
    }

    fn fail(&mut self, error: ErrorCode) {
        if self.failed.is_none() {
            self.failed = Some(error);
        }
        self.contents = Contents::Over;
        self.forget_chunks();
        self.inflow = None;
    }

    /// Whether everything that there will be is here.
    fn is_complete(&self) -> bool {
        self.contents == Contents::Over && self.inflow.is_none() && self.trailers.is_some()
    }

    /// Whether all contents were read, and were what was promised.
    fn is_over(&self) -> bool {
        let whole = self.failed.is_none() && self.length.finish().is_ok();
        whole && self.is_complete() && self.first.is_none() && self.chunks.is_empty()
    }
}

/// Where the contents of a body are written. To drop it before [`finish`](Self::finish) is to fail.
pub(crate) struct ContentsSender {
    shared: Shared,
    is_done: bool,
}

impl ContentsSender {
    /// Adds as many bytes as there is room for, and says how many; waits until there is room for some. `None` if nobody
    /// reads any more.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<usize>> {
        let mut state = self.shared.lock();
        if state.reader_is_gone || state.failed.is_some() {
            return Poll::Ready(None);
        }
        let room = WINDOW.saturating_sub(state.kept);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if !bytes.is_empty() {
            state.add(Bytes::copy_from_slice(bytes));
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Poll::Ready(Some(bytes.len()))
    }

    /// Adds bytes, whether there is room or not.
    pub fn send(&self, bytes: Bytes) {
        self.shared.change(|state| state.add(bytes));
    }

    /// Adds all bytes of another body, and ends.
    pub fn forward(&mut self, inflow: Inflow) {
        self.is_done = true;
        self.shared.change(|state| {
            if state.contents == Contents::Coming && !state.reader_is_gone {
                state.inflow = Some(Box::new(inflow));
            }
            state.contents = Contents::Over;
        });
    }

    /// Ends the contents.
    pub fn finish(&mut self) {
        self.is_done = true;
        self.shared.change(|state| state.contents = Contents::Over);
    }
}

impl Drop for ContentsSender {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.shared.change(|state| {
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
        Ok(trailers) => state.trailers = Some(trailers.map(Box::new)),
        Err(error) => state.fail(error),
    });
}

/// What the sender of a message is told that nobody has sent.
fn dropped() -> ErrorCode {
    ErrorCode::InternalError(Some("the message was dropped before it was sent".to_owned()))
}

/// The guest that was writing is no more.
fn abandoned() -> ErrorCode {
    ErrorCode::InternalError(Some("the component ended before the body did".to_owned()))
}

/// Where a body is read. To drop it ends the writing.
pub(crate) struct BodyReceiver {
    shared: Shared,
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
        let guest = match &frame {
            Some(Ok(_)) => None,
            Some(Err(error)) => state.tell(|| Err(error.clone())),
            None => state.tell(|| Ok(())),
        };
        drop(state);
        wake(writer);
        wake(guest);
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
        let inflow = state.inflow.as_ref();
        let mut hint = inflow.map_or_else(|| SizeHint::with_exact(0), |inflow| inflow.size_hint());
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

    /// The whole body, if it is here, in one piece, and there is nobody to be told that it was read.
    ///
    /// # Errors
    /// If it has failed.
    pub fn gather(&mut self) -> Result<Option<Bytes>, ErrorCode> {
        let Some(state) = Arc::get_mut(&mut self.shared.0) else {
            return self.shared.lock().failed.clone().map_or(Ok(None), Err);
        };
        let state = state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let is_whole = state.is_complete() && state.trailers == Some(None) && state.length.finish().is_ok();
        Ok(if is_whole && state.chunks.is_empty() { state.next_chunk().or(Some(Bytes::new())) } else { None })
    }

    /// Keeps something until the body is dropped.
    pub fn keep(&mut self, kept: Arc<dyn Any + Send + Sync>) {
        self.kept = Some(kept);
    }
}

impl State {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if let Some(error) = self.failed.clone() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(chunk) = self.next_chunk() {
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
                Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(*trailers)))),
                None => Poll::Ready(None),
            },
            _ => Poll::Pending,
        }
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        if Arc::strong_count(&self.shared.0) == 1 {
            // There is nobody to be told.
            return;
        }
        let mut state = self.shared.lock();
        state.reader_is_gone = true;
        let fate = match &state.failed {
            Some(error) => Err(error.clone()),
            None if state.is_over() => Ok(()),
            None if state.contents == Contents::Unsent => Err(dropped()),
            None => Err(ErrorCode::ConnectionTerminated),
        };
        let guest = state.tell(|| fate);
        state.forget_chunks();
        let (writer, inflow) = (state.writer.take(), state.inflow.take());
        drop(state);
        drop(inflow);
        wake(writer);
        wake(guest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body whose contents are `chunks`, and its fate.
    fn body(chunks: &[&'static [u8]]) -> (BodyReceiver, Fate) {
        let (body, fate) = Outgoing::new();
        let (mut contents, trailers, receiver) = body.send(ContentLength::none(Direction::Response));
        for chunk in chunks {
            let sent = contents.poll_send(&mut Context::from_waker(Waker::noop()), chunk);
            assert_eq!(sent, Poll::Ready(Some(chunk.len())));
        }
        contents.finish();
        trailers.finish(Ok(None));
        (receiver, fate)
    }

    #[test]
    fn bodies_that_are_whole_and_that_nobody_asks_after_are_gathered() {
        let (mut receiver, fate) = body(&[b"one"]);
        assert_eq!(receiver.gather(), Ok(None), "the guest may want to know what became of it");
        drop(fate);
        assert_eq!(receiver.gather(), Ok(Some(Bytes::from_static(b"one"))));
        let (mut receiver, fate) = body(&[]);
        drop(fate);
        assert_eq!(receiver.gather(), Ok(Some(Bytes::new())));
        let (mut receiver, fate) = body(&[b"one", b"two"]);
        drop(fate);
        assert_eq!(receiver.gather(), Ok(None), "it would have to be copied");
        assert_eq!(receiver.size_hint().exact(), Some(6));
    }

    #[test]
    fn bodies_that_come_still_or_have_failed_are_not_gathered() {
        let (body, fate) = Outgoing::new();
        let (contents, trailers, mut receiver) = body.send(ContentLength::none(Direction::Response));
        contents.send(Bytes::from_static(b"one"));
        drop(fate);
        assert_eq!(receiver.gather(), Ok(None));
        drop((contents, trailers));
        assert_eq!(receiver.gather(), Err(abandoned()));
    }
}
