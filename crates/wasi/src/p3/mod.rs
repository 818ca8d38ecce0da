//! WASI 0.3: the interfaces of `wasi:cli`, `wasi:clocks`, `wasi:random`, `wasi:filesystem` and `wasi:sockets`, as
//! components import them.
//!
//! Each module binds one package to the core and does no more than translate. The definitions are of version 0.3.2;
//! a linker matches them to what a component imports by semver, so that components built for 0.3.0 and 0.3.1 find
//! them too.

pub mod cli;
pub mod clocks;
pub mod filesystem;
pub mod random;
pub mod sockets;
mod streams;

use tombolo::{Linker, Result};

use crate::WasiView;

/// Defines every interface of WASI 0.3.
///
/// What a guest is not to have, [`Linker::remove`] takes away again, by the name of its interface.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    filesystem::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}
