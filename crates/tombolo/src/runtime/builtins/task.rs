//! `task.*`, `context.*` and `subtask.cancel`.

use tombolo_tasks::{
    BLOCKED, InstanceId, Store, SubtaskCancel, SubtaskId, SubtaskState, TaskId, Trap, WaitFor,
};
use tombolo_types::component::{MAX_FLAT_PARAMS, TypeRef};
use tombolo_vm::RawVal;

use crate::error::{Error, Result};
use crate::runtime::core::StoreCore;
use crate::runtime::guest::Guest;
use crate::runtime::lazy::lowered_of;
use crate::runtime::{Caller, LiftedFunc, Runtime, TaskData, adapter};

/// `task.return` as one instance uses it.
pub(crate) struct TaskReturn {
    pub guest: Guest,
    pub result: Option<TypeRef>,
    /// How many parameters its core function has.
    pub params: usize,
}

impl StoreCore {
    /// `task.return`.
    pub fn task_return(&self, builtin: &TaskReturn, values: &[RawVal]) -> Result<()> {
        let TaskReturn { guest, result, .. } = builtin;
        guest.check_may_leave()?;
        let mut room = [0; MAX_FLAT_PARAMS];
        if let Some(activation) = self.activation()
            && let Some(link) = activation.lazy_link()
        {
            let lowered = lowered_of(activation)?;
            let func = lowered.guest_callee()?;
            check_return(func, guest, *result)?;
            // From the next call on, it can go to the caller straight away.
            if guest.width == func.guest.width {
                adapter::fits(link, builtin);
            }
            return self.return_to_caller(activation, flat_values(values, &mut room));
        }
        let task = self.current_task()?;
        let func = {
            let mut tasks = self.tasks.borrow_mut();
            let TaskData { func, caller } = tasks.task(task)?;
            let func = func.as_ref().ok_or_else(not_async)?;
            check_return(func, guest, *result)?;
            if let (None, Caller::Guest(subtask)) = (result, caller) {
                let subtask = *subtask;
                return return_nothing(&mut tasks, task, subtask);
            }
            func.clone()
        };
        self.resolve_task(task, &func, flat_values(values, &mut room))
    }

    pub fn task_cancel(&self, instance: InstanceId) -> Result<()> {
        self.check_may_leave(instance)?;
        let task = self.current_task()?;
        let func = self.tasks.borrow().task(task)?.func.clone();
        let Some(func) = func.filter(|func| func.is_async) else {
            return Err(Error::abi("task.cancel in a function that is not lifted with `async`"));
        };
        let caller = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.task_cancel(task)?;
            tasks.task_mut(task)?.take_caller()
        };
        self.resolve_cancelled(&func, caller)
    }

    pub fn subtask_cancel(&self, instance: InstanceId, is_async: bool, index: u32) -> Result<u32> {
        let held = self.hold_stack()?;
        let begun = self.tasks.borrow_mut().subtask_cancel(instance, index)?;
        let subtask = match begun {
            SubtaskCancel::Resolved(state) => return Ok(state as u32),
            SubtaskCancel::Request(subtask) => subtask,
        };
        self.cancel_callee(subtask)?;
        drop(held);
        let finish = |core: &StoreCore| core.tasks.borrow_mut().finish_subtask_cancel(subtask, is_async);
        let mut state = finish(self)?;
        if state.is_none() && !is_async {
            self.block(WaitFor::SubtaskResolved(subtask))?;
            state = finish(self)?;
        }
        Ok(state.map_or(BLOCKED, |state| state as u32))
    }

    /// `Task.request_cancellation`.
    pub fn cancel_task(&self, task: TaskId) -> Result<()> {
        use tombolo_tasks::CancelOutcome::{NotStarted, Pending, Resolved, Resume};
        let outcome = self.tasks.borrow_mut().request_cancellation(task);
        match outcome {
            NotStarted(thread) | Resume(thread) => self.resume_thread(thread),
            Pending | Resolved => Ok(()),
        }
    }
}

/// The checks of `task.return`, for a function.
fn check_return(func: &LiftedFunc, guest: &Guest, result: Option<TypeRef>) -> Result<()> {
    if !func.is_async {
        return Err(not_async());
    }
    if func.sig.result != result {
        return Err(Error::abi("task.return with another result type than the function has"));
    }
    // `LiftOptions.equal`. The reference tests and `wit-component` leave out the options of a `task.return` whose
    // values need none, whatever the parameters of the function need.
    let differs = guest.encoding != func.guest.encoding || guest.memory != func.guest.memory;
    if guest.memory.is_some() && differs {
        return Err(Error::abi("task.return with another memory or string encoding than the function has"));
    }
    Ok(())
}

/// What `task.return` was called with.
fn flat_values<'a>(values: &[RawVal], room: &'a mut [u64; MAX_FLAT_PARAMS]) -> &'a [u64] {
    for (flat, value) in room.iter_mut().zip(values) {
        *flat = value.u64();
    }
    room.get(..values.len()).unwrap_or(room)
}

#[cold]
fn not_async() -> Error {
    Error::abi("task.return in a function that is not lifted with `async`")
}

/// As [`StoreCore::resolve_task`], of a function without a result that a guest called.
fn return_nothing(tasks: &mut Store<Runtime>, task: TaskId, subtask: SubtaskId) -> Result<()> {
    tasks.task_return(task)?;
    tasks.task_mut(task)?.caller = Caller::Nobody;
    match tasks.subtask_resolve(subtask, SubtaskState::Returned) {
        // A caller that is gone does not mind.
        Ok(()) | Err(Trap::Gone(_)) => Ok(()),
        Err(trap) => Err(trap.into()),
    }
}
