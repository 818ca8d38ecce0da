//! The component runtime: how functions are lifted, lowered and called, how threads run, and what the canonical
//! built-ins do. The rules live in `tombolo-tasks`; this room carries out their effects.
//!
//! Everything hangs off [`StoreCore`], which compiled code finds through its context. Guest code calls the host,
//! which calls the guest again, so no part of it may be borrowed across a call into a guest: its parts are cells,
//! borrowed for the length of a statement.

mod activation;
mod adapter;
mod blocking;
mod builtins;
mod call_guest;
mod call_host;
mod copy;
mod core;
mod ending;
mod entry;
mod env;
mod func;
mod guest;
mod host_end;
mod host_task;
mod id_hash;
mod instantiate;
mod island;
mod lazy;
mod lent;
mod resource_type;
mod thread;

pub(crate) use self::core::{HostDrop, Job, StoreCore};
pub(crate) use adapter::Adapters;
pub(crate) use call_guest::HostCaller;
pub(crate) use call_host::{HostCall, HostFunction, HostOutcome, HostWork};
pub(crate) use copy::{CopyBuffer, Span};
pub(crate) use entry::trap_of;
pub(crate) use env::{Element, Env, same_func};
pub(crate) use func::{FuncValue, LiftedFunc, LoweredFunc};
pub(crate) use guest::{Callable, Scope, end_of, handle_of};
pub(crate) use host_end::{EndTask, EndWork};
pub(crate) use host_task::{Driver, First, HostTask, HostTaskId};
pub(crate) use instantiate::{ComponentValue, ExportItem, InstanceValue, instantiate};
pub(crate) use island::Island;
pub(crate) use thread::SHALLOW_STACK;

use std::sync::Arc;

use tombolo_tasks::{Embedder, TaskId};
use tombolo_vm::Fiber;

use crate::resource::ResourceType;

/// What this runtime plugs into the state machine.
pub(crate) struct Runtime;

impl Embedder for Runtime {
    type Task = TaskData;
    type Thread = ThreadData;
    type Subtask = SubtaskData;
    type Instance = Arc<Island>;
    type Buffer = CopyBuffer;
    type Element = Element;
    type Resource = ResourceType;
    type ErrorContext = String;
}

/// A call into a guest.
pub(crate) struct TaskData {
    /// `None` while a core start function runs.
    pub func: Option<Arc<LiftedFunc>>,
    pub caller: Caller,
}

impl TaskData {
    /// Takes the caller out.
    #[inline]
    pub fn take_caller(&mut self) -> Caller {
        std::mem::replace(&mut self.caller, Caller::Nobody)
    }
}

/// Who called, and so where arguments come from and results go (`OnStart` and `OnResolve` of the specification).
pub(crate) enum Caller {
    /// Nobody waits for a result.
    Nobody,
    /// A guest, through the subtask.
    Guest(tombolo_tasks::SubtaskId),
    /// The host.
    Host(Box<dyn HostCaller>),
}

/// Where a thread's stack is while it does not run.
pub(crate) enum ThreadData {
    /// It runs on the stack of whoever called it. Such a thread cannot block.
    OnStack,
    /// It runs on a fiber.
    OnFiber,
    /// It has not begun; a guest made it, for this.
    Fresh(Box<thread::Code>),
    /// It has not begun: it waits to enter its instance.
    Entering,
    /// Its callback will be called with the next event; it needs no stack until then.
    Callback,
    /// Suspended in the middle of guest code.
    Fiber(Fiber),
}

/// A call out of a guest.
pub(crate) struct SubtaskData {
    pub lowered: Arc<LoweredFunc>,
    /// The caller's flat arguments, for a callee that is a guest and may have to wait before it takes them.
    pub args: Box<[u64]>,
    /// Where the result goes, if that is to memory; then the flat result of a sync-lowered call, for the caller to pick
    /// up: one at most.
    pub value: u64,
    pub callee: Callee,
}

// Both are moved into their places for each call that blocks.
const _: () = assert!(size_of::<ThreadData>() == 16 && size_of::<SubtaskData>() <= 48);

/// What works on a subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Starting,
    Guest(TaskId),
    Host(HostTaskId),
}
