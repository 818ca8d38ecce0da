//! The host's own network.
//!
//! Sockets are non-blocking: each call is tried in place, and only what would block waits for the reactor. Names are
//! looked up by the system's resolver, on a thread that may wait.
//!
//! Only Linux so far.

mod options;
mod resolver;
mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;

use crate::blocking::Workers;
use crate::descriptor_limit::{DescriptorLimit, Permit};
use crate::reactor::Watched;

use super::{AddressFamily, ErrorCode, LookupError, Network, Result, TcpEndpoint, UdpEndpoint, Work};
use tcp::HostTcp;
use udp::HostUdp;

/// The host's own network.
#[derive(Clone)]
pub struct HostNetwork {
    limit: DescriptorLimit,
    workers: Workers,
}

impl HostNetwork {
    /// Makes sockets as far as `limit` allows, and has names looked up by `workers`.
    pub fn new(limit: DescriptorLimit, workers: Workers) -> Self {
        HostNetwork { limit, workers }
    }
}

impl Network for HostNetwork {
    fn tcp(&self, family: AddressFamily) -> Result<Arc<dyn TcpEndpoint>> {
        let socket = Socket::new(family, SocketType::STREAM, &self.limit)?;
        Ok(Arc::new(HostTcp::new(socket, self.limit.clone())))
    }

    fn udp(&self, family: AddressFamily) -> Result<Arc<dyn UdpEndpoint>> {
        Ok(Arc::new(HostUdp::new(Socket::new(family, SocketType::DGRAM, &self.limit)?)))
    }

    fn resolve(&self, name: &str) -> Work<Result<Vec<IpAddr>, LookupError>> {
        resolver::resolve(name.to_owned(), &self.workers)
    }
}

/// A socket of the host.
struct Socket {
    watched: Watched,
    family: AddressFamily,
    _permit: Permit,
}

impl Socket {
    fn new(family: AddressFamily, kind: SocketType, limit: &DescriptorLimit) -> Result<Self> {
        let permit = limit.acquire()?;
        let domain = match family {
            AddressFamily::Ipv4 => rustix::net::AddressFamily::INET,
            AddressFamily::Ipv6 => rustix::net::AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let descriptor =
            rustix::net::socket_with(domain, kind, flags, None).map_err(|errno| match errno {
                Errno::AFNOSUPPORT => ErrorCode::NotSupported,
                errno => errno.into(),
            })?;
        if family == AddressFamily::Ipv6 {
            sockopt::set_ipv6_v6only(&descriptor, true)?;
        }
        Ok(Socket::of(descriptor, family, permit))
    }

    fn of(descriptor: OwnedFd, family: AddressFamily, permit: Permit) -> Self {
        let watched = Watched::new(Arc::new(descriptor), Interest::READABLE | Interest::WRITABLE);
        Socket { watched, family, _permit: permit }
    }

    fn local_address(&self) -> Result<SocketAddr> {
        convert(rustix::net::getsockname(&self.watched)?)
    }

    fn remote_address(&self) -> Result<SocketAddr> {
        convert(rustix::net::getpeername(&self.watched)?.ok_or(ErrorCode::InvalidState)?)
    }
}

fn convert(address: SocketAddrAny) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(address)?)
}
