//! A policy that allows what is on its list.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, HostPattern, LocalPattern, NamePattern, PeerPattern, SocketPolicy};

/// How many addresses of names are remembered. Who uses more has to look the oldest up again.
const KNOWN_LIMIT: usize = 1024;

/// Allows what is on its list, and nothing else.
///
/// **Peers** may be talked to, from any free port. One that is given by its name may also be looked up, and is then
/// reached at the addresses that its name turned out to have. What names say is up to others, so a name does not lead
/// back to this machine or its link (`127.0.0.1`, `::1`, `169.254.0.0/16`, `fe80::/10`) unless it is `localhost` or
/// below it: such an address has to be on the list itself.
///
/// **Local addresses** may be listened on, and over UDP be received at. Whoever sent something there may be answered.
///
/// **Names** may be looked up.
///
/// ```
/// use tombolo_wasi::WasiCtx;
/// use tombolo_wasi::sockets::AllowList;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = AllowList::new()
///     .tcp_connect("*.example.com:443".parse()?)
///     .tcp_listen("127.0.0.1:8080".parse()?)
///     .udp_peer("192.0.2.0/24:53".parse()?);
/// let wasi = WasiCtx::builder().socket_policy(policy).build();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct AllowList {
    tcp_peers: Vec<PeerPattern>,
    tcp_places: Vec<LocalPattern>,
    udp_peers: Vec<PeerPattern>,
    udp_places: Vec<LocalPattern>,
    names: Vec<NamePattern>,
    /// Which names have which addresses, the latest last.
    known: Mutex<VecDeque<(IpAddr, Arc<str>)>>,
}

impl AllowList {
    /// Begins with nothing.
    pub fn new() -> Self {
        AllowList::default()
    }

    /// Allows TCP connections to these peers.
    #[must_use]
    pub fn tcp_connect(mut self, peers: PeerPattern) -> Self {
        self.tcp_peers.push(peers);
        self
    }

    /// Allows to listen for TCP connections at these local addresses.
    #[must_use]
    pub fn tcp_listen(mut self, places: LocalPattern) -> Self {
        self.tcp_places.push(places);
        self
    }

    /// Allows to exchange datagrams with these peers.
    #[must_use]
    pub fn udp_peer(mut self, peers: PeerPattern) -> Self {
        self.udp_peers.push(peers);
        self
    }

    /// Allows to receive datagrams from everybody at these local addresses, and to answer them.
    #[must_use]
    pub fn udp_bind(mut self, places: LocalPattern) -> Self {
        self.udp_places.push(places);
        self
    }

    /// Allows to look up these names.
    #[must_use]
    pub fn lookup(mut self, names: NamePattern) -> Self {
        self.names.push(names);
        self
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(IpAddr, Arc<str>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of the patterns is about this peer.
    fn reaches(&self, patterns: &[PeerPattern], peer: &SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        patterns.iter().filter(|pattern| pattern.ports.contains(peer.port())).any(|pattern| {
            match &pattern.host {
                HostPattern::Any => true,
                HostPattern::Subnet(subnet) => subnet.contains(ip),
                HostPattern::Name(names) => self
                    .known()
                    .iter()
                    .any(|(address, name)| *address == ip && names.matches(name) && may_lead_to(name, ip)),
            }
        })
    }

    /// Whether one of the patterns is about a host of this name.
    fn names_host(patterns: &[PeerPattern], name: &str) -> bool {
        patterns.iter().any(|pattern| match &pattern.host {
            HostPattern::Any => true,
            HostPattern::Subnet(_) => false,
            HostPattern::Name(names) => names.matches(name),
        })
    }
}

impl SocketPolicy for AllowList {
    fn allows(&self, access: &Access<'_>) -> bool {
        let at = |places: &[LocalPattern], local| places.iter().any(|place| place.matches(local));
        match access {
            Access::TcpBind { local } => {
                at(&self.tcp_places, local) || (is_anywhere(local) && !self.tcp_peers.is_empty())
            }
            Access::TcpListen { local } => at(&self.tcp_places, local),
            Access::TcpConnect { remote } => self.reaches(&self.tcp_peers, remote),
            Access::UdpBind { local } => {
                at(&self.udp_places, local) || (is_anywhere(local) && !self.udp_peers.is_empty())
            }
            Access::UdpConnect { remote } => self.reaches(&self.udp_peers, remote),
            Access::UdpSend { local, remote, reply } => {
                self.reaches(&self.udp_peers, remote) || (*reply && at(&self.udp_places, local))
            }
            Access::UdpReceive { local, remote } => {
                at(&self.udp_places, local) || self.reaches(&self.udp_peers, remote)
            }
            Access::LookUp { name } => {
                self.names.iter().any(|names| names.matches(name))
                    || AllowList::names_host(&self.tcp_peers, name)
                    || AllowList::names_host(&self.udp_peers, name)
            }
        }
    }

    fn resolved(&self, name: &str, addresses: &[IpAddr]) {
        let name: Arc<str> = name.into();
        let mut known = self.known();
        for address in addresses {
            known.retain(|(other, named)| (other, named) != (address, &name));
            if known.len() >= KNOWN_LIMIT {
                known.pop_front();
            }
            known.push_back((*address, name.clone()));
        }
    }
}

/// Whether an address is what a socket gets that asks for none: good for talking to peers, not for being found by them.
fn is_anywhere(local: &SocketAddr) -> bool {
    local.ip().is_unspecified() && local.port() == 0
}

/// Whether a name may stand for an address.
fn may_lead_to(name: &str, address: IpAddr) -> bool {
    let is_near = match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    };
    !is_near || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn connects(list: &AllowList, remote: &str) -> bool {
        list.allows(&Access::TcpConnect { remote: address(remote) })
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let list = AllowList::new();
        let (local, remote) = (address("0.0.0.0:0"), address("192.0.2.1:1"));
        for access in [
            Access::TcpBind { local },
            Access::TcpListen { local },
            Access::TcpConnect { remote },
            Access::UdpBind { local },
            Access::UdpConnect { remote },
            Access::UdpSend { local, remote, reply: true },
            Access::UdpReceive { local, remote },
            Access::LookUp { name: "localhost" },
        ] {
            assert!(!list.allows(&access), "{access}");
        }
    }

    #[test]
    fn a_name_leads_to_the_addresses_that_it_had() {
        let list = AllowList::new().tcp_connect("*.example.com:443".parse().unwrap());
        assert!(list.allows(&Access::LookUp { name: "www.example.com" }));
        assert!(!list.allows(&Access::LookUp { name: "example.com" }));
        assert!(!connects(&list, "192.0.2.1:443"));
        list.resolved("www.example.com", &["192.0.2.1".parse().unwrap()]);
        list.resolved("www.example.org", &["192.0.2.2".parse().unwrap()]);
        assert!(connects(&list, "192.0.2.1:443"));
        assert!(!connects(&list, "192.0.2.1:80"));
        assert!(!connects(&list, "192.0.2.2:443"));
        // What is learnt for one protocol does not open another.
        assert!(!list.allows(&Access::UdpConnect { remote: address("192.0.2.1:443") }));
    }

    #[test]
    fn a_name_does_not_lead_back_to_this_machine() {
        let list =
            AllowList::new().tcp_connect("*:1".parse().unwrap()).tcp_connect("a.example:80".parse().unwrap());
        let near = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1"].map(|ip| ip.parse().unwrap());
        list.resolved("a.example", &near);
        for near in near {
            assert!(!list.allows(&Access::TcpConnect { remote: SocketAddr::new(near, 80) }), "{near}");
        }
        let list = AllowList::new().tcp_connect("localhost:80".parse().unwrap());
        list.resolved("localhost", &near);
        assert!(connects(&list, "127.0.0.1:80"));
        assert!(!connects(&list, "127.0.0.2:80"));
    }

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let list = AllowList::new().tcp_connect("*:80".parse().unwrap());
        for i in 0..5000_u32 {
            list.resolved(&format!("{i}.example"), &[IpAddr::V4(i.into())]);
        }
        assert_eq!(list.known().len(), KNOWN_LIMIT);
    }

    #[test]
    fn peers_bring_a_port_of_ones_own_and_no_more() {
        let list = AllowList::new().tcp_connect("192.0.2.1:80".parse().unwrap());
        assert!(list.allows(&Access::TcpBind { local: address("0.0.0.0:0") }));
        assert!(!list.allows(&Access::TcpListen { local: address("0.0.0.0:0") }));
        assert!(!list.allows(&Access::TcpBind { local: address("0.0.0.0:80") }));
        assert!(!list.allows(&Access::TcpBind { local: address("127.0.0.1:0") }));
        assert!(!list.allows(&Access::UdpBind { local: address("0.0.0.0:0") }));
    }

    #[test]
    fn a_place_allows_answers_and_nothing_of_ones_own_accord() {
        let list = AllowList::new().udp_bind("127.0.0.1:53".parse().unwrap());
        let (local, remote) = (address("127.0.0.1:53"), address("127.0.0.1:4000"));
        assert!(list.allows(&Access::UdpReceive { local, remote }));
        assert!(list.allows(&Access::UdpSend { local, remote, reply: true }));
        assert!(!list.allows(&Access::UdpSend { local, remote, reply: false }));
        let elsewhere = address("0.0.0.0:0");
        assert!(!list.allows(&Access::UdpSend { local: elsewhere, remote, reply: true }));
        assert!(!list.allows(&Access::UdpReceive { local: elsewhere, remote }));
    }

    #[test]
    fn a_mapped_address_counts_as_what_it_is() {
        let list = AllowList::new().tcp_connect("[::/0]:80".parse().unwrap());
        assert!(!connects(&list, "[::ffff:127.0.0.1]:80"));
        let list = AllowList::new().tcp_connect("127.0.0.1:80".parse().unwrap());
        assert!(connects(&list, "[::ffff:127.0.0.1]:80"));
    }
}
