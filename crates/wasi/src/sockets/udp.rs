//! UDP sockets: bound or not, tied to a peer or not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::check_remote;
use super::{Access, AddressFamily, ErrorCode, Result, SocketOption, Sockets, UdpEndpoint};

/// No datagram is longer. How long they may be at most depends on the family, and the network says so.
const LENGTH_LIMIT: usize = u16::MAX as usize;

/// How many bytes of datagrams the host holds at once for one guest, while they wait to be sent.
const HELD_LIMIT: usize = 4 << 20;

/// How many of those that sent something a socket remembers, to tell answers from other datagrams.
const HEARD_LIMIT: usize = 64;

/// How many datagrams of strangers are passed over before others get a turn.
const STRANGERS_PER_TURN: usize = 32;

/// Bytes that the host holds for a guest.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

/// Some of them, until it is dropped.
struct Hold {
    held: Held,
    bytes: usize,
}

impl Held {
    fn hold(&self, bytes: usize) -> Result<Hold> {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= HELD_LIMIT);
        match self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Hold { held: self.clone(), bytes }),
            Err(_) => Err(ErrorCode::OutOfMemory),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A UDP socket. Clones are the same socket; it closes when the last of them is dropped.
#[derive(Clone)]
pub struct UdpSocket(Arc<Inner>);

struct Inner {
    sockets: Sockets,
    endpoint: Arc<dyn UdpEndpoint>,
    family: AddressFamily,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    /// The address that was asked for, once it is bound.
    local: Option<SocketAddr>,
    /// The peer that it is tied to.
    remote: Option<SocketAddr>,
    /// The latest of those that it received from, the latest last.
    heard: VecDeque<SocketAddr>,
}

impl Sockets {
    /// Makes a UDP socket. On its own it reaches nothing, and needs no permission.
    ///
    /// # Errors
    ///
    /// As [`Network::udp`](super::Network::udp).
    pub fn udp(&self, family: AddressFamily) -> Result<UdpSocket> {
        let endpoint = self.network.udp(family)?;
        let status = Mutex::default();
        Ok(UdpSocket(Arc::new(Inner { sockets: self.clone(), endpoint, family, status })))
    }
}

impl UdpSocket {
    /// Gives it a local address; port 0 stands for any that is free.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for an address of another family or a mapped one; [`ErrorCode::InvalidState`]
    /// if it is bound; [`ErrorCode::AccessDenied`]; [`ErrorCode::AddressInUse`]; [`ErrorCode::AddressNotBindable`].
    pub fn bind(&self, local: SocketAddr) -> Result<()> {
        self.0.family.check(&local)?;
        let mut status = self.0.status();
        if status.local.is_some() {
            return Err(ErrorCode::InvalidState);
        }
        self.0.sockets.check(Access::UdpBind { local })?;
        self.0.endpoint.bind(local)?;
        status.local = Some(local);
        Ok(())
    }

    /// Ties it to one peer, in place of an earlier one. If it is not bound, it is bound to any free port, for which
    /// no permission is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for an address of another family, a mapped one, no address or no port;
    /// [`ErrorCode::AccessDenied`]; [`ErrorCode::AddressInUse`] if no port is free.
    pub fn connect(&self, remote: SocketAddr) -> Result<()> {
        self.0.family.check(&remote)?;
        check_remote(&remote)?;
        let mut status = self.0.status();
        self.0.sockets.check(Access::UdpConnect { remote })?;
        self.0.bind_if_needed(&mut status)?;
        status.remote = None;
        self.0.endpoint.connect(remote)?;
        status.remote = Some(remote);
        Ok(())
    }

    /// Unties it from its peer.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it has none.
    pub fn disconnect(&self) -> Result<()> {
        let mut status = self.0.status();
        status.remote.take().ok_or(ErrorCode::InvalidState)?;
        self.0.endpoint.disconnect()
    }

    /// Sends a datagram, to the peer that it is tied to or to `remote`. If it is not bound, it is bound to any free
    /// port, for which no permission is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] as for [`UdpSocket::connect`], without any address, and for another one than
    /// that of the peer that it is tied to; [`ErrorCode::AccessDenied`]; [`ErrorCode::DatagramTooLarge`];
    /// [`ErrorCode::ConnectionRefused`] and [`ErrorCode::RemoteUnreachable`], which may be about an earlier datagram;
    /// [`ErrorCode::OutOfMemory`] if too much waits to be sent already.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the datagram was not sent.
    pub async fn send(&self, bytes: Vec<u8>, remote: Option<SocketAddr>) -> Result<()> {
        let inner = &*self.0;
        if let Some(remote) = &remote {
            inner.family.check(remote)?;
            check_remote(remote)?;
        }
        if bytes.len() > LENGTH_LIMIT {
            return Err(ErrorCode::DatagramTooLarge);
        }
        let _hold = inner.sockets.held.hold(bytes.len())?;
        let work = {
            let mut status = inner.status();
            let peer = match (status.remote, remote) {
                (None, None) => return Err(ErrorCode::InvalidArgument),
                (Some(peer), Some(remote)) if peer != remote => return Err(ErrorCode::InvalidArgument),
                (Some(peer), _) => peer,
                (None, Some(remote)) => remote,
            };
            let (local, reply) = (inner.local(&status), status.heard.contains(&peer));
            inner.sockets.check(Access::UdpSend { local, remote: peer, reply })?;
            inner.bind_if_needed(&mut status)?;
            inner.endpoint.clone().send(bytes, status.remote.is_none().then_some(peer))
        };
        work.await
    }

    /// Receives a datagram and says from whom. Those that the guest may not have are passed over.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not bound; [`ErrorCode::ConnectionRefused`] and
    /// [`ErrorCode::RemoteUnreachable`] about what was sent earlier.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped nothing was received.
    pub async fn receive(&self) -> Result<(Vec<u8>, SocketAddr)> {
        let inner = &*self.0;
        if inner.status().local.is_none() {
            return Err(ErrorCode::InvalidState);
        }
        let mut strangers = 0;
        loop {
            let (bytes, remote) = inner.endpoint.clone().receive().await?;
            if inner.welcome(remote) {
                return Ok((bytes, remote));
            }
            strangers += 1;
            if strangers % STRANGERS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it is not.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.0.status().local.ok_or(ErrorCode::InvalidState)?;
        self.0.endpoint.local_address()
    }

    /// The peer that it is tied to.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidState`] if it has none.
    pub fn remote_address(&self) -> Result<SocketAddr> {
        self.0.status().remote.ok_or(ErrorCode::InvalidState)
    }

    /// Of which family it is.
    pub fn family(&self) -> AddressFamily {
        self.0.family
    }

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotSupported`] for one of TCP.
    pub fn option(&self, option: SocketOption) -> Result<u64> {
        self.0.endpoint.option(option)
    }

    /// Sets an option.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for 0; [`ErrorCode::NotSupported`] for one of TCP.
    pub fn set_option(&self, option: SocketOption, value: u64) -> Result<()> {
        option.check(value)?;
        self.0.endpoint.set_option(option, value)
    }
}

impl Inner {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that was asked for, or what stands for not asking.
    fn local(&self, status: &Status) -> SocketAddr {
        status.local.unwrap_or_else(|| self.family.unspecified())
    }

    fn bind_if_needed(&self, status: &mut Status) -> Result<()> {
        if status.local.is_none() {
            let local = self.family.unspecified();
            self.endpoint.bind(local)?;
            status.local = Some(local);
        }
        Ok(())
    }

    /// Whether the guest may have a datagram from `remote`.
    fn welcome(&self, remote: SocketAddr) -> bool {
        let mut status = self.status();
        // One that came before the socket was tied to its peer may still have been in the queue.
        let same = |peer: SocketAddr| (peer.ip(), peer.port()) == (remote.ip(), remote.port());
        if status.remote.is_some_and(|peer| !same(peer)) {
            return false;
        }
        let local = self.local(&status);
        if self.sockets.check(Access::UdpReceive { local, remote }).is_err() {
            return false;
        }
        if !status.heard.contains(&remote) {
            if status.heard.len() >= HEARD_LIMIT {
                status.heard.pop_front();
            }
            status.heard.push_back(remote);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_is_bounded() {
        let held = Held::default();
        let first = held.hold(HELD_LIMIT - 1).unwrap();
        assert_eq!(held.hold(2).err(), Some(ErrorCode::OutOfMemory));
        assert_eq!(held.hold(usize::MAX).err(), Some(ErrorCode::OutOfMemory));
        let second = held.hold(1).unwrap();
        drop((first, second));
        held.hold(HELD_LIMIT).unwrap();
    }
}
