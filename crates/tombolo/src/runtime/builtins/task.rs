//! `task.*`, `context.*` and `subtask.cancel`.

use tombolo_tasks::{BLOCKED, InstanceId, SubtaskCancel, TaskId, WaitFor};
use tombolo_types::component::MAX_FLAT_PARAMS;
use tombolo_vm::RawVal;

use super::{BuiltinFunc, BuiltinKind};
use crate::error::{Error, Result};
use crate::runtime::adapter;
use crate::runtime::core::StoreCore;
use crate::runtime::lazy::callee_of;

impl StoreCore {
    /// `task.return`.
    pub fn task_return(&self, builtin: &BuiltinFunc, values: &[RawVal]) -> Result<()> {
        let BuiltinKind::TaskReturn { guest, result } = &builtin.kind else {
            return Err(Error::usage("a built-in of another form was called"));
        };
        guest.check_may_leave()?;
        let lazy = self.activation().and_then(|activation| Some((activation, activation.lazy_link()?)));
        let (task, func) = match lazy {
            Some((activation, _)) => (None, Some(callee_of(activation)?)),
            None => {
                let task = self.current_task()?;
                (Some(task), self.tasks.borrow().task(task)?.func.clone())
            }
        };
        let Some(func) = func.filter(|func| func.is_async) else {
            return Err(Error::abi("task.return in a function that is not lifted with `async`"));
        };
        if func.sig.result != *result {
            return Err(Error::abi("task.return with another result type than the function has"));
        }
        // `LiftOptions.equal`. The reference tests and `wit-component` leave out the options of a `task.return` whose
        // values need none, whatever the parameters of the function need.
        let differs = guest.encoding != func.guest.encoding || guest.memory != func.guest.memory;
        if guest.memory.is_some() && differs {
            return Err(Error::abi(
                "task.return with another memory or string encoding than the function has",
            ));
        }
        let mut flat = [0; MAX_FLAT_PARAMS];
        for (flat, value) in flat.iter_mut().zip(values) {
            *flat = value.u64();
        }
        let flat = flat.get(..values.len()).unwrap_or(&flat);
        match (lazy, task) {
            (Some((activation, link)), _) => {
                // From the next call on, it can go to the caller straight away.
                if guest.width == func.guest.width {
                    adapter::fits(link, builtin);
                }
                self.return_to_caller(activation, flat)
            }
            (None, Some(task)) => self.resolve_task(task, &func, flat),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn task_cancel(&self, instance: InstanceId) -> Result<()> {
        self.check_may_leave(instance)?;
        let task = self.current_task()?;
        let func = self.tasks.borrow().task(task)?.func.clone();
        let Some(func) = func.filter(|func| func.is_async) else {
            return Err(Error::abi("task.cancel in a function that is not lifted with `async`"));
        };
        self.tasks.borrow_mut().task_cancel(task)?;
        let caller = self.take_caller(task)?;
        self.resolve_cancelled(&func, caller)
    }

    pub(super) fn subtask_cancel(&self, instance: InstanceId, is_async: bool, index: u32) -> Result<u32> {
        let begun = self.tasks.borrow_mut().subtask_cancel(instance, index)?;
        let subtask = match begun {
            SubtaskCancel::Resolved(state) => return Ok(state as u32),
            SubtaskCancel::Request(subtask) => subtask,
        };
        self.cancel_callee(subtask)?;
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
