//! Addresses, sockets on them, and pairs of sockets.

use std::net::SocketAddr;

use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
};

pub const FAMILIES: [IpAddressFamily; 2] = [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6];

/// An address as it is written, such as `127.0.0.1:80` or `[::1]:80`.
pub fn address(text: &str) -> IpSocketAddress {
    match text.parse().expect("an address") {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: 0,
                address: (a, b, c, d, e, f, g, h),
                scope_id: 0,
            })
        }
    }
}

/// An address of this machine.
pub fn loopback(family: IpAddressFamily, port: u16) -> IpSocketAddress {
    match family {
        IpAddressFamily::Ipv4 => address(&format!("127.0.0.1:{port}")),
        IpAddressFamily::Ipv6 => address(&format!("[::1]:{port}")),
    }
}

pub fn other(family: IpAddressFamily) -> IpAddressFamily {
    match family {
        IpAddressFamily::Ipv4 => IpAddressFamily::Ipv6,
        IpAddressFamily::Ipv6 => IpAddressFamily::Ipv4,
    }
}

pub fn family_of(address: IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

pub fn port(address: IpSocketAddress) -> u16 {
    match address {
        IpSocketAddress::Ipv4(address) => address.port,
        IpSocketAddress::Ipv6(address) => address.port,
    }
}

/// A socket that listens on a free port of this machine, the connections that it takes, and its address.
pub fn listener(
    family: IpAddressFamily,
) -> Result<(TcpSocket, wasip3::wit_bindgen::StreamReader<TcpSocket>, IpSocketAddress), ErrorCode> {
    let socket = TcpSocket::create(family)?;
    socket.bind(loopback(family, 0))?;
    let connections = socket.listen()?;
    let address = socket.get_local_address()?;
    Ok((socket, connections, address))
}

/// The two ends of a connection.
pub async fn connection(family: IpAddressFamily) -> Result<(TcpSocket, TcpSocket), ErrorCode> {
    let (_listener, mut connections, address) = listener(family)?;
    let near = TcpSocket::create(family)?;
    near.connect(address).await?;
    let far = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
    Ok((near, far))
}

/// A UDP socket on a free port of this machine.
pub fn udp(family: IpAddressFamily) -> Result<(UdpSocket, IpSocketAddress), ErrorCode> {
    let socket = UdpSocket::create(family)?;
    socket.bind(loopback(family, 0))?;
    let address = socket.get_local_address()?;
    Ok((socket, address))
}
