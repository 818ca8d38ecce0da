//! Where bytes come from and where they go: the traits that stdio, files and sockets share.
//!
//! Both traits are polled with a buffer that belongs to somebody else, usually a guest's own memory, so that a
//! read system call fills it and a write system call drains it without a copy in between.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fd::OwnedFd;

/// A source of bytes.
///
/// # Cancel safety
///
/// `Pending` means that nothing was lost: whatever an implementation already took from its source it keeps for the
/// next call, which may come much later, with another buffer, or never.
pub trait Input: Send + Unpin + 'static {
    /// What reading can fail with.
    type Error;

    /// Waits until a read would give bytes, the end or an error at once.
    ///
    /// An implementation that cannot tell says that it is ready.
    ///
    /// # Errors
    ///
    /// As [`Input::poll_read`].
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Reads at least one byte and at most `buffer.len()`, or 0 at the end. `buffer` is not empty.
    ///
    /// # Errors
    ///
    /// After an error the input is not read again.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Self::Error>>;

    /// The pipe of the operating system's that is read, if that is all there is to the input: what is taken from it
    /// directly need not be read here.
    fn pipe(&self) -> Option<Arc<OwnedFd>> {
        None
    }
}

/// A sink for bytes.
///
/// # Cancel safety
///
/// `Pending` from [`Output::poll_write`] means that the bytes still belong to the caller. It may offer the same
/// ones again, or others, or none.
pub trait Output: Send + Unpin + 'static {
    /// What writing can fail with.
    type Error;

    /// Waits until a write would take bytes or fail at once.
    ///
    /// An implementation that cannot tell says that it is ready.
    ///
    /// # Errors
    ///
    /// As [`Output::poll_write`].
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Writes at least one byte of `bytes`, which is not empty, and says how many.
    ///
    /// # Errors
    ///
    /// After an error the output is not written again.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Self::Error>>;

    /// Waits until everything that was taken has reached its place.
    ///
    /// # Errors
    ///
    /// What became of bytes that were taken earlier.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Carries bytes from where the input `origin` has them to where this output puts them, without their passing through
    /// here: an [`Input`] of any type, or something else. Ready with `false` when nothing was or will be carried so: then
    /// the bytes are read and written, which also tells their end, and whose an error is.
    fn poll_carry(&mut self, _cx: &mut Context<'_>, _origin: &mut dyn Any) -> Poll<bool> {
        Poll::Ready(false)
    }
}

impl<I: Input + ?Sized> Input for Box<I> {
    type Error = I::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        (**self).poll_ready(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, I::Error>> {
        (**self).poll_read(cx, buffer)
    }

    fn pipe(&self) -> Option<Arc<OwnedFd>> {
        (**self).pipe()
    }
}

impl<O: Output + ?Sized> Output for Box<O> {
    type Error = O::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        (**self).poll_ready(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, O::Error>> {
        (**self).poll_write(cx, bytes)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        (**self).poll_finish(cx)
    }

    fn poll_carry(&mut self, cx: &mut Context<'_>, origin: &mut dyn Any) -> Poll<bool> {
        (**self).poll_carry(cx, origin)
    }
}
