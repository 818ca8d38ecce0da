//! The Component Model's concurrency rules as a pure state machine.
//!
//! This crate keeps the runtime state that the specification's [CanonicalABI.md] defines: component instances
//! with their handle and thread tables, tasks and their threads, subtasks, waitables and waitable sets, streams
//! and futures, resource handles, cancellation and backpressure. It runs no code, touches no memory and does
//! no input or output. The runtime above plugs in its own data through [`Embedder`], tells the [`Store`] what
//! guests do, and performs the effects that the answers ask for: resume this thread, copy these elements,
//! call this callback.
//!
//! Each file is one noun of the specification and opens with its invariants. A few ideas run through all:
//!
//! - **Names.** Entities live in slabs and are named by ids ([`TaskId`], [`EndId`], …) that find nothing once
//!   the entity is gone. Guests know only indices into their own instance's tables.
//! - **Traps.** Whatever a guest may not do is a [`Trap`], after which the state is as consistent as before. The
//!   runtime then ends the guest's instance ([`Store::remove_instance`]); all others go on.
//! - **Readiness is an event.** No waiting thread is ever polled: what may make it ready puts it into the ready
//!   queue, and [`Store::next_ready`] takes the next one out in O(1). See `scheduler.rs`.
//! - **Events are computed when they are delivered**, as in the specification, from the state of the waitable.
//! - **Everything is charged.** An instance's [`Limits`] bound its tables, and a [`Budget`], which several instances
//!   may share, the bytes of all it holds.
//!
//! # A call
//!
//! A guest in instance A calls an async function of instance B, which yields once before it returns. The
//! runtime does what `canon_lower` and `canon_lift` do in the specification:
//!
//! ```
//! use tombolo_tasks::*;
//!
//! # struct Runtime;
//! # impl Embedder for Runtime {
//! #     type Task = &'static str;
//! #     type Thread = &'static str;
//! #     type Subtask = ();
//! #     type Instance = &'static str;
//! #     type Buffer = Nothing;
//! #     type Element = Nothing;
//! #     type Resource = u32;
//! #     type ErrorContext = String;
//! # }
//! # #[derive(Clone, PartialEq)]
//! # struct Nothing;
//! # impl Buffer for Nothing {
//! #     fn remain(&self) -> u32 { 0 }
//! #     fn progress(&self) -> u32 { 0 }
//! #     fn advance(&mut self, _: u32) {}
//! # }
//! # impl Element for Nothing {
//! #     fn is_none_or_number(&self) -> bool { true }
//! # }
//! let mut store = Store::<Runtime>::new();
//! let a = store.new_instance("A", Limits::default())?;
//! let b = store.new_instance("B", Limits::default())?;
//!
//! // canon lower in A, canon lift with a callback in B.
//! let subtask = store.new_subtask(a, ())?;
//! let (task, thread, enter) = store.begin_task(b, true, true, "greet", "greet's callback")?;
//! assert_eq!(enter, Enter::Entered);
//! store.task_start(task)?;
//! store.subtask_started(subtask)?;
//!
//! // B's core function returns YIELD, so the caller goes on with the handle of a subtask.
//! assert_eq!(store.callback_returned(thread, 1)?, CallbackStep::Wait);
//! let handle = store.add_to_table(a, subtask)?;
//! let set = store.waitable_set_new(a)?;
//! store.waitable_join(a, handle, set)?;
//! assert_eq!(store.poll(a, set)?, None);
//!
//! // Later, from the event loop: B's callback runs, calls task.return, and exits.
//! assert_eq!(store.next_ready(), Some(thread));
//! assert_eq!(store.take_callback_event(thread)?, Event::NONE);
//! store.task_return(task)?;
//! store.subtask_resolve(subtask, SubtaskState::Returned)?;
//! assert_eq!(store.callback_returned(thread, 0)?, CallbackStep::Exit);
//! let exit = store.exit_implicit_thread(task, thread)?;
//! assert_eq!(exit.task, Some("greet"));
//!
//! // A learns of it.
//! let event = store.poll(a, set)?;
//! assert_eq!(event, Some(Event { code: EventCode::Subtask, p1: handle, p2: 2 }));
//! store.subtask_drop(a, handle)?;
//! # Ok::<(), Trap>(())
//! ```
//!
//! [CanonicalABI.md]: https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md

// A guest can reach all of this, so none of it may panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod async_value;
mod budget;
mod callback;
mod copy;
mod door;
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

pub use budget::{Budget, Charge};
pub use callback::{CallbackCode, CallbackStep};
pub use copy::{CopyStep, ImmediateCopy, Partner, Transfer};
pub use door::Door;
pub use embedder::{Buffer, Element, Embedder, MAX_BUFFER_LENGTH};
pub use end::{CancelStep, Delivered, EndKind, EndState};
pub use error_context::ErrorContext;
pub use event::{BLOCKED, CopyEvent, CopyResult, Event, EventCode};
pub use host_end::{HostNotification, Peer};
pub use id::{EndId, Entity, InstanceId, SetId, SubtaskId, TaskId, ThreadId};
pub use instance::{Instance, Limits, RemovedInstance, RemovedResource};
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
