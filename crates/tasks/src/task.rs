//! Tasks: calls into a component (CanonicalABI.md, "Tasks").
//!
//! Invariants: the state only moves forward; `num_borrows` counts the borrow handles whose scope the task is;
//! a resolved task has none; a task ends with its last thread, and never before it has resolved.

use smallvec::SmallVec;

#[cfg(doc)]
use crate::door::Door;
use crate::embedder::Embedder;
use crate::id::{Entity, InstanceId, TaskId, ThreadId};
use crate::instance::Cost;
use crate::store::Store;
use crate::thread::{Thread, ThreadState, Wait, WaitLinks};
use crate::trap::Trap;

/// A call into a component.
pub(crate) struct Task<E: Embedder> {
    pub(crate) data: E::Task,
    pub(crate) inst: InstanceId,
    pub(crate) state: TaskState,
    pub(crate) needs_exclusive: bool,
    pub(crate) num_borrows: u32,
    pub(crate) implicit_thread: Option<ThreadId>,
    pub(crate) threads: SmallVec<[ThreadId; 2]>,
    /// The task's place in `Instance::tasks`.
    pub(crate) position: u32,
}

/// How far a task has come (`Task.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// It has not started: its arguments are still the caller's.
    Initial,
    /// It runs.
    Started,
    /// Its caller has asked to cancel, which it was not told yet.
    PendingCancel,
    /// It was told to cancel.
    CancelDelivered,
    /// It has returned or was cancelled; its threads may still run.
    Resolved,
}

impl TaskState {
    pub(crate) fn pending_cancel(self) -> bool {
        self == TaskState::PendingCancel
    }
}

/// Whether an implicit thread got in: see [`Store::begin_task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enter {
    /// It has entered, and holds the exclusive lock if it needs it.
    Entered,
    /// Backpressure holds it up. It waits; when resumed, it continues with [`Store::finish_entering`].
    MustWait,
}

/// Whether an implicit thread that waited got in: see [`Store::finish_entering`].
pub enum Entering<E: Embedder> {
    /// It has entered, and holds the exclusive lock if it needs it.
    Entered,
    /// The caller cancelled the task: it is resolved without a result, and gone.
    Cancelled(ThreadExit<E>),
}

/// What a thread leaves behind when it exits.
pub struct ThreadExit<E: Embedder> {
    /// The embedder's data of the thread.
    pub thread: E::Thread,
    /// The embedder's data of the task, if this was its last thread.
    pub task: Option<E::Task>,
}

/// What the runtime does after [`Store::request_cancellation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Resume this thread, which waits to enter; [`Store::finish_entering`] will say that it is cancelled.
    NotStarted(ThreadId),
    /// Resume this thread of the callee's instance, which is marked running. If the task has not resolved
    /// afterwards, the runtime may go on with [`Store::next_ready_in`] or leave it at that.
    Resume(ThreadId),
    /// No thread of the callee's instance is ready: the request stays pending.
    Pending,
    /// The task has resolved already.
    Resolved,
}

impl<E: Embedder> Store<E> {
    /// Adds a task with its implicit thread, which starts unless backpressure holds it up (`Task.__init__`,
    /// `Task.enter_implicit_thread`).
    ///
    /// `async_typed` says whether the function's type is async, and `needs_exclusive` whether it is then lifted
    /// synchronously or with a callback (`Task.needs_exclusive`).
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    #[inline]
    pub fn begin_task(
        &mut self,
        inst: InstanceId,
        async_typed: bool,
        needs_exclusive: bool,
        data: E::Task,
        thread: E::Thread,
    ) -> Result<(TaskId, ThreadId, Enter), Trap> {
        let needs_exclusive = async_typed && needs_exclusive;
        let instance = self.instances.get(inst)?;
        let held_up =
            async_typed && (instance.has_backpressure(needs_exclusive) || instance.num_waiting_to_enter > 0);
        let task = Task::new(inst, TaskState::Initial, needs_exclusive, data);
        let (task, thread) = self.add_task(task, thread, !held_up)?;
        if held_up {
            self.wait_to_enter(inst, thread, needs_exclusive)?;
            return Ok((task, thread, Enter::MustWait));
        }
        Ok((task, thread, Enter::Entered))
    }

    /// Adds a task with its implicit thread, which enters or is about to wait.
    #[inline]
    fn add_task(
        &mut self,
        mut task: Task<E>,
        thread: E::Thread,
        enters: bool,
    ) -> Result<(TaskId, ThreadId), Trap> {
        let (inst, needs_exclusive) = (task.inst, task.needs_exclusive);
        let instance = self.instances.get_mut(inst)?;
        task.position = u32::try_from(instance.tasks.len()).map_err(|_| Trap::StoreFull(Entity::Task))?;
        if task.position >= instance.limits.tasks {
            return Err(Trap::TaskLimit(instance.limits.tasks));
        }
        instance.charge(Cost::<E>::TASK.saturating_add(Cost::<E>::THREAD))?;
        let id = self.tasks.insert(task)?;
        instance.tasks.push(id);
        let thread = self.threads.insert(Thread::new(id, inst, ThreadState::Running, 0, thread))?;
        let task = self.tasks.get_mut(id)?;
        task.implicit_thread = Some(thread);
        task.threads.push(thread);
        if enters {
            let Some(index) = instance.threads.add(thread) else {
                let limit = instance.threads.limit();
                self.end_thread(thread)?;
                return Err(Trap::ThreadLimit(limit));
            };
            self.threads.get_mut(thread)?.index = index;
            if needs_exclusive {
                instance.set_exclusive(Some(thread));
            }
        }
        Ok((id, thread))
    }

    /// Adds a task of a function that is not `async`, whose thread has entered and started: all that comes before a
    /// synchronous callee runs.
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    pub fn begin_sync(
        &mut self,
        inst: InstanceId,
        data: E::Task,
        thread: E::Thread,
    ) -> Result<(TaskId, ThreadId), Trap> {
        self.begin_entered(inst, false, false, data, thread)
    }

    /// Adds a task whose thread has entered and started while nobody had asked for either. If it needs the exclusive
    /// lock, it has had that since: see [`Door::LOCKED`].
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much; [`Trap::Misuse`] when another thread has the lock.
    #[inline]
    pub fn begin_entered(
        &mut self,
        inst: InstanceId,
        async_typed: bool,
        needs_exclusive: bool,
        data: E::Task,
        thread: E::Thread,
    ) -> Result<(TaskId, ThreadId), Trap> {
        let needs_exclusive = async_typed && needs_exclusive;
        if needs_exclusive && self.instances.get(inst)?.exclusive_thread.is_some() {
            return Err(Trap::Misuse("the exclusive lock is taken"));
        }
        let task = Task::new(inst, TaskState::Started, needs_exclusive, data);
        self.add_task(task, thread, true)
    }

    /// Releases the exclusive lock that a call had whose thread nobody asked for, and offers it to the next: see
    /// [`Door::LOCKED`].
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the instance was removed; [`Trap::Misuse`] when a thread has the lock.
    pub fn unlock(&mut self, inst: InstanceId) -> Result<(), Trap> {
        let instance = self.instances.get_mut(inst)?;
        if instance.exclusive_thread.is_some() {
            return Err(Trap::Misuse("a thread has the exclusive lock"));
        }
        if instance.release_exclusive() {
            self.service_exclusive(inst);
        }
        Ok(())
    }

    /// Lets a task's implicit thread wait that backpressure holds up.
    #[cold]
    fn wait_to_enter(
        &mut self,
        inst: InstanceId,
        thread: ThreadId,
        needs_exclusive: bool,
    ) -> Result<(), Trap> {
        let instance = self.instances.get_mut(inst)?;
        // At most one per task, so it does not saturate.
        instance.num_waiting_to_enter = instance.num_waiting_to_enter.saturating_add(1);
        instance.update_door();
        let links = &mut WaitLinks(&mut self.threads);
        if needs_exclusive {
            instance.entering_exclusive.push_back(links, thread);
        } else {
            instance.entering.push_back(links, thread);
        }
        self.wait(thread, Wait::Enter)
    }

    /// Continues entering after the wait (the second half of `Task.enter_implicit_thread`).
    ///
    /// # Errors
    ///
    /// Traps when the instance has too many threads.
    pub fn finish_entering(&mut self, id: TaskId, thread: ThreadId) -> Result<Entering<E>, Trap> {
        let state = self.threads.get_mut(thread)?;
        if state.task != id || state.state != ThreadState::Running || state.wait != Wait::Enter {
            return Err(Trap::Misuse("only a thread that waited to enter can finish entering"));
        }
        state.wait = Wait::Nothing;
        let task = self.tasks.get_mut(id)?;
        let inst = task.inst;
        if task.state.pending_cancel() {
            task.state = TaskState::Resolved;
            self.stop_entering(inst);
            return Ok(Entering::Cancelled(self.end_thread(thread)?));
        }
        if task.needs_exclusive {
            let instance = self.instances.get_mut(inst)?;
            if instance.is_locked() {
                return Err(Trap::Misuse("another thread entered between a resume and finish_entering"));
            }
            instance.set_exclusive(Some(thread));
        }
        self.stop_entering(inst);
        self.register_thread(thread)?;
        Ok(Entering::Entered)
    }

    /// Starts the task: the runtime now lifts the arguments (`Task.start`). Returns the embedder's data of it.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when it was started before.
    #[inline]
    pub fn task_start(&mut self, task: TaskId) -> Result<&mut E::Task, Trap> {
        let task = self.tasks.get_mut(task)?;
        if task.state != TaskState::Initial {
            return Err(Trap::Misuse("a task starts once"));
        }
        task.state = TaskState::Started;
        Ok(&mut task.data)
    }

    /// Resolves the task with a result (`Task.return_`); the runtime has lifted the values, and hands them to
    /// the caller when this succeeds. Returns the embedder's data of the task.
    ///
    /// # Errors
    ///
    /// Traps when the task has resolved, or borrowed handles remain.
    #[inline]
    pub fn task_return(&mut self, task: TaskId) -> Result<&mut E::Task, Trap> {
        let task = self.tasks.get_mut(task)?;
        match task.state {
            TaskState::Resolved => return Err(Trap::AlreadyResolved),
            TaskState::Initial => return Err(Trap::Misuse("a task returns after it has started")),
            _ => {}
        }
        task.resolve()?;
        Ok(&mut task.data)
    }

    /// Resolves the task without a result (`Task.cancel`).
    ///
    /// # Errors
    ///
    /// Traps when the task was not told to cancel, or borrowed handles remain.
    pub fn task_cancel(&mut self, task: TaskId) -> Result<(), Trap> {
        let task = self.tasks.get_mut(task)?;
        if task.state != TaskState::CancelDelivered {
            return Err(Trap::CancelNotDelivered);
        }
        task.resolve()
    }

    /// Asks a task to cancel, on behalf of its caller (`Task.request_cancellation`).
    ///
    /// A task that is gone, or was asked before, has nothing more to do.
    pub fn request_cancellation(&mut self, id: TaskId) -> CancelOutcome {
        let Some(task) = self.tasks.find_mut(id) else { return CancelOutcome::Resolved };
        let (inst, implicit) = (task.inst, task.implicit_thread);
        match task.state {
            TaskState::Initial => {
                task.state = TaskState::PendingCancel;
                match implicit {
                    Some(thread) if self.waits_to_enter(thread) => {
                        self.stop_waiting(thread);
                        CancelOutcome::NotStarted(thread)
                    }
                    _ => CancelOutcome::Pending,
                }
            }
            TaskState::Started => {
                task.state = TaskState::PendingCancel;
                if let Some(thread) = implicit {
                    self.poke(thread);
                    if self.is_ready(thread) == Ok(true) {
                        self.stop_waiting(thread);
                        return CancelOutcome::Resume(thread);
                    }
                }
                self.next_ready_in(inst).map_or(CancelOutcome::Pending, CancelOutcome::Resume)
            }
            TaskState::PendingCancel | TaskState::CancelDelivered => CancelOutcome::Pending,
            TaskState::Resolved => CancelOutcome::Resolved,
        }
    }

    /// Delivers a pending cancellation, if there is one (`Task.deliver_pending_cancel`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    #[inline]
    pub fn deliver_pending_cancel(&mut self, task: TaskId) -> Result<bool, Trap> {
        let task = self.tasks.get_mut(task)?;
        let pending = task.state.pending_cancel();
        if pending {
            task.state = TaskState::CancelDelivered;
        }
        Ok(pending)
    }

    /// Releases the exclusive lock if the task's implicit thread holds it.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    pub fn release_exclusive(&mut self, task: TaskId) -> Result<(), Trap> {
        let task = self.tasks.get(task)?;
        if let Some(thread) = task.implicit_thread {
            self.release_exclusive_of(task.inst, thread);
        }
        Ok(())
    }

    /// Takes the exclusive lock for the task's implicit thread.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when another thread holds it.
    pub fn acquire_exclusive(&mut self, task: TaskId) -> Result<(), Trap> {
        let task = self.tasks.get(task)?;
        let instance = self.instances.get_mut(task.inst)?;
        match (instance.exclusive_thread, task.implicit_thread) {
            (None, Some(thread)) if !instance.is_locked() => {
                instance.set_exclusive(Some(thread));
                Ok(())
            }
            (Some(holder), Some(thread)) if holder == thread => Ok(()),
            _ => Err(Trap::Misuse("the exclusive lock is taken")),
        }
    }

    /// Ends a task's implicit thread (`Task.exit_implicit_thread`). It is gone, and with its last thread the
    /// task.
    ///
    /// # Errors
    ///
    /// Traps when it is the last thread and the task has not resolved.
    #[inline]
    pub fn exit_implicit_thread(&mut self, id: TaskId, thread: ThreadId) -> Result<ThreadExit<E>, Trap> {
        let task = self.tasks.get(id)?;
        if task.implicit_thread != Some(thread) {
            return Err(Trap::Misuse("this is not the task's implicit thread"));
        }
        task.check_exit()?;
        self.end_thread(thread)
    }

    /// Ends a thread (`Task.unregister_thread`). It is gone, and with its last thread the task.
    ///
    /// # Errors
    ///
    /// Traps when it is the last thread and the task has not resolved.
    pub fn unregister_thread(&mut self, thread: ThreadId) -> Result<ThreadExit<E>, Trap> {
        self.tasks.get(self.threads.get(thread)?.task)?.check_exit()?;
        self.end_thread(thread)
    }

    /// Removes a thread, and its task with its last thread, in whatever state they are.
    pub(crate) fn end_thread(&mut self, id: ThreadId) -> Result<ThreadExit<E>, Trap> {
        self.detach_thread(id);
        // Taken apart at once: what is not needed is not moved.
        let Thread { data, task: of, position, .. } = self.threads.remove(id)?;
        let task = self.tasks.get_mut(of)?;
        if task.threads.len() == 1 {
            return Ok(ThreadExit { thread: data, task: Some(self.remove_task(of)?) });
        }
        if task.implicit_thread == Some(id) {
            task.implicit_thread = None;
        }
        if task.threads.get(position as usize) == Some(&id) {
            task.threads.swap_remove(position as usize);
        }
        if let Some(moved) = task.threads.get(position as usize) {
            self.threads.get_mut(*moved)?.position = position;
        }
        Ok(ThreadExit { thread: data, task: None })
    }

    #[inline]
    pub(crate) fn remove_task(&mut self, id: TaskId) -> Result<E::Task, Trap> {
        let Task { data, inst, position, threads: _threads, .. } = self.tasks.remove(id)?;
        if let Some(instance) = self.instances.find_mut(inst) {
            instance.uncharge(Cost::<E>::TASK);
            if instance.tasks.get(position as usize) == Some(&id) {
                instance.tasks.swap_remove(position as usize);
            }
            if let Some(moved) = instance.tasks.get(position as usize)
                && let Some(moved) = self.tasks.find_mut(*moved)
            {
                moved.position = position;
            }
        }
        Ok(data)
    }

    /// Counts out a thread that has entered or given up, and pokes the next.
    pub(crate) fn stop_entering(&mut self, inst: InstanceId) {
        let Some(instance) = self.instances.find_mut(inst) else { return };
        instance.num_waiting_to_enter = instance.num_waiting_to_enter.saturating_sub(1);
        instance.update_door();
        self.service_entering(inst);
    }

    fn waits_to_enter(&self, thread: ThreadId) -> bool {
        self.threads
            .find(thread)
            .is_some_and(|thread| thread.state == ThreadState::Waiting && thread.wait == Wait::Enter)
    }

    /// Returns the embedder's data of a task.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    #[inline]
    pub fn task(&self, task: TaskId) -> Result<&E::Task, Trap> {
        Ok(&self.tasks.get(task)?.data)
    }

    /// Returns the embedder's data of a task.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    #[inline]
    pub fn task_mut(&mut self, task: TaskId) -> Result<&mut E::Task, Trap> {
        Ok(&mut self.tasks.get_mut(task)?.data)
    }

    /// Says how far a task has come. A task that is gone has resolved.
    #[inline]
    pub fn task_state(&self, task: TaskId) -> TaskState {
        self.tasks.find(task).map_or(TaskState::Resolved, |task| task.state)
    }

    /// Returns the instance that a task runs in.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    #[inline]
    pub fn task_instance(&self, task: TaskId) -> Result<InstanceId, Trap> {
        Ok(self.tasks.get(task)?.inst)
    }

    /// Returns a task's implicit thread, until it exits.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the task has ended.
    #[inline]
    pub fn implicit_thread(&self, task: TaskId) -> Result<Option<ThreadId>, Trap> {
        Ok(self.tasks.get(task)?.implicit_thread)
    }
}

impl<E: Embedder> Task<E> {
    /// One without threads, which has no place yet.
    #[inline(always)]
    fn new(inst: InstanceId, state: TaskState, needs_exclusive: bool, data: E::Task) -> Self {
        Task {
            data,
            inst,
            state,
            needs_exclusive,
            num_borrows: 0,
            implicit_thread: None,
            threads: SmallVec::new(),
            position: 0,
        }
    }

    /// Traps when the last thread exits and the task has not resolved.
    #[inline]
    fn check_exit(&self) -> Result<(), Trap> {
        match self.threads.len() == 1 && self.state != TaskState::Resolved {
            true => Err(Trap::NeverReturned),
            false => Ok(()),
        }
    }

    #[inline]
    fn resolve(&mut self) -> Result<(), Trap> {
        if self.num_borrows > 0 {
            return Err(Trap::BorrowsRemain(self.num_borrows));
        }
        self.state = TaskState::Resolved;
        Ok(())
    }
}
