//! The store: where all instances that can interact live (CanonicalABI.md, "Embedding").
//!
//! Its methods are in the files of the nouns they are about. This file holds the fields and the lookups that
//! several of them share.

use crate::embedder::Embedder;
use crate::end::End;
use crate::handle_table::Handle;
use crate::id::{EndId, InstanceId, SetId, SubtaskId, TaskId, ThreadId};
use crate::instance::Instance;
use crate::list::List;
use crate::slab::Slab;
use crate::subtask::Subtask;
use crate::task::Task;
use crate::thread::Thread;
use crate::trap::{HandleKind, Trap};
use crate::waitable::WaitableId;
use crate::waitable_set::WaitableSet;

/// All component instances that can interact, with their tasks, threads, streams and handles.
pub struct Store<E: Embedder> {
    pub(crate) instances: Slab<InstanceId, Instance<E>>,
    pub(crate) tasks: Slab<TaskId, Task<E>>,
    pub(crate) threads: Slab<ThreadId, Thread<E>>,
    pub(crate) subtasks: Slab<SubtaskId, Subtask<E>>,
    pub(crate) ends: Slab<EndId, End<E>>,
    pub(crate) sets: Slab<SetId, WaitableSet>,
    /// Threads that may be ready, first come, first served.
    pub(crate) ready: List<ThreadId>,
    /// Host-owned ends that the host must look at.
    pub(crate) host: List<WaitableId>,
    /// How often a thread was asked whether it is ready: the measure of the scheduler's work.
    #[cfg(test)]
    pub(crate) asked: std::cell::Cell<u64>,
}

impl<E: Embedder> Store<E> {
    /// Creates an empty store.
    pub fn new() -> Self {
        Store {
            instances: Slab::new(),
            tasks: Slab::new(),
            threads: Slab::new(),
            subtasks: Slab::new(),
            ends: Slab::new(),
            sets: Slab::new(),
            ready: List::new(),
            host: List::new(),
            #[cfg(test)]
            asked: std::cell::Cell::new(0),
        }
    }

    /// Counts the entities that the store holds.
    pub fn census(&self) -> Census {
        Census {
            instances: self.instances.len(),
            tasks: self.tasks.len(),
            threads: self.threads.len(),
            subtasks: self.subtasks.len(),
            ends: self.ends.len(),
            sets: self.sets.len(),
        }
    }

    /// Finds the handle at `index` (`inst.handles.get`).
    #[inline]
    pub(crate) fn handle(&self, inst: InstanceId, index: u32) -> Result<&Handle<E>, Trap> {
        self.instances.get(inst)?.handles.get(index).ok_or(Trap::UnknownHandle(index))
    }

    /// Traps inside realloc and post-return (`trap_if(not inst.may_leave)`).
    ///
    /// # Errors
    ///
    /// [`Trap::CannotLeave`] there; [`Trap::Gone`] when the instance was removed.
    #[inline]
    pub fn check_may_leave(&self, inst: InstanceId) -> Result<(), Trap> {
        if self.instances.get(inst)?.door.may_leave() { Ok(()) } else { Err(Trap::CannotLeave) }
    }

    pub(crate) fn wrong_handle(&self, inst: InstanceId, index: u32, expected: HandleKind) -> Trap {
        match self.handle_kind(inst, index) {
            Ok(found) => Trap::WrongHandle { index, expected, found },
            Err(trap) => trap,
        }
    }
}

impl<E: Embedder> Default for Store<E> {
    fn default() -> Self {
        Store::new()
    }
}

/// How many entities of each kind a [`Store`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Component instances.
    pub instances: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Threads that have not ended.
    pub threads: usize,
    /// Subtasks that were not dropped.
    pub subtasks: usize,
    /// Stream and future ends that were not dropped.
    pub ends: usize,
    /// Waitable sets.
    pub sets: usize,
}
