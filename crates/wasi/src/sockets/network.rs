//! What a network implements.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{AddressFamily, LookupError, Result, SocketOption};

/// Work of a network that takes its time. Dropping it gives it up.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where sockets come from, and where names are looked up.
///
/// Who calls it has asked the guest's policy and checked states and addresses: see [`TcpSocket`](super::TcpSocket) and
/// [`UdpSocket`](super::UdpSocket).
pub trait Network: Send + Sync + 'static {
    /// Makes a TCP socket.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotSupported`](super::ErrorCode::NotSupported) if the network has no such family.
    fn tcp(&self, family: AddressFamily) -> Result<Arc<dyn TcpEndpoint>>;

    /// Makes a UDP socket.
    ///
    /// # Errors
    ///
    /// As [`Network::tcp`].
    fn udp(&self, family: AddressFamily) -> Result<Arc<dyn UdpEndpoint>>;

    /// Finds the addresses of a domain name in ASCII, the best first. `name` is no IP address.
    fn resolve(&self, name: &str) -> Work<Result<Vec<IpAddr>, LookupError>>;
}

/// Which way of a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more will be received.
    Receive,
    /// Nothing more will be sent: the peer is told so after all that was sent before.
    Send,
    /// Both.
    Both,
}

/// A TCP socket of a network. It closes when it is dropped.
///
/// Each direction is polled by one caller at a time. `Pending` means that nothing was taken and nothing was lost.
pub trait TcpEndpoint: Send + Sync + 'static {
    /// Takes a local address; port 0 for any that is free. The TIME_WAIT state of a connection that was closed
    /// does not stand in the way.
    ///
    /// # Errors
    ///
    /// The address is in use or not one of the machine's.
    fn bind(&self, local: SocketAddr) -> Result<()>;

    /// Connects, from any free port if it was not bound.
    fn connect(self: Arc<Self>, remote: SocketAddr) -> Work<Result<()>>;

    /// Begins to take connections, or changes how many may wait.
    ///
    /// # Errors
    ///
    /// Somebody else listens there.
    fn listen(&self, backlog: u32) -> Result<()>;

    /// Takes a connection.
    ///
    /// # Errors
    ///
    /// None will come any more. Of a connection that failed before it was taken nobody is told.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Arc<dyn TcpEndpoint>>>;

    /// Waits until there is a connection to take.
    ///
    /// # Errors
    ///
    /// As [`TcpEndpoint::poll_accept`].
    fn poll_accept_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Receives at least one byte into `buffer`, or 0 bytes at the orderly end.
    ///
    /// # Errors
    ///
    /// How the connection broke.
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>>;

    /// Waits until there is something to receive, the end included.
    ///
    /// # Errors
    ///
    /// As [`TcpEndpoint::poll_receive`].
    fn poll_receive_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Sends at least one byte of `bytes`, and says how many.
    ///
    /// # Errors
    ///
    /// How the connection broke.
    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>>;

    /// Waits until there is room to send.
    ///
    /// # Errors
    ///
    /// As [`TcpEndpoint::poll_send`].
    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Closes one way of the connection, or gives up connecting.
    ///
    /// # Errors
    ///
    /// How the connection broke before.
    fn shutdown(&self, how: Shutdown) -> Result<()>;

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// The network does not know.
    fn local_address(&self) -> Result<SocketAddr>;

    /// Whom it is connected to.
    ///
    /// # Errors
    ///
    /// It is not connected any more.
    fn remote_address(&self) -> Result<SocketAddr>;

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// The network does not have it.
    fn option(&self, option: SocketOption) -> Result<u64>;

    /// Sets an option as closely to `value` as the network can. It is at least 1 where it is no truth value.
    ///
    /// # Errors
    ///
    /// The network does not have it.
    fn set_option(&self, option: SocketOption, value: u64) -> Result<()>;
}

/// A UDP socket of a network. It closes when it is dropped.
pub trait UdpEndpoint: Send + Sync + 'static {
    /// Takes a local address; port 0 for any that is free.
    ///
    /// # Errors
    ///
    /// The address is in use or not one of the machine's.
    fn bind(&self, local: SocketAddr) -> Result<()>;

    /// Ties it to one peer, whose datagrams alone it receives from now on. It may be tied to another one already.
    ///
    /// # Errors
    ///
    /// There is no way to the peer.
    fn connect(&self, remote: SocketAddr) -> Result<()>;

    /// Unties it. It stays bound to the same port.
    ///
    /// # Errors
    ///
    /// It could not keep its port.
    fn disconnect(&self) -> Result<()>;

    /// Sends a datagram to `remote`, or to the peer that it is tied to. It is bound.
    fn send(self: Arc<Self>, bytes: Vec<u8>, remote: Option<SocketAddr>) -> Work<Result<()>>;

    /// Receives a datagram, and says from whom. Several may wait at once.
    fn receive(self: Arc<Self>) -> Work<Result<(Vec<u8>, SocketAddr)>>;

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// The network does not know.
    fn local_address(&self) -> Result<SocketAddr>;

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// The network does not have it.
    fn option(&self, option: SocketOption) -> Result<u64>;

    /// Sets an option as closely to `value` as the network can. It is at least 1.
    ///
    /// # Errors
    ///
    /// The network does not have it.
    fn set_option(&self, option: SocketOption, value: u64) -> Result<()>;
}
