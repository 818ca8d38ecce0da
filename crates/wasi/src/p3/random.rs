//! `wasi:random`.

use tombolo::{Error, Linker, Result};

use crate::WasiView;
use crate::random::Random;

/// Defines the interfaces of `wasi:random`.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut secure = linker.instance("wasi:random/random@0.3.2")?;
    secure.func("get-random-bytes", |mut store, (length,): (u64,)| {
        let random = &mut store.data_mut().wasi().ctx.random;
        Random::draw(&mut *random.secure, length).map_err(Error::host)
    })?;
    secure.func("get-random-u64", |mut store, ()| {
        store.data_mut().wasi().ctx.random.secure.next_u64().map_err(Error::host)
    })?;

    let mut insecure = linker.instance("wasi:random/insecure@0.3.2")?;
    insecure.func("get-insecure-random-bytes", |mut store, (length,): (u64,)| {
        let random = &mut store.data_mut().wasi().ctx.random;
        Random::draw(&mut *random.insecure, length).map_err(Error::host)
    })?;
    insecure.func("get-insecure-random-u64", |mut store, ()| {
        store.data_mut().wasi().ctx.random.insecure.next_u64().map_err(Error::host)
    })?;

    let mut seed = linker.instance("wasi:random/insecure-seed@0.3.2")?;
    seed.func("get-insecure-seed", |mut store, ()| {
        store.data_mut().wasi().ctx.random.insecure_seed().map_err(Error::host)
    })?;
    Ok(())
}
