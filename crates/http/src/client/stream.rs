//! A TCP connection of the guest's network as `tokio`, `rustls` and `hyper` want it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tombolo_wasi::bytes::{Input, Output};
use tombolo_wasi::sockets::{ErrorCode, TcpReceiver, TcpSender, TcpSocket};

/// Bytes that are received at once at most. The room for them is cleared before.
const CHUNK: usize = 64 << 10;

/// A connection.
pub(super) struct TcpStream {
    receiver: TcpReceiver,
    sender: TcpSender,
}

impl TcpStream {
    /// Takes both ways of a connected socket.
    pub fn new(socket: &TcpSocket) -> Result<Self, ErrorCode> {
        Ok(TcpStream { receiver: socket.receive()?, sender: socket.send()? })
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(CHUNK);
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = ready!(self.receiver.poll_read(cx, buffer.initialize_unfilled_to(room)));
        buffer.advance(read.map_err(io_error)?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.sender.poll_write(cx, bytes).map_err(io_error)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.poll_finish(cx).map_err(io_error)
    }
}

/// An error by which `ErrorCode` knows what happened.
fn io_error(error: ErrorCode) -> io::Error {
    let kind = match error {
        ErrorCode::ConnectionReset => io::ErrorKind::ConnectionReset,
        ErrorCode::ConnectionAborted => io::ErrorKind::ConnectionAborted,
        ErrorCode::ConnectionBroken => io::ErrorKind::BrokenPipe,
        ErrorCode::InvalidState => io::ErrorKind::NotConnected,
        ErrorCode::Timeout => io::ErrorKind::TimedOut,
        ErrorCode::RemoteUnreachable => io::ErrorKind::HostUnreachable,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
