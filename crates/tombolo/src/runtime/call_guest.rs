//! Calling a guest: `canon lift` (CanonicalABI.md).

use std::sync::Arc;

use tombolo_tasks::{
    CallbackCode, CallbackStep, Enter, Event, InstanceId, Lenders, Store, SubtaskState, TaskId, TaskState,
    ThreadExit, ThreadId, Trap,
};
use tombolo_types::component::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use tombolo_vm::RawVal;

use super::activation::Activation;
use super::core::StoreCore;
use super::func::{LiftedFunc, LoweredFunc};
use super::guest::{Borrower, Fault, GuestBridge, Scope};
use super::thread::{Code, Work};
use super::{Caller, Runtime, TaskData, ThreadData};
use crate::abi::{FlatSink, Signature, translate_flat};
use crate::error::{Error, Result};

/// The host as the caller of a guest.
pub(crate) trait HostCaller: Send {
    /// Lowers the arguments into the guest (`OnStart`).
    fn start(&mut self, core: &StoreCore, func: &LiftedFunc, task: TaskId, args: &mut FlatSink)
    -> Result<()>;
    /// Lifts the result out of the guest (`OnResolve`); `None` if the call was cancelled.
    fn resolve(&mut self, core: &StoreCore, func: &LiftedFunc, results: Option<&[u64]>) -> Result<()>;
    /// Hears that there will be no result.
    fn fail(&mut self, core: &StoreCore, error: Error);
}

impl StoreCore {
    /// Begins a call of the host's.
    pub fn begin_call(&self, func: Arc<LiftedFunc>, call: Box<dyn HostCaller>) -> Result<TaskId> {
        self.check_running()?;
        func.guest.check_alive()?;
        let _held = self.hold_stack()?;
        self.call_guest(func, Caller::Host(call))
    }

    /// Calls a lifted function on behalf of the host or of a subtask, and returns once it has resolved or blocks.
    pub fn call_guest(&self, func: Arc<LiftedFunc>, caller: Caller) -> Result<TaskId> {
        let (instance, is_async) = (func.guest.instance, func.sig.is_async);
        let needs_exclusive = !func.is_async || func.callback.is_some();
        let blocks = func.blocks(self);
        let (task, thread) = {
            let mut tasks = self.tasks.borrow_mut();
            let data = TaskData { func: Some(func.clone()), caller };
            let stack = if blocks { ThreadData::OnFiber } else { ThreadData::OnStack };
            let (task, thread, enter) = tasks.begin_task(instance, is_async, needs_exclusive, data, stack)?;
            if enter == Enter::MustWait {
                *tasks.thread_mut(thread)? = ThreadData::Entering;
                return Ok(task);
            }
            (task, thread)
        };
        if blocks {
            self.begin_thread(thread, instance, Work::Begin(task, func))?;
        } else {
            let done = self.with_thread(thread, instance, || self.run_callee(task, thread, &func));
            done.or_else(|error| self.thread_failed(thread, error))?;
        }
        if !is_async {
            self.finish_sync(task, instance)?;
        }
        Ok(task)
    }

    /// Runs threads of the instance until a call that must not block its caller has resolved (the end of `canon_lift`).
    fn finish_sync(&self, task: TaskId, instance: InstanceId) -> Result<()> {
        while self.tasks.borrow().task_state(task) != TaskState::Resolved {
            let next = self.tasks.borrow_mut().next_ready_in(instance);
            let Some(next) = next else {
                let error = Error::from(Trap::CannotBlock);
                self.end_instance(instance, &error);
                return Err(error);
            };
            self.resume_thread(next)?;
        }
        Ok(())
    }

    /// Calls a sync-typed function that cannot block, for a guest: parameters in, results out, with nothing left over.
    pub fn call_sync(&self, lowered: &LoweredFunc, func: &Arc<LiftedFunc>, args: &[u64]) -> Result<u64> {
        let activation = Activation::of_func(func);
        let mut lenders = Lenders::new();
        let called = self.call_in(&activation, &mut lenders, lowered, func, args);
        self.tasks.borrow_mut().release_lenders(lowered.guest.instance, lenders);
        called.inspect_err(|_| self.abandon(&activation))
    }

    fn call_in(
        &self,
        activation: &Activation<'_>,
        lenders: &mut Lenders,
        lowered: &LoweredFunc,
        func: &Arc<LiftedFunc>,
        args: &[u64],
    ) -> Result<u64> {
        let at_fault = |Fault { error, instance }: Fault| {
            self.blame(instance);
            error
        };
        let flat = self.activate(activation, || {
            let scope = Scope::Lenders(lenders);
            let args =
                self.translate_params(lowered, func, args, scope, activation.into()).map_err(at_fault)?;
            self.call_core(func, args.values())
        })?;
        let result = self
            .translate_result(lowered, func, flat.as_slice(), lowered.out_pointer(args))
            .map_err(at_fault)?;
        self.activation_returned(activation)?;
        self.activate(activation, || self.post_return(func, flat))?;
        self.activation_done(activation)?;
        Ok(result)
    }

    /// Runs core code of an instance that is no component function, as a call of a sync-typed one would.
    /// `blocks` says whether it can block.
    pub(in crate::runtime) fn run_in_instance(
        &self,
        instance: InstanceId,
        code: Code,
        blocks: bool,
    ) -> Result<()> {
        if blocks {
            let _held = self.hold_stack()?;
            let data = TaskData { func: None, caller: Caller::Nobody };
            let (task, thread) = self.tasks.borrow_mut().begin_sync(instance, data, ThreadData::OnFiber)?;
            self.begin_thread(thread, instance, Work::Task(Box::new(code)))?;
            return self.finish_sync(task, instance);
        }
        self.run_on_stack(instance, || self.run_code(&code))
    }

    /// Runs core code that cannot block, likewise.
    pub(in crate::runtime) fn run_on_stack(
        &self,
        instance: InstanceId,
        run: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let activation = Activation::of_instance(instance);
        let done = self.activate(&activation, run).and_then(|()| {
            self.activation_returned(&activation)?;
            self.activation_done(&activation)
        });
        done.inspect_err(|error| self.end_instance(instance, error))
    }

    /// The body of the implicit thread of a task that is no call of a component function.
    pub(super) fn run_task(&self, thread: ThreadId, code: &Code) -> Result<()> {
        self.run_code(code)?;
        let mut tasks = self.tasks.borrow_mut();
        let (task, _) = tasks.thread_scope(thread)?;
        tasks.task_return(task)?;
        tasks.exit_implicit_thread(task, thread)?;
        Ok(())
    }

    /// The body of a thread that a guest made.
    pub(super) fn run_fresh(&self, thread: ThreadId, code: &Code) -> Result<()> {
        self.run_code(code)?;
        let _: ThreadExit<Runtime> = self.tasks.borrow_mut().unregister_thread(thread)?;
        Ok(())
    }

    fn run_code(&self, code: &Code) -> Result<()> {
        match code {
            Code::Start(instance) => self.start(*instance),
            Code::Call(callable, argument) => self.call(callable, &mut [*argument]),
        }
    }

    /// The body of a task's implicit thread: starts it, calls the core function, and follows its callback.
    pub(super) fn run_callee(&self, task: TaskId, thread: ThreadId, func: &LiftedFunc) -> Result<()> {
        let mut args = FlatSink::new();
        if !self.start_task(task, func, &mut args)? {
            return Ok(());
        }
        let flat = self.call_core(func, args.values())?;
        if !func.is_async {
            self.resolve_task(task, func, flat.as_slice())?;
            self.post_return(func, flat)?;
            return self.exit(task, thread);
        }
        match (&func.callback, flat) {
            (Some(_), Some(packed)) => self.follow_callback(task, thread, func, packed as u32),
            _ => self.exit(task, thread),
        }
    }

    /// Delivers an event to a thread's callback.
    pub(super) fn run_callback(
        &self,
        task: TaskId,
        thread: ThreadId,
        func: &LiftedFunc,
        event: Event,
    ) -> Result<()> {
        let packed = self.call_callback(func, event)?;
        self.follow_callback(task, thread, func, packed)
    }

    pub(super) fn follow_callback(
        &self,
        task: TaskId,
        thread: ThreadId,
        func: &LiftedFunc,
        mut packed: u32,
    ) -> Result<()> {
        loop {
            let code = CallbackCode::unpack(packed)?;
            if code == CallbackCode::Exit {
                return self.exit(task, thread);
            }
            // What the event loop would do next can be done right here.
            let goes_on = self.turn.goes_on(thread);
            let event = {
                let mut tasks = self.tasks.borrow_mut();
                let at_once = match goes_on {
                    true => tasks.take_event_at_once(thread, code)?,
                    false => None,
                };
                match at_once {
                    Some(event) => event,
                    None => match tasks.callback_returned(thread, packed)? {
                        CallbackStep::Exit => return self.exit(task, thread),
                        CallbackStep::Call(event) => event,
                        CallbackStep::Wait if goes_on && tasks.resume_if_next(thread) => {
                            tasks.take_callback_event(thread)?
                        }
                        CallbackStep::Wait => {
                            *tasks.thread_mut(thread)? = ThreadData::Callback;
                            return Ok(());
                        }
                    },
                }
            };
            packed = self.call_callback(func, event)?;
        }
    }

    fn call_callback(&self, func: &LiftedFunc, event: Event) -> Result<u32> {
        let Some(callback) = &func.callback else {
            return Err(Error::usage("an event for a function without a callback"));
        };
        let mut values =
            [RawVal::from_u32(event.code as u32), RawVal::from_u32(event.p1), RawVal::from_u32(event.p2)];
        self.call(callback, &mut values)?;
        Ok(values[0].u32())
    }

    pub(super) fn exit(&self, task: TaskId, thread: ThreadId) -> Result<()> {
        let exit = self.tasks.borrow_mut().exit_implicit_thread(task, thread);
        exit.map(drop).map_err(Error::from)
    }

    /// `Task.start`: takes the arguments to the callee, as its core function takes them. Returns whether it starts: it does
    /// not if its caller is gone or was at fault.
    fn start_task(&self, task: TaskId, func: &LiftedFunc, args: &mut FlatSink) -> Result<bool> {
        let mut caller = self.tasks.borrow_mut().task_start(task)?.take_caller();
        match &mut caller {
            Caller::Nobody => return Ok(true),
            Caller::Host(host) => {
                if let Err(error) = host.start(self, func, task, args) {
                    host.fail(self, error.clone());
                    // What is not a trap is a mistake of the host's, and of no guest's.
                    if error.trap().is_some() {
                        return Err(error);
                    }
                    self.tasks.borrow_mut().abandon_task(task)?;
                    return Ok(false);
                }
            }
            Caller::Guest(subtask) => {
                let subtask = *subtask;
                let call = {
                    let mut tasks = self.tasks.borrow_mut();
                    let started = tasks.subtask_started(subtask);
                    started.and_then(|()| tasks.subtask(subtask)).map(|d| (d.lowered.clone(), d.args.clone()))
                };
                let Ok((lowered, lifted)) = call else {
                    self.tasks.borrow_mut().abandon_task(task)?;
                    return Ok(false);
                };
                let scope = Scope::Subtask(subtask);
                match self.translate_params(&lowered, func, &lifted, scope, Some(task).into()) {
                    Ok(lowered) => *args = lowered,
                    Err(Fault { error, instance }) if instance == func.guest.instance => return Err(error),
                    Err(Fault { error, instance }) => {
                        self.end_instance(instance, &error);
                        self.tasks.borrow_mut().abandon_task(task)?;
                        return Ok(false);
                    }
                }
            }
        }
        let mut tasks = self.tasks.borrow_mut();
        let gone = match tasks.task_mut(task) {
            Ok(data) => {
                data.caller = caller;
                return Ok(true);
            }
            Err(trap) => trap,
        };
        drop(tasks);
        match caller {
            Caller::Host(mut host) => {
                let error = func.guest.island.error().unwrap_or(gone.into());
                host.fail(self, error.clone());
                Err(error)
            }
            _ => Err(gone.into()),
        }
    }

    /// `Task.return_` with the flat results of the callee.
    pub(super) fn resolve_task(&self, task: TaskId, func: &LiftedFunc, flat: &[u64]) -> Result<()> {
        let caller = self.tasks.borrow_mut().task_return(task)?.take_caller();
        match caller {
            Caller::Nobody => Ok(()),
            Caller::Host(mut host) => match host.resolve(self, func, Some(flat)) {
                Ok(()) => Ok(()),
                Err(error) => {
                    // It hears of the error once that has gone through the guest.
                    self.tasks.borrow_mut().task_mut(task)?.caller = Caller::Host(host);
                    Err(error)
                }
            },
            Caller::Guest(subtask) => {
                let call = {
                    let tasks = self.tasks.borrow();
                    tasks.subtask(subtask).map(|data| (data.lowered.clone(), data.value))
                };
                // A caller that is gone does not mind.
                let Ok((lowered, out)) = call else { return Ok(()) };
                match self.translate_result(&lowered, func, flat, lowered.has_out_pointer.then_some(out)) {
                    Ok(result) => {
                        let mut tasks = self.tasks.borrow_mut();
                        let Ok(data) = tasks.subtask_mut(subtask) else { return Ok(()) };
                        data.value = result;
                        Ok(tasks.subtask_resolve(subtask, SubtaskState::Returned)?)
                    }
                    Err(Fault { error, instance }) if instance == func.guest.instance => Err(error),
                    Err(Fault { error, instance }) => {
                        self.end_instance(instance, &error);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Tells the caller that the task was cancelled.
    pub(super) fn resolve_cancelled(&self, func: &LiftedFunc, caller: Caller) -> Result<()> {
        match caller {
            Caller::Nobody => Ok(()),
            Caller::Host(mut host) => host.resolve(self, func, None),
            Caller::Guest(subtask) => {
                let mut tasks = self.tasks.borrow_mut();
                let state = match tasks.subtask_state(subtask) {
                    Ok(SubtaskState::Starting) => SubtaskState::CancelledBeforeStarted,
                    Ok(_) => SubtaskState::CancelledBeforeReturned,
                    // The caller is gone.
                    Err(_) => return Ok(()),
                };
                Ok(tasks.subtask_resolve(subtask, state)?)
            }
        }
    }

    fn translate_params(
        &self,
        lowered: &LoweredFunc,
        func: &LiftedFunc,
        args: &[u64],
        scope: Scope<'_>,
        borrower: Borrower<'_>,
    ) -> Result<FlatSink, Fault> {
        let mut bridge = GuestBridge::new(lowered.guest.lift(self, scope), func.guest.lower(self, borrower));
        let (from, to) = (&lowered.guest.env.types, &func.guest.env.types);
        let sink = translate_flat(
            &mut bridge,
            Signature { types: from, list: lowered.sig.params(), max_flat: lowered.max_flat_params() },
            args,
            Signature { types: to, list: func.sig.params(), max_flat: MAX_FLAT_PARAMS },
            None,
        );
        sink.map_err(|error| bridge.at_fault(error, lowered.guest.instance))
    }

    /// The flat result for the caller, of which there is one at most, or 0.
    pub(super) fn translate_result(
        &self,
        lowered: &LoweredFunc,
        func: &LiftedFunc,
        flat: &[u64],
        out: Option<u64>,
    ) -> Result<u64, Fault> {
        let mut bridge =
            GuestBridge::new(func.guest.lift(self, Scope::None), lowered.guest.lower(self, None));
        let (from, to) = (&func.guest.env.types, &lowered.guest.env.types);
        let from_max = if func.is_async { MAX_FLAT_PARAMS } else { MAX_FLAT_RESULTS };
        let sink = translate_flat(
            &mut bridge,
            Signature { types: from, list: func.sig.result(), max_flat: from_max },
            flat,
            Signature { types: to, list: lowered.sig.result(), max_flat: lowered.max_flat_results() },
            out,
        );
        match sink {
            Ok(sink) => Ok(sink.values().first().copied().unwrap_or(0)),
            Err(error) => Err(bridge.at_fault(error, lowered.guest.instance)),
        }
    }

    /// Removes the task of a call that was cut off, if its callee goes on. (Else it is gone.)
    fn abandon(&self, activation: &Activation<'_>) {
        let Some(thread) = activation.thread() else { return };
        let mut tasks = self.tasks.borrow_mut();
        if let Ok((task, _)) = tasks.thread_scope(thread) {
            let _ = tasks.abandon_task(task);
        }
    }

    /// Calls a lifted function's core function with flat arguments. It has one result at most.
    fn call_core(&self, func: &LiftedFunc, args: &[u64]) -> Result<Option<u64>> {
        func.guest.check_alive()?;
        let mut values = [RawVal::default(); MAX_FLAT_PARAMS];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = RawVal::from_u64(*arg);
        }
        self.call(&func.core, &mut values)?;
        Ok(func.core_result(&values))
    }

    pub(super) fn post_return(&self, func: &LiftedFunc, flat: Option<u64>) -> Result<()> {
        let Some(post_return) = &func.post_return else { return Ok(()) };
        func.guest.check_alive()?;
        let mut values = [RawVal::from_u64(flat.unwrap_or(0))];
        func.guest.without_leaving(|| self.call(post_return, &mut values))
    }
}

/// The component function that a task is a call of.
pub(super) fn func_of(tasks: &Store<Runtime>, task: TaskId) -> Result<Arc<LiftedFunc>> {
    let func = tasks.task(task)?.func.clone();
    func.ok_or_else(|| Error::usage("a start function has no component function"))
}
