//! Waitables: subtasks and the ends of streams and futures (CanonicalABI.md, "Waitable State").
//!
//! Invariants, where W is a waitable: `W.pending` says whether it has a pending event; the event itself is
//! computed from W's state when it is delivered. W is linked in its set's list of pending members if and only
//! if it is pending; a host-owned end is linked in the store's list for the host instead, if the host has to
//! look at it. W has a waitable set or a synchronous waiter, never both.

use crate::embedder::Embedder;
use crate::end::End;
use crate::event::Event;
use crate::id::{EndId, InstanceId, SetId, SubtaskId, ThreadId};
use crate::list::{Link, Links};
use crate::slab::Slab;
use crate::store::Store;
use crate::subtask::Subtask;
use crate::trap::Trap;

/// The state that all waitables have (`Waitable`).
pub(crate) struct Waitable {
    pub(crate) pending: bool,
    pub(crate) set: Option<SetId>,
    pub(crate) has_sync_waiter: bool,
    pub(crate) sync_waiter: Option<ThreadId>,
    pub(crate) link: Link<WaitableId>,
}

impl Waitable {
    #[inline]
    pub(crate) const fn new() -> Self {
        Waitable { pending: false, set: None, has_sync_waiter: false, sync_waiter: None, link: Link::new() }
    }

    /// Sets the event pending. Says whether it was not before.
    #[inline]
    pub(crate) fn set_pending(&mut self) -> bool {
        !std::mem::replace(&mut self.pending, true)
    }

    /// Says whether it is in a set or in a list.
    #[inline]
    pub(crate) fn in_queues(&self) -> bool {
        self.set.is_some() || self.link.linked()
    }

    /// Says whether a thread or a set waits for the event.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.sync_waiter.is_some() || self.set.is_some()
    }
}

/// Names a waitable of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitableId {
    Subtask(SubtaskId),
    End(EndId),
}

impl From<SubtaskId> for WaitableId {
    #[inline]
    fn from(subtask: SubtaskId) -> Self {
        WaitableId::Subtask(subtask)
    }
}

impl From<EndId> for WaitableId {
    #[inline]
    fn from(end: EndId) -> Self {
        WaitableId::End(end)
    }
}

/// The links of lists of waitables.
pub(crate) struct WaitableLinks<'a, E: Embedder> {
    pub(crate) subtasks: &'a mut Slab<SubtaskId, Subtask<E>>,
    pub(crate) ends: &'a mut Slab<EndId, End<E>>,
}

impl<E: Embedder> Links<WaitableId> for WaitableLinks<'_, E> {
    #[inline]
    fn link(&mut self, id: WaitableId) -> Option<&mut Link<WaitableId>> {
        match id {
            WaitableId::Subtask(id) => self.subtasks.find_mut(id).map(|subtask| &mut subtask.waitable.link),
            WaitableId::End(id) => self.ends.find_mut(id).map(|end| &mut end.waitable.link),
        }
    }
}

impl<E: Embedder> Store<E> {
    #[inline]
    pub(crate) fn waitable(&self, id: WaitableId) -> Option<&Waitable> {
        match id {
            WaitableId::Subtask(id) => self.subtasks.find(id).map(|subtask| &subtask.waitable),
            WaitableId::End(id) => self.ends.find(id).map(|end| &end.waitable),
        }
    }

    #[inline]
    pub(crate) fn waitable_mut(&mut self, id: WaitableId) -> Option<&mut Waitable> {
        match id {
            WaitableId::Subtask(id) => self.subtasks.find_mut(id).map(|subtask| &mut subtask.waitable),
            WaitableId::End(id) => self.ends.find_mut(id).map(|end| &mut end.waitable),
        }
    }

    /// Sets a waitable's event pending and pokes whoever waits for it (`Waitable.set_pending_event`).
    pub(crate) fn set_pending(&mut self, id: WaitableId) {
        if self.waitable_mut(id).is_some_and(Waitable::set_pending) {
            self.announce(id);
        }
    }

    /// Pokes whoever waits for a waitable's event, which has become pending.
    pub(crate) fn announce(&mut self, id: WaitableId) {
        let Some(waitable) = self.waitable(id) else { return };
        let (set, waiter) = (waitable.set, waitable.sync_waiter);
        if let Some(thread) = waiter {
            self.poke(thread);
        } else if let Some(set) = set {
            self.queue_in_set(id, set);
        } else if let WaitableId::End(end) = id {
            self.tell_host(end);
        }
    }

    /// Takes a waitable's event back and out of the list that it is pending in.
    #[inline]
    pub(crate) fn clear_pending(&mut self, id: WaitableId) {
        let Some(waitable) = self.waitable_mut(id) else { return };
        waitable.pending = false;
        if waitable.link.linked() {
            self.unlink_waitable(id);
        }
    }

    fn queue_in_set(&mut self, id: WaitableId, set: SetId) {
        if let Some(state) = self.sets.find_mut(set) {
            let links = &mut WaitableLinks { subtasks: &mut self.subtasks, ends: &mut self.ends };
            state.pending.push_back(links, id);
            if state.num_waiting > 0 {
                self.service_set(set);
            }
        }
    }

    /// Takes a waitable out of its set's pending members, or of the host's list.
    pub(crate) fn unlink_waitable(&mut self, id: WaitableId) {
        let Some(waitable) = self.waitable(id) else { return };
        let set = waitable.set;
        let links = &mut WaitableLinks { subtasks: &mut self.subtasks, ends: &mut self.ends };
        match set {
            Some(set) => {
                if let Some(set) = self.sets.find_mut(set) {
                    set.pending.unlink(links, id);
                }
            }
            None => self.host.unlink(links, id),
        }
    }

    /// Moves a waitable into a set, or out of all (`Waitable.join`).
    pub(crate) fn join(&mut self, id: WaitableId, set: Option<SetId>) {
        let Some(waitable) = self.waitable(id) else { return };
        if waitable.link.linked() {
            self.unlink_waitable(id);
        }
        let Some(waitable) = self.waitable_mut(id) else { return };
        let (old, pending) = (waitable.set, waitable.pending);
        waitable.set = set;
        if let Some(old) = old.and_then(|old| self.sets.find_mut(old)) {
            old.num_members = old.num_members.saturating_sub(1);
        }
        if let Some(set) = set {
            if let Some(state) = self.sets.find_mut(set) {
                state.num_members = state.num_members.saturating_add(1); // at most one per handle
            }
            if pending {
                self.queue_in_set(id, set);
            }
        }
    }

    /// Takes a waitable out of its set and every list, before it is removed (`Waitable.drop`).
    #[inline]
    pub(crate) fn leave_queues(&mut self, id: WaitableId) {
        if self.waitable(id).is_some_and(Waitable::in_queues) {
            self.join(id, None);
        }
    }

    /// Makes a thread a waitable's synchronous waiter (`Waitable.wait_for_pending_event`).
    pub(crate) fn add_sync_waiter(
        &mut self,
        id: WaitableId,
        thread: ThreadId,
        index: u32,
    ) -> Result<(), Trap> {
        let inst = self.threads.get(thread)?.inst;
        if self.waitable_owner(id)? != Some(inst) {
            return Err(Trap::Misuse("a waitable is waited on in its own instance"));
        }
        let Some(waitable) = self.waitable_mut(id) else { return Ok(()) };
        if waitable.set.is_some() {
            return Err(Trap::SyncAndSet(index));
        }
        if waitable.has_sync_waiter {
            return Err(Trap::HasSyncWaiter(index));
        }
        waitable.has_sync_waiter = true;
        waitable.sync_waiter = Some(thread);
        Ok(())
    }

    fn waitable_owner(&self, id: WaitableId) -> Result<Option<InstanceId>, Trap> {
        match id {
            WaitableId::Subtask(id) => Ok(Some(self.subtasks.get(id)?.inst)),
            WaitableId::End(id) => Ok(self.ends.get(id)?.owner),
        }
    }

    /// Delivers a waitable's pending event (`Waitable.get_pending_event`).
    pub(crate) fn deliver(&mut self, id: WaitableId) -> Result<Event, Trap> {
        match id {
            WaitableId::Subtask(id) => self.deliver_subtask(id),
            WaitableId::End(id) => {
                let index = self.ends.get(id)?.index;
                let event = self.deliver_end(id)?.event;
                Ok(Event { code: event.code, p1: index, p2: event.payload() })
            }
        }
    }

    /// Adds a waitable to a set, or takes it out of its set if `set` is 0 (`canon_waitable_join`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, an index is unknown or of the wrong kind, or a synchronous
    /// operation waits on the waitable.
    pub fn waitable_join(&mut self, inst: InstanceId, waitable: u32, set: u32) -> Result<(), Trap> {
        self.check_may_leave(inst)?;
        let id = self.waitable_handle(inst, waitable)?;
        if self.waitable(id).is_some_and(|state| state.has_sync_waiter) {
            return Err(Trap::SyncAndSet(waitable));
        }
        let set = if set == 0 { None } else { Some(self.set_handle(inst, set)?) };
        self.join(id, set);
        Ok(())
    }
}
