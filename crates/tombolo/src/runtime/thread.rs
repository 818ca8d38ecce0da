//! Running threads: on fibers where they may block, on the caller's stack where they may not.
//!
//! Whether core code can block is known when its component is decoded: it needs a built-in or a lowered function that
//! waits. A thread of an instance that has none runs on its caller's stack; any other thread runs on a pooled fiber, and
//! suspends it to block. Whoever resumed it goes on: the event loop, `subtask.cancel`, or the caller of a sync-typed
//! function, who then runs other threads of that instance until the function has returned (`canon_lift` in the
//! reference definitions).
//!
//! A thread that hands over to another one names it in `handover` and suspends its fiber; whoever resumed the first one
//! goes on with the second.
//!
//! Each stack of a thread is charged to its instance, as one that is shallow ([`STACK_COST`]). Who has gone deeper and
//! leaves that stack for another, to wait or for a call, is charged for its depth until they are back
//! ([`StoreCore::hold_stack`]). What runs is not: that is one stack of each store, and `Limits::stack_bytes` bounds it.
#![allow(unsafe_code, reason = "fibers hold a pointer to the store that they run in")]

use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_tasks::{Charge, Entering, Event, InstanceId, TaskId, ThreadId, Trap, WaitFor};
use tombolo_vm::{Fiber, InstanceHandle, RawVal, Step};

use super::activation::Activation;
use super::call_guest::func_of;
use super::core::StoreCore;
use super::{Callable, LiftedFunc, TaskData, ThreadData};
use crate::ended::EndCause;
use crate::error::{Error, Result};

/// Bytes that guests may use of a stack for what it is charged in any case. Guests made by today's compilers mostly use less
/// than 12 KiB.
pub(crate) const SHALLOW_STACK: usize = 16 << 10;

/// What an instance is charged for a stack in use: that, and as much as functions of the host mostly take below.
pub(super) const STACK_COST: u64 = (SHALLOW_STACK + (8 << 10)) as u64;

/// The word that a fiber is suspended with when its thread blocks.
pub(super) const BLOCKED: u64 = 0;

/// That of one which the end of a time slice has suspended.
const SLICED: u64 = 1;

/// What the end of a time slice has suspended.
pub(crate) struct Sliced {
    /// The outermost that ran.
    fiber: Fiber,
    /// The thread that runs on it; if there is none, it was made by [`StoreCore::in_slice`].
    thread: Option<ThreadId>,
}

/// What a thread does when it is given a fiber.
pub(super) enum Work {
    /// Calls the core function of the task's function.
    Begin(TaskId, Arc<LiftedFunc>),
    /// Calls the callback of the task's function.
    Event(Event, TaskId, Arc<LiftedFunc>),
    /// Does what is the whole task.
    Task(Box<Code>),
    /// Does what a guest made the thread for.
    Fresh(Box<Code>),
}

/// Core code that is no component function.
pub(crate) enum Code {
    /// The start function of a core instance.
    Start(InstanceHandle),
    /// A destructor or the function of a thread, and its argument.
    Call(Callable, RawVal),
}

impl StoreCore {
    /// Runs a thread, which the state machine has marked as running, until it blocks or ends, and then those that it
    /// hands over to.
    pub fn resume_thread(&self, thread: ThreadId) -> Result<()> {
        let mut next = Some(thread);
        while let Some(thread) = next {
            let resumed = self.apart(|| self.resume_one(thread));
            next = self.after(thread, resumed)?;
        }
        Ok(())
    }

    /// Deals with what came of running a thread; returns the one that it hands over to.
    fn after(&self, thread: ThreadId, result: Result<()>) -> Result<Option<ThreadId>> {
        let next = self.handover.take();
        match result {
            Ok(()) => Ok(next),
            Err(error) => self.thread_failed(thread, error).map(|()| None),
        }
    }

    /// Begins a thread that has entered its instance, and is [`ThreadData::OnFiber`].
    pub(super) fn begin_thread(&self, thread: ThreadId, instance: InstanceId, work: Work) -> Result<()> {
        self.run_thread(thread, || self.run_work(thread, instance, work))
    }

    /// Runs a thread by `run`, and then those that it hands over to.
    fn run_thread(&self, thread: ThreadId, run: impl FnOnce() -> Result<()>) -> Result<()> {
        let result = self.apart(run);
        match self.after(thread, result)? {
            Some(next) => self.resume_thread(next),
            None => Ok(()),
        }
    }

    /// Runs `f` with a thread of an instance as the current one.
    pub(super) fn with_thread(
        &self,
        thread: ThreadId,
        instance: InstanceId,
        f: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let context = *self.tasks.borrow_mut().thread_storage(thread)?;
        let activation = Activation::of_thread(thread, instance, context);
        let result = self.activate(&activation, f);
        if let Ok(storage) = self.tasks.borrow_mut().thread_storage(thread) {
            *storage = activation.context();
        }
        result
    }

    fn resume_one(&self, thread: ThreadId) -> Result<()> {
        let (data, (task, instance)) = {
            let mut tasks = self.tasks.borrow_mut();
            let scope = tasks.thread_scope(thread)?;
            (std::mem::replace(tasks.thread_mut(thread)?, ThreadData::OnFiber), scope)
        };
        match data {
            ThreadData::OnStack | ThreadData::OnFiber => Err(Error::usage("a thread that runs was resumed")),
            ThreadData::Fiber(fiber) => self.run_fiber(Some(thread), fiber),
            ThreadData::Fresh(code) => self.run_work(thread, instance, Work::Fresh(code)),
            ThreadData::Entering => {
                let entering = self.tasks.borrow_mut().finish_entering(task, thread)?;
                match entering {
                    Entering::Entered => {
                        let func = func_of(&self.tasks.borrow(), task)?;
                        self.run_work(thread, instance, Work::Begin(task, func))
                    }
                    Entering::Cancelled(exit) => match exit.task {
                        Some(TaskData { func: Some(func), caller }) => self.resolve_cancelled(&func, caller),
                        _ => Ok(()),
                    },
                }
            }
            ThreadData::Callback => {
                let (event, func) = {
                    let mut tasks = self.tasks.borrow_mut();
                    let event = tasks.take_callback_event(thread)?;
                    let func = func_of(&tasks, task)?;
                    if !func.code.waits() {
                        *tasks.thread_mut(thread)? = ThreadData::OnStack;
                    }
                    (event, func)
                };
                if func.code.waits() {
                    return self.run_work(thread, instance, Work::Event(event, task, func));
                }
                self.with_thread(thread, instance, || self.run_callback(task, thread, &func, event))
            }
        }
    }

    fn run_work(&self, thread: ThreadId, instance: InstanceId, work: Work) -> Result<()> {
        self.tasks.borrow_mut().instance_mut(instance)?.charge(STACK_COST)?;
        let core = CorePtr(NonNull::from(self));
        let body = move |_: &tombolo_vm::Store, _| {
            let core = core;
            // SAFETY: the fiber is resumed by this store only, and cancelled before the store is gone.
            let core = unsafe { core.0.as_ref() };
            let result = core.with_thread(thread, instance, || match work {
                Work::Begin(task, func) => core.run_callee(task, thread, &func),
                Work::Event(event, task, func) => core.run_callback(task, thread, &func, event),
                Work::Task(code) => core.run_task(thread, &code),
                Work::Fresh(code) => core.run_fresh(thread, &code),
            });
            if let Ok(instance) = core.tasks.borrow_mut().instance_mut(instance) {
                instance.uncharge(STACK_COST);
            }
            core.end_of_thread(result)
        };
        // SAFETY: `body` holds ids, handles of the store, a trampoline that can be sent, and the pointer, for which see
        // above.
        let fiber = unsafe { self.vm.fiber_unchecked(body) }
            .map_err(|source| Error::system("making a stack for a guest", source))?;
        self.run_fiber(Some(thread), fiber)
    }

    /// Runs a fiber, a thread's or the event loop's, until it is suspended or ends.
    fn run_fiber(&self, thread: Option<ThreadId>, mut fiber: Fiber) -> Result<()> {
        match (self.vm.resume(&mut fiber, 0), thread) {
            (Step::Done(end), _) => return self.how_it_ended(end),
            (Step::Suspended(BLOCKED), Some(thread)) => {
                *self.tasks.borrow_mut().thread_mut(thread)? = ThreadData::Fiber(fiber);
            }
            (Step::Suspended(_), thread) => self.keep_sliced(Sliced { fiber, thread }),
        }
        Ok(())
    }

    /// What a thread's fiber returns.
    pub(super) fn end_of_thread(&self, result: Result<()>) -> u64 {
        match result {
            Ok(()) => 0,
            Err(error) => {
                self.failure.replace(Some(error));
                1
            }
        }
    }

    /// What a thread's fiber has returned.
    pub(super) fn how_it_ended(&self, end: u64) -> Result<()> {
        match end {
            0 => Ok(()),
            _ => Err(self.failure.take().unwrap_or_else(|| Error::usage("a thread failed silently"))),
        }
    }

    /// Runs `f`, which the event loop has guests do, so that the end of a time slice can suspend it: on a fiber, unless the
    /// guests that run there have fibers of their own (`on_fibers`). Whether it has, [`StoreCore::is_suspended`] says.
    ///
    /// # Errors
    /// If the system has no memory for another stack. Then `f` was not called.
    pub fn in_slice(&self, on_fibers: bool, f: impl FnOnce(&StoreCore) + Send + 'static) -> Result<()> {
        if on_fibers || !self.deadlines.sliced() {
            self.deadlines.suspending(|| f(self));
            return Ok(());
        }
        let core = CorePtr(NonNull::from(self));
        let body = move |_: &tombolo_vm::Store, _| {
            let core = core;
            // SAFETY: the fiber is resumed by this store only, and cancelled before the store is gone.
            f(unsafe { core.0.as_ref() });
            0
        };
        // SAFETY: `body` holds the pointer, for which see above, and a function that can be sent.
        let fiber = unsafe { self.vm.fiber_unchecked(body) }
            .map_err(|source| Error::system("making a stack for the event loop", source))?;
        self.go_on_with(Sliced { fiber, thread: None })
    }

    /// Goes on with what the end of a time slice has suspended, until it is over or the end of another suspends it.
    pub fn go_on_with(&self, Sliced { fiber, thread }: Sliced) -> Result<()> {
        self.deadlines.suspending(|| match thread {
            Some(thread) => self.run_thread(thread, || self.run_fiber(Some(thread), fiber)),
            None => self.apart(|| self.run_fiber(None, fiber)),
        })
    }

    /// Ends what the end of a time slice has suspended.
    pub(super) fn cancel_sliced(&self, Sliced { fiber, thread }: Sliced) {
        self.apart(|| self.vm.cancel(fiber));
        if let (Some(thread), Some(error)) = (thread, self.failure.take()) {
            let _ = self.thread_failed(thread, error);
        }
    }

    /// Whether a thread that waits has a fiber of its own when it is resumed.
    pub fn is_on_fiber(&self, thread: ThreadId) -> bool {
        let tasks = self.tasks.borrow();
        match tasks.thread(thread) {
            Ok(ThreadData::Callback) => {
                let func =
                    tasks.thread_scope(thread).and_then(|(task, _)| Ok(tasks.task(task)?.func.as_ref()));
                func.is_ok_and(|func| func.is_some_and(|func| func.code.waits()))
            }
            _ => true,
        }
    }

    /// Suspends what the event loop has guests do, until the next time slice.
    pub fn suspend_slice(&self) -> Result<(), tombolo_vm::Trap> {
        let activation = self.vm.activation();
        // SAFETY: `Deadlines::can_suspend` has said that the event loop expects it and that no code of the embedder's is on
        // the stack. Between the outermost fiber's beginning and here are guest frames and this crate's, whose callers into
        // guests hold no borrow of a store's part, no lock and nothing of this thread.
        let resumed = unsafe { self.vm.suspend_all(SLICED) };
        self.vm.set_activation(activation);
        resumed?;
        self.check_current().map_err(super::entry::trap_of)
    }

    /// Blocks the current thread until `what` has come (`Thread.wait_until`).
    pub fn block(&self, what: WaitFor) -> Result<()> {
        let _held = self.hold_stack()?;
        let thread = self.current_thread()?;
        self.tasks.borrow_mut().start_waiting(thread, what)?;
        self.leave(thread, None)
    }

    /// Suspends the fiber of the current thread, which the state machine has marked as suspended or waiting, until the
    /// thread is resumed. `handover` is marked as running and goes on instead.
    pub(super) fn leave(&self, thread: ThreadId, handover: Option<ThreadId>) -> Result<()> {
        if !matches!(self.tasks.borrow().thread(thread)?, ThreadData::OnFiber) {
            return self.wait_on_stack(thread, handover);
        }
        self.handover.set(handover);
        // SAFETY: between a fiber's beginning and here are guest frames, the host's entries, and this function's
        // callers: none of them holds a borrow of a store's part, a lock or anything of this thread.
        unsafe { self.suspend() }
    }

    /// Charges for the depth of the stack that is going to be left for another, until that is over. To be asked before
    /// anything else is done.
    ///
    /// # Errors
    /// When the island that runs would exceed its budget.
    #[inline]
    pub(super) fn hold_stack(&self) -> Result<Option<Charge>> {
        if self.vm.is_shallow() { Ok(None) } else { self.hold_deep_stack() }
    }

    #[cold]
    fn hold_deep_stack(&self) -> Result<Option<Charge>> {
        let bytes = self.vm.trim_stack() as u64;
        // The stack is that of the thread which began on it, whoever else it has called there.
        let owner = self.vm.stack_top().and_then(|top| self.islands_below(top).pop());
        let Some(owner) = owner.filter(|_| bytes != 0) else { return Ok(None) };
        match owner.budget.charge(bytes) {
            Ok(charge) => Ok(Some(charge)),
            Err(trap) if self.running_island().is_none_or(|island| Arc::ptr_eq(&island, &owner)) => {
                Err(trap.into())
            }
            Err(trap) => {
                self.end_island(&owner, EndCause::Failed(trap.into()));
                Ok(None)
            }
        }
    }

    /// Runs other threads of the instance until one can go on that lies on its caller's stack.
    ///
    /// It got there because it was not expected to block: it is in a call that it will not return from, such as that of a
    /// panic hook that prints; or its instance has nothing that waits, and it called a function of the host that does,
    /// though it is not `async`: then no other thread can help.
    fn wait_on_stack(&self, thread: ThreadId, handover: Option<ThreadId>) -> Result<()> {
        let (_, instance) = self.tasks.borrow().thread_scope(thread)?;
        let mut next = handover;
        loop {
            match next.or_else(|| self.tasks.borrow_mut().next_ready_in(instance)) {
                Some(ready) if ready == thread => return Ok(()),
                Some(ready) => self.resume_thread(ready)?,
                None => return Err(Trap::CannotBlock.into()),
            }
            next = None;
        }
    }
}

/// A store, as a fiber refers to it.
#[derive(Clone, Copy)]
pub(super) struct CorePtr(pub(super) NonNull<StoreCore>);
