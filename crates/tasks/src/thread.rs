//! Threads (CanonicalABI.md, "Threads").
//!
//! Invariants, where T is a thread:
//! - T is `Running`, `Suspended` or `Waiting`; only a waiting thread has a place in a wait list, the gate or
//!   the ready queue.
//! - A waiting T is in the wait list of what it waits for: its set's, or its instance's entering lists. What
//!   can have only one waiter (a waitable, a subtask) names T instead.
//! - `sched` says where T is besides: `Queued` in the ready queue, `Gated` in its instance's gate, or
//!   `Unqueued`. How that is kept up to date is the subject of `scheduler.rs`.
//! - T has an index in its instance's table from when it has entered until it exits.

use crate::embedder::Embedder;
use crate::id::{EndId, Entity, InstanceId, SetId, SubtaskId, TaskId, ThreadId};
use crate::instance::Cost;
use crate::list::{Link, Links};
use crate::slab::Slab;
use crate::store::Store;
use crate::trap::Trap;
use crate::waitable::WaitableId;

/// A thread of a task.
pub(crate) struct Thread<E: Embedder> {
    pub(crate) data: E::Thread,
    pub(crate) task: TaskId,
    pub(crate) inst: InstanceId,
    /// The guest-visible index; 0 before entering.
    pub(crate) index: u32,
    pub(crate) state: ThreadState,
    /// What a waiting thread waits for, or a running one waited for last.
    pub(crate) wait: Wait,
    pub(crate) sched: Sched,
    /// Whether the thread left the gate for the ready queue, and so keeps its turn if the lock is taken.
    pub(crate) promoted: bool,
    /// The thread's place in `Task::threads`.
    pub(crate) position: u32,
    pub(crate) storage: [u64; 2],
    pub(crate) wait_link: Link<ThreadId>,
    pub(crate) ready_link: Link<ThreadId>,
    /// In the instance's part of the ready queue, or in its gate.
    pub(crate) instance_link: Link<ThreadId>,
}

impl<E: Embedder> Thread<E> {
    /// One without an index, which has this position among its task's.
    #[inline(always)]
    pub(crate) fn new(
        task: TaskId,
        inst: InstanceId,
        state: ThreadState,
        position: u32,
        data: E::Thread,
    ) -> Self {
        Thread {
            data,
            task,
            inst,
            index: 0,
            state,
            wait: Wait::Nothing,
            sched: Sched::Unqueued,
            promoted: false,
            position,
            storage: [0; 2],
            wait_link: Link::new(),
            ready_link: Link::new(),
            instance_link: Link::new(),
        }
    }
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// It is on a stack that runs, perhaps below the thread that runs now.
    Running,
    /// It waits for another thread to resume it.
    Suspended,
    /// It waits for a condition, and becomes ready when that is met.
    Waiting,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Nothing,
    Enter,
    Waitable(WaitableId),
    SubtaskResolved(SubtaskId),
    Set(SetId),
    CallbackSet(SetId),
    CallbackYield,
}

/// Where a waiting thread is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sched {
    Unqueued,
    Queued,
    Gated,
}

/// What a thread starts to wait for: see [`Store::start_waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Nothing: the thread yields (`thread.yield`).
    Ready,
    /// A pending event of the waitable with this handle.
    Waitable(u32),
    /// A pending event of this end (a synchronous read, write or cancel).
    End(EndId),
    /// A pending event of a member of this set (`waitable-set.wait`).
    Set(SetId),
    /// As `Set`, or a cancellation of the task, and then for the exclusive lock (a callback returned `WAIT`).
    CallbackSet(SetId),
    /// The exclusive lock (a callback returned `YIELD`).
    CallbackYield,
    /// The end of this subtask (a synchronous call or `subtask.cancel`).
    SubtaskResolved(SubtaskId),
    /// Another thread that resumes it (`thread.suspend`).
    ExplicitResume,
}

impl<E: Embedder> Store<E> {
    /// Adds a thread to a task, in the suspended state. It has no index until it is registered.
    pub(crate) fn new_thread(&mut self, of: TaskId, data: E::Thread) -> Result<ThreadId, Trap> {
        let task = self.tasks.get_mut(of)?;
        let inst = task.inst;
        let position = u32::try_from(task.threads.len()).map_err(|_| Trap::StoreFull(Entity::Thread))?;
        self.instances.get_mut(inst)?.charge(Cost::<E>::THREAD)?;
        let thread = self.threads.insert(Thread::new(of, inst, ThreadState::Suspended, position, data))?;
        task.threads.push(thread);
        Ok(thread)
    }

    /// Gives a thread its index in its instance's table (`Task.register_thread`).
    ///
    /// # Errors
    ///
    /// Traps when the instance has too many threads.
    #[inline]
    pub(crate) fn register_thread(&mut self, id: ThreadId) -> Result<u32, Trap> {
        let thread = self.threads.get_mut(id)?;
        if thread.index != 0 {
            return Err(Trap::Misuse("a thread was registered twice"));
        }
        let threads = &mut self.instances.get_mut(thread.inst)?.threads;
        thread.index = threads.add(id).ok_or(Trap::ThreadLimit(threads.limit()))?;
        Ok(thread.index)
    }

    /// Takes a thread out of every list it is in.
    ///
    /// What waited behind it moves up.
    pub(crate) fn detach_thread(&mut self, id: ThreadId) {
        let Ok(thread) = self.threads.get_mut(id) else { return };
        let (inst, index, wait) = (thread.inst, thread.index, thread.wait);
        if thread.state == ThreadState::Waiting {
            self.stop_waiting(id);
            if wait == Wait::Enter {
                self.stop_entering(inst);
            }
        }
        let Ok(instance) = self.instances.get_mut(inst) else { return };
        if index != 0 {
            instance.threads.remove(index);
        }
        instance.uncharge(Cost::<E>::THREAD);
        if instance.exclusive_thread == Some(id) && instance.release_exclusive() {
            self.service_exclusive(inst);
        }
    }

    /// Returns the embedder's data of a thread.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    #[inline]
    pub fn thread(&self, thread: ThreadId) -> Result<&E::Thread, Trap> {
        Ok(&self.threads.get(thread)?.data)
    }

    /// Returns the embedder's data of a thread.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    #[inline]
    pub fn thread_mut(&mut self, thread: ThreadId) -> Result<&mut E::Thread, Trap> {
        Ok(&mut self.threads.get_mut(thread)?.data)
    }

    /// Returns the task and the instance of a thread.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    #[inline]
    pub fn thread_scope(&self, thread: ThreadId) -> Result<(TaskId, InstanceId), Trap> {
        let thread = self.threads.get(thread)?;
        Ok((thread.task, thread.inst))
    }

    /// Says what a thread is doing.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    #[inline]
    pub fn thread_state(&self, thread: ThreadId) -> Result<ThreadState, Trap> {
        Ok(self.threads.get(thread)?.state)
    }

    /// Returns a thread's local storage (`context.get`, `context.set`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    #[inline]
    pub fn thread_storage(&mut self, thread: ThreadId) -> Result<&mut [u64; 2], Trap> {
        Ok(&mut self.threads.get_mut(thread)?.storage)
    }
}

/// The links of wait lists: of sets and of entering.
pub(crate) struct WaitLinks<'a, E: Embedder>(pub(crate) &'a mut Slab<ThreadId, Thread<E>>);
/// The links of the store's ready queue.
pub(crate) struct ReadyLinks<'a, E: Embedder>(pub(crate) &'a mut Slab<ThreadId, Thread<E>>);
/// The links of an instance's part of the ready queue and of its gate.
pub(crate) struct InstanceLinks<'a, E: Embedder>(pub(crate) &'a mut Slab<ThreadId, Thread<E>>);

impl<E: Embedder> Links<ThreadId> for WaitLinks<'_, E> {
    #[inline]
    fn link(&mut self, id: ThreadId) -> Option<&mut Link<ThreadId>> {
        self.0.find_mut(id).map(|thread| &mut thread.wait_link)
    }
}

impl<E: Embedder> Links<ThreadId> for ReadyLinks<'_, E> {
    #[inline]
    fn link(&mut self, id: ThreadId) -> Option<&mut Link<ThreadId>> {
        self.0.find_mut(id).map(|thread| &mut thread.ready_link)
    }
}

impl<E: Embedder> Links<ThreadId> for InstanceLinks<'_, E> {
    #[inline]
    fn link(&mut self, id: ThreadId) -> Option<&mut Link<ThreadId>> {
        self.0.find_mut(id).map(|thread| &mut thread.instance_link)
    }
}
