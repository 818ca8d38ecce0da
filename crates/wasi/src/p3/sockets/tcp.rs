//! `tcp-socket`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tombolo::{
    Destination, Error, LinkerInstance, Resource, Result, StreamProducer, StreamReader, StreamState,
};

use crate::WasiView;
use crate::sockets::{SocketOption, TcpListener, TcpSocket};

use super::super::streams;
use super::types::{ErrorCode, IpAddressFamily, IpSocketAddress};
use super::{Answer, find, options, push};

/// A borrowed socket, as methods receive it.
type This = Resource<TcpSocket>;

pub(super) fn add<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<TcpSocket>("tcp-socket", |mut store, socket| {
        store.data_mut().wasi().table.delete(socket).map(drop).map_err(Error::host)
    })?;
    types.func("[static]tcp-socket.create", |mut store, (family,): (IpAddressFamily,)| {
        let wasi = store.data_mut().wasi();
        match wasi.ctx.sockets.tcp(family.into()) {
            Ok(socket) => push(wasi.table, socket),
            Err(error) => Ok(Err(error.into())),
        }
    })?;
    add_connections(types)?;
    add_getters(types)?;
    add_options(types)
}

fn add_connections<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]tcp-socket.bind",
        |mut store, (this, local): (This, IpSocketAddress)| -> Answer<()> {
            Ok(find(&mut store, &this)?.bind(local.into()).map_err(ErrorCode::from))
        },
    )?;
    types.func_async(
        "[method]tcp-socket.connect",
        |store, (this, remote): (This, IpSocketAddress)| async move {
            let socket = store.with(|mut store| find(&mut store, &this).cloned())?;
            Ok(socket.connect(remote.into()).await.map_err(ErrorCode::from))
        },
    )?;
    types.func(
        "[method]tcp-socket.listen",
        |mut store, (this,): (This,)| -> Answer<StreamReader<Resource<TcpSocket>>> {
            match find(&mut store, &this)?.listen() {
                Ok(listener) => StreamReader::new(store, ConnectionProducer(listener)).map(Ok),
                Err(error) => Ok(Err(error.into())),
            }
        },
    )?;
    types.func("[method]tcp-socket.send", |mut store, (this, data): (This, StreamReader<u8>)| {
        let output = find(&mut store, &this)?.send().map_err(ErrorCode::from);
        streams::write::<_, _, ErrorCode>(store, data, output)
    })?;
    types.func("[method]tcp-socket.receive", |mut store, (this,): (This,)| {
        let input = find(&mut store, &this)?.receive().map_err(ErrorCode::from);
        streams::read::<_, _, ErrorCode>(store, input)
    })?;
    Ok(())
}

fn add_getters<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]tcp-socket.get-local-address",
        |mut store, (this,): (This,)| -> Answer<IpSocketAddress> {
            Ok(find(&mut store, &this)?.local_address().map(Into::into).map_err(ErrorCode::from))
        },
    )?;
    types.func(
        "[method]tcp-socket.get-remote-address",
        |mut store, (this,): (This,)| -> Answer<IpSocketAddress> {
            Ok(find(&mut store, &this)?.remote_address().map(Into::into).map_err(ErrorCode::from))
        },
    )?;
    types.func("[method]tcp-socket.get-is-listening", |mut store, (this,): (This,)| {
        Ok(find(&mut store, &this)?.is_listening())
    })?;
    types.func("[method]tcp-socket.get-address-family", |mut store, (this,): (This,)| {
        Ok(IpAddressFamily::from(find(&mut store, &this)?.family()))
    })?;
    Ok(())
}

fn add_options<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]tcp-socket.set-listen-backlog-size",
        |mut store, (this, value): (This, u64)| -> Answer<()> {
            Ok(find(&mut store, &this)?.set_backlog(value).map_err(ErrorCode::from))
        },
    )?;
    let socket = "tcp-socket";
    options::add::<T, TcpSocket, bool>(types, socket, "keep-alive-enabled", SocketOption::KeepAliveEnabled)?;
    options::add::<T, TcpSocket, u64>(
        types,
        socket,
        "keep-alive-idle-time",
        SocketOption::KeepAliveIdleTime,
    )?;
    options::add::<T, TcpSocket, u64>(types, socket, "keep-alive-interval", SocketOption::KeepAliveInterval)?;
    options::add::<T, TcpSocket, u32>(types, socket, "keep-alive-count", SocketOption::KeepAliveCount)?;
    options::add::<T, TcpSocket, u8>(types, socket, "hop-limit", SocketOption::HopLimit)?;
    options::add::<T, TcpSocket, u64>(types, socket, "receive-buffer-size", SocketOption::ReceiveBufferSize)?;
    options::add::<T, TcpSocket, u64>(types, socket, "send-buffer-size", SocketOption::SendBufferSize)
}

/// Fills a guest's reads with the connections that a socket takes.
struct ConnectionProducer(TcpListener);

impl<T: WasiView + 'static> StreamProducer<T> for ConnectionProducer {
    type Item = Resource<TcpSocket>;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, Resource<TcpSocket>>,
    ) -> Poll<Result<StreamState>> {
        let listener = &mut self.0;
        if destination.remaining() == 0 {
            let ready = ready!(listener.poll_ready(cx));
            return Poll::Ready(Ok(if ready.is_ok() { StreamState::Open } else { StreamState::Closed }));
        }
        let mut taken = false;
        while destination.remaining() > 0 {
            let socket = match listener.poll_accept(cx) {
                Poll::Ready(Ok(socket)) => socket,
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "a listener takes no more connections");
                    return Poll::Ready(Ok(StreamState::Closed));
                }
                Poll::Pending if taken => break,
                Poll::Pending => return Poll::Pending,
            };
            match push(destination.store().data_mut().wasi().table, socket)? {
                Ok(socket) => destination.push(socket)?,
                Err(_) => {
                    tracing::warn!("a connection is closed: the guest holds as many resources as it may");
                    continue;
                }
            }
            taken = true;
        }
        Poll::Ready(Ok(StreamState::Open))
    }
}
