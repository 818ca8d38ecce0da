//! Memories, tables, code memory, instances, traps and fibers of the Tombolo runtime.

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
mod entry;
mod fiber;
mod func;
mod global;
mod handle;
mod host;
mod instance;
mod instantiate;
mod limits;
mod memory;
mod module;
mod os;
mod signals;
mod store;
mod table;
mod trampoline;
mod trap;
mod value;

pub use backtrace::Frame;
pub use code::{CodeError, CodeKind, CodeObject, CodeTables};
pub use context::{Definition, FuncRef, HostContext, HostFn, StoreContext};
pub use entry::{enter, guard};
pub use fiber::{Fiber, Step, SuspendError};
pub use func::{CallError, FuncHandle};
pub use global::{GlobalHandle, TagHandle};
pub use host::HostCall;
pub use instance::{Extern, InstanceHandle};
pub use instantiate::{InstantiationError, ResourceError};
pub use limits::{Limiter, Limits};
pub use memory::{MemoryHandle, OutOfBounds};
pub use module::Module;
pub use store::{InterruptFn, InterruptHandle, Store, StoreConfig, StoreRef};
pub use table::{MAX_TABLE_ELEMENTS, SetError, TableHandle};
pub use trampoline::{Trampoline, TrampolineCache};
pub use trap::{HostPanic, Trap, TrapKind};
pub use value::{RawVal, Val};
