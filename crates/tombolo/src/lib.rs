//! An implementation of the WebAssembly Component Model: the embedding API.

extern crate self as tombolo;

mod abi;
mod async_value;
mod component;
mod engine;
mod error;
mod feature;
mod func;
mod host_func;
mod instance;
mod linker;
mod resource;
mod runtime;
mod slot;
mod store;
mod stream;
mod value;

pub use abi::{
    ComponentParams, ComponentType, Lift, LiftContext, LiftParams, Lower, LowerContext, LowerParams, Mismatch,
};
pub use component::Component;
pub use engine::{Config, Engine};
pub use error::{Error, ErrorKind, Frame, Result, Trap, TrapReason};
pub use feature::Feature;
pub use func::{Func, TypedFunc};
pub use instance::Instance;
pub use linker::{Linker, LinkerInstance};
pub use resource::{Resource, ResourceAny, ResourceTable, ResourceTableError};
pub use store::{Accessor, AsStoreMut, Store, StoreMut};
pub use stream::{
    Destination, FutureReader, Source, StreamConsumer, StreamProducer, StreamReader, StreamState,
};
pub use tombolo_macros::{ComponentType, Lift, Lower, flags};
pub use value::{ErrorContextAny, FutureAny, StreamAny, Type, TypeKind, Val};

#[doc(hidden)]
pub use abi::derive as __derive;
