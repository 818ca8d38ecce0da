//! The event loop of a callback-lifted function (CanonicalABI.md, "canon lift").
//!
//! The runtime calls the core function, and then its callback, as long as [`Store::callback_returned`] says.
//! The exclusive lock is held while they run, and given up while the thread waits.

use crate::door::Door;
use crate::embedder::Embedder;
use crate::event::Event;
use crate::id::ThreadId;
use crate::store::Store;
use crate::thread::{ThreadState, Wait, WaitFor};
use crate::trap::Trap;

/// What a core function or callback asks for with its return value (`unpack_callback_result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackCode {
    /// The task's implicit thread exits.
    Exit,
    /// Others may run before the callback is called again.
    Yield,
    /// The callback is called with the next event of the set with this handle.
    Wait(u32),
}

impl CallbackCode {
    /// Unpacks the `i32` that core wasm returned.
    ///
    /// # Errors
    ///
    /// Traps when the code is unknown.
    #[inline]
    pub fn unpack(packed: u32) -> Result<CallbackCode, Trap> {
        match packed & 0xf {
            0 => Ok(CallbackCode::Exit),
            1 => Ok(CallbackCode::Yield),
            2 => Ok(CallbackCode::Wait(packed >> 4)),
            code => Err(Trap::CallbackCode(code)),
        }
    }
}

/// What the runtime does next: see [`Store::callback_returned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackStep {
    /// Call [`Store::exit_implicit_thread`].
    Exit,
    /// Call the callback with this event at once.
    Call(Event),
    /// The thread waits. When it is resumed, call the callback with [`Store::take_callback_event`].
    Wait,
}

impl<E: Embedder> Store<E> {
    /// Does what a core function or callback asked for with its return value.
    ///
    /// # Errors
    ///
    /// Traps when the code is unknown, or the set's index is unknown or not a set's.
    #[inline]
    pub fn callback_returned(&mut self, thread: ThreadId, packed: u32) -> Result<CallbackStep, Trap> {
        let code = CallbackCode::unpack(packed)?;
        if code == CallbackCode::Exit {
            return Ok(CallbackStep::Exit);
        }
        let (task, inst) = self.thread_scope(thread)?;
        if self.deliver_pending_cancel(task)? {
            return Ok(CallbackStep::Call(Event::TASK_CANCELLED));
        }
        let wait_for = match code {
            CallbackCode::Wait(set) => WaitFor::CallbackSet(self.set_handle(inst, set)?),
            CallbackCode::Yield | CallbackCode::Exit => WaitFor::CallbackYield,
        };
        self.start_waiting(thread, wait_for)?;
        Ok(CallbackStep::Wait)
    }

    /// Takes the event to call a thread's callback with again, if it would be the next to run with nothing changed until
    /// then: what it waits for is there, nobody else is ready or waits for the exclusive lock, and nobody has asked to
    /// cancel. Otherwise, the runtime goes on with [`Store::callback_returned`].
    ///
    /// # Errors
    ///
    /// Traps when the set's index is unknown or not a set's.
    #[inline]
    pub fn take_event_at_once(
        &mut self,
        thread: ThreadId,
        code: CallbackCode,
    ) -> Result<Option<Event>, Trap> {
        match self.met_at_once(thread, code)? {
            Some(Wait::CallbackSet(set)) => self.take_event(set),
            Some(_) => Ok(Some(Event::NONE)),
            None => Ok(None),
        }
    }

    /// The wait that such a thread would begin and end.
    #[inline]
    pub(crate) fn met_at_once(&self, thread: ThreadId, code: CallbackCode) -> Result<Option<Wait>, Trap> {
        let (task, inst) = self.thread_scope(thread)?;
        let wanted = self.instances.get(inst)?.door.has(Door::WANTED);
        if self.has_ready() || wanted || self.tasks.get(task)?.state.pending_cancel() {
            return Ok(None);
        }
        match code {
            CallbackCode::Exit => Ok(None),
            CallbackCode::Yield => Ok(Some(Wait::CallbackYield)),
            CallbackCode::Wait(set) => {
                let set = self.set_handle(inst, set)?;
                Ok(self.has_event(set)?.then_some(Wait::CallbackSet(set)))
            }
        }
    }

    /// Returns the event to call the callback with, after a thread's callback wait: a cancellation, what the
    /// wait was for, or nothing after a yield.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the thread did not just come from a callback wait.
    #[inline]
    pub fn take_callback_event(&mut self, id: ThreadId) -> Result<Event, Trap> {
        let thread = self.threads.get_mut(id)?;
        if thread.state != ThreadState::Running {
            return Err(Trap::Misuse("only a running thread receives events"));
        }
        let task = thread.task;
        let wait = std::mem::replace(&mut thread.wait, Wait::Nothing);
        if !matches!(wait, Wait::CallbackSet(_) | Wait::CallbackYield) {
            return Err(Trap::Misuse("the thread did not wait in a callback's event loop"));
        }
        if self.deliver_pending_cancel(task)? {
            return Ok(Event::TASK_CANCELLED);
        }
        let event = match wait {
            Wait::CallbackSet(set) => self.take_event(set)?,
            _ => None,
        };
        Ok(event.unwrap_or(Event::NONE))
    }
}
