//! Calls of `async` functions through adapters, which have neither task nor subtask until somebody asks.
//!
//! The activation is the call. Its task, with its thread, and the caller's subtask are made of it when
//!
//! * a built-in of the callee's needs its thread or task ([`StoreCore::current_thread`]): also to block, or
//! * the callee's core function returns otherwise than to exit with its result returned ([`StoreCore::settle`]).
//!
//! From then on all is as if the interpreter had made the call. A callee that has returned its result before needs no
//! subtask: the call is over for its caller.
//!
//! A callee that may block in the middle runs on a fiber, where its activation then is ([`StoreCore::call_on_fiber`]).
//! So no fiber that is suspended has frames of two component instances on it, and a callee on its caller's stack never
//! blocks: it has nothing to block with.
#![allow(
    unsafe_code,
    reason = "fibers hold a pointer to the store that they run in, and activations to links"
)]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use smallvec::SmallVec;
use tombolo_tasks::{SubtaskState, ThreadId};
use tombolo_vm::{HostContext, RawVal, Step};

use super::activation::Activation;
use super::call_guest::func_of;
use super::core::StoreCore;
use super::func::{LiftedFunc, LoweredFunc};
use super::guest::Fault;
use super::thread::{CorePtr, STACK_COST};
use super::{Callee, Caller, SubtaskData, TaskData, ThreadData};
use crate::ended::EndCause;
use crate::error::{Error, Result};

impl StoreCore {
    /// The thread of a call, which is made with its task and the caller's subtask.
    #[cold]
    pub(super) fn thread_of_call(&self, activation: &Activation<'_>) -> Result<ThreadId> {
        let lowered = lowered_of(activation)?;
        let func = lowered.guest_callee()?;
        let instance = func.guest.instance;
        let data = if activation.is_on_fiber() { ThreadData::OnFiber } else { ThreadData::OnStack };
        let mut tasks = self.tasks.borrow_mut();
        // If the caller's island has ended, nobody waits for the result.
        let waits = !activation.has_returned() && !lowered.guest.door.is_dead();
        let subtask = match waits {
            true => {
                let data = SubtaskData {
                    lowered: Arc::clone(&lowered),
                    args: Box::default(),
                    value: activation.value.get(),
                    callee: Callee::Starting,
                };
                let lent = self.take_lent(activation, lowered.guest.instance);
                Some(tasks.begin_started(lowered.guest.instance, data, lent)?)
            }
            false => None,
        };
        let task_data =
            TaskData { func: Some(func.clone()), caller: subtask.map_or(Caller::Nobody, Caller::Guest) };
        let needs_exclusive = !func.is_async || func.callback.is_some();
        let (task, thread) = tasks.begin_entered(instance, true, needs_exclusive, task_data, data)?;
        if activation.has_returned() {
            tasks.task_return(task)?;
        }
        if let Some(subtask) = subtask {
            tasks.subtask_mut(subtask)?.callee = Callee::Guest(task);
        }
        activation.set_call(instance, thread, subtask);
        Ok(thread)
    }

    /// Takes the flat results of a call that has no task to its caller, as the `task.return` does of which is known that it
    /// fits.
    pub(super) fn return_to_caller(&self, activation: &Activation<'_>, flat: &[u64]) -> Result<()> {
        let lowered = lowered_of(activation)?;
        let func = lowered.guest_callee()?;
        let out = lowered.has_out_pointer.then(|| activation.value.get());
        match self.translate_result(&lowered, func, flat, out) {
            Ok(result) => {
                activation.value.set(result);
                activation.set_returned();
                Ok(())
            }
            Err(Fault { error, instance }) => {
                self.blame(instance);
                self.caller_failed(&lowered, activation, error)
            }
        }
    }

    /// The result of a call that has no task could not be carried. If that is the caller's fault, it ends, and the callee goes on:
    /// it has returned.
    ///
    /// # Errors
    /// If it is the callee's fault, or the two end together.
    #[cold]
    pub(super) fn caller_failed(
        &self,
        lowered: &LoweredFunc,
        activation: &Activation<'_>,
        error: Error,
    ) -> Result<()> {
        let func = lowered.guest_callee()?;
        let (caller, callee) = (&lowered.guest.island, &func.guest.island);
        // A caller whose `realloc` trapped has ended already.
        let blamed = self.blamed();
        let failed = blamed.as_ref().map_or(caller.ended().is_some(), |island| Arc::ptr_eq(island, caller));
        if !failed || Arc::ptr_eq(caller, callee) {
            return Err(error);
        }
        self.blame_nobody();
        if func.is_async {
            self.activation_returned(activation)?;
            activation.set_returned();
        }
        self.end_island(caller, EndCause::Failed(error));
        Ok(())
    }

    /// Goes on with a call whose core function has returned `packed`, or has returned and has no callback, and ends it or
    /// tells its caller how far it came: the activation's value is what the caller's core function returns.
    pub(super) fn settle(&self, activation: &Activation<'_>, packed: u32) -> Result<()> {
        let lowered = lowered_of(activation)?;
        let func = lowered.guest_callee()?;
        self.callee_returned(func, activation, packed)?;
        self.vm.set_activation(activation.outer().map_or(ptr::null(), ptr::from_ref).cast_mut().cast());
        self.end_call(&lowered, activation)
    }

    /// The callee's side: its thread exits, or waits for its callback.
    fn callee_returned(&self, func: &LiftedFunc, activation: &Activation<'_>, packed: u32) -> Result<()> {
        let thread = self.thread_of(activation)?;
        let task = {
            let mut tasks = self.tasks.borrow_mut();
            *tasks.thread_storage(thread)? = activation.context();
            tasks.thread_scope(thread)?.0
        };
        match func.callback {
            // Its cancellation cannot have been asked for, as long as nobody has a handle of the subtask: so the callback
            // is not called at once.
            Some(_) => self.follow_callback(task, thread, func, packed),
            None => self.exit(task, thread),
        }
    }

    /// The caller's side. The caller's activation is the innermost.
    fn end_call(&self, lowered: &LoweredFunc, activation: &Activation<'_>) -> Result<()> {
        let Some(subtask) = activation.subtask() else {
            if lowered.is_async {
                activation.value.set((SubtaskState::Returned as u32).into());
            }
            return Ok(());
        };
        activation.value.set(self.finish_call(lowered, subtask)?);
        Ok(())
    }

    /// Calls the core function of a callee that may block, on a fiber; parameters and results share `values`. Returns
    /// whether the call has gone on from there, as by [`StoreCore::settle`].
    pub(super) fn call_on_fiber(
        &self,
        func: &Arc<LiftedFunc>,
        prepared: &Activation<'_>,
        values: &mut [RawVal],
    ) -> Result<bool> {
        let held = self.hold_stack()?;
        let instance = func.guest.instance;
        self.tasks.borrow_mut().instance_mut(instance)?.charge(STACK_COST)?;
        let core = CorePtr(NonNull::from(self));
        let place = Cell::new(ptr::null::<Activation<'_>>());
        let outside =
            Outside { func: Arc::as_ptr(func), prepared, values: values.as_mut_ptr(), place: &place };
        let count = values.len();
        let body = move |_: &tombolo_vm::Store, _| {
            let (core, outside) = (core, outside);
            // SAFETY: the fiber is resumed by this store only, and cancelled before the store is gone.
            let core = unsafe { core.0.as_ref() };
            // SAFETY: the one who made the call is there until the fiber is suspended, and keeps the function as long.
            let (func, prepared, values, place) = unsafe {
                let values = std::slice::from_raw_parts_mut(outside.values, count);
                (&*outside.func, &*outside.prepared, values, &*outside.place)
            };
            let activation = prepared.moved();
            place.set(ptr::from_ref(&activation).cast());
            let mut own: SmallVec<[RawVal; 4]> = SmallVec::from_slice(values);
            let result = core.activate(&activation, || core.run_on_fiber(func, &activation, &mut own));
            if let Ok(instance) = core.tasks.borrow_mut().instance_mut(instance) {
                instance.uncharge(STACK_COST);
            }
            // What the caller has is only there if it was not left.
            if activation.has_caller() {
                prepared.copy_call(&activation);
                prepared.left_fiber();
                values.copy_from_slice(&own);
            }
            core.end_of_thread(result)
        };
        // SAFETY: `body` holds pointers, for which see above.
        let mut fiber = unsafe { self.vm.fiber_unchecked(body) }
            .map_err(|source| Error::system("making a stack for a guest", source))?;
        let called = self.apart(|| match self.vm.resume(&mut fiber, 0) {
            Step::Done(end) => self.how_it_ended(end),
            Step::Suspended(_) => {
                // SAFETY: the fiber is suspended, and its activation is on it.
                let Some(activation) = (unsafe { place.get().as_ref() }) else { return Ok(()) };
                prepared.copy_call(activation);
                let thread = self.thread_of(activation)?;
                *self.tasks.borrow_mut().thread_mut(thread)? = ThreadData::Fiber(fiber);
                Ok(())
            }
        });
        called.inspect_err(|_| self.blame(func.guest.instance))?;
        if prepared.thread().is_none() {
            return Ok(false);
        }
        if let Some(next) = self.handover.take() {
            self.resume_thread(next)?;
        }
        drop(held);
        let lowered = lowered_of(prepared)?;
        self.end_call(&lowered, prepared)?;
        Ok(true)
    }

    /// What a call does on its fiber: up to the return of the core function, if nobody has asked for the thread then, else
    /// to the end.
    fn run_on_fiber(
        &self,
        func: &LiftedFunc,
        activation: &Activation<'_>,
        values: &mut [RawVal],
    ) -> Result<()> {
        if let Some(thread) = activation.thread() {
            *self.tasks.borrow_mut().thread_mut(thread)? = ThreadData::OnFiber;
        }
        self.call(&func.core, values)?;
        let Some(thread) = activation.thread() else { return Ok(()) };
        let (task, _) = self.tasks.borrow().thread_scope(thread)?;
        // Whoever made the call may be gone, with what they had of the function.
        let func = func_of(&self.tasks.borrow(), task)?;
        if func.is_async {
            let packed = values.first().map_or(0, |value| value.u32());
            return self.callee_returned(&func, activation, packed);
        }
        let flat = func.core_result(values);
        self.resolve_task(task, &func, flat.as_slice())?;
        self.post_return(&func, flat)?;
        self.exit(task, thread)
    }
}

/// What a call on a fiber finds at its caller.
#[derive(Clone, Copy)]
struct Outside<'a> {
    func: *const LiftedFunc,
    prepared: *const Activation<'a>,
    values: *mut RawVal,
    place: *const Cell<*const Activation<'a>>,
}

/// The caller's function of a call, which leads to the callee's.
pub(super) fn lowered_of(activation: &Activation<'_>) -> Result<ManuallyDrop<Arc<LoweredFunc>>> {
    let link = activation.link();
    if link.is_null() {
        return Err(Error::usage("a call that is none of an async function"));
    }
    // SAFETY: only adapters give activations a link: their own, whose second data word is the lowered function, which the
    // store keeps. This is lent.
    Ok(unsafe {
        let data = HostContext::data(link);
        ManuallyDrop::new(Arc::from_raw(*data.add(1) as *const LoweredFunc))
    })
}
