//! One stream used from several places.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use rustix::fd::OwnedFd;

use crate::bytes::{Input, Output};

use super::{InputSource, OutputTarget};

/// An [`Input`] or [`Output`] that is used from several places, one call at a time. Clones are the same stream.
#[derive(Debug)]
pub struct Shared<S>(Arc<Inner<S>>);

#[derive(Debug)]
struct Inner<S> {
    stream: Mutex<S>,
    waiting: Arc<Waiting>,
    is_terminal: bool,
}

/// Whoever waits for the stream. The stream knows one waker, this one, which wakes all of them.
#[derive(Debug, Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl<S> Shared<S> {
    /// Shares a stream.
    pub fn new(stream: S) -> Self {
        Shared::with_terminal(stream, false)
    }

    /// Shares a stream and says whether it is a terminal.
    pub(super) fn with_terminal(stream: S, is_terminal: bool) -> Self {
        Shared(Arc::new(Inner { stream: Mutex::new(stream), waiting: Arc::default(), is_terminal }))
    }

    /// Polls the stream on behalf of one of the places.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        self.0.waiting.join(cx.waker());
        let waker = Waker::from(self.0.waiting.clone());
        let mut stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let result = ready!(poll(&mut stream, &mut Context::from_waker(&waker)));
        self.0.waiting.leave(cx.waker());
        Poll::Ready(result)
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl Waiting {
    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, waker: &Waker) {
        let mut wakers = self.wakers();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn leave(&self, waker: &Waker) {
        self.wakers().retain(|other| !other.will_wake(waker));
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *self.wakers());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<I: Input> Input for Shared<I> {
    type Error = I::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.poll(cx, |input, cx| input.poll_ready(cx))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, I::Error>> {
        self.poll(cx, |input, cx| input.poll_read(cx, buffer))
    }

    fn pipe(&self) -> Option<Arc<OwnedFd>> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner).pipe()
    }
}

impl<O: Output> Output for Shared<O> {
    type Error = O::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        self.poll(cx, |output, cx| output.poll_ready(cx))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, O::Error>> {
        self.poll(cx, |output, cx| output.poll_write(cx, bytes))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        self.poll(cx, |output, cx| output.poll_finish(cx))
    }

    fn poll_carry(&mut self, cx: &mut Context<'_>, origin: &mut dyn Any) -> Poll<bool> {
        self.poll(cx, |output, cx| output.poll_carry(cx, origin))
    }
}

impl<I: Input<Error = io::Error>> InputSource for Shared<I> {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        Box::new(self.clone())
    }

    fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }
}

impl<O: Output<Error = io::Error>> OutputTarget for Shared<O> {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        Box::new(self.clone())
    }

    fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }
}
