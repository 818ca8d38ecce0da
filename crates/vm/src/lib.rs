//! The layer of the Tombolo runtime that runs compiled code: memories, tables, code memory, instances, traps, fibers.
//!
//! # A guide
//!
//! A [`TrampolineCache`] is an engine: a compiler, its function types, and what lies between host and guest for each
//! type. A [`Module`] is compiled code in place, and belongs to no store. A [`Store`] owns everything that runs
//! together: [instances](InstanceHandle) and their functions, memories, tables and globals, which the host names by
//! handles. They live as long as the store, or as the [group](GroupRef) of it that they were made in.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tombolo_compile::{Compiler, Config};
//! use tombolo_types::TypeRegistry;
//! use tombolo_types::core::{FuncType, ValType};
//! use tombolo_vm::{Extern, Module, RawVal, Store, StoreConfig, TrampolineCache, Val};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let wasm = wat::parse_str(
//!     r#"(module
//!         (import "host" "add" (func $add (param i32 i32) (result i32)))
//!         (func (export "twice") (param i32) (result i32) (call $add (local.get 0) (local.get 0))))"#,
//! )?;
//! let registry = Arc::new(TypeRegistry::default());
//! let add = registry.intern(FuncType::new([ValType::I32, ValType::I32], [ValType::I32]));
//! let engine = TrampolineCache::new(Arc::new(Compiler::new(&Config::default())?), registry);
//! let module = Module::compile(&engine, &wasm)?;
//!
//! let store = Store::new(engine, StoreConfig::default());
//! let add = store.host_func(add, |mut call| {
//!     let sum = call.param(0).i32().wrapping_add(call.param(1).i32());
//!     call.set_result(0, RawVal::from_i32(sum));
//!     Ok(())
//! })?;
//! let instance = store.instantiate(&module, &[Extern::Func(add)])?;
//! store.start(instance)?;
//! let twice = instance.export(&store, "twice").and_then(Extern::func).ok_or("no such function")?;
//! assert_eq!(store.call(twice, &[Val::I32(21)])?, [Val::I32(42)]);
//! # Ok(())
//! # }
//! ```
//!
//! What goes wrong in a guest, or in a host function that it called, is a [`Trap`], an ordinary error with the guest's
//! backtrace. A guest that must wait runs on a [`Fiber`], which a host function suspends with [`Store::suspend`].
//!
//! Two forms of most things exist: one that checks what it is given, for tests and for embedders that are in no hurry
//! ([`Store::call`], [`Store::host_func`], [`MemoryHandle::read`]), and an `unsafe` one for the component runtime
//! ([`Store::call_raw`], [`Store::raw_host_func`], [`MemoryHandle::bytes`]).
//!
//! # Where things are
//!
//! | what | where |
//! |---|---|
//! | what compiled code and runtime both see | `context`, `value` |
//! | machine code and what is known of its addresses | `code`, `module`, `trampoline` |
//! | in and out of compiled code | `entry`, `signals`, `trap`, `exception`, `backtrace`, `fiber` |
//! | what instances are made of, and freed with | `store`, `group`, `instance`, `instantiate`, `memory`, `table`, `global`, `func`, `host` |
//! | what compiled code calls | `builtins`, `bulk`, `copy` |
//! | what depends on processor and system | `arch`, `os` |
//!
//! Lazily compiled functions and pooled memories are not here yet.

#![expect(
    unsafe_code,
    reason = "this is the layer that runs compiled code: each module opens with its invariants, each block has its reason"
)]

mod arch;
mod backtrace;
mod builtins;
mod bulk;
mod code;
mod const_expr;
mod context;
mod copy;
mod entry;
mod exception;
mod fiber;
mod func;
mod global;
mod group;
mod handle;
mod host;
mod instance;
mod instantiate;
mod limits;
mod memory;
mod module;
mod os;
mod reach;
mod signals;
mod store;
mod table;
mod trampoline;
mod trap;
mod value;

pub use backtrace::{Backtrace, Frame, SourceFrame};
pub use code::{CodeError, CodeKind, CodeObject, CodeTables, Origin, perf_map_path, write_perf_map};
pub use context::{Definition, FuncRef, HostContext, HostFn, StoreContext};
pub use copy::copy_bytes;
pub use entry::{enter, guard};
pub use exception::Thrown;
pub use fiber::{Fiber, Step, SuspendError};
pub use func::{CallError, FuncHandle};
pub use global::{GlobalHandle, TagHandle};
pub use group::{GroupHandle, GroupRef};
pub use host::{BuiltinCode, DirectFn, DirectResult, HostCall};
pub use instance::{Extern, InstanceHandle};
pub use instantiate::{InstantiationError, ResourceError};
pub use limits::{LimitExceeded, LimitKind, Limits};
pub use memory::{MemoryHandle, OutOfBounds};
pub use module::Module;
pub use store::{CutFn, InterruptFn, InterruptHandle, Store, StoreConfig, StoreRef};
pub use table::{MAX_TABLE_ELEMENTS, SetError, TableHandle};
pub use trampoline::{Trampoline, TrampolineCache};
pub use trap::{HostPanic, Trap, TrapKind};
pub use value::{RawVal, Val};
