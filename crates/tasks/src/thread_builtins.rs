//! The 🧵 built-ins (CanonicalABI.md, "canon thread.index" to "canon thread.yield-then-promote").
//!
//! Where a built-in switches to another thread, the state of both is changed here, and the runtime makes the
//! switch: it leaves the calling thread's stack and continues the returned thread.

use crate::embedder::Embedder;
use crate::id::{InstanceId, TaskId, ThreadId};
use crate::store::Store;
use crate::thread::{ThreadState, Wait, WaitFor};
use crate::trap::Trap;

impl<E: Embedder> Store<E> {
    /// Returns a thread's index (`canon_thread_index`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left.
    #[inline]
    pub fn thread_index(&self, thread: ThreadId) -> Result<u32, Trap> {
        let thread = self.threads.get(thread)?;
        self.check_may_leave(thread.inst)?;
        Ok(thread.index)
    }

    /// Adds a suspended thread with an index to a task (`canon_thread_new_indirect`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn thread_new(&mut self, task: TaskId, data: E::Thread) -> Result<(ThreadId, u32), Trap> {
        self.check_may_leave(self.tasks.get(task)?.inst)?;
        let thread = self.new_thread(task, data)?;
        match self.register_thread(thread) {
            Ok(index) => Ok((thread, index)),
            Err(trap) => {
                self.end_thread(thread)?;
                Err(trap)
            }
        }
    }

    /// Finds a thread by its index (`inst.threads.get`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown.
    #[inline]
    pub fn thread_handle(&self, inst: InstanceId, index: u32) -> Result<ThreadId, Trap> {
        self.instances.get(inst)?.threads.get(index).copied().ok_or(Trap::UnknownThread(index))
    }

    /// Makes a suspended thread ready (`canon_thread_resume_later`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or the thread not suspended.
    pub fn thread_resume_later(&mut self, inst: InstanceId, index: u32) -> Result<(), Trap> {
        self.check_may_leave(inst)?;
        let other = self.suspended_thread(inst, index)?;
        self.wait(other, Wait::Nothing)
    }

    /// Suspends the current thread (`canon_thread_suspend`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left.
    pub fn thread_suspend(&mut self, thread: ThreadId) -> Result<(), Trap> {
        self.check_may_leave(self.threads.get(thread)?.inst)?;
        self.start_waiting(thread, WaitFor::ExplicitResume)
    }

    /// Lets the current thread wait for its next turn (`canon_thread_yield`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left.
    pub fn thread_yield(&mut self, thread: ThreadId) -> Result<(), Trap> {
        self.check_may_leave(self.threads.get(thread)?.inst)?;
        self.start_waiting(thread, WaitFor::Ready)
    }

    /// Suspends the current thread and returns the suspended one to switch to, now running
    /// (`canon_thread_suspend_then_resume`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or the thread not suspended.
    pub fn thread_suspend_then_resume(&mut self, thread: ThreadId, index: u32) -> Result<ThreadId, Trap> {
        self.switch_to_suspended(thread, index, WaitFor::ExplicitResume)
    }

    /// Lets the current thread wait for its next turn and returns the suspended one to switch to, now running
    /// (`canon_thread_yield_then_resume`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or the thread not suspended.
    pub fn thread_yield_then_resume(&mut self, thread: ThreadId, index: u32) -> Result<ThreadId, Trap> {
        self.switch_to_suspended(thread, index, WaitFor::Ready)
    }

    /// Suspends the current thread and returns the ready one to switch to, now running, or `None` if it is not
    /// ready (`canon_thread_suspend_then_promote`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, or the index is unknown or the thread's own.
    pub fn thread_suspend_then_promote(
        &mut self,
        thread: ThreadId,
        index: u32,
    ) -> Result<Option<ThreadId>, Trap> {
        self.switch_to_ready(thread, index, WaitFor::ExplicitResume)
    }

    /// Lets the current thread wait for its next turn and returns the ready one to switch to, now running, or
    /// `None` if it is not ready (`canon_thread_yield_then_promote`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, or the index is unknown or the thread's own.
    pub fn thread_yield_then_promote(
        &mut self,
        thread: ThreadId,
        index: u32,
    ) -> Result<Option<ThreadId>, Trap> {
        self.switch_to_ready(thread, index, WaitFor::Ready)
    }

    fn switch_to_suspended(
        &mut self,
        thread: ThreadId,
        index: u32,
        wait_for: WaitFor,
    ) -> Result<ThreadId, Trap> {
        let inst = self.threads.get(thread)?.inst;
        self.check_may_leave(inst)?;
        let other = self.suspended_thread(inst, index)?;
        self.start_waiting(thread, wait_for)?;
        self.resume(other)?;
        Ok(other)
    }

    fn switch_to_ready(
        &mut self,
        thread: ThreadId,
        index: u32,
        wait_for: WaitFor,
    ) -> Result<Option<ThreadId>, Trap> {
        let state = self.threads.get(thread)?;
        self.check_may_leave(state.inst)?;
        if state.index == index {
            return Err(Trap::SwitchToSelf(index));
        }
        let other = self.thread_handle(state.inst, index)?;
        let ready = self.is_ready(other)?;
        self.start_waiting(thread, wait_for)?;
        if !ready {
            return Ok(None);
        }
        self.resume(other)?;
        Ok(Some(other))
    }

    fn suspended_thread(&self, inst: InstanceId, index: u32) -> Result<ThreadId, Trap> {
        let thread = self.thread_handle(inst, index)?;
        if self.threads.get(thread)?.state == ThreadState::Suspended {
            Ok(thread)
        } else {
            Err(Trap::NotSuspended(index))
        }
    }
}
