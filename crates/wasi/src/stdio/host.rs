//! The host's own standard streams.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, retry_on_intr};
use rustix::pipe::PIPE_BUF;

use crate::blocking::{Blocking, PooledRead, PooledWrite, TRANSFER_LIMIT, Workers};
use crate::bytes::{Input, Output};
use crate::reactor::Direction;

use super::carry;
use super::readiness::{Kind, Watched, Way};
use super::{InputSource, OutputTarget, Shared};

/// Input from a descriptor of the host: a pipe, a socket, a terminal or a file.
pub struct HostInput(Shared<Reader>);

impl HostInput {
    /// Reads the process's standard input.
    pub fn stdin(workers: &Workers) -> Self {
        HostInput::from_duplicate(duplicate(rustix::stdio::stdin()), workers)
    }

    /// Reads a descriptor. [`Workers`] are for files alone: a pipe or a terminal never blocks.
    pub fn new(descriptor: OwnedFd, workers: &Workers) -> Self {
        HostInput::from_duplicate(Ok(Arc::new(descriptor)), workers)
    }

    fn from_duplicate(descriptor: Result<Arc<OwnedFd>, Errno>, workers: &Workers) -> Self {
        let kind = descriptor.as_ref().map_or(Kind::File, Kind::of);
        let source = descriptor.map(|descriptor| Source {
            watched: Watched::new(descriptor.clone(), Direction::In),
            descriptor,
            kind,
            workers: workers.clone(),
            pooled: PooledRead::default(),
        });
        HostInput(Shared::with_terminal(Reader(source), kind == Kind::Terminal))
    }
}

impl InputSource for HostInput {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        self.0.open()
    }

    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

/// What is there to read, unless the process was started without.
struct Reader(Result<Source, Errno>);

struct Source {
    descriptor: Arc<OwnedFd>,
    watched: Watched,
    kind: Kind,
    workers: Workers,
    pooled: PooledRead<io::Error>,
}

impl Reader {
    fn source(&mut self) -> io::Result<&mut Source> {
        self.0.as_mut().map_err(|errno| (*errno).into())
    }
}

impl Input for Reader {
    type Error = io::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.source()?;
        match source.kind {
            Kind::File => Poll::Ready(Ok(())),
            Kind::Pipe | Kind::Terminal => source.watched.poll_ready(cx),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.source()?;
        match source.kind {
            Kind::File => source.poll_read_file(cx, buffer),
            Kind::Pipe | Kind::Terminal => {
                let buffer = limited(buffer);
                source.watched.poll_transfer(cx, |descriptor, way| match way {
                    Way::Nowait => read_with(descriptor, buffer, ReadWriteFlags::NOWAIT),
                    Way::Ready => rustix::io::read(descriptor, &mut *buffer),
                })
            }
        }
    }

    fn pipe(&self) -> Option<Arc<OwnedFd>> {
        self.0
            .as_ref()
            .ok()
            .map(|source| &source.descriptor)
            .filter(|descriptor| is_pipe(descriptor))
            .cloned()
    }
}

impl Source {
    fn poll_read_file(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.pooled.is_active() {
            let buffer = limited(&mut *buffer);
            let flags = match self.workers.blocking() {
                Blocking::Avoid => ReadWriteFlags::NOWAIT,
                Blocking::Allow => ReadWriteFlags::empty(),
            };
            match retry_on_intr(|| read_with(self.descriptor.as_fd(), buffer, flags)) {
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => {}
                read => return Poll::Ready(Ok(read?)),
            }
            let descriptor = self.descriptor.clone();
            self.pooled.start(&self.workers, buffer.len(), move |buffer| {
                Ok(retry_on_intr(|| rustix::io::read(&descriptor, &mut *buffer))?)
            });
        }
        self.pooled.poll(cx, buffer)
    }
}

/// Output to a descriptor of the host: a pipe, a socket, a terminal or a file.
///
/// Nothing is buffered: what a guest was told is written is with the kernel.
pub struct HostOutput {
    target: Result<Target, Errno>,
    kind: Kind,
}

#[derive(Clone)]
struct Target {
    descriptor: Arc<OwnedFd>,
    watched: Shared<Watched>,
    workers: Workers,
}

impl HostOutput {
    /// Writes the process's standard output.
    pub fn stdout(workers: &Workers) -> Self {
        HostOutput::from_duplicate(duplicate(rustix::stdio::stdout()), workers)
    }

    /// Writes the process's standard error.
    pub fn stderr(workers: &Workers) -> Self {
        HostOutput::from_duplicate(duplicate(rustix::stdio::stderr()), workers)
    }

    /// Writes a descriptor. [`Workers`] are for files and terminals: a pipe never blocks.
    pub fn new(descriptor: OwnedFd, workers: &Workers) -> Self {
        HostOutput::from_duplicate(Ok(Arc::new(descriptor)), workers)
    }

    fn from_duplicate(descriptor: Result<Arc<OwnedFd>, Errno>, workers: &Workers) -> Self {
        let kind = descriptor.as_ref().map_or(Kind::File, Kind::of);
        let target = descriptor.map(|descriptor| Target {
            watched: Shared::new(Watched::new(descriptor.clone(), Direction::Out)),
            descriptor,
            workers: workers.clone(),
        });
        HostOutput { target, kind }
    }
}

impl OutputTarget for HostOutput {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        Box::new(Writer { target: self.target.clone(), kind: self.kind, pooled: PooledWrite::default() })
    }

    fn is_terminal(&self) -> bool {
        self.kind == Kind::Terminal
    }
}

/// One of the streams to an output.
struct Writer {
    target: Result<Target, Errno>,
    kind: Kind,
    pooled: PooledWrite<io::Error>,
}

impl Writer {
    fn target(&self) -> io::Result<&Target> {
        self.target.as_ref().map_err(|errno| (*errno).into())
    }
}

impl Output for Writer {
    type Error = io::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let target = self.target()?;
        match self.kind {
            Kind::Pipe => target.watched.poll(cx, |watched, cx| watched.poll_ready(cx)),
            Kind::File | Kind::Terminal => Poll::Ready(Ok(())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..TRANSFER_LIMIT).unwrap_or(bytes);
        let written = match self.kind {
            Kind::Pipe => ready!(self.target()?.watched.poll(cx, |watched, cx| {
                watched.poll_transfer(cx, |descriptor, way| match way {
                    Way::Nowait => write_with(descriptor, bytes, ReadWriteFlags::NOWAIT),
                    Way::Ready => rustix::io::write(descriptor, bytes.get(..PIPE_BUF).unwrap_or(bytes)),
                })
            }))?,
            Kind::File | Kind::Terminal => ready!(self.poll_write_file(cx, bytes))?,
        };
        match written {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            length => Poll::Ready(Ok(length)),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pooled.poll_finish(cx)
    }

    fn poll_carry(&mut self, cx: &mut Context<'_>, origin: &mut dyn Any) -> Poll<bool> {
        let Some(input) = origin.downcast_mut::<Box<dyn Input<Error = io::Error>>>() else {
            return Poll::Ready(false);
        };
        let to = self.target.as_ref().ok().map(|target| target.descriptor.clone()).filter(|to| is_pipe(to));
        match (input.pipe(), to) {
            (Some(from), Some(to)) => carry::poll_carry(cx, (&from, input), (&to, self)),
            _ => Poll::Ready(false),
        }
    }
}

/// Whether it is a pipe, and not a socket, which would be watched in the same way.
fn is_pipe(descriptor: impl AsFd) -> bool {
    fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

impl Writer {
    fn poll_write_file(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(written) = ready!(self.pooled.poll(cx, bytes))? {
                return Poll::Ready(Ok(written));
            }
            let target = self.target()?;
            let flags = match target.workers.blocking() {
                Blocking::Avoid => ReadWriteFlags::NOWAIT,
                Blocking::Allow => ReadWriteFlags::empty(),
            };
            match retry_on_intr(|| write_with(target.descriptor.as_fd(), bytes, flags)) {
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => {}
                written => return Poll::Ready(Ok(written?)),
            }
            let (descriptor, workers) = (target.descriptor.clone(), target.workers.clone());
            let write = move |bytes: &[u8]| Ok(retry_on_intr(|| rustix::io::write(&descriptor, bytes))?);
            self.pooled.start(&workers, bytes, write);
        }
    }
}

/// Keeps a standard descriptor for itself, whatever the process does to the number.
fn duplicate(descriptor: BorrowedFd<'_>) -> Result<Arc<OwnedFd>, Errno> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, 3).map(Arc::new)
}

fn limited(buffer: &mut [u8]) -> &mut [u8] {
    let length = buffer.len().min(TRANSFER_LIMIT);
    buffer.get_mut(..length).unwrap_or_default()
}

fn read_with(
    descriptor: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: ReadWriteFlags,
) -> rustix::io::Result<usize> {
    preadv2(descriptor, &mut [IoSliceMut::new(buffer)], CURRENT, flags)
}

fn write_with(descriptor: BorrowedFd<'_>, bytes: &[u8], flags: ReadWriteFlags) -> rustix::io::Result<usize> {
    pwritev2(descriptor, &[IoSlice::new(bytes)], CURRENT, flags)
}

/// The offset that stands for the descriptor's own position, or for a stream that has none.
const CURRENT: u64 = u64::MAX;
