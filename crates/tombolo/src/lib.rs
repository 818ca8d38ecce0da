//! An implementation of the WebAssembly Component Model: the embedding API.

mod abi;
mod error;
mod resource;

pub use error::{Error, ErrorKind, Frame, Result, Trap, TrapReason};
pub use resource::{Resource, ResourceAny};
