//! Files and directories as streams.
//!
//! What would block goes to the blocking pool with a buffer of its own, one piece at a time.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::blocking::{Blocking, Job, PooledRead, PooledWrite, TRANSFER_LIMIT, Workers};
use crate::bytes::{Input, Output};

use super::{Descriptor, DirectoryEntry, Entries, ErrorCode, Object, Position, Result};

/// A file being read from an offset on.
pub struct FileReader {
    object: Arc<dyn Object>,
    offset: u64,
    workers: Workers,
    pooled: PooledRead<ErrorCode>,
}

impl FileReader {
    /// Begins to read at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Descriptor::readable`].
    pub fn new(descriptor: &Descriptor, offset: u64, workers: &Workers) -> Result<Self> {
        let object = descriptor.readable()?;
        Ok(FileReader { object, offset, workers: workers.clone(), pooled: PooledRead::default() })
    }
}

impl Input for FileReader {
    type Error = ErrorCode;

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        if !self.pooled.is_active() {
            match self.object.read_at(buffer, self.offset, self.workers.blocking()) {
                Err(ErrorCode::WouldBlock) => {
                    let (object, offset) = (self.object.clone(), self.offset);
                    let read = move |buffer: &mut [u8]| object.read_at(buffer, offset, Blocking::Allow);
                    self.pooled.start(&self.workers, buffer.len(), read);
                }
                read => {
                    let length = read?;
                    self.offset = self.offset.saturating_add(length as u64);
                    return Poll::Ready(Ok(length));
                }
            }
        }
        let length = ready!(self.pooled.poll(cx, buffer))?;
        self.offset = self.offset.saturating_add(length as u64);
        Poll::Ready(Ok(length))
    }
}

/// A file being written from an offset on, or at its end.
///
/// A write is over when the kernel has the bytes, so that whoever looks at the file afterwards sees them.
pub struct FileWriter {
    object: Arc<dyn Object>,
    position: Position,
    workers: Workers,
    pooled: PooledWrite<ErrorCode>,
    copying: Option<Job<Result<usize>>>,
}

impl FileWriter {
    /// Begins to write at `position`.
    ///
    /// # Errors
    ///
    /// As [`Descriptor::writable`].
    pub fn new(descriptor: &Descriptor, position: Position, workers: &Workers) -> Result<Self> {
        let object = descriptor.writable(position)?;
        Ok(FileWriter {
            object,
            position,
            workers: workers.clone(),
            pooled: PooledWrite::default(),
            copying: None,
        })
    }

    /// Counts what was copied, if anything was.
    fn carried(&mut self, reader: &mut FileReader, copied: Result<usize>) -> bool {
        let length = copied.unwrap_or(0);
        reader.offset = reader.offset.saturating_add(length as u64);
        self.wrote(length).is_ok()
    }

    /// Counts what was written.
    fn wrote(&mut self, length: usize) -> Result<usize> {
        if let Position::At(offset) = &mut self.position {
            *offset = offset.saturating_add(length as u64);
        }
        // Nothing written and no error: it would go on like this for ever.
        if length == 0 { Err(ErrorCode::Io) } else { Ok(length) }
    }
}

impl Output for FileWriter {
    type Error = ErrorCode;

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        loop {
            // Bytes that are not wanted any more make way for those that are: the position has not moved on.
            if let Some(length) = ready!(self.pooled.poll(cx, bytes))? {
                return Poll::Ready(self.wrote(length));
            }
            match self.object.write_at(bytes, self.position, self.workers.blocking()) {
                Err(ErrorCode::WouldBlock) => {
                    let (object, position) = (self.object.clone(), self.position);
                    let write = move |bytes: &[u8]| object.write_at(bytes, position, Blocking::Allow);
                    self.pooled.start(&self.workers, bytes, write);
                }
                written => return Poll::Ready(written.and_then(|length| self.wrote(length))),
            }
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pooled.poll_finish(cx)
    }

    /// From file to file.
    fn poll_carry(&mut self, cx: &mut Context<'_>, origin: &mut dyn Any) -> Poll<bool> {
        let Some(reader) = origin.downcast_mut::<FileReader>() else { return Poll::Ready(false) };
        let job = match &mut self.copying {
            Some(job) => job,
            None => {
                let (source, offset) = (reader.object.clone(), reader.offset);
                let (target, position) = (self.object.clone(), self.position);
                let copy =
                    move |blocking| target.copy_from(position, &*source, offset, TRANSFER_LIMIT, blocking);
                match copy(self.workers.blocking()) {
                    Err(ErrorCode::WouldBlock) => {}
                    copied => return Poll::Ready(self.carried(reader, copied)),
                }
                self.copying.insert(self.workers.spawn(move || copy(Blocking::Allow)))
            }
        };
        let copied = ready!(job.poll(cx));
        self.copying = None;
        Poll::Ready(self.carried(reader, copied.unwrap_or(Err(ErrorCode::Io))))
    }
}

/// A directory being listed.
pub struct DirectoryReader {
    descriptor: Descriptor,
    workers: Workers,
    entries: Option<Box<dyn Entries>>,
    job: Option<Job<Batch>>,
}

type Batch = Result<(Box<dyn Entries>, Vec<DirectoryEntry>)>;

impl DirectoryReader {
    /// Begins to list a directory.
    pub fn new(descriptor: Descriptor, workers: &Workers) -> Self {
        DirectoryReader { descriptor, workers: workers.clone(), entries: None, job: None }
    }

    /// Gives the next few entries, none at the end.
    ///
    /// # Errors
    ///
    /// As [`Descriptor::entries`] and [`Entries::next_batch`]. The listing is over then.
    ///
    /// # Cancel safety
    ///
    /// `Pending` loses nothing.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<DirectoryEntry>>> {
        if self.job.is_none() {
            let begun = match self.entries.take() {
                Some(entries) => Ok(entries),
                None => self.descriptor.entries(self.workers.blocking()),
            };
            let entries = match begun {
                Ok(mut entries) => {
                    let mut batch = Vec::new();
                    match entries.next_batch(&mut batch, self.workers.blocking()) {
                        Err(ErrorCode::WouldBlock) => Some(entries),
                        result => {
                            self.entries = Some(entries);
                            return Poll::Ready(result.map(|()| batch));
                        }
                    }
                }
                Err(ErrorCode::WouldBlock) => None,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let descriptor = self.descriptor.clone();
            self.job = Some(self.workers.spawn(move || next_batch(entries, &descriptor)));
        }
        let Some(job) = &mut self.job else { return Poll::Ready(Err(ErrorCode::Io)) };
        let result = ready!(job.poll(cx));
        self.job = None;
        let (entries, batch) = result??;
        self.entries = Some(entries);
        Poll::Ready(Ok(batch))
    }
}

fn next_batch(entries: Option<Box<dyn Entries>>, descriptor: &Descriptor) -> Batch {
    let mut entries = match entries {
        Some(entries) => entries,
        None => descriptor.entries(Blocking::Allow)?,
    };
    let mut batch = Vec::new();
    entries.next_batch(&mut batch, Blocking::Allow)?;
    Ok((entries, batch))
}
