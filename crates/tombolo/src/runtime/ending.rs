//! How islands end.
//!
//! An island ends when a guest in it traps, when a function of the host that it called fails, at its deadline, when its
//! embedder says so, and when another one ends that it waits for: there is no way to tell it. It ends at once: nothing
//! enters it any more, the state machine forgets it, and who waited for its calls hears of it. The other ends of its
//! streams and futures see that they were dropped.
//!
//! What cannot be done at once waits until no frame of a guest is on a stack that runs ([`StoreCore::clear_away`]):
//!
//! * Its memory is freed then. Until then frames of it may be there: the island may end in a function of the host that it
//!   called, directly or by calling another island. Whoever goes back from the host into compiled code asks whether that
//!   is still to run ([`StoreCore::check_current`]). Fibers hold no frames but those of one island, and are ended with it.
//! * The destructors of its resources run then, and of those that it had lent to a call, after that call has ended.
//! * Calls that it had made are cancelled, when the event loop runs next.
//!
//! The error of a thread goes to the host if that called its function, and otherwise to whoever ran it. So an island that
//! ends leaves the host's end of each call whose thread is on a running stack in `claims`, for the thread's error.
#![allow(unsafe_code, reason = "frees islands' memory; see above, and the block")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tombolo_tasks::{InstanceId, RemovedInstance, RemovedResource, TaskId, TaskState, ThreadId, Trap};

use super::call_guest::HostCaller;
use super::core::{Job, StoreCore};
use super::island::Island;
use super::{Callee, Caller, Runtime, ThreadData};
use crate::ended::{EndCause, Ended};
use crate::error::{Error, ErrorKind, TrapReason};
use crate::resource::ResourceType;

/// What is left of islands that have ended.
#[derive(Default)]
pub(crate) struct Endings {
    /// Whether frames of an island that has ended may be on a running stack.
    frames: Cell<bool>,
    /// Whether there is something for [`StoreCore::clear_away`].
    left: Cell<bool>,
    /// The last that failed of itself.
    failed: RefCell<Option<Ended>>,
    /// Who is at fault for the error that is being raised, if not who runs.
    blamed: RefCell<Option<Arc<Island>>>,
    /// The islands whose frames a trap has just cut off, innermost first.
    cut_off: RefCell<Vec<Arc<Island>>>,
    claims: RefCell<Vec<Claim>>,
    drops: RefCell<Vec<Drops>>,
    /// For the embedder's hook.
    news: RefCell<VecDeque<Ended>>,
    hook: RefCell<Option<Hook>>,
    /// Code of the embedder's that is to hear of it.
    told: RefCell<VecDeque<Job>>,
    /// The last error that no call waited for.
    unheard: RefCell<Option<Error>>,
}

/// What the embedder does when an island has ended.
pub(crate) type Hook = Arc<dyn Fn(&StoreCore, &Ended) + Send + Sync>;

/// The host's end of a call whose thread's error is on its way.
struct Claim {
    thread: ThreadId,
    island: Arc<Island>,
    caller: Box<dyn HostCaller>,
}

/// Resources that nobody owns any more.
struct Drops {
    resources: Vec<RemovedResource<ResourceType>>,
    /// They may be borrowed by these tasks until those have resolved.
    after: Vec<TaskId>,
    /// Tasks of calls that may have been cut off before they began.
    cut_off: Vec<TaskId>,
}

impl StoreCore {
    /// Ends an island, and those that wait for it. Does nothing if it has ended.
    pub fn end_island(&self, island: &Arc<Island>, cause: EndCause) {
        let heard = self.end_with_waiting(island, cause.clone());
        if let EndCause::Failed(error) = cause
            && !heard
        {
            self.unheard(error);
        }
    }

    /// Likewise, but says whether a call of the host hears of it.
    pub fn end_with_waiting(&self, island: &Arc<Island>, cause: EndCause) -> bool {
        let mut heard = island.ended().is_some();
        let mut next = vec![(island.clone(), cause)];
        while let Some((island, cause)) = next.pop() {
            if island.ended().is_some() {
                continue;
            }
            island.end(cause);
            let Some(ended) = island.ended() else { continue };
            self.deadlines.due.set_island(island.number, None);
            let (instances, resources, lent_to) = {
                let mut islands = self.islands.borrow_mut();
                let Some(parts) = islands.bury(&island) else { continue };
                (parts.instances.clone(), std::mem::take(&mut parts.resources), parts.take_lent_to())
            };
            if let EndCause::Failed(_) = ended.cause() {
                self.endings.failed.replace(Some(ended.clone()));
            }
            if !matches!(ended.cause(), EndCause::Removed) {
                self.endings.news.borrow_mut().push_back(ended.clone());
            }
            for instance in &instances {
                if let Ok(instance) = self.tasks.borrow().instance(*instance) {
                    instance.door().kill();
                }
            }
            for ty in resources {
                self.resources.borrow_mut().remove(ty);
            }
            self.lent_lists.borrow_mut().forget(&instances);
            let mut drops = Drops { resources: Vec::new(), after: Vec::new(), cut_off: lent_to };
            for instance in instances {
                let removed = self.tasks.borrow_mut().remove_instance(instance);
                if let Ok(removed) = removed {
                    heard |= self.take_apart(&island, removed, &mut next, &mut drops);
                }
            }
            self.endings.drops.borrow_mut().push(drops);
            self.endings.left.set(true);
            self.endings.frames.set(true);
        }
        if self.endings.left.get() {
            self.make_callees_return();
            self.host_tasks.driver().wake();
        }
        heard
    }

    /// Deals with what a component instance leaves behind. Returns whether a call of the host hears of it.
    fn take_apart(
        &self,
        island: &Arc<Island>,
        removed: RemovedInstance<Runtime>,
        next: &mut Vec<(Arc<Island>, EndCause)>,
        drops: &mut Drops,
    ) -> bool {
        let (Some(ended), Some(error)) = (island.ended(), island.error()) else { return false };
        let mut heard = false;
        for (_, subtask) in removed.subtasks {
            match subtask.callee {
                Callee::Starting => {}
                Callee::Host(work) => self.host_tasks.remove(work),
                Callee::Guest(task) => {
                    drops.after.push(task);
                    self.cancel_later(task);
                }
            }
        }
        for (task, data) in removed.tasks {
            match data.caller {
                Caller::Nobody => {}
                Caller::Guest(subtask) => {
                    let tasks = self.tasks.borrow();
                    let waits = tasks.subtask_state(subtask).is_ok_and(|state| !state.resolved());
                    let caller = tasks.subtask_instance(subtask);
                    drop(tasks);
                    if waits && let Some(caller) = caller.ok().and_then(|caller| self.island_of(caller)) {
                        next.push((caller, EndCause::Waited(ended.clone())));
                    }
                }
                Caller::Host(mut caller) => {
                    heard = true;
                    let running = removed.threads.iter().find(|(_, of, data)| {
                        *of == task && matches!(data, ThreadData::OnStack | ThreadData::OnFiber)
                    });
                    match running {
                        Some((thread, ..)) => {
                            let claim = Claim { thread: *thread, island: island.clone(), caller };
                            self.endings.claims.borrow_mut().push(claim);
                        }
                        None => caller.fail(self, error.clone()),
                    }
                }
            }
        }
        for (.., thread) in removed.threads {
            if let ThreadData::Fiber(fiber) = thread {
                self.apart(|| self.vm.cancel(fiber));
                // Its error says that it was cancelled.
                self.failure.take();
            }
        }
        drops.resources.extend(removed.resources);
        heard
    }

    /// Has a call cancelled whose caller is gone.
    pub(super) fn cancel_later(&self, task: TaskId) {
        if self.tasks.borrow().task_state(task) != TaskState::Resolved {
            // Its error, if any, has ended the callee's island.
            let job = move |core: &StoreCore| drop(core.cancel_task(task));
            self.jobs.borrow_mut().push_back(Job::new(job));
        }
    }

    /// Notes who is at fault for an error that is going to be raised in the guest that runs now, and ends with it.
    pub(super) fn blame(&self, instance: InstanceId) {
        self.endings.blamed.replace(self.island_of(instance));
    }

    /// Who was blamed last, if that error has not been raised.
    pub(super) fn blamed(&self) -> Option<Arc<Island>> {
        self.endings.blamed.borrow().clone()
    }

    /// Takes that back: the error will not be raised.
    pub(super) fn blame_nobody(&self) {
        self.endings.blamed.take();
    }

    /// Notes the islands whose frames are about to be cut off, but for the one in whose activation they were entered.
    pub(super) fn note_cut_off(&self, above: usize) {
        self.endings.cut_off.replace(self.islands_below(above));
    }

    /// Ends the islands whose frames were cut off, and the one that runs now, in which they were entered: the one at fault, or
    /// else the innermost, for the error, and the others because they were waiting for it.
    pub(super) fn cut_off(&self, error: &Error) {
        let last = self.endings.failed.borrow().clone();
        let mut cause = match last {
            // The error comes from further inside, by way of the host.
            Some(other) if other.error().is_some_and(|e| e.is_clone_of(error)) => EndCause::Waited(other),
            _ => match error.trap().map(|trap| &trap.reason) {
                Some(TrapReason::Ended(other)) => EndCause::Waited(other.clone()),
                _ => EndCause::Failed(error.clone()),
            },
        };
        let mut heard = false;
        let blamed = self.endings.blamed.take();
        let cut_off = self.endings.cut_off.take();
        for island in blamed.into_iter().chain(cut_off).chain(self.running_island()) {
            heard |= self.end_with_waiting(&island, cause.clone());
            if let Some(ended) = island.ended() {
                cause = EndCause::Waited(ended.clone());
            }
        }
        if !heard {
            self.unheard(error.clone());
        }
    }

    /// Fails if the island has ended whose code would go on now.
    #[inline]
    pub fn check_current(&self) -> Result<(), Error> {
        if self.endings.frames.get() { self.check_current_frame() } else { Ok(()) }
    }

    #[cold]
    fn check_current_frame(&self) -> Result<(), Error> {
        match self.activation().and_then(|activation| self.ended_of(activation)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Gives a thread's error to the host if that called its function, and else back, for whoever ran the thread.
    pub fn thread_failed(&self, thread: ThreadId, error: Error) -> Result<(), Error> {
        let scope = self.tasks.borrow().thread_scope(thread);
        if let Ok((_, instance)) = scope {
            self.end_instance(instance, &error);
        }
        let claim = {
            let mut claims = self.endings.claims.borrow_mut();
            let place = claims.iter().position(|claim| claim.thread == thread);
            place.map(|place| claims.swap_remove(place))
        };
        match claim {
            Some(Claim { island, mut caller, .. }) => {
                caller.fail(self, if is_gone(&error) { island.error().unwrap_or(error) } else { error });
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Ends the island of a component instance for an error, unless it has ended.
    pub(super) fn end_instance(&self, instance: InstanceId, error: &Error) {
        if let Some(island) = self.island_of(instance) {
            self.end_island(&island, EndCause::Failed(error.clone()));
        }
    }

    /// Ends all islands in which calls are under way.
    pub fn end_busy(&self, error: &Error) {
        let busy: Vec<Arc<Island>> = {
            let (islands, tasks) = (self.islands.borrow(), self.tasks.borrow());
            let is_busy = |instance: &InstanceId| tasks.instance(*instance).is_ok_and(|i| i.task_count() > 0);
            let busy = islands.live().filter(|parts| parts.instances.iter().any(is_busy));
            busy.map(|parts| parts.island.clone()).collect()
        };
        for island in busy {
            self.end_island(&island, EndCause::Failed(error.clone()));
        }
    }

    /// Does what is left to do for islands that have ended, if no frame of a guest is on a stack.
    #[inline]
    pub fn clear_away(&self) {
        if self.endings.left.get() && self.is_idle() {
            self.clear_away_now();
        }
    }

    /// Whether there is anything to be cleared away.
    #[inline]
    pub fn has_to_clear_away(&self) -> bool {
        self.endings.left.get()
    }

    /// Does it. So does the event loop between two things that it has guests do: then they have no frames on its stack, even
    /// if that is a fiber's. (In a store with time slices there may be no other such moment for long.)
    #[cold]
    pub fn clear_away_now(&self) {
        self.endings.left.set(false);
        self.endings.frames.set(false);
        self.serve_host_ends();
        let claims = self.endings.claims.take();
        for Claim { island, mut caller, .. } in claims {
            if let Some(error) = island.error() {
                caller.fail(self, error);
            }
        }
        let dead = self.islands.borrow_mut().take_dead();
        for parts in dead {
            let group = parts.island.group;
            drop(parts);
            // SAFETY: no frame of the island is on a stack: none of a guest is on one that runs, and those that are suspended
            // hold no frames of more islands than their own, and were ended with it. Its core functions, memories and
            // tables are known to the runtime by what has a door, which is shut, or a number that finds nothing any more;
            // core items are not passed on to other components, and exceptions do not get beyond their own.
            unsafe { self.vm.free_group(group) };
        }
        self.run_drops();
        loop {
            let Some(ended) = self.endings.news.borrow_mut().pop_front() else { break };
            let hook = self.endings.hook.borrow().clone();
            if let Some(hook) = hook {
                self.in_host(|| hook(self, &ended));
            }
        }
        loop {
            let Some(job) = self.endings.told.borrow_mut().pop_front() else { break };
            job.run(self);
        }
    }

    /// Has code of the embedder's hear of an end, once no guest is running.
    pub fn tell_later(&self, job: Job) {
        self.endings.told.borrow_mut().push_back(job);
        self.endings.left.set(true);
    }

    /// Runs the destructors of resources that nobody owns any more, and that no call has borrowed. No frame of a guest may be
    /// on the stack.
    fn run_drops(&self) {
        let mut waiting = Vec::new();
        for mut drops in self.endings.drops.take() {
            for task in std::mem::take(&mut drops.cut_off) {
                self.abandon_if_cut_off(task);
            }
            let resolved = |task: &TaskId| self.tasks.borrow().task_state(*task) == TaskState::Resolved;
            drops.after.retain(|task| !resolved(task));
            let borrowed = !drops.after.is_empty();
            let (later, now) = drops.resources.into_iter().partition(|resource| borrowed && resource.lent);
            drops.resources = later;
            for RemovedResource { ty, rep, .. } in now {
                self.drop_resource(ty, rep);
            }
            if !drops.resources.is_empty() {
                waiting.push(drops);
            }
        }
        if !waiting.is_empty() {
            self.endings.drops.borrow_mut().append(&mut waiting);
            self.endings.left.set(true);
        }
    }

    /// Removes a task that runs on a stack, though none does.
    fn abandon_if_cut_off(&self, task: TaskId) {
        let mut tasks = self.tasks.borrow_mut();
        let thread = tasks.implicit_thread(task).ok().flatten();
        let data = thread.and_then(|thread| tasks.thread(thread).ok());
        if matches!(data, Some(ThreadData::OnStack | ThreadData::OnFiber)) {
            let _ = tasks.abandon_task(task);
        }
    }

    fn drop_resource(&self, ty: ResourceType, rep: u64) {
        let dropped = catch_unwind(AssertUnwindSafe(|| self.destroy_resource(ty, rep)));
        let dropped = dropped.unwrap_or_else(|payload| Err(Error::raised(tombolo_vm::Trap::panic(payload))));
        if let Err(error) = dropped {
            self.unheard(error);
        }
    }

    /// Notes an error that no call waits for.
    pub fn unheard(&self, error: Error) {
        self.endings.unheard.replace(Some(error));
    }

    /// Takes the last error that no call waited for.
    pub fn take_unheard(&self) -> Option<Error> {
        self.endings.unheard.take()
    }

    /// Sets what is done when an island has ended.
    pub fn set_hook(&self, hook: Hook) {
        self.endings.hook.replace(Some(hook));
    }

    /// Whether no frame of a guest is on a stack that runs or is suspended at the end of a time slice, and no code of the
    /// embedder's is running that a guest has called or the event loop polls.
    fn is_idle(&self) -> bool {
        !self.is_suspended() && self.vm.is_idle() && !self.deadlines.in_host()
    }
}

/// Whether an error says that something is gone, as happens to those who go on in an island that has ended.
fn is_gone(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Trap(trap) => matches!(trap.reason, TrapReason::Concurrency(Trap::Gone(_))),
        _ => false,
    }
}
