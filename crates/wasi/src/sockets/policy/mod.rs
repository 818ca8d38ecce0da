//! What a guest may do with a network.

mod list;
mod pattern;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use list::AllowList;
pub use pattern::{HostPattern, LocalPattern, NamePattern, PatternError, PeerPattern, PortRange, Subnet};

/// Says what a guest may do with a network. It is asked at every way to it, each time.
///
/// Addresses are never IPv4 addresses in IPv6 clothes. A refusal is logged ([`tracing`], as a warning) and the guest
/// is told `access-denied`; of a datagram that it may not receive it is told nothing.
pub trait SocketPolicy: Send + Sync + 'static {
    /// Whether the guest may do this.
    fn allows(&self, access: &Access<'_>) -> bool;

    /// Tells that a name that the guest may look up has these addresses.
    ///
    /// Connecting to one of them is asked for by its address, as to any other. A policy that knows names has to
    /// remember what it hears of here.
    fn resolved(&self, _name: &str, _addresses: &[IpAddr]) {}
}

/// Something that a guest wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access<'a> {
    /// Give a TCP socket a local address; port 0 stands for any.
    TcpBind {
        /// The address.
        local: SocketAddr,
    },
    /// Take TCP connections. The socket was bound to `local` before, by the guest or for want of another address.
    TcpListen {
        /// The address that it was bound to, as it was asked for: with port 0 if any would do.
        local: SocketAddr,
    },
    /// Connect a TCP socket, from any port if it was not bound before.
    TcpConnect {
        /// The peer.
        remote: SocketAddr,
    },
    /// Give a UDP socket a local address; port 0 stands for any.
    UdpBind {
        /// The address.
        local: SocketAddr,
    },
    /// Tie a UDP socket to a peer.
    UdpConnect {
        /// The peer.
        remote: SocketAddr,
    },
    /// Send a datagram.
    UdpSend {
        /// The address that the socket was bound to, as it was asked for; the unspecified one, port 0, if it was not.
        local: SocketAddr,
        /// Where to.
        remote: SocketAddr,
        /// This socket received something from there lately.
        reply: bool,
    },
    /// Receive a datagram.
    UdpReceive {
        /// The address that the socket was bound to, as it was asked for.
        local: SocketAddr,
        /// Where from.
        remote: SocketAddr,
    },
    /// Look up the addresses of a name.
    LookUp {
        /// The name, in lower-case ASCII without a dot at its end.
        name: &'a str,
    },
}

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::TcpBind { local } => write!(f, "binding a TCP socket to {local}"),
            Access::TcpListen { local } => write!(f, "listening for TCP connections on {local}"),
            Access::TcpConnect { remote } => write!(f, "connecting to {remote} over TCP"),
            Access::UdpBind { local } => write!(f, "binding a UDP socket to {local}"),
            Access::UdpConnect { remote } => write!(f, "tying a UDP socket to {remote}"),
            Access::UdpSend { remote, .. } => write!(f, "sending to {remote} over UDP"),
            Access::UdpReceive { remote, .. } => write!(f, "receiving from {remote} over UDP"),
            Access::LookUp { name } => write!(f, "looking up {name}"),
        }
    }
}

/// Allows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl SocketPolicy for DenyAll {
    fn allows(&self, _: &Access<'_>) -> bool {
        false
    }
}

/// Allows everything that the host process may do itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl SocketPolicy for AllowAll {
    fn allows(&self, _: &Access<'_>) -> bool {
        true
    }
}
