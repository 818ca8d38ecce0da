//! Transfers that may block, on worker threads with buffers of their own.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Job, Workers};

/// How many bytes one transfer moves at most.
const BUFFER_LIMIT: usize = 256 << 10;

/// Reads on worker threads, one after the other.
pub(crate) struct PooledRead<E> {
    job: Option<Job<Result<Vec<u8>, E>>>,
    /// What the last one read, and how much of it was handed on.
    read: Vec<u8>,
    taken: usize,
}

impl<E> Default for PooledRead<E> {
    fn default() -> Self {
        PooledRead { job: None, read: Vec::new(), taken: 0 }
    }
}

impl<E: From<io::Error> + Send + 'static> PooledRead<E> {
    /// Whether there is a read under way, or bytes of one to hand on: to be polled before anything else is read.
    pub(crate) fn is_active(&self) -> bool {
        self.job.is_some() || !self.read.is_empty()
    }

    /// Starts to read up to `length` bytes with `work`, which fills a buffer.
    pub(crate) fn start(
        &mut self,
        workers: &Workers,
        length: usize,
        work: impl FnOnce(&mut [u8]) -> Result<usize, E> + Send + 'static,
    ) {
        let length = length.min(BUFFER_LIMIT);
        self.job = Some(workers.spawn(move || {
            let mut buffer = vec![0; length];
            let length = work(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        }));
    }

    /// Waits for the read and hands on what of it fits, 0 bytes at the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, E>> {
        if let Some(job) = &mut self.job {
            let finished = ready!(job.poll(cx));
            self.job = None;
            self.read = finished??;
        }
        let mut rest = self.read.get(self.taken..).unwrap_or_default();
        let length = io::Read::read(&mut rest, buffer)?;
        self.taken += length;
        if self.taken >= self.read.len() {
            (self.read, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(length))
    }
}

/// Writes on worker threads, one after the other, all of them for one stream.
///
/// The bytes stay their owner's until the write is done, and the owner may cancel a write meanwhile. So what a write
/// did counts only if the owner still offers the same bytes when it is done.
pub(crate) struct PooledWrite<E> {
    job: Option<Job<Written<E>>>,
    /// The last one's buffer, for the next one.
    spare: Vec<u8>,
}

/// A buffer, and how much of it was written.
type Written<E> = (Vec<u8>, Result<usize, E>);

impl<E> Default for PooledWrite<E> {
    fn default() -> Self {
        PooledWrite { job: None, spare: Vec::new() }
    }
}

impl<E: From<io::Error> + Send + 'static> PooledWrite<E> {
    /// Starts to write `bytes`, or as many as fit, with `work`.
    pub(crate) fn start(
        &mut self,
        workers: &Workers,
        bytes: &[u8],
        work: impl FnOnce(&[u8]) -> Result<usize, E> + Send + 'static,
    ) {
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.clear();
        buffer.extend_from_slice(bytes.get(..BUFFER_LIMIT).unwrap_or(bytes));
        self.job = Some(workers.spawn(move || {
            let written = work(&buffer);
            (buffer, written)
        }));
    }

    /// Waits for the write under way and says how many of `bytes` it wrote. `None` if it was for other bytes, or
    /// there is none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<Option<usize>, E>> {
        let Some(job) = &mut self.job else { return Poll::Ready(Ok(None)) };
        let finished = ready!(job.poll(cx));
        self.job = None;
        let (buffer, written) = finished?;
        let written = written?;
        let still_wanted = buffer.get(..written).is_some_and(|done| bytes.starts_with(done));
        self.spare = buffer;
        Poll::Ready(Ok(still_wanted.then_some(written)))
    }

    /// Waits for the write, if there is one.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.poll(cx, &[]).map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_read_is_handed_on_in_pieces() {
        let mut read = PooledRead::<io::Error>::default();
        read.start(&Workers::default(), 100, |buffer| {
            buffer[..5].copy_from_slice(b"hello");
            Ok(5)
        });
        let mut buffer = [0; 3];
        assert_eq!(poll_fn(|cx| read.poll(cx, &mut buffer)).await.unwrap(), 3);
        assert!(read.is_active());
        assert_eq!(poll_fn(|cx| read.poll(cx, &mut buffer)).await.unwrap(), 2);
        assert_eq!(&buffer[..2], b"lo");
        assert!(!read.is_active());
    }

    #[tokio::test]
    async fn a_write_that_was_cancelled_does_not_count_for_other_bytes() {
        let mut write = PooledWrite::<io::Error>::default();
        write.start(&Workers::default(), b"abc", |bytes| Ok(bytes.len()));
        assert_eq!(poll_fn(|cx| write.poll(cx, b"abcd")).await.unwrap(), Some(3));
        write.start(&Workers::default(), b"abc", |bytes| Ok(bytes.len()));
        assert_eq!(poll_fn(|cx| write.poll(cx, b"xyz")).await.unwrap(), None);
        write.start(&Workers::default(), b"abc", |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(poll_fn(|cx| write.poll_finish(cx)).await.is_err());
    }
}
