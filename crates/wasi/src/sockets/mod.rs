//! TCP, UDP and name lookup as guests see them.
//!
//! Three layers, from the guest down:
//!
//! - [`TcpSocket`], [`UdpSocket`] and [`Sockets::resolve`] keep the rules of the standard: which call is good in which
//!   state, which addresses make sense, and what the [`SocketPolicy`] allows. Nothing reaches a network but through them;
//! - [`Network`], [`TcpEndpoint`] and [`UdpEndpoint`] are what a network implements, the host's or an embedder's own;
//! - [`HostNetwork`] is the host's.
//!
//! [`AllowList`] is the policy that the command line has: what is not on the list is refused.

mod address;
mod error;
mod host;
mod lookup;
mod network;
mod option;
mod policy;
mod tcp;
mod udp;

use std::sync::Arc;

pub use address::AddressFamily;
pub use error::{ErrorCode, LookupError, Result};
pub use host::HostNetwork;
pub use network::{Network, Shutdown, TcpEndpoint, UdpEndpoint, Work};
pub use option::SocketOption;
pub use policy::{
    Access, AllowAll, AllowList, DenyAll, HostPattern, LocalPattern, NamePattern, PatternError, PeerPattern,
    PortRange, SocketPolicy, Subnet,
};
pub use tcp::{TcpListener, TcpReceiver, TcpSender, TcpSocket};
pub use udp::UdpSocket;

use udp::Held;

/// A network and what a guest may do with it. Clones are the same.
#[derive(Clone)]
pub struct Sockets {
    network: Arc<dyn Network>,
    policy: Arc<dyn SocketPolicy>,
    held: Held,
}

impl Sockets {
    /// Puts a policy before a network.
    pub fn new(network: Arc<dyn Network>, policy: Arc<dyn SocketPolicy>) -> Self {
        Sockets { network, policy, held: Held::default() }
    }

    /// Asks the policy, and tells whoever reads the log what it refuses.
    fn check(&self, access: Access<'_>) -> Result<(), Refused> {
        match self.policy.allows(&access) {
            true => Ok(()),
            false => {
                tracing::warn!(%access, "refused by the socket policy");
                Err(Refused)
            }
        }
    }
}

/// The policy says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused;
