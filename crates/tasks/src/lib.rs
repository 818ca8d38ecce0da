//! The Component Model's concurrency rules as a pure state machine.
//!
//! This crate keeps the runtime state that CanonicalABI.md defines: component instances with their handle and
//! thread tables, tasks and their threads, subtasks, waitables and waitable sets, streams and futures,
//! resource handles, cancellation and backpressure. It runs no code and touches no memory. The runtime above
//! plugs in its own data through [`Embedder`], tells the [`Store`] what guests do, and performs the effects
//! that the answers ask for.

// A guest can reach all of this, so none of it may panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod callback;
mod copy;
mod embedder;
mod end;
mod error_context;
mod event;
mod future;
mod handle_table;
mod host_end;
mod id;
mod instance;
mod list;
mod resource;
mod scheduler;
mod slab;
mod store;
mod stream;
mod subtask;
mod table;
mod task;
mod thread;
mod thread_builtins;
mod trap;
mod waitable;
mod waitable_set;

pub use callback::{CallbackCode, CallbackStep};
pub use copy::{CopyStep, Transfer};
pub use embedder::{Buffer, Element, Embedder, MAX_BUFFER_LENGTH};
pub use end::{CancelStep, Delivered, EndKind, EndState};
pub use event::{BLOCKED, CopyEvent, CopyResult, Event, EventCode};
pub use host_end::HostNotification;
pub use id::{EndId, Entity, InstanceId, SetId, SubtaskId, TaskId, ThreadId};
pub use instance::{Instance, Limits, RemovedInstance};
pub use resource::{Dropped, LendScope, Lenders};
pub use store::{Census, Store};
pub use subtask::{SubtaskCancel, SubtaskState};
pub use task::{CancelOutcome, Enter, Entering, TaskState, ThreadExit};
pub use thread::{ThreadState, WaitFor};
pub use trap::{EndAction, HandleKind, Trap};

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod tests;
