//! TCP sockets of the host.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, sockopt};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::blocking::TRANSFER_LIMIT;
use crate::descriptor_limit::DescriptorLimit;
use crate::reactor::Direction;

use super::super::{ErrorCode, Result, Shutdown, SocketOption, TcpEndpoint, Work};
use super::Socket;

/// How long a listener that the system cannot give a descriptor waits before it asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// A TCP socket of the host.
pub(super) struct HostTcp {
    socket: Socket,
    limit: DescriptorLimit,
    /// The system is out of descriptors or memory for the connections that are to be taken.
    pause: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl HostTcp {
    pub(super) fn new(socket: Socket, limit: DescriptorLimit) -> Self {
        HostTcp { socket, limit, pause: Mutex::new(None) }
    }

    /// While a socket is bound and no more, it does not share its address (`SO_REUSEADDR`): another that wants it
    /// learns at once. After that it does: what others left there (TIME_WAIT) is not in its way, nor will what it
    /// leaves be in the way of others.
    fn share_address(&self, share: bool) -> Result<()> {
        Ok(sockopt::set_socket_reuseaddr(&self.socket.watched, share)?)
    }

    fn poll_pause(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sleep) = &mut *pause {
            ready!(sleep.as_mut().poll(cx));
            *pause = None;
        }
        Poll::Ready(())
    }

    /// Takes one connection, or an error of one, or the system's word for having no room.
    fn poll_accept_once(&self, cx: &mut Context<'_>) -> Poll<Result<Arc<dyn TcpEndpoint>, Errno>> {
        let permit = ready!(self.limit.poll_acquire(cx));
        let accepted = self.socket.watched.poll_until(Direction::In, cx, |socket| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            Ok(retry_on_intr(|| rustix::net::accept_with(socket, flags))?)
        });
        let accepted = ready!(accepted).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let socket = Socket::of(accepted, self.socket.family, permit);
        Poll::Ready(Ok(Arc::new(HostTcp::new(socket, self.limit.clone()))))
    }
}

impl TcpEndpoint for HostTcp {
    fn bind(&self, local: SocketAddr) -> Result<()> {
        let socket = &self.socket.watched;
        match rustix::net::bind(socket, &local) {
            Err(Errno::ADDRINUSE) if local.port() != 0 => {}
            bound => return Ok(bound?),
        }
        self.share_address(true)?;
        let bound = rustix::net::bind(socket, &local);
        self.share_address(false)?;
        Ok(bound?)
    }

    fn connect(self: Arc<Self>, remote: SocketAddr) -> Work<Result<()>> {
        Box::pin(async move {
            let socket = &self.socket.watched;
            let connected = match retry_on_intr(|| rustix::net::connect(socket, &remote)) {
                Err(Errno::INPROGRESS) => {
                    socket
                        .until(Direction::Out, |descriptor| match socket.is_ready(Direction::Out)? {
                            true => Ok(sockopt::socket_error(descriptor)?),
                            false => Err(io::ErrorKind::WouldBlock.into()),
                        })
                        .await?
                }
                connected => connected,
            };
            connected.map_err(|errno| match errno {
                // Linux's word for having no port left.
                Errno::ADDRNOTAVAIL => ErrorCode::AddressInUse,
                errno => errno.into(),
            })?;
            self.share_address(true)
        })
    }

    fn listen(&self, backlog: u32) -> Result<()> {
        self.share_address(true)?;
        let listening = rustix::net::listen(&self.socket.watched, i32::try_from(backlog).unwrap_or(i32::MAX));
        if listening.is_err() {
            self.share_address(false)?;
        }
        Ok(listening?)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Arc<dyn TcpEndpoint>>> {
        loop {
            ready!(self.poll_pause(cx));
            let errno = match ready!(self.poll_accept_once(cx)) {
                Ok(accepted) => return Poll::Ready(Ok(accepted)),
                Err(errno) => errno,
            };
            match errno {
                Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
                    if Handle::try_current().is_ok() =>
                {
                    tracing::warn!(%errno, "connections wait: the system has no room for them");
                    let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
                    *pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
                errno if is_of_one_connection(errno) => {
                    tracing::debug!(%errno, "a connection failed before it was taken");
                }
                errno => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    fn poll_accept_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.watched.poll_ready(Direction::In, cx).map_err(ErrorCode::from)
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        let length = buffer.len().min(TRANSFER_LIMIT);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let received = self.socket.watched.poll_until(Direction::In, cx, |socket| {
            Ok(retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()))?.0)
        });
        received.map_err(ErrorCode::from)
    }

    fn poll_receive_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.watched.poll_ready(Direction::In, cx).map_err(ErrorCode::from)
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let bytes = bytes.get(..TRANSFER_LIMIT).unwrap_or(bytes);
        let sent = self.socket.watched.poll_until(Direction::Out, cx, |socket| {
            Ok(retry_on_intr(|| rustix::net::send(socket, bytes, SendFlags::NOSIGNAL))?)
        });
        sent.map_err(ErrorCode::from)
    }

    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.watched.poll_ready(Direction::Out, cx).map_err(ErrorCode::from)
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let socket = &self.socket.watched;
        let how = match how {
            Shutdown::Receive => rustix::net::Shutdown::Read,
            Shutdown::Send => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        match rustix::net::shutdown(socket, how) {
            // Nothing is left of the connection, perhaps but the reason why.
            Err(Errno::NOTCONN) => match sockopt::socket_error(socket)? {
                Ok(()) => Err(ErrorCode::ConnectionBroken),
                Err(errno) => Err(errno.into()),
            },
            shut => Ok(shut?),
        }
    }

    fn local_address(&self) -> Result<SocketAddr> {
        self.socket.local_address()
    }

    fn remote_address(&self) -> Result<SocketAddr> {
        self.socket.remote_address()
    }

    fn option(&self, option: SocketOption) -> Result<u64> {
        self.socket.option(option)
    }

    fn set_option(&self, option: SocketOption, value: u64) -> Result<()> {
        self.socket.set_option(option, value)
    }
}

/// Whether `accept` speaks of a connection that it did not take, and of none that it may yet take (accept(2)).
fn is_of_one_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNABORTED
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::TIMEDOUT
            | Errno::PERM
    )
}
