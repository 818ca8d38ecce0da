//! An implementation of the WebAssembly Component Model: the embedding API.

extern crate self as tombolo;

mod abi;
mod async_value;
mod error;
mod resource;
mod value;

pub use abi::{
    ComponentParams, ComponentType, Lift, LiftContext, LiftParams, Lower, LowerContext, LowerParams, Mismatch,
};
pub use error::{Error, ErrorKind, Frame, Result, Trap, TrapReason};
pub use resource::{Resource, ResourceAny, ResourceTable, ResourceTableError};
pub use tombolo_macros::{ComponentType, Lift, Lower, flags};
pub use value::{ErrorContextAny, FutureAny, StreamAny, Type, TypeKind, Val};

#[doc(hidden)]
pub use abi::derive as __derive;
