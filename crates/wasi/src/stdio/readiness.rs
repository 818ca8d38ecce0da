//! A descriptor that others share, and transfers through it that never wait.
//!
//! The host's standard streams are shared with other processes, the shell among them, so they are never made
//! non-blocking: that is a property of what is open, and would hit the others too. A transfer is made with
//! `RWF_NOWAIT`, which is a property of the call; where the kernel does not take that, after `poll` has said that
//! it will not wait.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};

use crate::reactor::{self, Direction};

/// A descriptor that others share.
#[derive(Debug)]
pub(super) struct Watched {
    inner: reactor::Watched,
    direction: Direction,
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
    pub(super) fn new(descriptor: Arc<OwnedFd>, direction: Direction) -> Self {
        Watched { inner: reactor::Watched::new(descriptor, direction.interest()), direction, nowait: true }
    }

    /// Waits until the descriptor is ready.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(self.direction, cx)
    }

    /// Waits until a transfer is made, in the way that it is told.
    pub(super) fn poll_transfer(
        &mut self,
        cx: &mut Context<'_>,
        mut transfer: impl FnMut(BorrowedFd<'_>, Way) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Watched { inner, direction, nowait } = self;
        inner.poll_until(*direction, cx, |descriptor| {
            if *nowait {
                match retry_on_intr(|| transfer(descriptor, Way::Nowait)) {
                    Err(Errno::OPNOTSUPP) => *nowait = false,
                    moved => return Ok(moved?),
                }
            }
            match inner.is_ready(*direction)? {
                true => Ok(retry_on_intr(|| transfer(descriptor, Way::Ready))?),
                false => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kernel_that_does_not_know_of_nowait() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut reader = Watched::new(Arc::new(read), Direction::In);
        let mut writer = Watched::new(Arc::new(write), Direction::Out);
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
