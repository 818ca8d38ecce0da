//! Calling out of a guest: `canon lower` (CanonicalABI.md), to another guest or to the host.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::core::StoreCore;
use super::func::{FuncValue, LoweredFunc};
use super::guest::{GuestLift, GuestLower, Scope};
use super::host_task::{HostTask, PLACE_COST, Place};
use super::{Callee, Caller, SubtaskData};
use crate::error::Result;
use tombolo_tasks::{Charge, InstanceId, Lenders, SubtaskId, SubtaskState, WaitFor};

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
    /// Bytes of values that the host has lifted.
    pub lifted: usize,
}

/// How a call to the host begins.
pub(crate) enum HostOutcome {
    /// It is over; this is the flat result, or 0.
    Done(u64),
    /// It takes its time, in this place, and so many bytes.
    Pending(HostFuture, Place, usize),
}

/// A call to the host under way.
pub(crate) type HostFuture = Pin<Box<dyn HostWork>>;

/// A future of the host whose result is lowered into the guest.
pub(crate) trait HostWork: Send {
    /// Goes on with it; its flat result or 0, once it is ready. `out` is where a result in memory goes.
    fn poll(
        self: Pin<&mut Self>,
        core: &StoreCore,
        lowered: &LoweredFunc,
        out: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64>>;
}

impl HostCall<'_> {
    /// The arguments' source.
    #[inline]
    pub fn lift(&mut self) -> GuestLift<'_> {
        self.lowered.guest.lift(self.core, Scope::Lenders(self.lenders))
    }
}

impl LoweredFunc {
    /// What the core function returns when the call is over, with this flat result.
    #[inline]
    fn returns(&self, result: u64) -> u64 {
        if self.is_async { (SubtaskState::Returned as u32).into() } else { result }
    }

    /// The results' target.
    #[inline]
    pub fn lower<'a>(&'a self, core: &'a StoreCore) -> GuestLower<'a> {
        self.guest.lower(core, None)
    }
}

impl StoreCore {
    /// Calls a lowered function: what its core function returns, or 0.
    #[inline]
    pub fn call_lowered(&self, lowered: &Arc<LoweredFunc>, args: &[u64]) -> Result<u64> {
        lowered.guest.check_may_leave()?;
        if let FuncValue::Guest(func) = &lowered.callee {
            func.guest.check_alive()?;
        }
        match &lowered.callee {
            FuncValue::Guest(func) if !func.blocks(self) => {
                Ok(lowered.returns(self.call_sync(lowered, func, args)?))
            }
            FuncValue::Guest(func) => {
                let held = self.hold_stack()?;
                let subtask = self.new_subtask(lowered, args, args.into())?;
                let task = self.call_guest(func.clone(), Caller::Guest(subtask))?;
                drop(held);
                let callee = {
                    let mut tasks = self.tasks.borrow_mut();
                    tasks.subtask_mut(subtask).map(|data| data.callee = Callee::Guest(task))
                };
                if let Err(trap) = callee {
                    // The caller's island has ended in the meantime.
                    self.cancel_later(task);
                    return Err(lowered.guest.island.error().unwrap_or(trap.into()));
                }
                self.finish_call(lowered, subtask)
            }
            FuncValue::Host(func) => {
                let mut lenders = Lenders::new();
                let call = HostCall { core: self, lowered, args, lenders: &mut lenders, lifted: 0 };
                match func.call(call)? {
                    HostOutcome::Done(result) => {
                        self.end_lends(lowered, lenders);
                        Ok(lowered.returns(result))
                    }
                    HostOutcome::Pending(future, place, bytes) => {
                        let began = self.await_host(lowered, args, lenders, bytes);
                        let (subtask, charge) = match began {
                            Ok(began) => began,
                            Err(error) => {
                                self.host_tasks.give_back(place);
                                return Err(error);
                            }
                        };
                        let task = HostSubtask { future, subtask, _charge: charge };
                        let work = self.host_tasks.go_on(place, Box::pin(task));
                        self.tasks.borrow_mut().subtask_mut(subtask)?.callee = Callee::Host(work);
                        self.finish_call(lowered, subtask)
                    }
                }
            }
        }
    }

    /// Makes the subtask of a call to the host that takes its time and so many bytes.
    fn await_host(
        &self,
        lowered: &Arc<LoweredFunc>,
        args: &[u64],
        lenders: Lenders,
        bytes: usize,
    ) -> Result<(SubtaskId, Charge)> {
        let charge = lowered.guest.island.budget.charge((bytes + PLACE_COST) as u64)?;
        let subtask = self.new_subtask(lowered, args, Box::default())?;
        let mut tasks = self.tasks.borrow_mut();
        tasks.subtask_started(subtask)?;
        tasks.subtask_add_lenders(subtask, lenders)?;
        Ok((subtask, charge))
    }

    #[inline]
    fn end_lends(&self, lowered: &LoweredFunc, lenders: Lenders) {
        if !lenders.is_empty() {
            self.tasks.borrow_mut().release_lenders(lowered.guest.instance, lenders);
        }
    }

    /// A subtask of a call with these arguments, of which those in `kept` are yet to be taken by the callee.
    fn new_subtask(&self, lowered: &Arc<LoweredFunc>, args: &[u64], kept: Box<[u64]>) -> Result<SubtaskId> {
        let value = lowered.out_pointer(args).unwrap_or(0);
        let data = SubtaskData { lowered: lowered.clone(), args: kept, value, callee: Callee::Starting };
        Ok(self.tasks.borrow_mut().new_subtask(lowered.guest.instance, data)?)
    }

    /// Ends a call that may have blocked: a sync caller waits for it, an async one is told how far it came. Returns what the
    /// core function does, or 0.
    pub(super) fn finish_call(&self, lowered: &LoweredFunc, subtask: SubtaskId) -> Result<u64> {
        if lowered.guest.door.is_dead()
            && let Some(error) = lowered.guest.island.error()
        {
            // The caller's island has ended in the meantime.
            return Err(error);
        }
        let state = self.tasks.borrow().subtask_state(subtask)?;
        if !state.resolved() {
            if lowered.is_async {
                let index = self.tasks.borrow_mut().add_to_table(lowered.guest.instance, subtask)?;
                return Ok((state as u32 | index << 4).into());
            }
            self.block(WaitFor::SubtaskResolved(subtask))?;
        }
        let (_, data) = self.tasks.borrow_mut().finish_subtask(subtask)?;
        Ok(lowered.returns(data.value))
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

/// A subtask whose callee is a future of the host.
struct HostSubtask {
    future: HostFuture,
    subtask: SubtaskId,
    /// For the future.
    _charge: Charge,
}

impl HostTask for HostSubtask {
    fn failed(&self, core: &StoreCore) -> Option<InstanceId> {
        core.tasks.borrow().subtask_instance(self.subtask).ok()
    }

    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let (lowered, out) = {
            let tasks = core.tasks.borrow();
            match tasks.subtask(this.subtask) {
                Ok(data) => (data.lowered.clone(), data.value),
                Err(trap) => return Poll::Ready(Err(trap.into())),
            }
        };
        this.future.as_mut().poll(core, &lowered, lowered.has_out_pointer.then_some(out), cx).map(|result| {
            let result = result?;
            let mut tasks = core.tasks.borrow_mut();
            tasks.subtask_mut(this.subtask)?.value = result;
            Ok(tasks.subtask_resolve(this.subtask, SubtaskState::Returned)?)
        })
    }
}
