//! Waiting and becoming ready (CanonicalABI.md, "Threads" and `Store.tick`).
//!
//! The specification asks each waiting thread in turn whether it is ready. Here every change that can make a
//! waiter ready *pokes* it into the ready queue, and [`Store::next_ready`] asks again when it takes a thread
//! out, since the condition may have passed. Where several threads wait for the same thing, only the first is
//! poked; whoever leaves such a list pokes the next. So each change costs O(1), however many wait.
//!
//! Invariants, which `invariants.rs` checks (I is an instance, S a set):
//! - If S has pending events, the first thread in `S.waiters` and the first in `S.callback_waiters` are poked.
//! - If I has no explicit backpressure, the first thread in `I.entering` is poked; if the lock is free too, so
//!   is the first in `I.entering_exclusive`.
//! - A poked callback thread that lacks only the lock is in `I.gate`. If the lock is free and the gate is not
//!   empty, a thread promoted from the gate is in the ready queue.
//! - A thread waiting for one waitable or subtask, or with a cancellation to deliver, is poked when that comes.
//! - Poked threads that are not ready are dropped from the queue, not from their wait list, when they come up.

use crate::embedder::Embedder;
use crate::id::{InstanceId, SetId, ThreadId};
use crate::store::Store;
use crate::thread::{InstanceLinks, ReadyLinks, Sched, ThreadState, Wait, WaitFor, WaitLinks};
use crate::trap::Trap;

/// Whether a waiting thread's condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// All but the exclusive lock.
    NeedsLock,
    NotReady,
}

impl<E: Embedder> Store<E> {
    /// Lets a running thread wait (`Thread.wait_until`, `Thread.suspend`), even if the condition is met.
    ///
    /// The two callback waits release the exclusive lock if the thread holds it.
    ///
    /// # Errors
    ///
    /// Traps when the handle is unknown or not a waitable's, or the waitable is in a set or waited on already.
    pub fn start_waiting(&mut self, id: ThreadId, wait_for: WaitFor) -> Result<(), Trap> {
        let thread = self.threads.get(id)?;
        if thread.state != ThreadState::Running {
            return Err(Trap::Misuse("a thread that is not running cannot wait"));
        }
        let inst = thread.inst;
        match wait_for {
            WaitFor::Ready => self.wait(id, Wait::Nothing),
            WaitFor::ExplicitResume => {
                self.threads.get_mut(id)?.state = ThreadState::Suspended;
                Ok(())
            }
            WaitFor::Waitable(index) => {
                let waitable = self.waitable_handle(inst, index)?;
                self.add_sync_waiter(waitable, id, index)?;
                self.wait(id, Wait::Waitable(waitable))
            }
            WaitFor::End(end) => {
                let index = self.ends.get(end)?.index;
                self.add_sync_waiter(end.into(), id, index)?;
                self.wait(id, Wait::Waitable(end.into()))
            }
            WaitFor::SubtaskResolved(subtask) => {
                let state = self.subtasks.get_mut(subtask)?;
                if state.inst != inst || state.resolve_waiter.is_some() {
                    return Err(Trap::Misuse("a subtask has one waiter, in its own instance"));
                }
                state.resolve_waiter = Some(id);
                self.wait(id, Wait::SubtaskResolved(subtask))
            }
            WaitFor::Set(set) | WaitFor::CallbackSet(set) => {
                let state = self.sets.get_mut(set)?;
                if state.inst != inst {
                    return Err(Trap::Misuse("a set is waited on in its own instance"));
                }
                state.num_waiting = state.num_waiting.saturating_add(1); // at most one per thread
                if matches!(wait_for, WaitFor::Set(_)) {
                    state.waiters.push_back(&mut WaitLinks(&mut self.threads), id);
                    self.wait(id, Wait::Set(set))
                } else {
                    state.callback_waiters.push_back(&mut WaitLinks(&mut self.threads), id);
                    self.release_exclusive_of(inst, id);
                    self.wait(id, Wait::CallbackSet(set))
                }
            }
            WaitFor::CallbackYield => {
                self.release_exclusive_of(inst, id);
                self.wait(id, Wait::CallbackYield)
            }
        }
    }

    /// Lets a thread wait that is in its wait list already.
    pub(crate) fn wait(&mut self, id: ThreadId, wait: Wait) -> Result<(), Trap> {
        let thread = self.threads.get_mut(id)?;
        thread.state = ThreadState::Waiting;
        thread.wait = wait;
        self.queue_if_ready(id);
        Ok(())
    }

    /// Takes the next ready thread in the whole store and marks it running (`Store.tick`).
    ///
    /// First come, first served, and so the same in every run. A thread that waited with one of the callback
    /// waits holds the exclusive lock afterwards. The runtime goes on with what the wait was for:
    /// [`Store::finish_entering`], [`Store::take_callback_event`], [`Store::take_event`], …
    #[inline]
    pub fn next_ready(&mut self) -> Option<ThreadId> {
        while let Some(id) = self.ready.front() {
            if self.try_resume(id) {
                return Some(id);
            }
        }
        None
    }

    /// Says whether [`Store::next_ready`] would return this thread, and if so, marks it running.
    #[inline]
    pub fn resume_if_next(&mut self, thread: ThreadId) -> bool {
        self.ready.front() == Some(thread) && self.try_resume(thread)
    }

    /// As [`Store::next_ready`], among the threads of one instance that have entered (`inst.threads`).
    ///
    /// This is what a synchronous call that blocked, and a cancellation, may run.
    #[inline]
    pub fn next_ready_in(&mut self, inst: InstanceId) -> Option<ThreadId> {
        while let Some(id) = self.instances.find(inst)?.ready.front() {
            if self.try_resume(id) {
                return Some(id);
            }
        }
        None
    }

    /// Says whether a thread may be ready: if not, [`Store::next_ready`] returns `None`.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Says whether a waiting thread's condition is met (`Thread.ready`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the thread has exited.
    pub fn is_ready(&self, thread: ThreadId) -> Result<bool, Trap> {
        let state = self.threads.get(thread)?.state;
        Ok(state == ThreadState::Waiting && self.readiness(thread) == Readiness::Ready)
    }

    /// Marks a thread running that was suspended, or waits and is ready (`Thread.resume`).
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the thread runs already or waits for what has not come.
    pub fn resume(&mut self, thread: ThreadId) -> Result<(), Trap> {
        match self.threads.get(thread)?.state {
            ThreadState::Suspended => {
                self.threads.get_mut(thread)?.state = ThreadState::Running;
                Ok(())
            }
            ThreadState::Waiting if self.readiness(thread) == Readiness::Ready => {
                self.stop_waiting(thread);
                Ok(())
            }
            _ => Err(Trap::Misuse("only a suspended or ready thread can be resumed")),
        }
    }

    /// Takes a thread from the ready queue; says whether it is ready indeed and now runs.
    fn try_resume(&mut self, id: ThreadId) -> bool {
        match self.readiness(id) {
            Readiness::Ready => {
                self.stop_waiting(id);
                true
            }
            Readiness::NeedsLock => {
                let keep_turn = self.unqueue(id);
                self.enter_gate(id, keep_turn);
                false
            }
            Readiness::NotReady => {
                let promoted = self.unqueue(id);
                if promoted && let Some(thread) = self.threads.find(id) {
                    self.service_gate(thread.inst);
                }
                false
            }
        }
    }

    /// Evaluates the `ready_func` of a waiting thread.
    #[inline]
    pub(crate) fn readiness(&self, id: ThreadId) -> Readiness {
        #[cfg(test)]
        self.asked.set(self.asked.get() + 1);
        let Some(thread) = self.threads.find(id) else { return Readiness::NotReady };
        let met = match thread.wait {
            Wait::Nothing => true,
            Wait::Enter => {
                let needs_exclusive = self.tasks.find(thread.task).is_some_and(|task| task.needs_exclusive);
                let instance = self.instances.find(thread.inst);
                instance.is_some_and(|instance| !instance.has_backpressure(needs_exclusive))
            }
            Wait::Waitable(waitable) => self.waitable(waitable).is_none_or(|waitable| waitable.pending),
            Wait::SubtaskResolved(subtask) => {
                self.subtasks.find(subtask).is_none_or(|subtask| subtask.state.resolved())
            }
            Wait::Set(set) => self.sets.find(set).is_none_or(|set| !set.pending.is_empty()),
            Wait::CallbackSet(set) => {
                let event = self.sets.find(set).is_none_or(|set| !set.pending.is_empty())
                    || self.tasks.find(thread.task).is_some_and(|task| task.state.pending_cancel());
                return self.with_lock(thread.inst, event);
            }
            Wait::CallbackYield => return self.with_lock(thread.inst, true),
        };
        if met { Readiness::Ready } else { Readiness::NotReady }
    }

    #[inline]
    fn with_lock(&self, inst: InstanceId, rest: bool) -> Readiness {
        let free = self.instances.find(inst).is_some_and(|instance| !instance.is_locked());
        match (rest, free) {
            (false, _) => Readiness::NotReady,
            (true, false) => Readiness::NeedsLock,
            (true, true) => Readiness::Ready,
        }
    }

    /// Queues a waiting thread if its condition is met.
    pub(crate) fn poke(&mut self, id: ThreadId) {
        match self.threads.find(id) {
            Some(thread) if thread.state == ThreadState::Waiting && thread.sched == Sched::Unqueued => {}
            _ => return,
        }
        self.queue_if_ready(id);
    }

    /// Queues a waiting thread that is in no queue if its condition is met.
    fn queue_if_ready(&mut self, id: ThreadId) {
        match self.readiness(id) {
            Readiness::Ready => self.enqueue(id),
            Readiness::NeedsLock => self.enter_gate(id, false),
            Readiness::NotReady => {}
        }
    }

    fn enqueue(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.find_mut(id) else { return };
        thread.sched = Sched::Queued;
        let (inst, entered) = (thread.inst, thread.wait != Wait::Enter);
        self.ready.push_back(&mut ReadyLinks(&mut self.threads), id);
        if entered && let Some(instance) = self.instances.find_mut(inst) {
            instance.ready.push_back(&mut InstanceLinks(&mut self.threads), id);
        }
    }

    fn enter_gate(&mut self, id: ThreadId, keep_turn: bool) {
        let Some(thread) = self.threads.find_mut(id) else { return };
        let Some(instance) = self.instances.find_mut(thread.inst) else { return };
        thread.sched = Sched::Gated;
        let links = &mut InstanceLinks(&mut self.threads);
        if keep_turn {
            instance.gate.push_front(links, id);
        } else {
            instance.gate.push_back(links, id);
        }
        instance.update_door();
    }

    /// Takes a thread out of the ready queue and the gate; says whether it had been promoted from there.
    fn unqueue(&mut self, id: ThreadId) -> bool {
        let Some(thread) = self.threads.find_mut(id) else { return false };
        let (inst, sched) = (thread.inst, thread.sched);
        thread.sched = Sched::Unqueued;
        let promoted = std::mem::take(&mut thread.promoted);
        match sched {
            Sched::Unqueued => {}
            Sched::Queued => {
                self.ready.unlink(&mut ReadyLinks(&mut self.threads), id);
                if let Some(instance) = self.instances.find_mut(inst) {
                    instance.ready.unlink(&mut InstanceLinks(&mut self.threads), id);
                }
            }
            Sched::Gated => {
                if let Some(instance) = self.instances.find_mut(inst) {
                    instance.gate.unlink(&mut InstanceLinks(&mut self.threads), id);
                    instance.update_door();
                }
            }
        }
        promoted
    }

    /// Ends a thread's wait, whatever it waits for, and marks it running (`Thread.stop_waiting`).
    ///
    /// A thread that waited for the exclusive lock takes it if it is free.
    pub(crate) fn stop_waiting(&mut self, id: ThreadId) {
        let promoted = self.unqueue(id);
        let Some(thread) = self.threads.find_mut(id) else { return };
        thread.state = ThreadState::Running;
        let (inst, wait) = (thread.inst, thread.wait);
        let mut locks = false;
        match wait {
            Wait::Nothing => {}
            Wait::Enter => {
                // The next one is poked when this one has entered or given up: see `finish_entering`.
                if let Some(instance) = self.instances.find_mut(inst) {
                    let links = &mut WaitLinks(&mut self.threads);
                    let needs_exclusive = match links.0.find(id).map(|thread| thread.task) {
                        Some(task) => self.tasks.find(task).is_some_and(|task| task.needs_exclusive),
                        None => false,
                    };
                    if needs_exclusive {
                        instance.entering_exclusive.unlink(links, id);
                    } else {
                        instance.entering.unlink(links, id);
                    }
                }
            }
            Wait::Waitable(waitable) => {
                if let Some(waitable) = self.waitable_mut(waitable) {
                    waitable.sync_waiter = None;
                    waitable.has_sync_waiter = false;
                }
            }
            Wait::SubtaskResolved(subtask) => {
                if let Some(subtask) = self.subtasks.find_mut(subtask) {
                    subtask.resolve_waiter = None;
                }
            }
            Wait::Set(set) => {
                if let Some(state) = self.sets.find_mut(set) {
                    state.num_waiting = state.num_waiting.saturating_sub(1);
                    state.waiters.unlink(&mut WaitLinks(&mut self.threads), id);
                    self.service_set(set);
                }
            }
            Wait::CallbackSet(set) => {
                locks = true;
                if let Some(state) = self.sets.find_mut(set) {
                    state.num_waiting = state.num_waiting.saturating_sub(1);
                    state.callback_waiters.unlink(&mut WaitLinks(&mut self.threads), id);
                }
            }
            Wait::CallbackYield => locks = true,
        }
        if locks {
            if let Some(instance) = self.instances.find_mut(inst)
                && !instance.is_locked()
            {
                instance.set_exclusive(Some(id));
            }
            if let Wait::CallbackSet(set) = wait {
                self.service_set(set);
            }
        } else if promoted {
            self.service_gate(inst);
        }
    }

    /// Pokes those first in line for a set's events.
    pub(crate) fn service_set(&mut self, set: SetId) {
        let Some(set) = self.sets.find(set) else { return };
        if set.pending.is_empty() {
            return;
        }
        let (waiter, callback) = (set.waiters.front(), set.callback_waiters.front());
        if let Some(thread) = waiter {
            self.poke(thread);
        }
        if let Some(thread) = callback {
            self.poke(thread);
        }
    }

    /// Pokes those first in line to enter an instance.
    pub(crate) fn service_entering(&mut self, inst: InstanceId) {
        let Some(instance) = self.instances.find(inst) else { return };
        let (plain, exclusive) = (instance.entering.front(), instance.entering_exclusive.front());
        if let Some(thread) = plain {
            self.poke(thread);
        }
        if let Some(thread) = exclusive {
            self.poke(thread);
        }
    }

    /// Offers the free exclusive lock to the first callback thread that lacks only that.
    pub(crate) fn service_gate(&mut self, inst: InstanceId) {
        let Some(instance) = self.instances.find_mut(inst) else { return };
        if instance.is_locked() {
            return;
        }
        let Some(id) = instance.gate.front() else { return };
        instance.gate.unlink(&mut InstanceLinks(&mut self.threads), id);
        instance.update_door();
        self.enqueue(id);
        if let Some(thread) = self.threads.find_mut(id) {
            thread.promoted = true;
        }
    }

    /// Offers the lock that was just released and somebody wants, in turn first to callback threads and to entering ones.
    #[cold]
    pub(crate) fn service_exclusive(&mut self, inst: InstanceId) {
        let Some(instance) = self.instances.find_mut(inst) else { return };
        instance.offer_to_entering = !instance.offer_to_entering;
        if instance.offer_to_entering {
            self.service_entering(inst);
            self.service_gate(inst);
        } else {
            self.service_gate(inst);
            self.service_entering(inst);
        }
    }

    /// Releases the exclusive lock if this thread holds it.
    pub(crate) fn release_exclusive_of(&mut self, inst: InstanceId, id: ThreadId) {
        if let Some(instance) = self.instances.find_mut(inst)
            && instance.exclusive_thread == Some(id)
            && instance.release_exclusive()
        {
            self.service_exclusive(inst);
        }
    }
}
