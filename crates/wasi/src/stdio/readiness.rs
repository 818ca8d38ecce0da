//! A descriptor that others share, and waiting until it can be read or written.
//!
//! The host's standard streams are shared with other processes, the shell among them, so they are never made
//! non-blocking: that is a property of what is open, and would hit the others too. A transfer is made with
//! `RWF_NOWAIT`, which is a property of the call; where the kernel does not take that, after `poll` has said that
//! it will not wait.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// A descriptor that others share.
#[derive(Debug)]
pub(super) struct Watched {
    descriptor: Arc<OwnedFd>,
    interest: Interest,
    /// What the reactor knows it by, once somebody had to wait.
    registration: Option<AsyncFd<Arc<OwnedFd>>>,
    /// The kernel takes `RWF_NOWAIT`, as far as is known.
    nowait: bool,
}

/// What is known about a descriptor's ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file, or a device that is as good as one: it is always ready, and may take its time all the same.
    File,
    /// A pipe or a socket.
    Pipe,
    /// A terminal.
    Terminal,
}

/// How a transfer keeps from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It asks the kernel to, by `RWF_NOWAIT`.
    Nowait,
    /// The descriptor is ready: a read does not wait, nor does a write of up to `PIPE_BUF` bytes.
    Ready,
}

impl Kind {
    pub(super) fn of(descriptor: impl AsFd) -> Kind {
        match rustix::fs::fstat(&descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Fifo | FileType::Socket) => Kind::Pipe,
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(&descriptor) => Kind::Terminal,
            _ => Kind::File,
        }
    }
}

impl Watched {
    pub(super) fn new(descriptor: Arc<OwnedFd>, interest: Interest) -> Self {
        Watched { descriptor, interest, registration: None, nowait: true }
    }

    /// Says whether the descriptor is ready now, or has ended or failed, which a read or write then tells.
    fn is_ready(&self) -> io::Result<bool> {
        let flags = if self.interest.is_readable() { PollFlags::IN } else { PollFlags::OUT };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = retry_on_intr(|| {
            poll(&mut [PollFd::from_borrowed_fd(self.descriptor.as_fd(), flags)], Some(&now))
        });
        Ok(ready? > 0)
    }

    /// Waits until the descriptor is ready.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_until(cx, |watched| match watched.is_ready()? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// Waits until a transfer is made, in the way that it is told.
    pub(super) fn poll_transfer(
        &mut self,
        cx: &mut Context<'_>,
        mut transfer: impl FnMut(BorrowedFd<'_>, Way) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_until(cx, |watched| {
            let descriptor = watched.descriptor.as_fd();
            if watched.nowait {
                match retry_on_intr(|| transfer(descriptor, Way::Nowait)) {
                    Err(Errno::OPNOTSUPP) => watched.nowait = false,
                    moved => return Ok(moved?),
                }
            }
            match watched.is_ready()? {
                true => Ok(retry_on_intr(|| transfer(descriptor, Way::Ready))?),
                false => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    /// Calls `attempt` until it answers something else than that it would block, waiting in between.
    fn poll_until<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut Watched) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        // Most of the time there is no need to wait, nor to bother the reactor.
        match attempt(self) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return Poll::Ready(answer),
        }
        let registration = match self.registration.take() {
            Some(registration) => registration,
            None if Handle::try_current().is_ok() => register(self.descriptor.clone(), self.interest)?,
            None => return Poll::Ready(Err(io::Error::other("standard streams need a tokio runtime"))),
        };
        let answer = loop {
            let ready = match self.interest.is_readable() {
                true => registration.poll_read_ready(cx),
                false => registration.poll_write_ready(cx),
            };
            let mut guard = match ready {
                Poll::Ready(Ok(guard)) => guard,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            };
            // The reactor reports each change once. Only a look that comes after its report and finds nothing
            // may take the report off.
            match attempt(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                answer => break Poll::Ready(answer),
            }
        };
        self.registration = Some(registration);
        answer
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
    use super::*;

    #[tokio::test]
    async fn waiting_for_a_pipe() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut watched = Watched::new(Arc::new(read), Interest::READABLE);
        let waiting = std::future::poll_fn(|cx| watched.poll_ready(cx));
        tokio::pin!(waiting);
        let patience = std::time::Duration::from_millis(5);
        assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
        rustix::io::write(&write, b"x").unwrap();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_kernel_that_does_not_know_of_nowait() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut reader = Watched::new(Arc::new(read), Interest::READABLE);
        let mut writer = Watched::new(Arc::new(write), Interest::WRITABLE);
        let transfers = async |watched: &mut Watched, buffer: &mut [u8]| {
            std::future::poll_fn(|cx| {
                let polled = watched.poll_transfer(cx, |descriptor, way| match way {
                    Way::Nowait => Err(Errno::OPNOTSUPP),
                    Way::Ready if watched_reads(descriptor) => rustix::io::read(descriptor, &mut *buffer),
                    Way::Ready => rustix::io::write(descriptor, buffer),
                });
                Poll::Ready(polled)
            })
            .await
        };
        let mut buffer = [0; rustix::pipe::PIPE_BUF];
        assert!(transfers(&mut reader, &mut buffer).await.is_pending());
        let mut written = 0;
        while let Poll::Ready(length) = transfers(&mut writer, &mut buffer).await {
            written += length.unwrap();
        }
        assert!(written > 0 && !writer.nowait);
        while written > 0 {
            let Poll::Ready(length) = transfers(&mut reader, &mut buffer).await else { panic!() };
            written -= length.unwrap();
        }
    }

    fn watched_reads(descriptor: BorrowedFd<'_>) -> bool {
        !rustix::fs::fcntl_getfl(descriptor).unwrap().contains(rustix::fs::OFlags::WRONLY)
    }

    #[test]
    fn kinds() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert_eq!(Kind::of(&read), Kind::Pipe);
        assert_eq!(Kind::of(tempfile::tempfile().unwrap()), Kind::File);
        assert_eq!(Kind::of(std::fs::File::open("/dev/null").unwrap()), Kind::File);
    }
}
