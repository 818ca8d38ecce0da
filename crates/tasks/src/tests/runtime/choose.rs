//! Choosing at random, mostly what is legal.

use super::*;

impl World {
    /// Says whether to refrain from something, which it mostly does if that would trap.
    pub(super) fn unlikely_trap(&mut self, would_trap: bool) -> bool {
        would_trap && self.pick(self.caution) != 0
    }

    /// Says whether the current thread can leave the stack without a trap, as far as is easily seen.
    pub(super) fn can_block(&self) -> bool {
        let Some((thread, Cause::Lift(number))) = self.stack.last() else { return true };
        let (_, inst) = self.store.thread_scope(*thread).unwrap();
        self.calls[*number].lift != Lift::Sync || !self.store.instance(inst).unwrap().ready.is_empty()
    }

    pub(super) fn holds_borrows(&self, task: TaskId) -> bool {
        self.store.tasks.get(task).unwrap().num_borrows > 0
    }

    pub(super) fn pick_instance(&mut self) -> InstanceId {
        let at = if self.crowded { 0 } else { self.pick(self.insts.len()) };
        self.insts[at]
    }

    pub(super) fn pick_lift(&mut self) -> Lift {
        match self.pick(if self.crowded { 5 } else { 8 }) {
            0..=2 => Lift::Callback,
            3 | 5 => Lift::Stackful,
            4 | 6 => Lift::AsyncTyped,
            _ => Lift::Sync,
        }
    }

    pub(super) fn pick_type(&mut self) -> Type {
        if self.pick(4) == 0 { Type::Text } else { Type::Number }
    }

    /// Picks a handle of these kinds for which the operation is legal, or now and then just any number.
    pub(super) fn pick_handle(
        &mut self,
        inst: InstanceId,
        kinds: &[HandleKind],
        legal: impl Fn(&Self, InstanceId, u32) -> bool,
    ) -> Option<u32> {
        let choice = self.pick(1 << 16) as u32;
        if (choice as usize).is_multiple_of(4 * self.caution) {
            return Some(choice % 12);
        }
        let of_kind = |index: &u32| {
            self.store.handle_kind(inst, *index).is_ok_and(|kind| kinds.contains(&kind))
                && legal(self, inst, *index)
        };
        let handles: Vec<u32> = (1..64).filter(of_kind).collect();
        handles.get(choice as usize % handles.len().max(1)).copied()
    }

    pub(super) fn pick_thread(
        &mut self,
        inst: InstanceId,
        legal: impl Fn(&Self, InstanceId, u32) -> bool,
    ) -> Option<u32> {
        let choice = self.pick(1 << 16) as u32;
        if (choice as usize).is_multiple_of(4 * self.caution) {
            return Some(choice % 6);
        }
        let threads: Vec<u32> = (1..64).filter(|index| legal(self, inst, *index)).collect();
        threads.get(choice as usize % threads.len().max(1)).copied()
    }

    pub(super) fn param_text(&self, param: Param) -> String {
        match param {
            Param::None => "none".into(),
            Param::Own(index) => format!("own {index}"),
            Param::Borrow(index) => format!("borrow {index}"),
            Param::End(index, kind, element) => format!("end {index} {kind:?} {element:?}"),
            Param::HostEnd(end) => format!("host {}", self.host_name(end)),
        }
    }

    pub(super) fn end_type(&self, inst: InstanceId, index: u32) -> (EndKind, Type) {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => {
                let (kind, element) = self.store.end_type(end).unwrap();
                (kind, *element)
            }
            _ => (EndKind::StreamReadable, Type::Number),
        }
    }

    pub(super) fn waitable(&self, inst: InstanceId, index: u32) -> Option<&Waitable> {
        self.store.waitable(self.store.waitable_handle(inst, index).ok()?)
    }

    pub(super) fn state(&self, inst: InstanceId, index: u32) -> Option<EndState> {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => self.store.end_state(end).ok(),
            _ => None,
        }
    }

    pub(super) fn is_idle(&self, inst: InstanceId, index: u32) -> bool {
        self.state(inst, index) == Some(EndState::Idle)
    }

    pub(super) fn is_idle_outside_sets(&self, inst: InstanceId, index: u32) -> bool {
        self.is_idle(inst, index) && self.waitable(inst, index).is_some_and(|waitable| waitable.set.is_none())
    }

    pub(super) fn both_ends_in(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => {
                let other = self.store.other_end(end).unwrap();
                other.is_some_and(|other| self.store.end_owner(other) == Ok(Some(inst)))
            }
            _ => false,
        }
    }

    pub(super) fn is_worth_waiting_for(&self, inst: InstanceId, index: u32) -> bool {
        let set = self.store.set_handle(inst, index).unwrap();
        self.crowded || self.store.sets.get(set).unwrap().num_members > 0
    }

    pub(super) fn is_copying(&self, inst: InstanceId, index: u32) -> bool {
        self.state(inst, index) == Some(EndState::Copying) && self.has_no_sync_waiter(inst, index)
    }

    pub(super) fn is_droppable(&self, inst: InstanceId, index: u32) -> bool {
        match self.state(inst, index) {
            Some(EndState::Done) => true,
            Some(EndState::Idle) => self.end_type(inst, index).0 != EndKind::FutureWritable,
            _ => false,
        }
    }

    pub(super) fn has_no_sync_waiter(&self, inst: InstanceId, index: u32) -> bool {
        self.waitable(inst, index).is_some_and(|waitable| !waitable.has_sync_waiter)
    }

    pub(super) fn is_delivered(&self, inst: InstanceId, index: u32) -> bool {
        let subtask = self.store.subtask_handle(inst, index).unwrap();
        self.store.subtasks.get(subtask).unwrap().resolve_delivered
    }

    pub(super) fn is_cancellable(&self, inst: InstanceId, index: u32) -> bool {
        let subtask = self.store.subtask_handle(inst, index).unwrap();
        let subtask = self.store.subtasks.get(subtask).unwrap();
        !subtask.resolve_delivered && !subtask.cancellation_requested && subtask.waitable.set.is_none()
    }

    pub(super) fn is_unused_set(&self, inst: InstanceId, index: u32) -> bool {
        let set = self.store.set_handle(inst, index).unwrap();
        let set = self.store.sets.get(set).unwrap();
        set.num_members == 0 && set.num_waiting == 0
    }

    pub(super) fn is_unlent(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.handle(inst, index) {
            Ok(Handle::Resource(resource)) => resource.num_lends == 0,
            _ => false,
        }
    }

    pub(super) fn is_free_own(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.handle(inst, index) {
            Ok(Handle::Resource(resource)) => resource.num_lends == 0 && resource.is_own(),
            _ => false,
        }
    }

    pub(super) fn transfer(&mut self, step: CopyStep<Runtime>) -> Result<CopyStep<Runtime>, Trap> {
        match step {
            CopyStep::Transfer(transfer) => {
                let (to, from) = self.store.buffers_mut(transfer.reader, transfer.writer)?;
                assert_eq!(transfer.count, to.remain().min(from.remain()));
                self.store.finish_transfer(transfer)
            }
            step => Ok(step),
        }
    }
}
