//! An implementation of the WebAssembly Component Model: the embedding API.
//!
//! ```
//! use tombolo::{Component, Config, Engine, Linker, Store, StoreMut};
//!
//! // An engine compiles. `Component::from_file` reads a file; here is a component as text.
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::new(
//!     &engine,
//!     r#"(component
//!         (import "toll" (func $toll (param "weight" u32) (result u32)))
//!         (core func $toll (canon lower (func $toll)))
//!         (core module $m
//!             (import "" "toll" (func $toll (param i32) (result i32)))
//!             (func (export "cross") (param $times i32) (param $weight i32) (result i32)
//!                 (i32.mul (local.get $times) (call $toll (local.get $weight)))))
//!         (core instance $i (instantiate $m (with "" (instance (export "toll" (func $toll))))))
//!         (func (export "cross") (param "times" u32) (param "weight" u32) (result u32)
//!             (canon lift (core func $i "cross"))))"#,
//! )?;
//!
//! // A linker has what components import. Here, a function of the host that works on the host's data.
//! struct Host {
//!     calls: u32,
//! }
//! let mut linker = Linker::new(&engine);
//! linker.root().func("toll", |mut store: StoreMut<'_, Host>, (weight,): (u32,)| {
//!     store.data_mut().calls += 1;
//!     Ok(weight / 10 + 1)
//! })?;
//!
//! // A store holds what runs, and the host's data.
//! let mut store = Store::new(&engine, Host { calls: 0 });
//! let instance = linker.instantiate(&mut store, &component)?;
//! let cross = instance.typed_func::<(u32, u32), u32>(&mut store, "cross")?;
//! assert_eq!(cross.call(&mut store, (3, 70))?, 24);
//! assert_eq!(store.data().calls, 1);
//! # Ok::<(), tombolo::Error>(())
//! ```
//!
//! # From the inside out
//!
//! - An [`Engine`] compiles; its [`Config`] says how, and which [`Feature`]s of the Component Model components may
//!   use. A [`Component`] is validated and compiled, and can be instantiated any number of times.
//! - A [`Linker`] has functions, resources and interfaces by the names under which components import them. Versions
//!   match as semantic versions do. [`Linker::define_instance`] links one component to another in the same store.
//! - A [`Store`] holds instances and everything that runs in them, beside the host's own data. It is on one thread at
//!   a time. Host functions get it as [`StoreMut`], or, where they may wait, as an [`Accessor`].
//! - An [`Instance`] has functions: a [`Func`] takes and returns [`Val`]s, a [`TypedFunc`] types of Rust that implement
//!   [`Lower`] and [`Lift`]. [`ComponentType`](derive@ComponentType), [`Lift`](derive@Lift),
//!   [`Lower`](derive@Lower) and [`flags!`] make such types of an embedder's own.
//! - A [`Resource`] stands for something that the host keeps, often in a [`ResourceTable`]; a [`ResourceAny`] for
//!   something of either side.
//! - A [`StreamReader`] or [`FutureReader`] is the end of a stream or future that the host holds. It is made of a
//!   [`StreamProducer`], and goes to a [`StreamConsumer`].
//!
//! # Waiting
//!
//! A function that is not `async` is called by [`TypedFunc::call`], on the caller's stack and without an executor. One
//! that is `async` is called by [`TypedFunc::call_async`], whose future drives the store: any executor can poll it,
//! and while it waits the store's guests go on.
//!
//! ```
//! use tombolo::{Accessor, Component, Config, Engine, Linker, Store};
//!
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::new(
//!     &engine,
//!     r#"(component
//!         (import "tide" (func $tide async (result u32)))
//!         (core func $tide (canon lower (func $tide)))
//!         (core module $m
//!             (import "" "tide" (func $tide (result i32)))
//!             (func (export "depth") (result i32) (i32.sub (i32.const 50) (call $tide))))
//!         (core instance $i (instantiate $m (with "" (instance (export "tide" (func $tide))))))
//!         (func (export "depth") async (result u32) (canon lift (core func $i "depth"))))"#,
//! )?;
//!
//! let mut linker = Linker::new(&engine);
//! linker.root().func_async("tide", |_store: Accessor<()>, (): ()| async {
//!     // … a future of any kind
//!     Ok(8_u32)
//! })?;
//!
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate(&mut store, &component)?;
//! let depth = instance.typed_func::<(), u32>(&mut store, "depth")?;
//! # let block_on = |future| futures_util::FutureExt::now_or_never(future).unwrap();
//! let answer = block_on(depth.call_async(&mut store, ()))?;
//! assert_eq!(answer, 42);
//! # Ok::<(), tombolo::Error>(())
//! ```
//!
//! Several calls go on at once inside [`Store::run_concurrent`].
//!
//! # Bounds
//!
//! A store's guests run until they are done, unless it says otherwise: [`Store::set_fuel`] counts what they do and ends
//! them when it is used up, [`Store::set_deadline`] ends them at a time, and [`Store::set_time_slice`] lets an executor
//! do something else in between. A root instance may have fuel and a deadline of its own ([`Instance::set_fuel`],
//! [`Instance::set_deadline`]), which end it alone. Engines compile the checks for these if their [`Config`] says so.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use tombolo::{Component, Config, Engine, Linker, Store};
//!
//! let engine = Engine::new(Config::new().deadlines(true))?;
//! let component = Component::new(
//!     &engine,
//!     r#"(component
//!         (core module $m (func (export "spin") (loop $l (br $l))))
//!         (core instance $i (instantiate $m))
//!         (func (export "spin") (canon lift (core func $i "spin"))))"#,
//! )?;
//! let mut store = Store::new(&engine, ());
//! store.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
//! let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
//! let error = instance.typed_func::<(), ()>(&mut store, "spin")?.call(&mut store, ()).unwrap_err();
//! assert!(error.to_string().starts_with("interrupted: deadline passed"));
//! # Ok::<(), tombolo::Error>(())
//! ```
//!
//! # Errors
//!
//! Everything fails with the one [`Error`]. What a guest does wrong is a [`Trap`] with its reason and the guest's
//! backtrace. An error that a host function returned comes back from the call, and [`Error::downcast_ref`] finds it.
//!
//! Either ends the root instance that it happened in, which is what one [`Linker::instantiate`] made, and those that were
//! waiting for a call into it: [`Ended`] says why. Everything else in the store goes on, and the component can be
//! instantiated again. [`Store::on_ended`] is told of each; [`Instance::end`] ends one that is no longer wanted.
//!
//! ```
//! use tombolo::{Component, Config, Engine, Linker, Store};
//!
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::new(
//!     &engine,
//!     r#"(component
//!         (core module $m
//!             (func (export "halve") (param i32) (result i32)
//!                 (if (i32.and (local.get 0) (i32.const 1)) (then unreachable))
//!                 (i32.shr_u (local.get 0) (i32.const 1))))
//!         (core instance $i (instantiate $m))
//!         (func (export "halve") (param "n" u32) (result u32) (canon lift (core func $i "halve"))))"#,
//! )?;
//! let linker = Linker::new(&engine);
//! let mut store = Store::new(&engine, ());
//! let first = linker.instantiate(&mut store, &component)?;
//! let second = linker.instantiate(&mut store, &component)?;
//! assert!(first.typed_func::<(u32,), u32>(&mut store, "halve")?.call(&mut store, (7,)).is_err());
//! assert!(first.ended().is_some());
//! assert_eq!(second.typed_func::<(u32,), u32>(&mut store, "halve")?.call(&mut store, (8,))?, 4);
//! # Ok::<(), tombolo::Error>(())
//! ```
//!
//! # Panics
//!
//! A panic in the host's code that a guest called, directly or by waiting for its future or stream, ends there: no
//! guest's frame is unwound by it. What was going on fails with [`TrapReason::HostPanic`], and the guest's root instance
//! ends, as after any trap. An embedder that would rather have the panic takes it from there. A panic of the future that was given to [`Store::run_concurrent`] is not a guest's affair, and passes
//! through.
//!
//! The interfaces of WASI are in the `tombolo-wasi` crate, which reaches this one as any embedder does.

extern crate self as tombolo;

mod abi;
mod async_value;
mod component;
mod ended;
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
mod timer;
mod value;

pub use abi::{
    ComponentParams, ComponentType, Lift, LiftContext, LiftParams, Lower, LowerContext, LowerParams, Mismatch,
};
pub use component::Component;
pub use ended::{EndCause, Ended};
pub use engine::{Config, Engine, Profile};
pub use error::{
    Backtrace, Error, ErrorKind, Frame, HostPanic, LimitExceeded, LimitKind, Result, SourceFrame, Trap,
    TrapCode, TrapReason,
};
pub use feature::Feature;
pub use func::{Func, TypedFunc};
pub use instance::Instance;
pub use linker::{Linker, LinkerInstance};
pub use resource::{Resource, ResourceAny, ResourceTable, ResourceTableError};
pub use store::{Accessor, AsStoreMut, Limits, Store, StoreMut};
pub use stream::{
    Destination, FutureProducer, FutureReader, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamState,
};
pub use tombolo_macros::{ComponentType, Lift, Lower, flags};
pub use value::{ErrorContextAny, FutureAny, StreamAny, Type, TypeKind, Val};

#[doc(hidden)]
pub use abi::derive as __derive;
