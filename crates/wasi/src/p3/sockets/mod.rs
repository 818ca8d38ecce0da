//! `wasi:sockets`.

mod options;
mod tcp;
mod types;
mod udp;

use std::net::IpAddr;

use tombolo::{Error, Linker, Resource, ResourceTable, ResourceTableError, Result, StoreMut};

use crate::WasiView;

pub use types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    LookupErrorCode,
};

/// What a guest is answered: a value or an error code.
type Answer<R> = Result<std::result::Result<R, ErrorCode>>;

/// Defines the interfaces of `wasi:sockets`.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = linker.instance("wasi:sockets/types@0.3.2")?;
    tcp::add(&mut types)?;
    udp::add(&mut types)?;

    linker.instance("wasi:sockets/ip-name-lookup@0.3.2")?.func_async(
        "resolve-addresses",
        |store, (name,): (String,)| async move {
            let sockets = store.with(|mut store| store.data_mut().wasi().ctx.sockets.clone());
            let found: std::result::Result<Vec<IpAddr>, _> = sockets.resolve(&name).await;
            Ok(found
                .map(|addresses| addresses.into_iter().map(IpAddress::from).collect::<Vec<_>>())
                .map_err(LookupErrorCode::from))
        },
    )?;
    Ok(())
}

/// Puts a new socket into the table.
fn push<R: Send + 'static>(table: &mut ResourceTable, socket: R) -> Answer<Resource<R>> {
    match table.push(socket) {
        Err(ResourceTableError::Full(_)) => Ok(Err(ErrorCode::OutOfMemory)),
        pushed => pushed.map(Ok).map_err(Error::host),
    }
}

/// The socket that a handle stands for.
fn find<'a, T: WasiView + 'static, R: Send + 'static>(
    store: &'a mut StoreMut<'_, T>,
    this: &Resource<R>,
) -> Result<&'a R> {
    store.data_mut().wasi().table.get(this).map_err(Error::host)
}
