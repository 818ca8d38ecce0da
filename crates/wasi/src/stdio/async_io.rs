//! Standard streams over tokio's I/O traits: pipes in memory, sockets, child processes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bytes::{Input, Output};

use super::{InputSource, OutputTarget, Shared};

/// Standard input from an [`AsyncRead`], such as one end of `tokio::io::duplex`.
pub struct AsyncInput(Shared<Reader>);

struct Reader {
    inner: Pin<Box<dyn AsyncRead + Send>>,
    /// What was read to find out whether there is something to read.
    peeked: Option<Peeked>,
}

enum Peeked {
    Bytes { bytes: [u8; PEEK_LENGTH], start: usize, end: usize },
    End,
}

const PEEK_LENGTH: usize = 64;

impl AsyncInput {
    /// Makes an input of a reader.
    pub fn new(reader: impl AsyncRead + Send + 'static) -> Self {
        AsyncInput(Shared::new(Reader { inner: Box::pin(reader), peeked: None }))
    }
}

impl InputSource for AsyncInput {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        self.0.open()
    }
}

impl Reader {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.inner.as_mut().poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl Input for Reader {
    type Error = io::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_none() {
            let mut bytes = [0; PEEK_LENGTH];
            self.peeked = Some(match ready!(self.read(cx, &mut bytes))? {
                0 => Peeked::End,
                end => Peeked::Bytes { bytes, start: 0, end },
            });
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.peeked {
            None => self.read(cx, buffer),
            Some(Peeked::End) => Poll::Ready(Ok(0)),
            Some(Peeked::Bytes { bytes, start, end }) => {
                let mut rest = bytes.get(*start..*end).unwrap_or_default();
                let length = io::Read::read(&mut rest, buffer)?;
                *start += length;
                if *start >= *end {
                    self.peeked = None;
                }
                Poll::Ready(Ok(length))
            }
        }
    }
}

/// Standard output or error to an [`AsyncWrite`], such as one end of `tokio::io::duplex`.
pub struct AsyncOutput(Shared<Writer>);

struct Writer(Pin<Box<dyn AsyncWrite + Send>>);

impl AsyncOutput {
    /// Makes an output of a writer. It is flushed when a guest's stream to it ends, and never shut down.
    pub fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        AsyncOutput(Shared::new(Writer(Box::pin(writer))))
    }
}

impl OutputTarget for AsyncOutput {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        self.0.open()
    }
}

impl Output for Writer {
    type Error = io::Error;

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.0.as_mut().poll_write(cx, bytes))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            length => Poll::Ready(Ok(length)),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn waiting_for_bytes_loses_none_of_them() {
        let (mut near, far) = tokio::io::duplex(1024);
        let mut input = AsyncInput::new(far).open();
        near.write_all(&[7; 100]).await.unwrap();
        drop(near);
        let mut all = Vec::new();
        loop {
            poll_fn(|cx| input.poll_ready(cx)).await.unwrap();
            let mut buffer = [0; 48];
            match poll_fn(|cx| input.poll_read(cx, &mut buffer)).await.unwrap() {
                0 => break,
                length => all.extend_from_slice(&buffer[..length]),
            }
        }
        assert_eq!(all, [7; 100]);
    }

    #[tokio::test]
    async fn output_arrives() {
        let (mut near, far) = tokio::io::duplex(1024);
        let mut output = AsyncOutput::new(far).open();
        poll_fn(|cx| output.poll_write(cx, b"hello")).await.unwrap();
        poll_fn(|cx| output.poll_finish(cx)).await.unwrap();
        let mut buffer = [0; 5];
        near.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
    }
}
