//! Subtasks: calls out of a component (CanonicalABI.md, "Subtask State").
//!
//! Invariants: the state only moves forward; the lenders are released exactly once, when the end of the call
//! is delivered to the caller; a subtask in the handle table is dropped only after that.

use crate::embedder::Embedder;
use crate::event::{Event, EventCode};
use crate::handle_table::Handle;
use crate::id::{Entity, InstanceId, SubtaskId, ThreadId};
use crate::instance::Cost;
use crate::resource::Lenders;
use crate::store::Store;
use crate::trap::Trap;
use crate::waitable::Waitable;

/// A call out of a component.
pub(crate) struct Subtask<E: Embedder> {
    pub(crate) data: E::Subtask,
    pub(crate) waitable: Waitable,
    pub(crate) inst: InstanceId,
    pub(crate) state: SubtaskState,
    /// The handle; 0 if it has none.
    pub(crate) index: u32,
    pub(crate) lenders: Lenders,
    pub(crate) resolve_delivered: bool,
    pub(crate) cancellation_requested: bool,
    /// The thread that waits for the subtask to resolve.
    pub(crate) resolve_waiter: Option<ThreadId>,
    /// The subtask's place in `Instance::subtasks`.
    pub(crate) position: u32,
}

/// How far a subtask has come (`Subtask.State`), as guests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum SubtaskState {
    /// The callee has not started: the arguments are still the caller's.
    Starting = 0,
    /// The callee has taken its arguments.
    Started = 1,
    /// The callee has returned a result.
    Returned = 2,
    /// The callee was cancelled before it took its arguments.
    CancelledBeforeStarted = 3,
    /// The callee was cancelled after it took its arguments.
    CancelledBeforeReturned = 4,
}

impl SubtaskState {
    /// Says whether the call has ended (`Subtask.resolved`).
    #[inline]
    pub fn resolved(self) -> bool {
        self > SubtaskState::Started
    }
}

/// What the runtime does after [`Store::subtask_cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubtaskCancel {
    /// The subtask had resolved; this state is the built-in's result.
    Resolved(SubtaskState),
    /// Ask the callee to cancel, then call [`Store::finish_subtask_cancel`].
    Request(SubtaskId),
}

impl<E: Embedder> Store<E> {
    /// Adds a subtask that has no handle yet (`Subtask.__init__`).
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    #[inline]
    pub fn new_subtask(&mut self, inst: InstanceId, data: E::Subtask) -> Result<SubtaskId, Trap> {
        self.add_subtask(inst, SubtaskState::Starting, data)
    }

    /// Adds a subtask whose callee has taken its arguments while nobody had asked for it, with what was lent to it.
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much; the lends are released then.
    #[inline]
    pub fn begin_started(
        &mut self,
        inst: InstanceId,
        data: E::Subtask,
        lenders: Lenders,
    ) -> Result<SubtaskId, Trap> {
        let added = self.add_subtask(inst, SubtaskState::Started, data);
        match added {
            Ok(id) => self.subtasks.get_mut(id)?.lenders = lenders,
            Err(_) => self.release_lenders(inst, lenders),
        }
        added
    }

    #[inline]
    fn add_subtask(
        &mut self,
        inst: InstanceId,
        state: SubtaskState,
        data: E::Subtask,
    ) -> Result<SubtaskId, Trap> {
        let instance = self.instances.get_mut(inst)?;
        let position =
            u32::try_from(instance.subtasks.len()).map_err(|_| Trap::StoreFull(Entity::Subtask))?;
        instance.charge(Cost::<E>::SUBTASK)?;
        let subtask = self.subtasks.insert(Subtask {
            data,
            waitable: Waitable::new(),
            inst,
            state,
            index: 0,
            lenders: Lenders::new(),
            resolve_delivered: false,
            cancellation_requested: false,
            resolve_waiter: None,
            position,
        })?;
        instance.subtasks.push(subtask);
        Ok(subtask)
    }

    /// Moves lends that were noted before there was a subtask into it.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the end of the subtask was delivered, [`Trap::Gone`] when it was dropped; the
    /// lends are released then.
    pub fn subtask_add_lenders(&mut self, id: SubtaskId, lenders: Lenders) -> Result<(), Trap> {
        let subtask = self.subtasks.get_mut(id)?;
        if subtask.resolve_delivered {
            let inst = subtask.inst;
            self.release_lenders(inst, lenders);
            return Err(Trap::Misuse("the end of the subtask was delivered"));
        }
        if subtask.lenders.is_empty() {
            subtask.lenders = lenders;
        } else {
            subtask.lenders.handles.extend(lenders.handles);
        }
        Ok(())
    }

    /// Notes that the callee takes its arguments (`on_start` of `canon_lower`).
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when it did before, [`Trap::Gone`] when the subtask is.
    #[inline]
    pub fn subtask_started(&mut self, id: SubtaskId) -> Result<(), Trap> {
        let subtask = self.subtasks.get_mut(id)?;
        if subtask.state != SubtaskState::Starting {
            return Err(Trap::Misuse("a subtask starts once"));
        }
        subtask.state = SubtaskState::Started;
        if subtask.index != 0 {
            self.set_pending(id.into());
        }
        Ok(())
    }

    /// Notes that the call has ended (`on_resolve` of `canon_lower`).
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the subtask cannot go from its state to this, [`Trap::Gone`] when it is.
    #[inline]
    pub fn subtask_resolve(&mut self, id: SubtaskId, state: SubtaskState) -> Result<(), Trap> {
        let subtask = self.subtasks.get_mut(id)?;
        match (subtask.state, state) {
            (SubtaskState::Started, SubtaskState::Returned | SubtaskState::CancelledBeforeReturned)
            | (SubtaskState::Starting, SubtaskState::CancelledBeforeStarted) => subtask.state = state,
            _ => return Err(Trap::Misuse("a subtask resolves once, to what fits its state")),
        }
        let (indexed, waiter) = (subtask.index != 0, subtask.resolve_waiter);
        if indexed {
            self.set_pending(id.into());
        }
        if let Some(thread) = waiter {
            self.poke(thread);
        }
        Ok(())
    }

    /// Gives an unresolved subtask a handle, through which its progress is delivered from now on.
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    pub fn add_to_table(&mut self, inst: InstanceId, id: SubtaskId) -> Result<u32, Trap> {
        let subtask = self.subtasks.get_mut(id)?;
        if subtask.inst != inst || subtask.index != 0 || subtask.state.resolved() {
            return Err(Trap::Misuse("a subtask gets one handle, in its own instance, before it resolves"));
        }
        subtask.index = self.instances.get_mut(inst)?.add_handle(Handle::Subtask(id))?;
        Ok(subtask.index)
    }

    /// Delivers the end of a call that has no handle, and removes the subtask (a synchronous or eagerly
    /// resolved call).
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the subtask has a handle or has not resolved, [`Trap::Gone`] when it is.
    #[inline]
    pub fn finish_subtask(&mut self, id: SubtaskId) -> Result<(SubtaskState, E::Subtask), Trap> {
        let subtask = self.subtasks.get(id)?;
        if subtask.index != 0 || !subtask.state.resolved() {
            return Err(Trap::Misuse("only a resolved subtask without a handle can be finished"));
        }
        let state = subtask.state;
        Ok((state, self.remove_subtask(id)?))
    }

    /// Delivers a subtask's pending event (`subtask_event` of `canon_lower`).
    pub(crate) fn deliver_subtask(&mut self, id: SubtaskId) -> Result<Event, Trap> {
        self.clear_pending(id.into());
        let subtask = self.subtasks.get_mut(id)?;
        let (inst, index, state) = (subtask.inst, subtask.index, subtask.state);
        if state.resolved() && !subtask.resolve_delivered {
            subtask.resolve_delivered = true;
            let lenders = std::mem::take(&mut subtask.lenders);
            self.release_lenders(inst, lenders);
        }
        Ok(Event { code: EventCode::Subtask, p1: index, p2: state as u32 })
    }

    /// Starts to cancel a subtask (`canon_subtask_cancel`, up to the call of `on_cancel`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or not a subtask's, its end was delivered,
    /// it was cancelled before, or it is in a waitable set.
    pub fn subtask_cancel(&mut self, inst: InstanceId, index: u32) -> Result<SubtaskCancel, Trap> {
        self.check_may_leave(inst)?;
        let id = self.subtask_handle(inst, index)?;
        let subtask = self.subtasks.get_mut(id)?;
        if subtask.resolve_delivered {
            return Err(Trap::SubtaskResolved(index));
        }
        if subtask.cancellation_requested {
            return Err(Trap::SubtaskCancelled(index));
        }
        if subtask.waitable.set.is_some() || subtask.waitable.has_sync_waiter {
            return Err(Trap::SyncAndSet(index));
        }
        if subtask.state.resolved() {
            let state = subtask.state;
            self.deliver_subtask(id)?;
            return Ok(SubtaskCancel::Resolved(state));
        }
        subtask.cancellation_requested = true;
        subtask.waitable.has_sync_waiter = true;
        Ok(SubtaskCancel::Request(id))
    }

    /// Goes on to cancel a subtask after its callee was asked to, and again after waiting
    /// (`canon_subtask_cancel`, after the call of `on_cancel`).
    ///
    /// Returns the final state once the subtask has resolved. Otherwise, `None`: with `is_async` the built-in
    /// returns [`BLOCKED`](crate::BLOCKED); without, the thread waits for [`WaitFor::SubtaskResolved`] and the
    /// runtime calls this again.
    ///
    /// [`WaitFor::SubtaskResolved`]: crate::WaitFor::SubtaskResolved
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when no cancellation is under way.
    pub fn finish_subtask_cancel(
        &mut self,
        id: SubtaskId,
        is_async: bool,
    ) -> Result<Option<SubtaskState>, Trap> {
        let subtask = self.subtasks.get_mut(id)?;
        if !subtask.cancellation_requested || !subtask.waitable.has_sync_waiter {
            return Err(Trap::Misuse("subtask.cancel is not under way"));
        }
        let state = subtask.state;
        if !state.resolved() {
            subtask.waitable.has_sync_waiter = !is_async;
            return Ok(None);
        }
        subtask.waitable.has_sync_waiter = false;
        self.deliver_subtask(id)?;
        Ok(Some(state))
    }

    /// Removes a subtask whose end was delivered (`canon_subtask_drop`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or not a subtask's, or its end was not
    /// delivered.
    pub fn subtask_drop(&mut self, inst: InstanceId, index: u32) -> Result<E::Subtask, Trap> {
        self.check_may_leave(inst)?;
        let id = self.subtask_handle(inst, index)?;
        let subtask = self.subtasks.get(id)?;
        if !subtask.resolve_delivered || subtask.waitable.has_sync_waiter {
            return Err(Trap::SubtaskUnresolved(index));
        }
        self.instances.get_mut(inst)?.remove_handle(index)?;
        self.remove_subtask(id)
    }

    fn remove_subtask(&mut self, id: SubtaskId) -> Result<E::Subtask, Trap> {
        self.leave_queues(id.into());
        let Subtask { data, inst, lenders, position, .. } = self.subtasks.remove(id)?;
        if let Some(instance) = self.instances.find_mut(inst) {
            instance.uncharge(Cost::<E>::SUBTASK);
            if instance.subtasks.get(position as usize) == Some(&id) {
                instance.subtasks.swap_remove(position as usize);
            }
            if let Some(moved) = instance.subtasks.get(position as usize)
                && let Some(moved) = self.subtasks.find_mut(*moved)
            {
                moved.position = position;
            }
        }
        self.release_lenders(inst, lenders);
        Ok(data)
    }

    /// Returns the embedder's data of a subtask.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was dropped.
    #[inline]
    pub fn subtask(&self, subtask: SubtaskId) -> Result<&E::Subtask, Trap> {
        Ok(&self.subtasks.get(subtask)?.data)
    }

    /// Returns the embedder's data of a subtask.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was dropped.
    #[inline]
    pub fn subtask_mut(&mut self, subtask: SubtaskId) -> Result<&mut E::Subtask, Trap> {
        Ok(&mut self.subtasks.get_mut(subtask)?.data)
    }

    /// Says how far a subtask has come.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when it was dropped.
    #[inline]
    pub fn subtask_state(&self, subtask: SubtaskId) -> Result<SubtaskState, Trap> {
        Ok(self.subtasks.get(subtask)?.state)
    }

    /// Returns the instance that made the call.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the subtask was dropped.
    #[inline]
    pub fn subtask_instance(&self, subtask: SubtaskId) -> Result<InstanceId, Trap> {
        Ok(self.subtasks.get(subtask)?.inst)
    }
}
