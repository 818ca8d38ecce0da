//! WASI for the Tombolo runtime: what a guest reaches of the world outside, and nothing more than it was given.
//!
//! ```
//! use tombolo::{Config, Engine, Linker, ResourceTable, Store};
//! use tombolo_wasi::{Permissions, WasiCtx, WasiCtxView, WasiView, p3};
//!
//! struct Host {
//!     wasi: WasiCtx,
//!     table: ResourceTable,
//! }
//!
//! impl WasiView for Host {
//!     fn wasi(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(&Config::new())?;
//! let mut linker = Linker::<Host>::new(&engine);
//! p3::add_to_linker(&mut linker)?;
//! let wasi = WasiCtx::builder()
//!     .args(["program", "input.txt"])
//!     .inherit_stdio()
//!     .preopened_dir("/tmp", "/", Permissions::READ_ONLY)?
//!     .build();
//! let store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
//! # Ok(())
//! # }
//! ```
//!
//! A sandboxed core per topic, [`filesystem`], [`sockets`], [`clocks`], [`random`] and [`stdio`], does the work and knows no
//! version of WASI; each has a trait that an embedder can implement instead of the host's own. [`p3`] is a thin
//! front that offers the core as WASI 0.3.
//!
//! Stores whose guests wait for something are driven inside a [tokio](https://docs.rs/tokio) runtime with I/O and
//! time enabled: timers, sockets, pipes and terminals wait on its reactor, and what may block goes to its blocking pool.

mod blocking;
pub mod bytes;
pub mod clocks;
mod context;
mod descriptor_limit;
mod environment;
mod error;
mod exit;
pub mod filesystem;
pub mod p3;
pub mod random;
mod reactor;
pub mod sockets;
pub mod stdio;

pub use blocking::{Blocking, Workers};
pub use context::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
pub use environment::Environment;
pub use error::Error;
pub use exit::Exit;
pub use filesystem::Permissions;
