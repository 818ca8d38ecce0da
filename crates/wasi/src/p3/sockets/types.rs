//! The types of `wasi:sockets`, in its names and order, and what they are in the core.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use tombolo::{ComponentType, Lift, Lower};

use crate::sockets as core;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum ErrorCode {
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    InvalidState,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    Other(Option<String>),
}

impl From<core::ErrorCode> for ErrorCode {
    fn from(error: core::ErrorCode) -> Self {
        match error {
            core::ErrorCode::AccessDenied => ErrorCode::AccessDenied,
            core::ErrorCode::NotSupported => ErrorCode::NotSupported,
            core::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
            core::ErrorCode::OutOfMemory => ErrorCode::OutOfMemory,
            core::ErrorCode::Timeout => ErrorCode::Timeout,
            core::ErrorCode::InvalidState => ErrorCode::InvalidState,
            core::ErrorCode::AddressNotBindable => ErrorCode::AddressNotBindable,
            core::ErrorCode::AddressInUse => ErrorCode::AddressInUse,
            core::ErrorCode::RemoteUnreachable => ErrorCode::RemoteUnreachable,
            core::ErrorCode::ConnectionRefused => ErrorCode::ConnectionRefused,
            core::ErrorCode::ConnectionBroken => ErrorCode::ConnectionBroken,
            core::ErrorCode::ConnectionReset => ErrorCode::ConnectionReset,
            core::ErrorCode::ConnectionAborted => ErrorCode::ConnectionAborted,
            core::ErrorCode::DatagramTooLarge => ErrorCode::DatagramTooLarge,
            core::ErrorCode::Other(message) => ErrorCode::Other(Some(message.into_owned())),
        }
    }
}

/// Why a lookup failed: the `error-code` of `ip-name-lookup`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum LookupErrorCode {
    AccessDenied,
    InvalidArgument,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
    Other(Option<String>),
}

impl From<core::LookupError> for LookupErrorCode {
    fn from(error: core::LookupError) -> Self {
        match error {
            core::LookupError::AccessDenied => LookupErrorCode::AccessDenied,
            core::LookupError::InvalidArgument => LookupErrorCode::InvalidArgument,
            core::LookupError::NameUnresolvable => LookupErrorCode::NameUnresolvable,
            core::LookupError::TemporaryResolverFailure => LookupErrorCode::TemporaryResolverFailure,
            core::LookupError::PermanentResolverFailure => LookupErrorCode::PermanentResolverFailure,
            core::LookupError::Other(message) => LookupErrorCode::Other(Some(message.into_owned())),
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum IpAddressFamily {
    Ipv4,
    Ipv6,
}

impl From<core::AddressFamily> for IpAddressFamily {
    fn from(family: core::AddressFamily) -> Self {
        match family {
            core::AddressFamily::Ipv4 => IpAddressFamily::Ipv4,
            core::AddressFamily::Ipv6 => IpAddressFamily::Ipv6,
        }
    }
}

impl From<IpAddressFamily> for core::AddressFamily {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => core::AddressFamily::Ipv4,
            IpAddressFamily::Ipv6 => core::AddressFamily::Ipv6,
        }
    }
}

type Ipv4Address = (u8, u8, u8, u8);
type Ipv6Address = (u16, u16, u16, u16, u16, u16, u16, u16);

/// An address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum IpAddress {
    Ipv4(Ipv4Address),
    Ipv6(Ipv6Address),
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => IpAddress::Ipv4(from_ipv4(ip)),
            IpAddr::V6(ip) => IpAddress::Ipv6(from_ipv6(ip)),
        }
    }
}

/// An IPv4 address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub struct Ipv4SocketAddress {
    pub port: u16,
    pub address: Ipv4Address,
}

/// An IPv6 address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub struct Ipv6SocketAddress {
    pub port: u16,
    pub flow_info: u32,
    pub address: Ipv6Address,
    pub scope_id: u32,
}

/// An address and a port of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum IpSocketAddress {
    Ipv4(Ipv4SocketAddress),
    Ipv6(Ipv6SocketAddress),
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: address.port(),
                address: from_ipv4(*address.ip()),
            }),
            SocketAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: from_ipv6(*address.ip()),
                scope_id: address.scope_id(),
            }),
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
                SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into()
            }
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                let (a, b, c, d, e, f, g, h) = address;
                SocketAddrV6::new(Ipv6Addr::new(a, b, c, d, e, f, g, h), port, flow_info, scope_id).into()
            }
        }
    }
}

fn from_ipv4(ip: Ipv4Addr) -> Ipv4Address {
    let [a, b, c, d] = ip.octets();
    (a, b, c, d)
}

fn from_ipv6(ip: Ipv6Addr) -> Ipv6Address {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    (a, b, c, d, e, f, g, h)
}
