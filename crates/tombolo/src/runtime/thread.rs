//! Running threads: on fibers where they may block, on the caller's stack where they may not.
//!
//! A thread of an async-typed call runs on a pooled fiber, and suspends it to block. A sync-typed call runs on its
//! caller's stack; when it must wait it runs other threads of its instance until what it waits for has come, and
//! traps if there are none (`canon_lift` and `Thread.wait_until` in the reference definitions).
#![allow(unsafe_code, reason = "fibers hold a pointer to the store that they run in")]

use std::ptr::NonNull;

use tombolo_tasks::{Entering, Event, ThreadId, WaitFor};
use tombolo_vm::{Fiber, Step};

use super::core::{Current, StoreCore};
use super::{TaskData, ThreadData};
use crate::error::{Error, Result};

/// What a thread does when it is given a fiber.
enum Work {
    /// Calls the task's core function.
    Begin,
    /// Calls the task's callback.
    Event(Event),
}

impl StoreCore {
    /// Runs a thread, which the state machine has marked as running, until it blocks or ends.
    pub fn resume_thread(&self, thread: ThreadId) -> Result<()> {
        let (task, instance) = self.tasks.borrow().thread_scope(thread)?;
        let current = Current { instance: Some(instance), thread: Some(thread) };
        self.with_current(current, || {
            let data = std::mem::replace(self.tasks.borrow_mut().thread_mut(thread)?, ThreadData::OnStack);
            match data {
                ThreadData::OnStack => Err(Error::usage("a thread that runs was resumed")),
                ThreadData::Fiber(fiber) => self.run_fiber(thread, fiber),
                ThreadData::Entering => {
                    let entering = self.tasks.borrow_mut().finish_entering(task, thread)?;
                    match entering {
                        Entering::Entered => self.run_work(thread, Work::Begin),
                        Entering::Cancelled(exit) => match exit.task {
                            Some(TaskData { func: Some(func), caller }) => self.resolve_cancelled(&func, caller),
                            _ => Ok(()),
                        },
                    }
                }
                ThreadData::Callback => {
                    let event = self.tasks.borrow_mut().take_callback_event(thread)?;
                    self.run_work(thread, Work::Event(event))
                }
            }
        })
    }

    /// Begins a thread that has entered its instance.
    pub fn begin_thread(&self, thread: ThreadId) -> Result<()> {
        let (_, instance) = self.tasks.borrow().thread_scope(thread)?;
        let current = Current { instance: Some(instance), thread: Some(thread) };
        self.with_current(current, || self.run_work(thread, Work::Begin))
    }

    fn run_work(&self, thread: ThreadId, work: Work) -> Result<()> {
        let core = CorePtr(NonNull::from(self));
        let body = move |_: &tombolo_vm::Store, _| {
            let core = core;
            // SAFETY: the fiber is resumed by this store only, and cancelled before the store is gone.
            let core = unsafe { core.0.as_ref() };
            let result = match work {
                Work::Begin => core.run_callee(thread),
                Work::Event(event) => core.run_callback(thread, event),
            };
            match result {
                Ok(()) => 0,
                Err(error) => {
                    core.failure.replace(Some(error));
                    1
                }
            }
        };
        // SAFETY: `body` holds nothing but ids and the pointer, for which see above.
        let fiber = unsafe { self.vm.fiber_unchecked(body) }
            .map_err(|source| Error::system("making a stack for a guest", source))?;
        self.run_fiber(thread, fiber)
    }

    fn run_fiber(&self, thread: ThreadId, mut fiber: Fiber) -> Result<()> {
        match self.vm.resume(&mut fiber, 0) {
            Step::Suspended(_) => {
                *self.tasks.borrow_mut().thread_mut(thread)? = ThreadData::Fiber(fiber);
                Ok(())
            }
            Step::Done(0) => Ok(()),
            Step::Done(_) => Err(self.failure.take().unwrap_or_else(|| Error::usage("a thread failed silently"))),
        }
    }

    /// Blocks the current thread until `what` has come (`Thread.wait_until`).
    pub fn block(&self, what: WaitFor) -> Result<()> {
        let thread = self.current_thread()?;
        self.tasks.borrow_mut().start_waiting(thread, what)?;
        if self.runs_on_fiber(thread)? {
            let current = self.current.get();
            // SAFETY: between a fiber's beginning and here are guest frames, the host's entries, and `block`'s callers:
            // none of them holds a borrow of a store's part, a lock or anything of this thread.
            unsafe { self.vm.suspend(0) }.map_err(|_| Error::cancelled())?;
            self.current.set(current);
            return Ok(());
        }
        let instance = self.current_instance()?;
        loop {
            let next = {
                let mut tasks = self.tasks.borrow_mut();
                match tasks.is_ready(thread)? {
                    true => {
                        tasks.resume(thread)?;
                        return Ok(());
                    }
                    false => tasks.next_ready_in(instance),
                }
            };
            let Some(next) = next else {
                return Err(tombolo_tasks::Trap::CannotBlock.into());
            };
            self.resume_thread(next)?;
        }
    }

    /// Whether the thread can suspend the stack it runs on: async-typed calls run on fibers of their own.
    fn runs_on_fiber(&self, thread: ThreadId) -> Result<bool> {
        let tasks = self.tasks.borrow();
        let (task, _) = tasks.thread_scope(thread)?;
        Ok(tasks.task(task)?.func.as_ref().is_some_and(|func| func.sig.is_async) && self.vm.on_fiber())
    }
}

/// A store, as a fiber refers to it.
#[derive(Clone, Copy)]
struct CorePtr(NonNull<StoreCore>);
