//! Component instances (CanonicalABI.md, "Component Instances").
//!
//! Invariants: `exclusive_thread` names a live thread of this instance, and then the door is `LOCKED`; the door is
//! `HELD_BACK` and `GATED` as its words say; `num_waiting_to_enter` counts the
//! threads that wait to enter or were just resumed from it; `charged` is the sum of the costs of all that the
//! instance holds, and a part of what is used of its budget.

use std::collections::BTreeMap;

use crate::budget::Budget;
use crate::door::Door;
use crate::embedder::Embedder;
use crate::end::End;
use crate::handle_table::Handle;
use crate::id::{InstanceId, SubtaskId, TaskId, ThreadId};
use crate::list::List;
use crate::store::Store;
use crate::subtask::Subtask;
use crate::table::Table;
use crate::task::Task;
use crate::thread::Thread;
use crate::trap::Trap;
use crate::waitable_set::WaitableSet;

/// How much an instance may hold. Beyond a limit, the operation that asks for more traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Handles in the instance's table; at most 2²⁸ - 1.
    pub handles: u32,
    /// Threads in the instance's table; at most 2²⁸ - 1.
    pub threads: u32,
    /// Tasks that have not ended, including those that wait to enter.
    pub tasks: u32,
    /// Bytes that all of it may take, if it has a budget of its own: see [`Instance::charged_bytes`].
    pub bytes: u64,
}

impl Default for Limits {
    /// The specification's own limits, and no limit on bytes.
    fn default() -> Self {
        let most = Table::<()>::MAX_LENGTH;
        Limits { handles: most, threads: most, tasks: most, bytes: u64::MAX }
    }
}

/// A component instance: the embedder's data and the specification's state.
pub struct Instance<E: Embedder> {
    /// What the embedder attached.
    pub data: E::Instance,
    /// Whether the instance may be left, and what else calls look at.
    pub(crate) door: Door,
    pub(crate) handles: Table<Handle<E>>,
    /// The upper halves of representations of resources, by the index of the handle, where they are not 0. Few have any.
    pub(crate) high_reps: BTreeMap<u32, u32>,
    pub(crate) threads: Table<ThreadId>,
    pub(crate) backpressure: u32,
    pub(crate) num_waiting_to_enter: u32,
    pub(crate) exclusive_thread: Option<ThreadId>,
    /// Threads that wait to enter and need the exclusive lock to.
    pub(crate) entering_exclusive: List<ThreadId>,
    /// Threads that wait to enter and do not need the lock.
    pub(crate) entering: List<ThreadId>,
    /// Threads of callback tasks that lack nothing but the lock.
    pub(crate) gate: List<ThreadId>,
    /// The part of the store's ready queue that belongs to this instance and is past entering.
    pub(crate) ready: List<ThreadId>,
    /// Whether a released lock is offered first to a thread that waits to enter.
    pub(crate) offer_to_entering: bool,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) subtasks: Vec<SubtaskId>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) charged: u64,
}

impl<E: Embedder> Instance<E> {
    /// What stands in the way of leaving and entering the instance.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Approximates the bytes that the host holds for this instance's handles, tasks, threads, subtasks,
    /// stream and future ends (with their pending events), waitable sets and lends.
    pub fn charged_bytes(&self) -> u64 {
        self.charged
    }

    /// Returns the instance's limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts the live handles.
    pub fn handle_count(&self) -> u32 {
        self.handles.len()
    }

    /// Counts the tasks that have not ended.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the thread that holds the exclusive lock.
    pub fn exclusive_thread(&self) -> Option<ThreadId> {
        self.exclusive_thread
    }

    /// Counts the threads that wait to enter because of backpressure.
    pub fn num_waiting_to_enter(&self) -> u32 {
        self.num_waiting_to_enter
    }

    /// `has_backpressure` of `Task.enter_implicit_thread`.
    #[inline]
    pub(crate) fn has_backpressure(&self, needs_exclusive: bool) -> bool {
        self.backpressure > 0 || (needs_exclusive && self.is_locked())
    }

    /// Whether the exclusive lock is taken, by a thread or by a call whose thread nobody has asked for.
    #[inline]
    pub(crate) fn is_locked(&self) -> bool {
        self.door.has(Door::LOCKED)
    }

    /// Gives the exclusive lock to a thread, or takes it back.
    #[inline]
    pub(crate) fn set_exclusive(&mut self, thread: Option<ThreadId>) {
        self.exclusive_thread = thread;
        self.door.set(Door::LOCKED, thread.is_some());
    }

    /// Takes the exclusive lock back. Returns whether it is to be offered to others ([`Store::service_exclusive`]).
    #[inline]
    pub(crate) fn release_exclusive(&mut self) -> bool {
        self.set_exclusive(None);
        self.door.has(Door::WANTED)
    }

    /// Has the door say whether calls are held back and threads are gated.
    #[inline]
    pub(crate) fn update_door(&self) {
        self.door.set(Door::HELD_BACK, self.backpressure > 0 || self.num_waiting_to_enter > 0);
        self.door.set(Door::GATED, !self.gate.is_empty());
    }

    /// Charges the instance for bytes that the runtime holds for it (`tombolo-tasks` charges for what it
    /// holds itself).
    ///
    /// # Errors
    ///
    /// [`Trap::BudgetExceeded`] when the instance, and those that share its budget, would hold more than that.
    #[inline]
    pub fn charge(&mut self, bytes: u64) -> Result<(), Trap> {
        if !self.budget.take(bytes) {
            return Err(Trap::BudgetExceeded(self.budget.limit()));
        }
        // No more than is used of the budget, so it does not saturate.
        self.charged = self.charged.saturating_add(bytes);
        Ok(())
    }

    /// Undoes a [`Instance::charge`].
    #[inline]
    pub fn uncharge(&mut self, bytes: u64) {
        self.charged = self.charged.saturating_sub(bytes);
        self.budget.give_back(bytes);
    }

    /// Adds a handle, charging for it (`inst.handles.add`).
    #[inline(always)]
    pub(crate) fn add_handle(&mut self, handle: Handle<E>) -> Result<u32, Trap> {
        self.add_handle_of(handle, 0)
    }

    /// Adds a handle, charging for it and for what it names.
    #[inline(always)]
    pub(crate) fn add_handle_of(&mut self, handle: Handle<E>, cost: u64) -> Result<u32, Trap> {
        let cost = Cost::<E>::HANDLE.saturating_add(cost);
        self.charge(cost)?;
        match self.handles.add(handle) {
            Some(index) => Ok(index),
            None => {
                self.uncharge(cost);
                Err(Trap::HandleLimit(self.handles.limit()))
            }
        }
    }

    /// Removes a handle that nobody needs any more.
    #[inline]
    pub(crate) fn discard_handle(&mut self, index: u32) {
        self.discard_handle_of(index, 0);
    }

    /// Removes a handle that nobody needs any more, and no longer charges for what it named.
    #[inline]
    pub(crate) fn discard_handle_of(&mut self, index: u32, cost: u64) {
        if self.handles.discard(index) {
            self.uncharge(Cost::<E>::HANDLE.saturating_add(cost));
        }
    }

    /// Removes a handle (`inst.handles.remove`).
    #[inline]
    pub(crate) fn remove_handle(&mut self, index: u32) -> Result<Handle<E>, Trap> {
        let handle = self.handles.remove(index).ok_or(Trap::UnknownHandle(index))?;
        self.uncharge(Cost::<E>::HANDLE);
        Ok(handle)
    }
}

/// What each entity costs in bytes, slab slot included.
pub(crate) struct Cost<E>(std::marker::PhantomData<E>);

impl<E: Embedder> Cost<E> {
    const SLOT: u64 = 8;
    pub(crate) const HANDLE: u64 = size_of::<Handle<E>>() as u64 + Self::SLOT;
    pub(crate) const TASK: u64 = size_of::<Task<E>>() as u64 + Self::SLOT;
    pub(crate) const THREAD: u64 = size_of::<Thread<E>>() as u64 + Self::SLOT;
    pub(crate) const SUBTASK: u64 = size_of::<Subtask<E>>() as u64 + Self::SLOT;
    pub(crate) const END: u64 = size_of::<End<E>>() as u64 + Self::SLOT;
    pub(crate) const SET: u64 = size_of::<WaitableSet>() as u64 + Self::SLOT;
    pub(crate) const LEND: u64 = 8;
    pub(crate) const HIGH_REP: u64 = 32;
}

impl<E: Embedder> Store<E> {
    /// Adds an instance, with a budget of its own.
    ///
    /// # Errors
    ///
    /// [`Trap::StoreFull`] when the store holds 2³² - 1 instances.
    pub fn new_instance(&mut self, data: E::Instance, limits: Limits) -> Result<InstanceId, Trap> {
        self.new_instance_sharing(data, limits, Budget::new(limits.bytes))
    }

    /// Adds an instance, with a budget that others may share.
    ///
    /// # Errors
    ///
    /// [`Trap::StoreFull`] when the store holds 2³² - 1 instances.
    pub fn new_instance_sharing(
        &mut self,
        data: E::Instance,
        limits: Limits,
        budget: Budget,
    ) -> Result<InstanceId, Trap> {
        self.instances.insert(Instance {
            data,
            door: Door::default(),
            handles: Table::new(limits.handles),
            high_reps: BTreeMap::new(),
            threads: Table::new(limits.threads),
            backpressure: 0,
            num_waiting_to_enter: 0,
            exclusive_thread: None,
            entering_exclusive: List::new(),
            entering: List::new(),
            gate: List::new(),
            ready: List::new(),
            offer_to_entering: false,
            tasks: Vec::new(),
            subtasks: Vec::new(),
            limits,
            budget,
            charged: 0,
        })
    }

    /// Looks an instance up.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was removed.
    #[inline]
    pub fn instance(&self, inst: InstanceId) -> Result<&Instance<E>, Trap> {
        self.instances.get(inst)
    }

    /// Looks an instance up, to change its data.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was removed.
    #[inline]
    pub fn instance_mut(&mut self, inst: InstanceId) -> Result<&mut Instance<E>, Trap> {
        self.instances.get_mut(inst)
    }

    /// Ends an instance and everything it holds, at any time and in any state.
    ///
    /// The other ends of its streams and futures see `DROPPED`. What the runtime must finish itself comes
    /// back: continuations to destroy, calls to abandon or fail, resources whose destructor to run.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was removed before.
    pub fn remove_instance(&mut self, inst: InstanceId) -> Result<RemovedInstance<E>, Trap> {
        let instance = self.instances.get_mut(inst)?;
        let tasks = std::mem::take(&mut instance.tasks);
        let subtasks = std::mem::take(&mut instance.subtasks);
        let handles = std::mem::replace(&mut instance.handles, Table::new(0));
        let high_reps = std::mem::take(&mut instance.high_reps);

        let mut removed_tasks = Vec::with_capacity(tasks.len());
        let mut removed_threads = Vec::new();
        for id in tasks {
            let Ok(task) = self.tasks.get_mut(id) else { continue };
            for thread in std::mem::take(&mut task.threads) {
                self.detach_thread(thread);
                if let Ok(thread_state) = self.threads.remove(thread) {
                    removed_threads.push((thread, id, thread_state.data));
                }
            }
            if let Ok(task) = self.tasks.remove(id) {
                removed_tasks.push((id, task.data));
            }
        }

        let mut removed_subtasks = Vec::with_capacity(subtasks.len());
        for id in subtasks {
            self.leave_queues(id.into());
            if let Ok(subtask) = self.subtasks.remove(id) {
                removed_subtasks.push((id, subtask.data));
            }
        }

        let mut resources = Vec::new();
        let mut sets = Vec::new();
        for (index, handle) in handles.into_iter() {
            match handle {
                Handle::Resource(resource) if resource.is_own() => {
                    let (lent, rep) = (resource.num_lends > 0, resource.rep(index, &high_reps));
                    resources.push(RemovedResource { ty: resource.rt, rep, lent });
                }
                // The only failure is that the end is gone already.
                Handle::End(end) => drop(self.remove_end(end)),
                Handle::Set(set) => sets.push(set),
                Handle::Resource(_) | Handle::Subtask(_) | Handle::ErrorContext(_) => {}
            }
        }
        for set in sets {
            let _ = self.sets.remove(set);
        }

        let instance = self.instances.remove(inst)?;
        instance.budget.give_back(instance.charged);
        Ok(RemovedInstance {
            data: instance.data,
            tasks: removed_tasks,
            threads: removed_threads,
            subtasks: removed_subtasks,
            resources,
        })
    }

    /// Removes a task in whatever state it is, with its threads and the handles it has borrowed: a call of which nothing
    /// is left to run, as it was cut off before its callee began, or after it ended.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it has ended.
    pub fn abandon_task(&mut self, id: TaskId) -> Result<(), Trap> {
        let task = self.tasks.get_mut(id)?;
        let (inst, threads) = (task.inst, std::mem::take(&mut task.threads));
        for thread in threads {
            self.detach_thread(thread);
            let _ = self.threads.remove(thread);
        }
        if let Some(instance) = self.instances.find_mut(inst) {
            let borrowed =
                |handle: &Handle<E>| matches!(handle, Handle::Resource(r) if r.borrow_scope == Some(id));
            for index in instance.handles.indices_of(borrowed) {
                let _ = instance.remove_handle(index);
            }
        }
        self.remove_task(id).map(drop)
    }

    /// Holds back new calls (`canon_backpressure_inc`).
    ///
    /// # Errors
    ///
    /// Traps when the counter reaches 2¹⁶.
    pub fn backpressure_inc(&mut self, inst: InstanceId) -> Result<(), Trap> {
        let instance = self.instances.get_mut(inst)?;
        if instance.backpressure >= u32::from(u16::MAX) {
            return Err(Trap::BackpressureOverflow);
        }
        instance.backpressure = instance.backpressure.saturating_add(1);
        instance.update_door();
        Ok(())
    }

    /// Undoes one [`Store::backpressure_inc`] (`canon_backpressure_dec`).
    ///
    /// # Errors
    ///
    /// Traps when the counter is zero.
    pub fn backpressure_dec(&mut self, inst: InstanceId) -> Result<(), Trap> {
        let instance = self.instances.get_mut(inst)?;
        instance.backpressure = instance.backpressure.checked_sub(1).ok_or(Trap::BackpressureUnderflow)?;
        instance.update_door();
        if instance.backpressure == 0 {
            self.service_entering(inst);
        }
        Ok(())
    }
}

/// What an instance leaves behind: see [`Store::remove_instance`].
pub struct RemovedInstance<E: Embedder> {
    /// The embedder's data.
    pub data: E::Instance,
    /// Calls into the instance that had not ended; their callers need an answer if they have not resolved.
    pub tasks: Vec<(TaskId, E::Task)>,
    /// Threads and the tasks that they belonged to, to be destroyed with their stacks.
    pub threads: Vec<(ThreadId, TaskId, E::Thread)>,
    /// Calls out of the instance. Those that have not resolved run on unheard, or are cancelled; those that
    /// have not started must be cancelled, as their arguments are gone.
    pub subtasks: Vec<(SubtaskId, E::Subtask)>,
    /// Resources that the instance owned.
    pub resources: Vec<RemovedResource<E::Resource>>,
}

/// A resource that an instance leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedResource<R> {
    /// Its type.
    pub ty: R,
    /// Its representation.
    pub rep: u64,
    /// Whether calls that the instance made have it as a borrow, and so its destructor must wait for their ends.
    pub lent: bool,
}
