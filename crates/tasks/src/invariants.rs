//! The invariants of the whole state machine, checked from scratch.
//!
//! [`Store::check_invariants`] recomputes everything that the state machine keeps incrementally: it is slow,
//! and for tests only.

use std::collections::{HashMap, HashSet};

use crate::door::Door;
use crate::embedder::{Buffer, Embedder};
use crate::end::EndState;
use crate::handle_table::Handle;
use crate::id::{InstanceId, ThreadId};
use crate::instance::Cost;
use crate::scheduler::Readiness;
use crate::store::Store;
use crate::task::TaskState;
use crate::thread::{InstanceLinks, ReadyLinks, Sched, ThreadState, Wait, WaitLinks};
use crate::waitable::{WaitableId, WaitableLinks};

impl<E: Embedder> Store<E> {
    /// Whether any thread is ready, of one instance (and past entering) or of all.
    pub(crate) fn anyone_ready(&self, inst: Option<InstanceId>) -> bool {
        self.threads.iter().any(|(id, thread)| {
            let candidate = inst.is_none_or(|inst| thread.inst == inst && thread.wait != Wait::Enter);
            candidate && self.is_ready(id) == Ok(true)
        })
    }

    /// Panics unless every invariant holds. No transfer may be under way.
    pub(crate) fn check_invariants(&mut self) {
        self.check_threads();
        self.check_tasks();
        self.check_handles();
        self.check_waitables();
        self.check_ends();
        self.check_scheduling();
        self.check_charges();
    }

    fn instance_ids(&self) -> Vec<InstanceId> {
        self.instances.iter().map(|(id, _)| id).collect()
    }

    /// Each thread is in exactly the lists that its state says.
    fn check_threads(&mut self) {
        let ready = self.ready.collect(&mut ReadyLinks(&mut self.threads));
        let mut waiting: HashMap<ThreadId, &'static str> = HashMap::new();
        let mut gated = HashSet::new();
        let mut instance_ready = HashSet::new();
        for inst in self.instance_ids() {
            let instance = self.instances.find_mut(inst).unwrap();
            for id in instance.entering.collect(&mut WaitLinks(&mut self.threads)) {
                assert!(waiting.insert(id, "entering").is_none());
            }
            for id in instance.entering_exclusive.collect(&mut WaitLinks(&mut self.threads)) {
                assert!(waiting.insert(id, "entering_exclusive").is_none());
            }
            gated.extend(instance.gate.collect(&mut InstanceLinks(&mut self.threads)));
            instance_ready.extend(instance.ready.collect(&mut InstanceLinks(&mut self.threads)));
            for (index, thread) in instance.threads.iter() {
                assert_eq!(self.threads.get(*thread).unwrap().index, index);
            }
        }
        for set in self.sets.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            let state = self.sets.find_mut(set).unwrap();
            let plain = state.waiters.collect(&mut WaitLinks(&mut self.threads));
            let callback = state.callback_waiters.collect(&mut WaitLinks(&mut self.threads));
            assert_eq!(state.num_waiting as usize, plain.len() + callback.len());
            for id in plain {
                assert_eq!(self.threads.get(id).unwrap().wait, Wait::Set(set));
                assert!(waiting.insert(id, "set").is_none());
            }
            for id in callback {
                assert_eq!(self.threads.get(id).unwrap().wait, Wait::CallbackSet(set));
                assert!(waiting.insert(id, "callback").is_none());
            }
        }
        let ready_set: HashSet<_> = ready.iter().copied().collect();
        for (id, thread) in self.threads.iter() {
            let list = waiting.remove(&id);
            assert_eq!(ready_set.contains(&id), thread.sched == Sched::Queued, "{id:?}");
            assert_eq!(gated.contains(&id), thread.sched == Sched::Gated, "{id:?}");
            let entered = thread.sched == Sched::Queued && thread.wait != Wait::Enter;
            assert_eq!(instance_ready.contains(&id), entered, "{id:?}");
            assert!(!thread.promoted || thread.sched == Sched::Queued, "{id:?}");
            if thread.state != ThreadState::Waiting {
                assert_eq!((list, thread.sched), (None, Sched::Unqueued), "{id:?}");
                continue;
            }
            match thread.wait {
                Wait::Enter => {
                    let exclusive = self.tasks.get(thread.task).unwrap().needs_exclusive;
                    assert_eq!(list, Some(if exclusive { "entering_exclusive" } else { "entering" }));
                    assert_eq!(thread.index, 0);
                }
                Wait::Set(_) => assert_eq!(list, Some("set")),
                Wait::CallbackSet(_) => assert_eq!(list, Some("callback")),
                Wait::Waitable(waitable) => {
                    assert_eq!(list, None);
                    let waitable = self.waitable(waitable).unwrap();
                    assert!(waitable.has_sync_waiter && waitable.sync_waiter == Some(id));
                }
                Wait::SubtaskResolved(subtask) => {
                    assert_eq!(list, None);
                    assert_eq!(self.subtasks.get(subtask).unwrap().resolve_waiter, Some(id));
                }
                Wait::Nothing | Wait::CallbackYield => assert_eq!(list, None),
            }
        }
        assert!(waiting.is_empty());
    }

    /// Tasks, threads and instances agree on who belongs to whom.
    fn check_tasks(&self) {
        let mut threads = 0;
        for (id, task) in self.tasks.iter() {
            let instance = self.instances.get(task.inst).unwrap();
            assert_eq!(instance.tasks.get(task.position as usize), Some(&id));
            for (position, thread) in task.threads.iter().enumerate() {
                let thread = self.threads.get(*thread).unwrap();
                assert_eq!((thread.task, thread.inst, thread.position as usize), (id, task.inst, position));
                threads += 1;
            }
            if let Some(implicit) = task.implicit_thread {
                assert!(task.threads.contains(&implicit));
            }
            assert!(task.num_borrows == 0 || task.state != TaskState::Resolved);
        }
        assert_eq!(threads, self.threads.len());
        let mut tasks = 0;
        let mut subtasks = 0;
        for (id, instance) in self.instances.iter() {
            tasks += instance.tasks.len();
            subtasks += instance.subtasks.len();
            if let Some(thread) = instance.exclusive_thread {
                assert_eq!(self.threads.get(thread).unwrap().inst, id);
                assert!(instance.is_locked());
            }
            assert_eq!(instance.door().has(Door::GATED), !instance.gate.is_empty());
            let held_back = instance.backpressure > 0 || instance.num_waiting_to_enter > 0;
            assert_eq!(instance.door().has(Door::HELD_BACK), held_back);
            let registered = self.threads.iter().filter(|(_, t)| t.inst == id && t.index != 0).count();
            assert_eq!(registered, instance.threads.len() as usize);
            let entering = self.threads.iter().filter(|(_, thread)| {
                thread.inst == id && thread.wait == Wait::Enter && thread.state != ThreadState::Suspended
            });
            assert_eq!(entering.count(), instance.num_waiting_to_enter as usize);
        }
        assert_eq!(tasks, self.tasks.len());
        assert_eq!(subtasks, self.subtasks.len());
    }

    /// Handles and what they name agree; lends and borrows are counted right.
    fn check_handles(&self) {
        let mut borrows = HashMap::new();
        for (inst, instance) in self.instances.iter() {
            let mut lends: HashMap<u32, u32> = HashMap::new();
            for subtask in &instance.subtasks {
                let subtask = self.subtasks.get(*subtask).unwrap();
                assert_eq!(subtask.inst, inst);
                assert!(!subtask.resolve_delivered || subtask.lenders.is_empty());
                for index in &subtask.lenders.handles {
                    *lends.entry(*index).or_default() += 1;
                }
            }
            for (index, handle) in instance.handles.iter() {
                match handle {
                    Handle::Resource(resource) => {
                        let lent = lends.remove(&index).unwrap_or(0);
                        // Lends outside of subtasks are the runtime's to count.
                        assert!(resource.num_lends >= lent);
                        if let Some(task) = resource.borrow_scope {
                            assert_eq!(self.tasks.get(task).unwrap().inst, inst);
                            *borrows.entry(task).or_insert(0) += 1;
                        }
                    }
                    Handle::Subtask(subtask) => {
                        let subtask = self.subtasks.get(*subtask).unwrap();
                        assert_eq!((subtask.inst, subtask.index), (inst, index));
                    }
                    Handle::End(end) => {
                        let end = self.ends.get(*end).unwrap();
                        assert_eq!((end.owner, end.index), (Some(inst), index));
                    }
                    Handle::Set(set) => assert_eq!(self.sets.get(*set).unwrap().inst, inst),
                    Handle::ErrorContext(_) => {}
                }
            }
            assert!(lends.is_empty(), "lends of handles that are gone");
        }
        for (id, task) in self.tasks.iter() {
            assert_eq!(task.num_borrows, borrows.remove(&id).unwrap_or(0));
        }
    }

    /// Each pending waitable is in the list where its event is looked for.
    fn check_waitables(&mut self) {
        let links = &mut WaitableLinks { subtasks: &mut self.subtasks, ends: &mut self.ends };
        let host = self.host.collect(links);
        let mut listed = HashMap::new();
        let mut members: HashMap<_, u32> = HashMap::new();
        for (id, set) in self.sets.iter() {
            for waitable in set.pending.collect(links) {
                listed.insert(format!("{waitable:?}"), id);
            }
        }
        let subtasks = self.subtasks.iter().map(|(id, _)| WaitableId::from(id));
        let ends = self.ends.iter().map(|(id, _)| WaitableId::from(id));
        for id in subtasks.chain(ends) {
            let waitable = self.waitable(id).unwrap();
            let in_host = host.contains(&id);
            let in_set = listed.remove(&format!("{id:?}"));
            assert_eq!(waitable.link.linked(), in_host || in_set.is_some());
            assert!(waitable.set.is_none() || !waitable.has_sync_waiter);
            assert!(waitable.sync_waiter.is_none() || waitable.has_sync_waiter);
            if let Some(set) = waitable.set {
                *members.entry(set).or_default() += 1;
                assert_eq!(in_set, waitable.pending.then_some(set));
            } else {
                assert_eq!(in_set, None);
            }
            if let WaitableId::End(end) = id {
                let end = self.ends.get(end).unwrap();
                assert!(!in_host || end.owner.is_none());
                assert!(in_host || end.owner.is_some() || !waitable.pending || !end.copying());
            } else {
                assert!(!in_host);
            }
        }
        assert!(listed.is_empty());
        for (id, set) in self.sets.iter() {
            assert_eq!(set.num_members, members.remove(&id).unwrap_or(0));
        }
    }

    /// Ends pair up, and their states fit.
    fn check_ends(&self) {
        for (id, end) in self.ends.iter() {
            assert_eq!(end.owner.is_some(), end.index != 0);
            assert!(end.other.is_none_or(|other| self.ends.get(other).unwrap().element == end.element));
            assert!(end.progress == 0 || end.waitable.pending);
            assert!(!end.active || (end.copying() && end.buffer.is_some()));
            assert!(end.waitable.pending || end.buffer.is_none() || end.active, "{id:?}: a forgotten buffer");
            match end.other.map(|other| self.ends.get(other).unwrap()) {
                Some(other) => {
                    assert_eq!(other.other, Some(id));
                    assert_ne!(other.kind.is_readable(), end.kind.is_readable());
                    assert_eq!(other.kind.is_stream(), end.kind.is_stream());
                    assert!(!(end.active && other.active), "both ends wait for each other");
                    assert!(!end.direct || other.active);
                    assert!(!end.copying() || end.active || end.waitable.pending);
                    if end.state == EndState::CancellingCopy {
                        assert!(end.waitable.pending || other.direct, "nothing ends the cancellation");
                    }
                }
                None => assert!(end.waitable.pending || end.state == EndState::Done),
            }
            if let Some(buffer) = &end.buffer {
                assert!(buffer.progress() >= end.progress);
            }
        }
    }

    /// Nothing ready is forgotten: what `scheduler.rs` promises.
    fn check_scheduling(&self) {
        for (id, instance) in self.instances.iter() {
            let threads: Vec<_> = self.threads.iter().filter(|(_, thread)| thread.inst == id).collect();
            let ready: Vec<_> =
                threads.iter().filter(|(thread, _)| self.is_ready(*thread).unwrap()).collect();
            let promoted = threads.iter().any(|(_, thread)| thread.promoted);
            // A promoted thread that is not ready passes the offer on when it comes up.
            for entered in [false, true] {
                let mut ready = ready.iter().filter(|(_, thread)| !entered || thread.wait != Wait::Enter);
                let queued = ready.clone().any(|(_, thread)| thread.sched == Sched::Queued);
                assert!(queued || promoted || ready.next().is_none(), "somebody is ready, and nobody queued");
            }
            if !instance.is_locked() && !instance.gate.is_empty() {
                assert!(promoted, "nobody is offered the lock");
            }
            for (thread, state) in threads {
                if state.state != ThreadState::Waiting
                    || state.sched != Sched::Unqueued
                    || self.readiness(thread) == Readiness::NotReady
                {
                    continue;
                }
                // Only those who are not first in line may be left alone.
                let first = match state.wait {
                    Wait::Enter => [instance.entering.front(), instance.entering_exclusive.front()],
                    Wait::Set(set) => [self.sets.get(set).unwrap().waiters.front(), None],
                    Wait::CallbackSet(set) => [self.sets.get(set).unwrap().callback_waiters.front(), None],
                    _ => panic!("{thread:?} is ready and was not poked"),
                };
                assert!(!first.contains(&Some(thread)), "{thread:?} is first and was not poked");
                let cancelled = self.tasks.get(state.task).unwrap().state.pending_cancel();
                assert!(!matches!(state.wait, Wait::CallbackSet(_)) || !cancelled);
            }
        }
    }

    /// Each instance is charged for what it holds (with what the runtime charged besides).
    fn check_charges(&self) {
        for (id, instance) in self.instances.iter() {
            let threads = self.threads.iter().filter(|(_, thread)| thread.inst == id).count() as u64;
            let mut bytes = Cost::<E>::HANDLE * u64::from(instance.handles.len())
                + Cost::<E>::TASK * instance.tasks.len() as u64
                + Cost::<E>::THREAD * threads
                + Cost::<E>::SUBTASK * instance.subtasks.len() as u64
                + Cost::<E>::HIGH_REP * instance.high_reps.len() as u64;
            for (_, handle) in instance.handles.iter() {
                bytes += match handle {
                    Handle::End(_) => Cost::<E>::END,
                    Handle::Set(_) => Cost::<E>::SET,
                    Handle::Resource(resource) => Cost::<E>::LEND * u64::from(resource.num_lends),
                    Handle::ErrorContext(context) => context.bytes,
                    _ => 0,
                };
            }
            assert_eq!(instance.charged, bytes);
            assert!(instance.charged <= instance.budget.used());
            assert!(instance.budget.used() <= instance.budget.limit());
        }
    }
}
