//! Which addresses make sense where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ErrorCode, Result};

/// IPv4 or IPv6. No socket is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum AddressFamily {
    Ipv4,
    Ipv6,
}

impl AddressFamily {
    /// The family of an address.
    pub fn of(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => AddressFamily::Ipv4,
            SocketAddr::V6(_) => AddressFamily::Ipv6,
        }
    }

    /// Any address of the machine, any free port.
    pub fn unspecified(self) -> SocketAddr {
        match self {
            AddressFamily::Ipv4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            AddressFamily::Ipv6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }

    /// Checks that an address is one of this family: an IPv4 address in IPv6 clothes is of neither.
    pub(super) fn check(self, address: &SocketAddr) -> Result<()> {
        let mapped = matches!(address.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        valid(AddressFamily::of(address) == self && !mapped)
    }
}

/// Checks that an address is one machine's.
pub(super) fn check_unicast(address: &SocketAddr) -> Result<()> {
    let ip = address.ip();
    valid(!ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST))
}

/// Checks that an address says where something is to go.
pub(super) fn check_remote(address: &SocketAddr) -> Result<()> {
    valid(!address.ip().is_unspecified() && address.port() != 0)
}

fn valid(is_valid: bool) -> Result<()> {
    if is_valid { Ok(()) } else { Err(ErrorCode::InvalidArgument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_mapped_address_is_of_no_family() {
        assert!(AddressFamily::Ipv4.check(&address("127.0.0.1:1")).is_ok());
        assert!(AddressFamily::Ipv6.check(&address("[::1]:1")).is_ok());
        for mapped in ["[::ffff:127.0.0.1]:1", "[::ffff:0:0]:1"] {
            assert!(AddressFamily::Ipv6.check(&address(mapped)).is_err());
            assert!(AddressFamily::Ipv4.check(&address(mapped)).is_err());
        }
        assert!(AddressFamily::Ipv6.check(&address("127.0.0.1:1")).is_err());
    }

    #[test]
    fn groups_and_everybody_are_not_one_machine() {
        for bad in ["224.0.0.1:1", "239.1.2.3:1", "255.255.255.255:1", "[ff02::1]:1"] {
            assert!(check_unicast(&address(bad)).is_err(), "{bad}");
        }
        assert!(check_unicast(&address("0.0.0.0:0")).is_ok());
    }

    #[test]
    fn nothing_goes_nowhere() {
        for bad in ["0.0.0.0:1", "[::]:1", "127.0.0.1:0"] {
            assert!(check_remote(&address(bad)).is_err(), "{bad}");
        }
        assert!(check_remote(&address("127.0.0.1:1")).is_ok());
    }
}
