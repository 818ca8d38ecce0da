//! Waitable sets (CanonicalABI.md, "Waitable State").
//!
//! Invariants, where S is a set: `S.num_members` counts the waitables whose set is S; `S.pending` lists those
//! of them with a pending event, in the order in which they became so, which is the order of delivery;
//! `S.num_waiting` counts the threads in `S.waiters` and `S.callback_waiters`.

use crate::embedder::Embedder;
use crate::event::Event;
use crate::handle_table::Handle;
use crate::id::{InstanceId, SetId, ThreadId};
use crate::instance::Cost;
use crate::list::List;
use crate::store::Store;
use crate::trap::Trap;
use crate::waitable::WaitableId;

/// A set of waitables that can be waited on together.
pub(crate) struct WaitableSet {
    pub(crate) inst: InstanceId,
    pub(crate) num_members: u32,
    pub(crate) num_waiting: u32,
    pub(crate) pending: List<WaitableId>,
    /// Threads in `waitable-set.wait`.
    pub(crate) waiters: List<ThreadId>,
    /// Threads whose callback returned `WAIT`.
    pub(crate) callback_waiters: List<ThreadId>,
}

impl<E: Embedder> Store<E> {
    /// Creates an empty set and returns its handle (`canon_waitable_set_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn waitable_set_new(&mut self, inst: InstanceId) -> Result<u32, Trap> {
        self.check_may_leave(inst)?;
        let instance = self.instances.get_mut(inst)?;
        instance.charge(Cost::<E>::SET)?;
        let set = self.sets.insert(WaitableSet {
            inst,
            num_members: 0,
            num_waiting: 0,
            pending: List::new(),
            waiters: List::new(),
            callback_waiters: List::new(),
        })?;
        let added = instance.add_handle(Handle::Set(set));
        if added.is_err() {
            instance.uncharge(Cost::<E>::SET);
            self.sets.remove(set)?;
        }
        added
    }

    /// Removes a set (`canon_waitable_set_drop`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or not a set's, or the set has members or
    /// is waited on.
    pub fn waitable_set_drop(&mut self, inst: InstanceId, index: u32) -> Result<(), Trap> {
        self.check_may_leave(inst)?;
        let set = self.set_handle(inst, index)?;
        let state = self.sets.get(set)?;
        if state.num_members > 0 {
            return Err(Trap::SetNotEmpty(index));
        }
        if state.num_waiting > 0 {
            return Err(Trap::SetHasWaiters(index));
        }
        self.sets.remove(set)?;
        let instance = self.instances.get_mut(inst)?;
        instance.remove_handle(index)?;
        instance.uncharge(Cost::<E>::SET);
        Ok(())
    }

    /// Takes an event, if a member has one (`canon_waitable_set_poll`, which returns [`Event::NONE`]
    /// otherwise; the start of `canon_waitable_set_wait`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, or the index is unknown or not a set's.
    pub fn poll(&mut self, inst: InstanceId, index: u32) -> Result<Option<Event>, Trap> {
        self.check_may_leave(inst)?;
        let set = self.set_handle(inst, index)?;
        self.take_event(set)
    }

    /// Takes the event that has been pending longest (`WaitableSet.get_pending_event`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the set was dropped.
    #[inline]
    pub fn take_event(&mut self, set: SetId) -> Result<Option<Event>, Trap> {
        match self.sets.get(set)?.pending.front() {
            Some(waitable) => self.deliver(waitable).map(Some),
            None => Ok(None),
        }
    }

    /// Says whether a member has a pending event (`WaitableSet.has_pending_event`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the set was dropped.
    #[inline]
    pub fn has_event(&self, set: SetId) -> Result<bool, Trap> {
        Ok(!self.sets.get(set)?.pending.is_empty())
    }

    /// Counts the threads that wait on a set (`WaitableSet.num_waiting`).
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the set was dropped.
    pub fn num_waiting(&self, set: SetId) -> Result<u32, Trap> {
        Ok(self.sets.get(set)?.num_waiting)
    }
}
