//! UDP sockets of the host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};

use crate::reactor::Direction;

use super::super::{ErrorCode, Result, SocketOption, UdpEndpoint, Work};
use super::{Socket, convert};

/// No datagram is longer.
const LENGTH_LIMIT: usize = u16::MAX as usize;

/// A UDP socket of the host.
pub(super) struct HostUdp {
    socket: Socket,
    ties: Mutex<Ties>,
}

#[derive(Default)]
struct Ties {
    /// What it was bound to, and has to be again after it was untied.
    local: Option<SocketAddr>,
    /// It is tied to a peer.
    connected: bool,
}

impl HostUdp {
    pub(super) fn new(socket: Socket) -> Self {
        HostUdp { socket, ties: Mutex::default() }
    }

    fn ties(&self) -> MutexGuard<'_, Ties> {
        self.ties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UdpEndpoint for HostUdp {
    fn bind(&self, local: SocketAddr) -> Result<()> {
        rustix::net::bind(&self.socket.watched, &local)?;
        self.ties().local = Some(self.socket.local_address()?);
        Ok(())
    }

    fn connect(&self, remote: SocketAddr) -> Result<()> {
        // Linux would keep the local address that led to the earlier peer.
        self.disconnect()?;
        rustix::net::connect(&self.socket.watched, &remote).map_err(|errno| match errno {
            Errno::ADDRNOTAVAIL | Errno::AGAIN => ErrorCode::AddressInUse,
            errno => errno.into(),
        })?;
        self.ties().connected = true;
        Ok(())
    }

    fn disconnect(&self) -> Result<()> {
        let mut ties = self.ties();
        if !ties.connected {
            return Ok(());
        }
        let socket = &self.socket.watched;
        rustix::net::connect_unspec(socket)?;
        ties.connected = false;
        // Linux takes a port back that it chose itself.
        match ties.local {
            Some(local) if self.socket.local_address()?.port() == 0 => Ok(rustix::net::bind(socket, &local)?),
            _ => Ok(()),
        }
    }

    fn send(self: Arc<Self>, bytes: Vec<u8>, remote: Option<SocketAddr>) -> Work<Result<()>> {
        Box::pin(async move {
            // A datagram goes as a whole or not at all.
            let send = |socket: BorrowedFd<'_>| match &remote {
                Some(remote) => rustix::net::sendto(socket, &bytes, SendFlags::NOSIGNAL, remote),
                None => rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL),
            };
            self.socket.watched.until(Direction::Out, |socket| Ok(retry_on_intr(|| send(socket))?)).await?;
            Ok(())
        })
    }

    fn receive(self: Arc<Self>) -> Work<Result<(Vec<u8>, SocketAddr)>> {
        Box::pin(async move {
            let received = self.socket.watched.until(Direction::In, |socket| {
                let mut bytes = Vec::with_capacity(LENGTH_LIMIT);
                let (_, _, remote) = retry_on_intr(|| {
                    rustix::net::recvfrom(socket, spare_capacity(&mut bytes), RecvFlags::empty())
                })?;
                bytes.shrink_to_fit();
                Ok((bytes, remote))
            });
            let (bytes, remote) = received.await.map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::CONNRESET | Errno::NETRESET) => ErrorCode::RemoteUnreachable,
                _ => error.into(),
            })?;
            Ok((bytes, convert(remote.ok_or(ErrorCode::InvalidState)?)?))
        })
    }

    fn local_address(&self) -> Result<SocketAddr> {
        self.socket.local_address()
    }

    fn option(&self, option: SocketOption) -> Result<u64> {
        only_udp(option)?;
        self.socket.option(option)
    }

    fn set_option(&self, option: SocketOption, value: u64) -> Result<()> {
        only_udp(option)?;
        self.socket.set_option(option, value)
    }
}

fn only_udp(option: SocketOption) -> Result<()> {
    match option {
        SocketOption::HopLimit | SocketOption::ReceiveBufferSize | SocketOption::SendBufferSize => Ok(()),
        _ => Err(ErrorCode::NotSupported),
    }
}
