//! Waiting for descriptors: the one place where the crate meets tokio's reactor.
//!
//! Whatever is to be done with a descriptor is tried at once. Only when that would block is the descriptor made known
//! to the reactor, and stays known to it until it is closed.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(crate) fn interest(self) -> Interest {
        match self {
            Direction::In => Interest::READABLE,
            Direction::Out => Interest::WRITABLE,
        }
    }
}

/// A descriptor that can be waited for.
#[derive(Debug)]
pub(crate) struct Watched {
    descriptor: Arc<OwnedFd>,
    interest: Interest,
    /// What the reactor knows it by, once somebody had to wait, or why it does not take it.
    registration: OnceLock<Result<AsyncFd<Arc<OwnedFd>>, Errno>>,
}

impl Watched {
    /// Watches `descriptor` for nothing but `interest`.
    pub(crate) fn new(descriptor: Arc<OwnedFd>, interest: Interest) -> Self {
        Watched { descriptor, interest, registration: OnceLock::new() }
    }

    /// Says whether the descriptor is ready now, or has ended or failed, which a transfer then tells.
    pub(crate) fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        let flags = if direction == Direction::In { PollFlags::IN } else { PollFlags::OUT };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = retry_on_intr(|| {
            poll(&mut [PollFd::from_borrowed_fd(self.descriptor.as_fd(), flags)], Some(&now))
        });
        Ok(ready? > 0)
    }

    /// Waits until the descriptor is ready.
    pub(crate) fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_until(direction, cx, |_| match self.is_ready(direction)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// Calls `attempt` until it answers something else than that it would block, waiting in between.
    ///
    /// For each direction, only the latest caller is woken.
    pub(crate) fn poll_until<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        // Most of the time there is no need to wait, nor to bother the reactor.
        match attempt(self.descriptor.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return Poll::Ready(answer),
        }
        let registration = self.registration()?;
        loop {
            let mut guard = ready!(match direction {
                Direction::In => registration.poll_read_ready(cx),
                Direction::Out => registration.poll_write_ready(cx),
            })?;
            // The reactor reports each change once. Only a look that comes after its report and finds nothing
            // may take the report off.
            match attempt(self.descriptor.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                answer => return Poll::Ready(answer),
            }
        }
    }

    /// As [`Watched::poll_until`], for any number of callers at once.
    pub(crate) async fn until<R>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        match attempt(self.descriptor.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return answer,
        }
        let registration = self.registration()?;
        loop {
            let mut guard = registration.ready(direction.interest()).await?;
            match attempt(self.descriptor.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                answer => return answer,
            }
        }
    }

    fn registration(&self) -> io::Result<&AsyncFd<Arc<OwnedFd>>> {
        if self.registration.get().is_none() && Handle::try_current().is_err() {
            return Err(io::Error::other("waiting for streams and sockets needs a tokio runtime"));
        }
        let register = || {
            register(self.descriptor.clone(), self.interest)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        self.registration.get_or_init(register).as_ref().map_err(|errno| (*errno).into())
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe on behalf of types whose descriptor changes, unlike this one"
)]
fn register(descriptor: Arc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(descriptor, interest)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn waiting_for_a_pipe() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let watched = Watched::new(Arc::new(read), Interest::READABLE);
        let waiting = poll_fn(|cx| watched.poll_ready(Direction::In, cx));
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        rustix::io::write(&write, b"x").unwrap();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn several_wait_for_one_descriptor() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&read, true).unwrap();
        let watched = Arc::new(Watched::new(Arc::new(read), Interest::READABLE));
        let wait = || {
            let watched = watched.clone();
            tokio::spawn(async move {
                watched.until(Direction::In, |fd| Ok(rustix::io::read(fd, &mut [0; 1])?)).await.unwrap()
            })
        };
        let (one, two) = (wait(), wait());
        tokio::time::sleep(Duration::from_millis(5)).await;
        rustix::io::write(&write, b"xy").unwrap();
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 1));
    }
}
