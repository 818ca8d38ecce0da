//! The bytes of a connection, watched.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::activity::{Activity, Order};

/// How much of what a peer still sends is read after everything was said to it. A peer that is told about a request that it is
/// still sending hears it only if the connection is not closed in its face.
const LINGER_BYTES: usize = 1 << 20;

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that notes its activity, and does not close before its peer has had time to read.
pub(super) struct Transport<S> {
    stream: S,
    /// Bytes that were read before their time; those up to `given` have been given out.
    ahead: [u8; PREFACE.len()],
    length: usize,
    given: usize,
    activity: Rc<Activity>,
    ended: bool,
    shut: bool,
    discarded: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(super) fn new(stream: S, activity: Rc<Activity>) -> Self {
        Transport {
            stream,
            ahead: [0; PREFACE.len()],
            length: 0,
            given: 0,
            activity,
            ended: false,
            shut: false,
            discarded: 0,
        }
    }

    /// Reads ahead whether the peer speaks HTTP/2. Without a byte the answer is no.
    ///
    /// # Errors
    /// Reading failed.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        loop {
            let so_far = self.ahead.get(..self.length).unwrap_or_default();
            if !PREFACE.starts_with(so_far) || so_far.len() == PREFACE.len() {
                return Ok(so_far == PREFACE);
            }
            let room = self.ahead.get_mut(self.length..).unwrap_or_default();
            match self.stream.read(room).await? {
                0 => {
                    self.ended = true;
                    return Ok(false);
                }
                count => self.length += count,
            }
        }
    }

    /// Whether bytes of a request have been read ahead.
    pub(super) fn has_begun(&self) -> bool {
        self.length > 0
    }

    /// Reads and forgets what the peer still sends, until it ends, has sent too much, or is late.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while !self.ended && self.discarded < LINGER_BYTES {
            if self.activity.take_order(cx.waker()) == Some(Order::Abort) {
                break;
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                Ok(()) | Err(_) => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note(&self, sent: &Poll<io::Result<usize>>) {
        self.activity.sending(sent.is_ready());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let ahead = this.ahead.get(this.given..this.length).unwrap_or_default();
        let ahead = ahead.get(..ahead.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(ahead);
        this.given += ahead.len();
        // What follows is given with it: for two parts, the reader would make room twice.
        let given = buffer.filled().len();
        if this.ended || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending if given == before => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if buffer.filled().len() == given => this.ended = true,
            Poll::Ready(Ok(())) => this.activity.headers_begin(),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note(&sent);
        sent
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.note(&sent);
        sent
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.activity.sending(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.activity.lingers();
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.shut = true;
        }
        this.poll_linger(cx)
    }
}
