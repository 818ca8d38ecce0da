//! Standard streams that are memory of the host.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::bytes::{Input, Output};

use super::{InputSource, OutputTarget, Shared};

/// Standard input from bytes.
#[derive(Clone, Debug)]
pub struct MemoryInput(Shared<Reader>);

#[derive(Debug)]
struct Reader {
    bytes: Vec<u8>,
    position: usize,
}

impl MemoryInput {
    /// Makes an input that gives `bytes` and ends.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        MemoryInput(Shared::new(Reader { bytes: bytes.into(), position: 0 }))
    }
}

impl InputSource for MemoryInput {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        self.0.open()
    }
}

impl Input for Reader {
    type Error = io::Error;

    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = io::Read::read(&mut rest, buffer)?;
        self.position += length;
        Poll::Ready(Ok(length))
    }
}

/// Standard output or error into memory. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct MemoryOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    capacity: usize,
}

impl MemoryOutput {
    /// Makes an output for at most `capacity` bytes. Writing more fails.
    pub fn new(capacity: usize) -> Self {
        MemoryOutput { bytes: Arc::default(), capacity }
    }

    /// Gives what was written so far.
    pub fn contents(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl OutputTarget for MemoryOutput {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        Box::new(self.clone())
    }
}

impl Output for MemoryOutput {
    type Error = io::Error;

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut written = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.capacity.saturating_sub(written.len()).min(bytes.len());
        Poll::Ready(match bytes.get(..room) {
            Some(bytes) if room > 0 => {
                written.extend_from_slice(bytes);
                Ok(room)
            }
            _ => Err(io::ErrorKind::StorageFull.into()),
        })
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_shared_and_ends() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let source = MemoryInput::new("abc");
        let (mut one, mut two) = (source.open(), source.open());
        let mut buffer = [0; 2];
        assert!(matches!(one.poll_read(cx, &mut buffer), Poll::Ready(Ok(2))));
        assert_eq!(&buffer, b"ab");
        assert!(matches!(two.poll_read(cx, &mut buffer), Poll::Ready(Ok(1))));
        assert!(matches!(one.poll_read(cx, &mut buffer), Poll::Ready(Ok(0))));
    }

    #[test]
    fn output_stops_at_its_capacity() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let target = MemoryOutput::new(3);
        let mut output = target.open();
        assert!(matches!(output.poll_write(cx, b"abcd"), Poll::Ready(Ok(3))));
        assert!(matches!(output.poll_write(cx, b"d"), Poll::Ready(Err(_))));
        assert_eq!(target.contents(), b"abc");
    }
}
