//! `udp-socket`.

use tombolo::{Error, LinkerInstance, Resource, Result};

use crate::WasiView;
use crate::sockets::{SocketOption, UdpSocket};

use super::types::{ErrorCode, IpAddressFamily, IpSocketAddress};
use super::{Answer, find, options, push};

/// A borrowed socket, as methods receive it.
type This = Resource<UdpSocket>;

pub(super) fn add<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<UdpSocket>("udp-socket", |mut store, socket| {
        store.data_mut().wasi().table.delete(socket).map(drop).map_err(Error::host)
    })?;
    types.func("[static]udp-socket.create", |mut store, (family,): (IpAddressFamily,)| {
        let wasi = store.data_mut().wasi();
        match wasi.ctx.sockets.udp(family.into()) {
            Ok(socket) => push(wasi.table, socket),
            Err(error) => Ok(Err(error.into())),
        }
    })?;
    add_datagrams(types)?;
    add_getters(types)?;
    let socket = "udp-socket";
    options::add::<T, UdpSocket, u8>(types, socket, "unicast-hop-limit", SocketOption::HopLimit)?;
    options::add::<T, UdpSocket, u64>(types, socket, "receive-buffer-size", SocketOption::ReceiveBufferSize)?;
    options::add::<T, UdpSocket, u64>(types, socket, "send-buffer-size", SocketOption::SendBufferSize)
}

fn add_datagrams<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]udp-socket.bind",
        |mut store, (this, local): (This, IpSocketAddress)| -> Answer<()> {
            Ok(find(&mut store, &this)?.bind(local.into()).map_err(ErrorCode::from))
        },
    )?;
    types.func(
        "[method]udp-socket.connect",
        |mut store, (this, remote): (This, IpSocketAddress)| -> Answer<()> {
            Ok(find(&mut store, &this)?.connect(remote.into()).map_err(ErrorCode::from))
        },
    )?;
    types.func("[method]udp-socket.disconnect", |mut store, (this,): (This,)| -> Answer<()> {
        Ok(find(&mut store, &this)?.disconnect().map_err(ErrorCode::from))
    })?;
    types.func_async(
        "[method]udp-socket.send",
        |store, (this, data, remote): (This, Vec<u8>, Option<IpSocketAddress>)| async move {
            let socket = store.with(|mut store| find(&mut store, &this).cloned())?;
            Ok(socket.send(data, remote.map(Into::into)).await.map_err(ErrorCode::from))
        },
    )?;
    types.func_async("[method]udp-socket.receive", |store, (this,): (This,)| async move {
        let socket = store.with(|mut store| find(&mut store, &this).cloned())?;
        let received = socket.receive().await;
        Ok(received.map(|(data, remote)| (data, IpSocketAddress::from(remote))).map_err(ErrorCode::from))
    })?;
    Ok(())
}

fn add_getters<T: WasiView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]udp-socket.get-local-address",
        |mut store, (this,): (This,)| -> Answer<IpSocketAddress> {
            Ok(find(&mut store, &this)?.local_address().map(Into::into).map_err(ErrorCode::from))
        },
    )?;
    types.func(
        "[method]udp-socket.get-remote-address",
        |mut store, (this,): (This,)| -> Answer<IpSocketAddress> {
            Ok(find(&mut store, &this)?.remote_address().map(Into::into).map_err(ErrorCode::from))
        },
    )?;
    types.func("[method]udp-socket.get-address-family", |mut store, (this,): (This,)| {
        Ok(IpAddressFamily::from(find(&mut store, &this)?.family()))
    })?;
    Ok(())
}
