//! Socket options of the host.

use std::time::Duration;

use rustix::net::sockopt;

use super::super::{AddressFamily, Result, SocketOption};
use super::Socket;

/// The most that Linux takes for the times of keep-alive, in seconds.
const TIME_LIMIT: u64 = 32767;
/// … and for its count.
const COUNT_LIMIT: u64 = 127;
/// A buffer's size has to fit into an `int` after Linux has doubled it.
const BUFFER_LIMIT: u64 = 1 << 30;

const NANOSECONDS: u64 = 1_000_000_000;

impl Socket {
    pub(super) fn option(&self, option: SocketOption) -> Result<u64> {
        let socket = &self.watched;
        Ok(match option {
            SocketOption::KeepAliveEnabled => sockopt::socket_keepalive(socket)?.into(),
            SocketOption::KeepAliveIdleTime => nanoseconds(sockopt::tcp_keepidle(socket)?),
            SocketOption::KeepAliveInterval => nanoseconds(sockopt::tcp_keepintvl(socket)?),
            SocketOption::KeepAliveCount => sockopt::tcp_keepcnt(socket)?.into(),
            SocketOption::NoDelay => sockopt::tcp_nodelay(socket)?.into(),
            SocketOption::HopLimit => match self.family {
                AddressFamily::Ipv4 => sockopt::ip_ttl(socket)?.into(),
                AddressFamily::Ipv6 => sockopt::ipv6_unicast_hops(socket)?.into(),
            },
            // Linux reports twice what it was told: it counts its own overhead.
            SocketOption::ReceiveBufferSize => sockopt::socket_recv_buffer_size(socket)? as u64 / 2,
            SocketOption::SendBufferSize => sockopt::socket_send_buffer_size(socket)? as u64 / 2,
        })
    }

    pub(super) fn set_option(&self, option: SocketOption, value: u64) -> Result<()> {
        let socket = &self.watched;
        let buffer_size = value.min(BUFFER_LIMIT) as usize;
        match option {
            SocketOption::KeepAliveEnabled => sockopt::set_socket_keepalive(socket, value != 0)?,
            SocketOption::KeepAliveIdleTime => sockopt::set_tcp_keepidle(socket, seconds(value))?,
            SocketOption::KeepAliveInterval => sockopt::set_tcp_keepintvl(socket, seconds(value))?,
            SocketOption::KeepAliveCount => sockopt::set_tcp_keepcnt(socket, value.min(COUNT_LIMIT) as u32)?,
            SocketOption::NoDelay => sockopt::set_tcp_nodelay(socket, value != 0)?,
            SocketOption::HopLimit => {
                let hops = u8::try_from(value).unwrap_or(u8::MAX);
                match self.family {
                    AddressFamily::Ipv4 => sockopt::set_ip_ttl(socket, hops.into())?,
                    AddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(socket, Some(hops))?,
                }
            }
            SocketOption::ReceiveBufferSize => sockopt::set_socket_recv_buffer_size(socket, buffer_size)?,
            SocketOption::SendBufferSize => sockopt::set_socket_send_buffer_size(socket, buffer_size)?,
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(NANOSECONDS)
}

/// Whole seconds, rounded up, as many as Linux takes.
fn seconds(nanoseconds: u64) -> Duration {
    Duration::from_secs(nanoseconds.div_ceil(NANOSECONDS).clamp(1, TIME_LIMIT))
}
