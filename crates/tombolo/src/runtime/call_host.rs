//! Calling out of a guest: `canon lower` (CanonicalABI.md), to another guest or to the host.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tombolo_tasks::{Lenders, SubtaskId, SubtaskState, WaitFor};
use tombolo_vm::RawVal;

use super::core::StoreCore;
use super::func::{FuncValue, LoweredFunc};
use super::guest::{GuestLift, GuestLower, Scope};
use super::host_task::{First, HostTask};
use super::{Callee, Caller, FlatValues, SubtaskData};
use crate::error::Result;

/// A function of the host, whatever its Rust types.
pub(crate) trait HostFunction: Send + Sync {
    /// Calls it.
    fn call(&self, call: HostCall<'_>) -> Result<HostOutcome>;
    /// Checks that it can stand for a function of the given type.
    fn check(
        &self,
        types: &tombolo_types::component::Types,
        ty: tombolo_types::component::FuncTypeId,
    ) -> Result<()>;
}

/// A call from a guest to the host.
pub(crate) struct HostCall<'a> {
    pub core: &'a StoreCore,
    pub lowered: &'a LoweredFunc,
    pub args: &'a [u64],
    pub lenders: &'a mut Lenders,
}

/// How a call to the host begins.
pub(crate) enum HostOutcome {
    /// It is over; these are the flat results.
    Done(FlatValues),
    /// It may take its time.
    Future(HostFuture),
}

/// A call to the host under way.
pub(crate) type HostFuture = Pin<Box<dyn HostWork>>;

/// A future of the host whose result is lowered into the guest.
pub(crate) trait HostWork: Send {
    /// Goes on with it; its flat results, once it is ready.
    fn poll(
        self: Pin<&mut Self>,
        core: &StoreCore,
        lowered: &LoweredFunc,
        args: &[u64],
        cx: &mut Context<'_>,
    ) -> Poll<Result<FlatValues>>;
}

impl HostCall<'_> {
    /// The arguments' source.
    pub fn lift(&mut self) -> GuestLift<'_> {
        self.lowered.guest.lift(self.core, Scope::Lenders(self.lenders))
    }
}

impl LoweredFunc {
    /// The results' target.
    pub fn lower<'a>(&'a self, core: &'a StoreCore) -> GuestLower<'a> {
        self.guest.lower(core, None)
    }
}

impl StoreCore {
    /// Calls a lowered function; parameters and results share `values`.
    pub fn call_lowered(&self, lowered: &Arc<LoweredFunc>, values: &mut [RawVal]) -> Result<()> {
        let instance = lowered.guest.instance;
        lowered.guest.check_may_leave()?;
        let args: FlatValues = values.iter().take(lowered.core_params).map(|value| value.u64()).collect();
        match &lowered.callee {
            FuncValue::Guest(func) if !func.blocks(self) => {
                let results = self.call_sync(lowered, func, &args)?;
                finish_at_once(lowered, &results, values);
                Ok(())
            }
            FuncValue::Guest(func) => {
                let subtask = self.new_subtask(lowered, args)?;
                let task = self.call_guest(func, Caller::Guest(subtask))?;
                self.tasks.borrow_mut().subtask_mut(subtask)?.callee = Callee::Guest(task);
                self.finish_call(lowered, subtask, values)
            }
            FuncValue::Host(func) => {
                let mut lenders = Lenders::new();
                let outcome =
                    func.call(HostCall { core: self, lowered, args: &args, lenders: &mut lenders })?;
                match outcome {
                    HostOutcome::Done(results) => {
                        self.tasks.borrow_mut().release_lenders(instance, lenders);
                        finish_at_once(lowered, &results, values);
                        Ok(())
                    }
                    HostOutcome::Future(mut future) => {
                        // If it is ready at once, nothing needs to be made for it.
                        let place = match self
                            .host_tasks
                            .poll_first(|cx| future.as_mut().poll(self, lowered, &args, cx))?
                        {
                            First::Ready(results) => {
                                self.tasks.borrow_mut().release_lenders(instance, lenders);
                                finish_at_once(lowered, &results?, values);
                                return Ok(());
                            }
                            First::Pending(place) => place,
                        };
                        let subtask = self.new_subtask(lowered, args)?;
                        {
                            let mut tasks = self.tasks.borrow_mut();
                            tasks.subtask_started(subtask)?;
                            tasks.subtask_add_lenders(subtask, lenders)?;
                        }
                        let work = self.host_tasks.go_on(place, Box::new(HostSubtask { future, subtask }));
                        self.tasks.borrow_mut().subtask_mut(subtask)?.callee = Callee::Host(work);
                        self.finish_call(lowered, subtask, values)
                    }
                }
            }
        }
    }

    fn new_subtask(&self, lowered: &Arc<LoweredFunc>, args: FlatValues) -> Result<SubtaskId> {
        let data = SubtaskData {
            lowered: lowered.clone(),
            args,
            callee: Callee::Starting,
            results: FlatValues::new(),
        };
        Ok(self.tasks.borrow_mut().new_subtask(lowered.guest.instance, data)?)
    }

    /// Ends a call that may have blocked: a sync caller waits for it, an async one is told how far it came.
    pub(super) fn finish_call(
        &self,
        lowered: &LoweredFunc,
        subtask: SubtaskId,
        values: &mut [RawVal],
    ) -> Result<()> {
        let state = self.tasks.borrow().subtask_state(subtask)?;
        if !state.resolved() {
            if lowered.is_async {
                let index = self.tasks.borrow_mut().add_to_table(lowered.guest.instance, subtask)?;
                set_result(values, state as u32 | index << 4);
                return Ok(());
            }
            self.block(WaitFor::SubtaskResolved(subtask))?;
        }
        let (_, data) = self.tasks.borrow_mut().finish_subtask(subtask)?;
        finish_at_once(lowered, &data.results, values);
        Ok(())
    }

    /// Asks the callee of a subtask to cancel (`Subtask.on_cancel`).
    pub fn cancel_callee(&self, subtask: SubtaskId) -> Result<()> {
        let callee = self.tasks.borrow().subtask(subtask)?.callee;
        match callee {
            Callee::Starting => Ok(()),
            Callee::Guest(task) => self.cancel_task(task),
            Callee::Host(work) => {
                // Dropping the host's future is how Rust cancels it.
                self.host_tasks.remove(work);
                let mut tasks = self.tasks.borrow_mut();
                match tasks.subtask_state(subtask)?.resolved() {
                    true => Ok(()),
                    false => Ok(tasks.subtask_resolve(subtask, SubtaskState::CancelledBeforeReturned)?),
                }
            }
        }
    }
}

/// Hands a finished call's results to its caller.
fn finish_at_once(lowered: &LoweredFunc, results: &[u64], values: &mut [RawVal]) {
    if lowered.is_async {
        set_result(values, SubtaskState::Returned as u32);
        return;
    }
    for (slot, result) in values.iter_mut().zip(results) {
        *slot = RawVal::from_u64(*result);
    }
}

/// Sets the one `i32` that a core function returns.
pub(super) fn set_result(values: &mut [RawVal], result: u32) {
    if let Some(slot) = values.first_mut() {
        *slot = RawVal::from_u32(result);
    }
}

/// A subtask whose callee is a future of the host.
struct HostSubtask {
    future: HostFuture,
    subtask: SubtaskId,
}

impl HostTask for HostSubtask {
    fn poll(&mut self, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let (lowered, args) = {
            let tasks = core.tasks.borrow();
            match tasks.subtask(self.subtask) {
                Ok(data) => (data.lowered.clone(), data.args.clone()),
                Err(trap) => return Poll::Ready(Err(trap.into())),
            }
        };
        self.future.as_mut().poll(core, &lowered, &args, cx).map(|results| {
            let results = results?;
            let mut tasks = core.tasks.borrow_mut();
            tasks.subtask_mut(self.subtask)?.results = results;
            Ok(tasks.subtask_resolve(self.subtask, SubtaskState::Returned)?)
        })
    }
}
