//! Getters and setters of socket options, which are all alike.

use tombolo::{LinkerInstance, Resource, Result};

use crate::WasiView;
use crate::sockets::{self, SocketOption, TcpSocket, UdpSocket};

use super::{Answer, ErrorCode, find};

/// A socket that has options.
pub(super) trait Options: Send + Sync + 'static {
    fn option(&self, option: SocketOption) -> sockets::Result<u64>;
    fn set_option(&self, option: SocketOption, value: u64) -> sockets::Result<()>;
}

impl Options for TcpSocket {
    fn option(&self, option: SocketOption) -> sockets::Result<u64> {
        TcpSocket::option(self, option)
    }

    fn set_option(&self, option: SocketOption, value: u64) -> sockets::Result<()> {
        TcpSocket::set_option(self, option, value)
    }
}

impl Options for UdpSocket {
    fn option(&self, option: SocketOption) -> sockets::Result<u64> {
        UdpSocket::option(self, option)
    }

    fn set_option(&self, option: SocketOption, value: u64) -> sockets::Result<()> {
        UdpSocket::set_option(self, option, value)
    }
}

/// How an interface writes an option's value.
pub(super) trait Value: tombolo::Lift + tombolo::Lower + Send + 'static {
    fn of(value: u64) -> Self;
    fn number(self) -> u64;
}

impl Value for u64 {
    fn of(value: u64) -> Self {
        value
    }

    fn number(self) -> u64 {
        self
    }
}

impl Value for u32 {
    fn of(value: u64) -> Self {
        u32::try_from(value).unwrap_or(u32::MAX)
    }

    fn number(self) -> u64 {
        self.into()
    }
}

impl Value for u8 {
    fn of(value: u64) -> Self {
        u8::try_from(value).unwrap_or(u8::MAX)
    }

    fn number(self) -> u64 {
        self.into()
    }
}

impl Value for bool {
    fn of(value: u64) -> Self {
        value != 0
    }

    fn number(self) -> u64 {
        self.into()
    }
}

/// Defines `get-NAME` and `set-NAME` of a kind of socket.
pub(super) fn add<T, S, V>(
    types: &mut LinkerInstance<'_, T>,
    socket: &str,
    name: &str,
    option: SocketOption,
) -> Result<()>
where
    T: WasiView + 'static,
    S: Options,
    V: Value,
{
    types.func(&format!("[method]{socket}.get-{name}"), move |mut store, (this,): (Resource<S>,)| {
        let value = find(&mut store, &this)?.option(option);
        Ok(value.map(V::of).map_err(ErrorCode::from))
    })?;
    types.func(
        &format!("[method]{socket}.set-{name}"),
        move |mut store, (this, value): (Resource<S>, V)| -> Answer<()> {
            let socket = find(&mut store, &this)?;
            Ok(socket.set_option(option, value.number()).map_err(ErrorCode::from))
        },
    )?;
    Ok(())
}
