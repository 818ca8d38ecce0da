//! TCP sockets: which state allows what (TcpSocketOperationalSemantics of WASI).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use crate::bytes::{Input, Output};

use super::address::{check_remote, check_unicast};
use super::{Access, AddressFamily, ErrorCode, Result, Shutdown, SocketOption, Sockets, TcpEndpoint};

/// How many connections may wait to be accepted, unless the guest says otherwise.
const DEFAULT_BACKLOG: u32 = 128;

/// A TCP socket. Clones are the same socket, as are the listener, sender and receiver made from it; it closes when
/// the last of them is dropped.
#[derive(Clone)]
pub struct TcpSocket(Arc<Inner>);

struct Inner {
    sockets: Sockets,
    endpoint: Arc<dyn TcpEndpoint>,
    family: AddressFamily,
    status: Mutex<Status>,
}

#[derive(Clone, Copy)]
struct Status {
    state: State,
    backlog: u32,
    /// `send` and `receive` may be called once each.
    sends: bool,
    receives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unbound,
    /// With the address that was asked for, port 0 included.
    Bound(SocketAddr),
    Connecting,
    Listening,
    Connected,
    Closed,
}

impl Sockets {
    /// Makes a TCP socket. On its own it reaches nothing, and needs no permission.
    ///
    /// # Errors
    ///
    /// As [`Network::tcp`](super::Network::tcp).
    pub fn tcp(&self, family: AddressFamily) -> Result<TcpSocket> {
        Ok(TcpSocket::new(self.clone(), self.network.tcp(family)?, family, State::Unbound))
    }
}

impl TcpSocket {
    fn new(sockets: Sockets, endpoint: Arc<dyn TcpEndpoint>, family: AddressFamily, state: State) -> Self {
        let status = Status { state, backlog: DEFAULT_BACKLOG, sends: false, receives: false };
        TcpSocket(Arc::new(Inner { sockets, endpoint, family, status: Mutex::new(status) }))
    }

    /// Gives it a local address; port 0 stands for any that is free.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for an address of another family, a mapped one, or one that is not one
    /// machine's; [`ErrorCode::InvalidState`] if it is bound; [`ErrorCode::AccessDenied`];
    /// [`ErrorCode::AddressInUse`]; [`ErrorCode::AddressNotBindable`].
    pub fn bind(&self, local: SocketAddr) -> Result<()> {
        self.0.family.check(&local)?;
        check_unicast(&local)?;
        let mut status = self.0.status();
        match status.state {
            State::Unbound => self.0.bind(&mut status, local),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    /// Connects it to a peer, from any free port if it is not bound. For that port no permission is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] as for [`TcpSocket::bind`], and for no address or no port;
    /// [`ErrorCode::InvalidState`] if it is connecting, connected, listening or closed; [`ErrorCode::AccessDenied`].
    /// After any other error, of the attempt itself, it is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up, and the socket is closed.
    pub async fn connect(&self, remote: SocketAddr) -> Result<()> {
        let inner = &*self.0;
        inner.family.check(&remote)?;
        check_unicast(&remote)?;
        check_remote(&remote)?;
        {
            let mut status = inner.status();
            match status.state {
                State::Unbound | State::Bound(_) => {}
                _ => return Err(ErrorCode::InvalidState),
            }
            inner.sockets.check(Access::TcpConnect { remote })?;
            status.state = State::Connecting;
        }
        let _attempt = Attempt(inner);
        inner.endpoint.clone().connect(remote).await?;
        inner.status().state = State::Connected;
        Ok(())
    }

    /// Begins to take connections, on any free port of all addresses if it is not bound.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is connecting, connected, listening or closed; [`ErrorCode::AccessDenied`];
    /// [`ErrorCode::AddressInUse`].
    pub fn listen(&self) -> Result<TcpListener> {
        let mut status = self.0.status();
        if status.state == State::Unbound {
            self.0.bind(&mut status, self.0.family.unspecified())?;
        }
        let State::Bound(local) = status.state else { return Err(ErrorCode::InvalidState) };
        self.0.sockets.check(Access::TcpListen { local })?;
        self.0.endpoint.listen(status.backlog)?;
        status.state = State::Listening;
        Ok(TcpListener(self.clone()))
    }

    /// The way to send on it, given out once.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not connected, or this was called before.
    pub fn send(&self) -> Result<TcpSender> {
        let mut status = self.0.status();
        match status.state == State::Connected && !std::mem::replace(&mut status.sends, true) {
            true => Ok(TcpSender(self.clone())),
            false => Err(ErrorCode::InvalidState),
        }
    }

    /// The way to receive from it, given out once.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not connected, or this was called before.
    pub fn receive(&self) -> Result<TcpReceiver> {
        let mut status = self.0.status();
        match status.state == State::Connected && !std::mem::replace(&mut status.receives, true) {
            true => Ok(TcpReceiver { socket: self.clone(), ended: false }),
            false => Err(ErrorCode::InvalidState),
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not.
    pub fn local_address(&self) -> Result<SocketAddr> {
        match self.0.status().state {
            State::Unbound | State::Closed => Err(ErrorCode::InvalidState),
            _ => self.0.endpoint.local_address(),
        }
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not.
    pub fn remote_address(&self) -> Result<SocketAddr> {
        match self.0.status().state {
            State::Connected => self.0.endpoint.remote_address(),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    /// Whether it takes connections.
    pub fn is_listening(&self) -> bool {
        self.0.status().state == State::Listening
    }

    /// Of which family it is.
    pub fn family(&self) -> AddressFamily {
        self.0.family
    }

    /// Says how many connections may wait to be accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for none; [`ErrorCode::InvalidState`] if it is connecting, connected or closed.
    pub fn set_backlog(&self, backlog: u64) -> Result<()> {
        if backlog == 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        let mut status = self.0.status();
        match status.state {
            State::Unbound | State::Bound(_) => {}
            State::Listening => self.0.endpoint.listen(backlog)?,
            State::Connecting | State::Connected | State::Closed => return Err(ErrorCode::InvalidState),
        }
        status.backlog = backlog;
        Ok(())
    }

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is closed.
    pub fn option(&self, option: SocketOption) -> Result<u64> {
        match self.0.status().state {
            State::Closed => Err(ErrorCode::InvalidState),
            _ => self.0.endpoint.option(option),
        }
    }

    /// Sets an option.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for 0 where that is no truth value; [`ErrorCode::InvalidState`] if it is closed.
    pub fn set_option(&self, option: SocketOption, value: u64) -> Result<()> {
        option.check(value)?;
        match self.0.status().state {
            State::Closed => Err(ErrorCode::InvalidState),
            _ => self.0.endpoint.set_option(option, value),
        }
    }
}

impl Inner {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind(&self, status: &mut Status, local: SocketAddr) -> Result<()> {
        self.sockets.check(Access::TcpBind { local })?;
        self.endpoint.bind(local)?;
        status.state = State::Bound(local);
        Ok(())
    }
}

/// An attempt to connect. Unless it succeeds, the socket is closed.
struct Attempt<'a>(&'a Inner);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut status = self.0.status();
        if status.state == State::Connecting {
            status.state = State::Closed;
            // It may have failed or been given up; the latter has to be told.
            let _ = self.0.endpoint.shutdown(Shutdown::Both);
        }
    }
}

/// Where the connections come from that a socket takes.
pub struct TcpListener(TcpSocket);

impl TcpListener {
    /// Takes a connection. It needs no permission of its own.
    ///
    /// # Errors
    ///
    /// None will come any more.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpSocket>> {
        let Inner { sockets, endpoint, family, .. } = &*self.0.0;
        let accepted = ready!(endpoint.poll_accept(cx))?;
        Poll::Ready(Ok(TcpSocket::new(sockets.clone(), accepted, *family, State::Connected)))
    }

    /// Waits until there is a connection to take.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::poll_accept`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.0.endpoint.poll_accept_ready(cx)
    }
}

/// What a socket receives. Dropping it before the end says that nobody is interested any more (`SHUT_RD`).
pub struct TcpReceiver {
    socket: TcpSocket,
    ended: bool,
}

impl Input for TcpReceiver {
    type Error = ErrorCode;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.0.endpoint.poll_receive_ready(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        let read = ready!(self.socket.0.endpoint.poll_receive(cx, buffer));
        self.ended = matches!(read, Ok(0) | Err(_));
        Poll::Ready(read)
    }
}

impl Drop for TcpReceiver {
    fn drop(&mut self) {
        if !self.ended {
            // Of a connection that broke meanwhile the sender is told, if there is one.
            let _ = self.socket.0.endpoint.shutdown(Shutdown::Receive);
        }
    }
}

/// What a socket sends. Finishing it tells the peer that nothing more comes (`SHUT_WR`).
pub struct TcpSender(TcpSocket);

impl Output for TcpSender {
    type Error = ErrorCode;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.0.endpoint.poll_send_ready(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.0.0.endpoint.poll_send(cx, bytes)
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(self.0.0.endpoint.shutdown(Shutdown::Send))
    }
}
