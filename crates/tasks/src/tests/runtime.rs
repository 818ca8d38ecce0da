//! A runtime in miniature on top of the state machine: `canon lift`, `canon lower` and all built-ins, with
//! guests that do as a stream of numbers says.
//!
//! It serves two tests. `properties.rs` lets it run at random and checks the invariants after every step.
//! `reference.rs` has it keep a trace, which the specification's own definitions must be able to follow.

use super::support::{Elements, Type, elements};
use crate::handle_table::Handle;
use crate::waitable::{Waitable, WaitableId};
use crate::*;

/// How many instances there are. The first implements the resource type.
pub(super) const INSTANCES: usize = 3;
const RESOURCE: u8 = 7;

pub(super) struct Runtime;

impl Embedder for Runtime {
    type Task = usize;
    type Thread = Guest;
    type Subtask = usize;
    type Instance = usize;
    type Buffer = Elements;
    type Element = Type;
    type Resource = u8;
    type ErrorContext = ();
}

/// A guest thread: which it is, and what it does when it is resumed.
pub(super) struct Guest {
    number: usize,
    /// The call whose implicit thread this is; `None` for an explicit thread.
    call: Option<usize>,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Run,
    Enter,
    SetWait(SetId),
    Builtin,
    Copy(EndId),
    SubtaskCancel(SubtaskId),
    Call(usize),
    Callback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lift {
    /// A sync-typed function.
    Sync,
    /// An async-typed function, lifted synchronously.
    AsyncTyped,
    Callback,
    Stackful,
}

#[derive(Clone, Copy, Debug)]
enum Param {
    None,
    Own(u32),
    Borrow(u32),
    /// A readable end: of a stream or of a future.
    End(u32, EndKind, Type),
    /// A readable end of the host's.
    HostEnd(EndId),
}

struct Call {
    caller: Option<(ThreadId, InstanceId, SubtaskId)>,
    is_async: bool,
    lift: Lift,
    inst: InstanceId,
    task: TaskId,
    param: Param,
    cancelled: bool,
}

/// Why a thread was resumed, and so what goes on when it leaves the stack.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Tick,
    Lift(usize),
    Cancel(Option<(SubtaskId, bool)>),
}

pub(super) struct World {
    pub(super) store: Store<Runtime>,
    pub(super) trace: Vec<String>,
    insts: Vec<InstanceId>,
    calls: Vec<Call>,
    stack: Vec<(ThreadId, Cause)>,
    threads: usize,
    host_ends: Vec<EndId>,
    /// All that the host ever owned, for the trace.
    host_names: Vec<EndId>,
    choices: Vec<u32>,
    at: usize,
    /// How seldom guests do what traps.
    caution: usize,
    beyond_reference: bool,
}

type Step = Result<(), Trap>;

impl World {
    /// `beyond_reference` allows what the reference definitions have no name for: removing instances, and
    /// work of the host in the background.
    pub(super) fn new(choices: Vec<u32>, limits: Limits, beyond_reference: bool) -> Self {
        let mut store = Store::new();
        let insts = (0..INSTANCES).map(|n| store.new_instance(n, limits).unwrap()).collect();
        World {
            store,
            trace: Vec::new(),
            insts,
            calls: Vec::new(),
            stack: Vec::new(),
            threads: 0,
            host_ends: Vec::new(),
            host_names: Vec::new(),
            choices,
            at: 0,
            caution: 1,
            beyond_reference,
        }
    }

    /// Runs until the choices are used up or something traps; checks the invariants after each step.
    pub(super) fn run(&mut self) -> Step {
        self.caution = [10, 100, 1000][self.pick(3)];
        while self.at < self.choices.len() {
            let step = match self.stack.last() {
                Some((thread, _)) => self.guest_step(*thread),
                None => self.host_step(),
            };
            self.store.check_invariants();
            if let Err(trap) = step {
                assert!(!matches!(trap, Trap::Gone(_) | Trap::Misuse(_)), "the runtime is at fault: {trap}");
                self.log(format!("trap {trap}"));
                return Err(trap);
            }
        }
        Ok(())
    }

    /// Ends all instances and drops the host's ends: nothing may remain.
    pub(super) fn tear_down(mut self) {
        self.stack.clear();
        for inst in std::mem::take(&mut self.insts) {
            self.store.remove_instance(inst).unwrap();
            self.store.check_invariants();
        }
        for end in std::mem::take(&mut self.host_names) {
            if self.store.end_state(end).is_ok() {
                let _ = self.store.end_direct(end, 0);
                self.store.drop_end(end).unwrap();
                self.store.check_invariants();
            }
        }
        assert_eq!(self.store.census(), Census::default());
        assert!(self.store.next_ready().is_none());
        assert!(self.store.next_host_notification().is_none());
    }

    fn log(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }

    fn pick(&mut self, of: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        choice as usize % of.max(1)
    }

    fn number(&self, thread: ThreadId) -> usize {
        self.store.thread(thread).unwrap().number
    }

    fn name(&self, inst: InstanceId) -> usize {
        self.store.instance(inst).unwrap().data
    }

    // What the host does.

    fn host_step(&mut self) -> Step {
        while let Some(notification) = self.store.next_host_notification() {
            if let Some(delivered) = notification.delivered {
                let name = self.host_name(notification.end);
                let CopyEvent { result, progress, .. } = delivered.event;
                self.log(format!("hevent {name} {} {progress}", result as u32));
            }
        }
        if self.insts.is_empty() {
            self.at += 1;
            return Ok(());
        }
        match self.pick(16) {
            0..=3 => self.host_call(),
            4..=9 => self.tick(),
            10 => self.host_cancel(),
            11 => self.host_new(),
            12 | 13 => self.host_copy(),
            14 => self.host_drop(),
            _ if self.beyond_reference => match self.pick(3) {
                0 => self.host_direct(),
                1 if self.pick(4) == 0 => self.remove_instance(),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn host_call(&mut self) -> Step {
        let target = self.pick(self.insts.len());
        let inst = self.insts[target];
        let lift = self.pick_lift();
        let param = match self.pick(3) {
            0 => Param::Own(100 + self.pick(5) as u32),
            1 => {
                let idle = |end: &EndId| {
                    self.store.end_type(*end).unwrap().0.is_readable()
                        && self.store.end_state(*end) == Ok(EndState::Idle)
                        && !self.is_direct(*end)
                };
                match self.host_ends.iter().copied().find(idle) {
                    Some(end) => Param::HostEnd(end),
                    None => Param::None,
                }
            }
            _ => Param::None,
        };
        if let Param::HostEnd(end) = param {
            self.host_ends.retain(|other| *other != end);
        }
        let text = self.param_text(param);
        let name = self.name(inst);
        self.log(format!("hcall {name} {lift:?} {text}"));
        self.call(None, inst, lift, false, param)
    }

    fn tick(&mut self) -> Step {
        match self.store.next_ready() {
            Some(thread) => {
                let number = self.number(thread);
                self.log("tick");
                self.log(format!("choose {number}"));
                self.resume(thread, Cause::Tick)
            }
            None => {
                self.log("tick");
                Ok(())
            }
        }
    }

    fn host_cancel(&mut self) -> Step {
        let open = |call: &&mut Call| call.caller.is_none() && !call.cancelled && call.lift != Lift::Sync;
        let store = &self.store;
        let mut calls = self.calls.iter_mut().enumerate().filter(|(_, call)| open(&call));
        let found = calls.find(|(_, call)| store.task_state(call.task) != TaskState::Resolved);
        let Some((number, call)) = found else { return Ok(()) };
        call.cancelled = true;
        let task = call.task;
        self.log(format!("hcancel {number}"));
        self.request_cancellation(task, None)
    }

    fn host_new(&mut self) -> Step {
        let (stream, element) = (self.pick(2) == 0, self.pick_type());
        let (reader, writer) = match stream {
            true => self.store.stream_new(None, element)?,
            false => self.store.future_new(None, element)?,
        };
        self.host_ends.extend([reader, writer]);
        self.host_names.extend([reader, writer]);
        self.log(format!("hnew {} {element:?}", if stream { "stream" } else { "future" }));
        Ok(())
    }

    fn host_copy(&mut self) -> Step {
        let Some(end) = self.pick_host_end() else { return Ok(()) };
        if self.store.end_state(end)? != EndState::Idle || self.is_direct(end) {
            if self.store.end_state(end)? == EndState::Copying {
                let name = self.host_name(end);
                self.log(format!("hcancelcopy {name}"));
                match self.store.cancel(end)? {
                    CancelStep::Done(delivered) => self.host_done(end, delivered),
                    CancelStep::Blocked => assert!(self.is_direct(self.store.other_end(end)?.unwrap())),
                }
            }
            return Ok(());
        }
        let stream = self.store.end_type(end)?.0.is_stream();
        let name = self.host_name(end);
        let peer = self.store.peer_remain(end)?;
        if let Some(remain) = peer
            && self.pick(2) == 0
        {
            let count = self.pick(remain as usize + 1) as u32;
            if self.same_host(end) || (count == 0 && remain > 0) {
                return Ok(());
            }
            self.log(format!("hadvance {name} {count}"));
            assert_eq!(self.store.peer_buffer_mut(end)?.unwrap().remain(), remain);
            return self.store.advance_peer(end, count);
        }
        let length = if stream { self.pick(4) as u32 } else { 1 };
        self.log(format!("hcopy {name} {length}"));
        let step = self.store.copy(end, elements(length))?;
        if let CopyStep::Done(delivered) = self.transfer(step)? {
            self.host_done(end, delivered);
        }
        Ok(())
    }

    fn host_done(&mut self, end: EndId, delivered: Delivered<Runtime>) {
        let name = self.host_name(end);
        let CopyEvent { result, progress, .. } = delivered.event;
        self.log(format!("hevent {name} {} {progress}", result as u32));
    }

    fn host_drop(&mut self) -> Step {
        let Some(end) = self.pick_host_end() else { return Ok(()) };
        if matches!(self.store.end_state(end)?, EndState::Idle | EndState::Done) && !self.is_direct(end) {
            let name = self.host_name(end);
            self.log(format!("hdrop {name}"));
            self.host_ends.retain(|other| *other != end);
            self.store.drop_end(end)?;
        }
        Ok(())
    }

    fn host_direct(&mut self) -> Step {
        let Some(end) = self.pick_host_end() else { return Ok(()) };
        if self.is_direct(end) {
            let remain = self.store.peer_remain(end)?.unwrap_or(0);
            let count = self.pick(remain as usize + 1) as u32;
            self.store.end_direct(end, count)
        } else {
            match self.store.begin_direct(end) {
                Ok(()) | Err(Trap::Misuse(_)) => Ok(()),
                Err(trap) => Err(trap),
            }
        }
    }

    fn remove_instance(&mut self) -> Step {
        let at = self.pick(self.insts.len());
        let inst = self.insts.remove(at);
        let removed = self.store.remove_instance(inst)?;
        self.store.check_invariants();
        let mut orphans = Vec::new();
        for (_, call) in removed.subtasks {
            self.calls[call].caller = None;
            self.calls[call].cancelled = true;
            orphans.push(self.calls[call].task);
        }
        for (_, call) in removed.tasks {
            if let Some((_, _, subtask)) = self.calls[call].caller {
                let state = match self.store.subtask_state(subtask) {
                    Ok(SubtaskState::Starting) => SubtaskState::CancelledBeforeStarted,
                    Ok(SubtaskState::Started) => SubtaskState::CancelledBeforeReturned,
                    _ => continue,
                };
                self.store.subtask_resolve(subtask, state)?;
            }
        }
        // Calls that have not started never will: their arguments are gone.
        for task in orphans {
            if self.store.task_state(task) == TaskState::Initial {
                self.request_cancellation(task, None)?;
            }
        }
        Ok(())
    }

    fn pick_host_end(&mut self) -> Option<EndId> {
        let at = self.pick(self.host_ends.len());
        self.host_ends.get(at).copied()
    }

    fn host_name(&self, end: EndId) -> usize {
        self.host_names.iter().position(|other| *other == end).unwrap()
    }

    fn is_direct(&self, end: EndId) -> bool {
        self.store.ends.get(end).unwrap().direct
    }

    /// Whether both ends are the host's.
    fn same_host(&self, end: EndId) -> bool {
        let other = self.store.other_end(end).unwrap();
        other.is_some_and(|other| self.store.end_owner(other) == Ok(None))
    }

    // canon lift and canon lower.

    fn call(
        &mut self,
        caller: Option<ThreadId>,
        inst: InstanceId,
        lift: Lift,
        is_async: bool,
        param: Param,
    ) -> Step {
        let number = self.calls.len();
        let caller = match caller {
            Some(thread) => {
                let (_, from) = self.store.thread_scope(thread)?;
                Some((thread, from, self.store.new_subtask(from, number)?))
            }
            None => None,
        };
        let exclusive = matches!(lift, Lift::AsyncTyped | Lift::Callback);
        let task = self.store.new_task(inst, lift != Lift::Sync, exclusive, number)?;
        self.calls.push(Call { caller, is_async, lift, inst, task, param, cancelled: false });
        let guest = Guest { number: self.threads, call: Some(number), next: Next::Enter };
        self.threads += 1;
        let thread = self.store.new_thread(task, guest)?;
        match self.store.enter_implicit_thread(task, thread)? {
            Enter::Entered => {
                self.stack.push((thread, Cause::Lift(number)));
                self.start(thread, number)
            }
            Enter::MustWait => self.after_lift(number),
        }
    }

    /// The implicit thread has entered: pass the arguments.
    fn start(&mut self, thread: ThreadId, number: usize) -> Step {
        let Call { caller, inst, task, param, .. } = self.calls[number];
        self.store.task_start(task)?;
        if let Some((_, _, subtask)) = caller {
            self.store.subtask_started(subtask)?;
        }
        let from = caller.map(|(_, from, subtask)| (from, subtask));
        let argument = match (param, from) {
            (Param::None, _) => 0,
            (Param::Own(rep), None) => self.store.lower_own(inst, RESOURCE, rep)?,
            (Param::Own(index), Some((from, _))) => {
                let rep = self.store.lift_own(from, RESOURCE, index)?;
                self.store.lower_own(inst, RESOURCE, rep)?
            }
            (Param::Borrow(_), None) => unreachable!("the host lends nothing"),
            (Param::Borrow(index), Some((from, subtask))) => {
                let rep = self.store.lift_borrow(from, RESOURCE, index, subtask)?;
                if self.name(inst) == 0 { rep } else { self.store.lower_borrow(inst, RESOURCE, rep, task)? }
            }
            (Param::End(index, kind, element), Some((from, _))) => {
                let end = self.store.lift_readable(from, index, kind, &element)?;
                self.store.lower_readable(inst, end).inspect_err(|_| self.host_names.push(end))?
            }
            (Param::HostEnd(end), None) => self.store.lower_readable(inst, end)?,
            (Param::End(..), None) | (Param::HostEnd(_), Some(_)) => unreachable!(),
        };
        self.store.thread_mut(thread)?.next = Next::Run;
        self.log(format!("begin {argument}"));
        Ok(())
    }

    /// The implicit thread has left the stack for the first time, or a thread of a sync-typed call's instance.
    fn after_lift(&mut self, number: usize) -> Step {
        let Call { caller, is_async, lift, inst, task, .. } = self.calls[number];
        if lift == Lift::Sync && self.store.task_state(task) != TaskState::Resolved {
            let Some(thread) = self.store.next_ready_in(inst) else { return Err(Trap::CannotBlock) };
            let chosen = self.number(thread);
            self.log(format!("choose {chosen}"));
            return self.resume(thread, Cause::Lift(number));
        }
        let Some((thread, from, subtask)) = caller else { return Ok(()) };
        if self.store.subtask_state(subtask)?.resolved() {
            let (state, _) = self.store.finish_subtask(subtask)?;
            self.log(if is_async { format!("= {}", state as u32) } else { "=".into() });
            return Ok(());
        }
        if is_async {
            let index = self.store.add_to_table(from, subtask)?;
            let state = self.store.subtask_state(subtask)?;
            self.log(format!("= {}", state as u32 | index << 4));
            return Ok(());
        }
        self.store.start_waiting(thread, WaitFor::SubtaskResolved(subtask))?;
        self.block(Next::Call(number))
    }

    fn resolve(&mut self, number: usize, returned: bool) -> Step {
        let Some((_, _, subtask)) = self.calls[number].caller else { return Ok(()) };
        let state = match self.store.subtask_state(subtask)? {
            _ if returned => SubtaskState::Returned,
            SubtaskState::Starting => SubtaskState::CancelledBeforeStarted,
            _ => SubtaskState::CancelledBeforeReturned,
        };
        self.store.subtask_resolve(subtask, state)
    }

    fn request_cancellation(&mut self, task: TaskId, subtask: Option<(SubtaskId, bool)>) -> Step {
        match self.store.request_cancellation(task) {
            CancelOutcome::NotStarted(thread) => self.resume(thread, Cause::Cancel(subtask)),
            CancelOutcome::Resume(thread) => {
                let chosen = self.number(thread);
                self.log(format!("choose {chosen}"));
                self.resume(thread, Cause::Cancel(subtask))
            }
            CancelOutcome::Pending => self.after_cancel(subtask),
            CancelOutcome::Resolved => Err(Trap::Misuse("an unresolved subtask's task has resolved")),
        }
    }

    fn after_cancel(&mut self, subtask: Option<(SubtaskId, bool)>) -> Step {
        let Some((subtask, is_async)) = subtask else { return Ok(()) };
        match self.store.finish_subtask_cancel(subtask, is_async)? {
            Some(state) => self.log(format!("= {}", state as u32)),
            None if is_async => self.log("= 4294967295"),
            None => {
                let (thread, _) = *self.stack.last().unwrap();
                self.store.start_waiting(thread, WaitFor::SubtaskResolved(subtask))?;
                return self.block(Next::SubtaskCancel(subtask));
            }
        }
        Ok(())
    }

    // Switching between threads.

    /// Continues a thread that the state machine has marked running, on top of the stack.
    fn resume(&mut self, thread: ThreadId, cause: Cause) -> Step {
        self.stack.push((thread, cause));
        self.go_on(thread)
    }

    /// The current thread waits: whoever resumed it goes on.
    fn block(&mut self, next: Next) -> Step {
        let (thread, _) = *self.stack.last().unwrap();
        self.store.thread_mut(thread)?.next = next;
        self.leave()
    }

    fn leave(&mut self) -> Step {
        let (_, cause) = self.stack.pop().unwrap();
        match cause {
            Cause::Tick => Ok(()),
            Cause::Lift(number) => self.after_lift(number),
            Cause::Cancel(subtask) => self.after_cancel(subtask),
        }
    }

    /// The current thread waits and another takes its place on the stack.
    fn switch(&mut self, other: ThreadId) -> Step {
        let top = self.stack.last_mut().unwrap();
        let thread = std::mem::replace(&mut top.0, other);
        self.store.thread_mut(thread)?.next = Next::Builtin;
        self.go_on(other)
    }

    fn go_on(&mut self, thread: ThreadId) -> Step {
        let guest = self.store.thread_mut(thread)?;
        let call = guest.call;
        match std::mem::replace(&mut guest.next, Next::Run) {
            Next::Run => Ok(()),
            Next::Enter => {
                let number = call.unwrap();
                let task = self.calls[number].task;
                match self.store.finish_entering(task, thread)? {
                    Entering::Entered => self.start(thread, number),
                    Entering::Cancelled(exit) => {
                        assert_eq!(exit.task, Some(number));
                        self.resolve(number, false)?;
                        self.leave()
                    }
                }
            }
            Next::SetWait(set) => {
                let event = self.store.take_event(set)?.unwrap();
                self.event(event);
                Ok(())
            }
            Next::Builtin => {
                self.log("= 0");
                Ok(())
            }
            Next::Copy(end) => {
                let delivered = self.store.take_end_event(end)?.unwrap();
                self.log(format!("= {}", delivered.event.payload()));
                Ok(())
            }
            Next::SubtaskCancel(subtask) => {
                let state = self.store.finish_subtask_cancel(subtask, false)?.unwrap();
                self.log(format!("= {}", state as u32));
                Ok(())
            }
            Next::Call(number) => {
                let (_, _, subtask) = self.calls[number].caller.unwrap();
                self.store.finish_subtask(subtask)?;
                self.log("=");
                Ok(())
            }
            Next::Callback => {
                let event = self.store.take_callback_event(thread)?;
                self.callback(event);
                Ok(())
            }
        }
    }

    fn event(&mut self, Event { code, p1, p2 }: Event) {
        self.log(format!("deliver {p1}"));
        self.log(format!("= {} {p1} {p2}", code as u32));
    }

    fn callback(&mut self, Event { code, p1, p2 }: Event) {
        if p1 != 0 {
            self.log(format!("deliver {p1}"));
        }
        self.log(format!("callback {} {p1} {p2}", code as u32));
    }

    // What guests do.

    fn guest_step(&mut self, thread: ThreadId) -> Step {
        let (task, inst) = self.store.thread_scope(thread)?;
        match self.pick(40) {
            0..=5 => self.return_(thread, task),
            6..=10 => self.guest_call(thread, inst),
            11 | 12 => self.resolve_task(thread, task),
            13 | 14 => self.resources(inst),
            15 | 16 => self.sets(thread, inst),
            17..=19 => self.join(inst),
            20 | 21 => self.subtasks(inst),
            22 => self.new_ends(inst),
            23..=28 => self.copy(thread, inst),
            29 => self.cancel_copy(thread, inst),
            30 => self.drop_end(inst),
            31 => self.forward(inst),
            32 => self.hand_over(inst),
            33 => self.backpressure(inst),
            34 => self.error_context(inst),
            _ => self.threads(thread, task, inst),
        }
    }

    /// The guest's core function (or callback) returns.
    fn return_(&mut self, thread: ThreadId, task: TaskId) -> Step {
        let Some(number) = self.store.thread(thread)?.call else {
            let last = self.store.tasks.get(task)?.threads.len() == 1;
            if self.unlikely_trap(last && self.store.task_state(task) != TaskState::Resolved) {
                return Ok(());
            }
            self.log("ret");
            self.store.unregister_thread(thread)?;
            return self.leave();
        };
        match self.calls[number].lift {
            Lift::Sync | Lift::AsyncTyped => {
                if self.unlikely_trap(self.holds_borrows(task)) {
                    return Ok(());
                }
                self.log("ret");
                self.store.task_return(task)?;
                self.resolve(number, true)?;
            }
            Lift::Stackful => {
                if self.unlikely_trap(self.store.task_state(task) != TaskState::Resolved) {
                    return Ok(());
                }
                self.log("ret");
            }
            Lift::Callback => {
                let (_, inst) = self.store.thread_scope(thread)?;
                let set = self.pick_handle(inst, &[HandleKind::WaitableSet], Self::has_members);
                let code = match (self.pick(4), set) {
                    (0, _) => 1,
                    (1 | 2, Some(_)) => 2,
                    _ if self.unlikely_trap(self.store.task_state(task) != TaskState::Resolved) => 1,
                    _ => 0,
                };
                if code != 0 && self.unlikely_trap(!self.can_block()) {
                    return Ok(());
                }
                if code != 0 {
                    let set = if code == 2 { set.unwrap_or(0) } else { 0 };
                    return self.event_loop(thread, task, inst, code, set);
                }
                self.log("ret 0");
            }
        }
        let exit = self.store.exit_implicit_thread(task, thread)?;
        assert!(exit.task.is_none_or(|call| call == number));
        self.leave()
    }

    fn event_loop(&mut self, thread: ThreadId, task: TaskId, inst: InstanceId, code: u32, set: u32) -> Step {
        self.log(format!("ret {}", code | set << 4));
        if self.store.deliver_pending_cancel(task)? {
            self.callback(Event::TASK_CANCELLED);
            return Ok(());
        }
        let wait_for = match code {
            1 => WaitFor::CallbackYield,
            _ => WaitFor::CallbackSet(self.store.set_handle(inst, set)?),
        };
        self.store.start_waiting(thread, wait_for)?;
        self.block(Next::Callback)
    }

    fn guest_call(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        if self.stack.len() > 12 {
            return Ok(());
        }
        let target = self.pick(self.insts.len());
        let target = self.insts[target];
        let lift = self.pick_lift();
        let is_async = lift != Lift::Sync && (self.pick(3) > 0 || self.unlikely_trap(!self.can_block()));
        let param = match self.pick(5) {
            0 => match self.pick_handle(inst, &[HandleKind::Resource], Self::is_free_own) {
                Some(index) => Param::Own(index),
                None => Param::None,
            },
            1 | 2 => match self.pick_handle(inst, &[HandleKind::Resource], |_, _, _| true) {
                Some(index) => Param::Borrow(index),
                None => Param::None,
            },
            3 => {
                let readable = &[HandleKind::StreamReadable, HandleKind::FutureReadable];
                match self.pick_handle(inst, readable, Self::is_idle_outside_sets) {
                    Some(index) => {
                        let (kind, element) = self.end_type(inst, index);
                        let kind = if kind.is_readable() { kind } else { EndKind::StreamReadable };
                        Param::End(index, kind, element)
                    }
                    None => Param::None,
                }
            }
            _ => Param::None,
        };
        let text = self.param_text(param);
        let name = self.name(target);
        self.log(format!("call {name} {lift:?} {} {text}", u32::from(is_async)));
        self.call(Some(thread), target, lift, is_async, param)
    }

    fn resolve_task(&mut self, _: ThreadId, task: TaskId) -> Step {
        let state = self.store.task_state(task);
        let number = *self.store.task(task)?;
        if !matches!(self.calls[number].lift, Lift::Callback | Lift::Stackful) {
            return Ok(());
        }
        if self.pick(3) == 0 && !self.unlikely_trap(state != TaskState::CancelDelivered) {
            self.log("task.cancel");
            self.store.task_cancel(task)?;
            self.resolve(number, false)?;
        } else if !self.unlikely_trap(state == TaskState::Resolved || self.holds_borrows(task)) {
            self.log("task.return");
            self.store.task_return(task)?;
            self.resolve(number, true)?;
        } else {
            return Ok(());
        }
        self.log("=");
        Ok(())
    }

    fn resources(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 && self.name(inst) == 0 {
            let rep = self.pick(90) as u32;
            self.log(format!("resource.new {rep}"));
            let index = self.store.resource_new(inst, RESOURCE, rep)?;
            self.log(format!("= {index}"));
            return Ok(());
        }
        let Some(index) = self.pick_handle(inst, &[HandleKind::Resource], Self::is_unlent) else {
            return Ok(());
        };
        if self.pick(2) == 0 {
            self.log(format!("resource.rep {index}"));
            let rep = self.store.resource_rep(inst, RESOURCE, index)?;
            self.log(format!("= {rep}"));
        } else {
            self.log(format!("resource.drop {index}"));
            self.store.resource_drop(inst, RESOURCE, index)?;
            self.log("=");
        }
        Ok(())
    }

    fn sets(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        let any = self.pick_handle(inst, &[HandleKind::WaitableSet], Self::has_members);
        match (self.pick(6), any) {
            (0 | 1, Some(index)) => {
                if self.unlikely_trap(!self.can_block()) {
                    return Ok(());
                }
                self.log(format!("set.wait {index}"));
                let set = self.store.set_handle(inst, index)?;
                self.store.start_waiting(thread, WaitFor::Set(set))?;
                self.block(Next::SetWait(set))
            }
            (2 | 3, Some(index)) => {
                self.log(format!("set.poll {index}"));
                match self.store.poll(inst, index)? {
                    Some(event) => self.event(event),
                    None => self.log("= 0 0 0"),
                }
                Ok(())
            }
            (4, _) => {
                let Some(index) = self.pick_handle(inst, &[HandleKind::WaitableSet], Self::is_unused_set)
                else {
                    return Ok(());
                };
                self.log(format!("set.drop {index}"));
                self.store.waitable_set_drop(inst, index)?;
                self.log("=");
                Ok(())
            }
            _ => {
                self.log("set.new");
                let index = self.store.waitable_set_new(inst)?;
                self.log(format!("= {index}"));
                Ok(())
            }
        }
    }

    fn join(&mut self, inst: InstanceId) -> Step {
        let Some(waitable) = self.pick_handle(inst, WAITABLES, Self::has_no_sync_waiter) else {
            return Ok(());
        };
        let set = match self.pick(8) {
            0 => 0,
            _ => match self.pick_handle(inst, &[HandleKind::WaitableSet], |_, _, _| true) {
                Some(set) => set,
                None => return Ok(()),
            },
        };
        self.log(format!("join {waitable} {set}"));
        self.store.waitable_join(inst, waitable, set)?;
        self.log("=");
        Ok(())
    }

    fn subtasks(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 {
            let Some(index) = self.pick_handle(inst, &[HandleKind::Subtask], Self::is_delivered) else {
                return Ok(());
            };
            self.log(format!("subtask.drop {index}"));
            self.store.subtask_drop(inst, index)?;
            self.log("=");
            return Ok(());
        }
        let Some(index) = self.pick_handle(inst, &[HandleKind::Subtask], Self::is_cancellable) else {
            return Ok(());
        };
        let is_async = self.pick(2) == 0 || self.unlikely_trap(!self.can_block());
        self.log(format!("subtask.cancel {} {index}", u32::from(is_async)));
        match self.store.subtask_cancel(inst, index)? {
            SubtaskCancel::Resolved(state) => {
                self.log(format!("= {}", state as u32));
                Ok(())
            }
            SubtaskCancel::Request(subtask) => {
                let number = *self.store.subtask(subtask)?;
                let task = self.calls[number].task;
                self.request_cancellation(task, Some((subtask, is_async)))
            }
        }
    }

    fn new_ends(&mut self, inst: InstanceId) -> Step {
        let (stream, element) = (self.pick(2) == 0, self.pick_type());
        self.log(format!("{}.new {element:?}", if stream { "stream" } else { "future" }));
        let (reader, writer) = match stream {
            true => self.store.stream_new(Some(inst), element)?,
            false => self.store.future_new(Some(inst), element)?,
        };
        let (reader, writer) = (self.store.end_index(reader)?, self.store.end_index(writer)?);
        self.log(format!("= {reader} {writer}"));
        Ok(())
    }

    fn copy(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        let Some(index) = self.pick_handle(inst, ENDS, Self::is_idle) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, index);
        let legal = self.is_idle_outside_sets(inst, index);
        let is_async = self.pick(4) > 0 || self.unlikely_trap(!legal || !self.can_block());
        if self.unlikely_trap(element == Type::Text && self.both_ends_in(inst, index)) {
            return Ok(());
        }
        let length = if kind.is_stream() { self.pick(4) as u32 } else { 1 };
        self.log(format!("copy {kind:?} {element:?} {} {index} {length}", u32::from(is_async)));
        let end = self.store.end_to_copy(inst, index, kind, &element, is_async)?;
        let step = self.store.copy(end, elements(length))?;
        match self.transfer(step)? {
            CopyStep::Done(delivered) => self.log(format!("= {}", delivered.event.payload())),
            _ if is_async => self.log("= 4294967295"),
            _ => {
                self.store.start_waiting(thread, WaitFor::End(end))?;
                return self.block(Next::Copy(end));
            }
        }
        Ok(())
    }

    fn cancel_copy(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        let Some(index) = self.pick_handle(inst, ENDS, Self::is_copying) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, index);
        let in_set = self.waitable(inst, index).is_some_and(|waitable| waitable.set.is_some());
        let is_async = self.pick(2) == 0 || self.unlikely_trap(in_set);
        self.log(format!("copy.cancel {kind:?} {element:?} {} {index}", u32::from(is_async)));
        let end = self.store.end_to_cancel(inst, index, kind, &element, is_async)?;
        match self.store.cancel(end)? {
            CancelStep::Done(delivered) => self.log(format!("= {}", delivered.event.payload())),
            CancelStep::Blocked if is_async => self.log("= 4294967295"),
            CancelStep::Blocked => {
                self.store.start_waiting(thread, WaitFor::End(end))?;
                return self.block(Next::Copy(end));
            }
        }
        Ok(())
    }

    fn drop_end(&mut self, inst: InstanceId) -> Step {
        let Some(index) = self.pick_handle(inst, ENDS, Self::is_droppable) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, index);
        self.log(format!("end.drop {kind:?} {element:?} {index}"));
        self.store.end_drop(inst, index, kind, &element)?;
        self.log("=");
        Ok(())
    }

    fn forward(&mut self, inst: InstanceId) -> Step {
        let readable = &[HandleKind::StreamReadable, HandleKind::FutureReadable];
        let Some(src) = self.pick_handle(inst, readable, Self::is_idle_outside_sets) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, src);
        let stream = kind.is_stream();
        let writable = if stream { HandleKind::StreamWritable } else { HandleKind::FutureWritable };
        let fits = |world: &Self, inst, index| {
            world.is_idle_outside_sets(inst, index) && world.end_type(inst, index).1 == element
        };
        let Some(dst) = self.pick_handle(inst, &[writable], fits) else { return Ok(()) };
        let (readable, writable) = match stream {
            true => (EndKind::StreamReadable, EndKind::StreamWritable),
            false => (EndKind::FutureReadable, EndKind::FutureWritable),
        };
        self.log(format!("forward {} {element:?} {src} {dst}", if stream { "stream" } else { "future" }));
        if let Some(transfer) = self.store.end_forward(inst, (src, readable), (dst, writable), &element)? {
            let step = self.transfer(CopyStep::Transfer(transfer))?;
            assert!(matches!(step, CopyStep::Pending));
        }
        self.log("=");
        Ok(())
    }

    /// Gives a readable end to the host, or takes one from it, as arguments and results of host functions do.
    fn hand_over(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 {
            let idle = |end: &EndId| {
                self.store.end_type(*end).unwrap().0.is_readable()
                    && self.store.end_state(*end) == Ok(EndState::Idle)
                    && !self.is_direct(*end)
            };
            let Some(end) = self.host_ends.iter().copied().find(idle) else { return Ok(()) };
            self.host_ends.retain(|other| *other != end);
            let name = self.host_name(end);
            self.log(format!("take {name}"));
            let index = self.store.lower_readable(inst, end)?;
            self.log(format!("= {index}"));
            return Ok(());
        }
        let readable = &[HandleKind::StreamReadable, HandleKind::FutureReadable];
        let Some(index) = self.pick_handle(inst, readable, Self::is_idle_outside_sets) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, index);
        let kind = if kind.is_readable() { kind } else { EndKind::FutureReadable };
        self.log(format!("give {kind:?} {element:?} {index}"));
        let end = self.store.lift_readable(inst, index, kind, &element)?;
        self.host_ends.push(end);
        if !self.host_names.contains(&end) {
            self.host_names.push(end);
        }
        let name = self.host_name(end);
        self.log(format!("= {name}"));
        Ok(())
    }

    fn backpressure(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 {
            self.log("backpressure.inc");
            self.store.backpressure_inc(inst)?;
        } else {
            let none = self.store.instance(inst)?.backpressure == 0;
            if self.unlikely_trap(none) {
                return Ok(());
            }
            self.log("backpressure.dec");
            self.store.backpressure_dec(inst)?;
        }
        self.log("=");
        Ok(())
    }

    fn error_context(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 {
            self.log("error-context.new");
            let index = self.store.error_context_new(inst, ())?;
            self.log(format!("= {index}"));
        } else {
            let Some(index) = self.pick_handle(inst, &[HandleKind::ErrorContext], |_, _, _| true) else {
                return Ok(());
            };
            self.log(format!("error-context.drop {index}"));
            self.store.error_context_drop(inst, index)?;
            self.log("=");
        }
        Ok(())
    }

    fn threads(&mut self, thread: ThreadId, task: TaskId, inst: InstanceId) -> Step {
        let suspended = |world: &Self, inst, index| {
            let thread = world.store.thread_handle(inst, index);
            thread.and_then(|thread| world.store.thread_state(thread)) == Ok(ThreadState::Suspended)
        };
        let other = |world: &Self, inst, index| {
            world.store.thread_handle(inst, index).is_ok_and(|other| other != thread)
        };
        match self.pick(8) {
            0 => {
                self.log("thread.index");
                let index = self.store.thread_index(thread)?;
                self.log(format!("= {index}"));
                Ok(())
            }
            1 => {
                self.log("thread.new");
                let guest = Guest { number: self.threads, call: None, next: Next::Run };
                self.threads += 1;
                let (_, index) = self.store.thread_new(task, guest)?;
                self.log(format!("= {index}"));
                Ok(())
            }
            2 => {
                let Some(index) = self.pick_thread(inst, suspended) else { return Ok(()) };
                self.log(format!("thread.resume-later {index}"));
                self.store.thread_resume_later(inst, index)?;
                self.log("=");
                Ok(())
            }
            3..=7 if self.unlikely_trap(!self.can_block()) => Ok(()),
            3 => {
                self.log("thread.yield");
                self.store.thread_yield(thread)?;
                self.block(Next::Builtin)
            }
            4 => {
                self.log("thread.suspend");
                self.store.thread_suspend(thread)?;
                self.block(Next::Builtin)
            }
            5 => {
                let Some(index) = self.pick_thread(inst, suspended) else { return Ok(()) };
                let other = if self.pick(2) == 0 {
                    self.log(format!("thread.suspend-then-resume {index}"));
                    self.store.thread_suspend_then_resume(thread, index)?
                } else {
                    self.log(format!("thread.yield-then-resume {index}"));
                    self.store.thread_yield_then_resume(thread, index)?
                };
                self.switch(other)
            }
            _ => {
                let Some(index) = self.pick_thread(inst, other) else { return Ok(()) };
                let other = if self.pick(2) == 0 {
                    self.log(format!("thread.suspend-then-promote {index}"));
                    self.store.thread_suspend_then_promote(thread, index)?
                } else {
                    self.log(format!("thread.yield-then-promote {index}"));
                    self.store.thread_yield_then_promote(thread, index)?
                };
                match other {
                    Some(other) => self.switch(other),
                    None => self.block(Next::Builtin),
                }
            }
        }
    }

    // Choosing.

    /// Says whether to refrain from something, which it mostly does if that would trap.
    fn unlikely_trap(&mut self, would_trap: bool) -> bool {
        would_trap && self.pick(self.caution) != 0
    }

    /// Says whether the current thread can leave the stack without a trap, as far as is easily seen.
    fn can_block(&self) -> bool {
        let Some((thread, Cause::Lift(number))) = self.stack.last() else { return true };
        let (_, inst) = self.store.thread_scope(*thread).unwrap();
        self.calls[*number].lift != Lift::Sync || !self.store.instance(inst).unwrap().ready.is_empty()
    }

    fn holds_borrows(&self, task: TaskId) -> bool {
        self.store.tasks.get(task).unwrap().num_borrows > 0
    }

    fn pick_lift(&mut self) -> Lift {
        match self.pick(8) {
            0..=2 => Lift::Callback,
            3..=5 => Lift::Stackful,
            6 => Lift::AsyncTyped,
            _ => Lift::Sync,
        }
    }

    fn pick_type(&mut self) -> Type {
        if self.pick(4) == 0 { Type::Text } else { Type::Number }
    }

    /// Picks a handle of these kinds for which the operation is legal, or now and then just any number.
    fn pick_handle(
        &mut self,
        inst: InstanceId,
        kinds: &[HandleKind],
        legal: impl Fn(&Self, InstanceId, u32) -> bool,
    ) -> Option<u32> {
        let choice = self.pick(1 << 16) as u32;
        if choice as usize % (4 * self.caution) == 0 {
            return Some(choice % 12);
        }
        let of_kind = |index: &u32| {
            self.store.handle_kind(inst, *index).is_ok_and(|kind| kinds.contains(&kind))
                && legal(self, inst, *index)
        };
        let handles: Vec<u32> = (1..64).filter(of_kind).collect();
        handles.get(choice as usize % handles.len().max(1)).copied()
    }

    fn pick_thread(
        &mut self,
        inst: InstanceId,
        legal: impl Fn(&Self, InstanceId, u32) -> bool,
    ) -> Option<u32> {
        let choice = self.pick(1 << 16) as u32;
        if choice as usize % (4 * self.caution) == 0 {
            return Some(choice % 6);
        }
        let threads: Vec<u32> = (1..64).filter(|index| legal(self, inst, *index)).collect();
        threads.get(choice as usize % threads.len().max(1)).copied()
    }

    fn param_text(&self, param: Param) -> String {
        match param {
            Param::None => "none".into(),
            Param::Own(index) => format!("own {index}"),
            Param::Borrow(index) => format!("borrow {index}"),
            Param::End(index, kind, element) => format!("end {index} {kind:?} {element:?}"),
            Param::HostEnd(end) => format!("host {}", self.host_name(end)),
        }
    }

    fn end_type(&self, inst: InstanceId, index: u32) -> (EndKind, Type) {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => {
                let (kind, element) = self.store.end_type(end).unwrap();
                (kind, *element)
            }
            _ => (EndKind::StreamReadable, Type::Number),
        }
    }

    fn waitable(&self, inst: InstanceId, index: u32) -> Option<&Waitable> {
        self.store.waitable(self.store.waitable_handle(inst, index).ok()?)
    }

    fn state(&self, inst: InstanceId, index: u32) -> Option<EndState> {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => self.store.end_state(end).ok(),
            _ => None,
        }
    }

    fn is_idle(&self, inst: InstanceId, index: u32) -> bool {
        self.state(inst, index) == Some(EndState::Idle)
    }

    fn is_idle_outside_sets(&self, inst: InstanceId, index: u32) -> bool {
        self.is_idle(inst, index) && self.waitable(inst, index).is_some_and(|waitable| waitable.set.is_none())
    }

    fn both_ends_in(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.waitable_handle(inst, index) {
            Ok(WaitableId::End(end)) => {
                let other = self.store.other_end(end).unwrap();
                other.is_some_and(|other| self.store.end_owner(other) == Ok(Some(inst)))
            }
            _ => false,
        }
    }

    fn has_members(&self, inst: InstanceId, index: u32) -> bool {
        let set = self.store.set_handle(inst, index).unwrap();
        self.store.sets.get(set).unwrap().num_members > 0
    }

    fn is_copying(&self, inst: InstanceId, index: u32) -> bool {
        self.state(inst, index) == Some(EndState::Copying) && self.has_no_sync_waiter(inst, index)
    }

    fn is_droppable(&self, inst: InstanceId, index: u32) -> bool {
        match self.state(inst, index) {
            Some(EndState::Done) => true,
            Some(EndState::Idle) => self.end_type(inst, index).0 != EndKind::FutureWritable,
            _ => false,
        }
    }

    fn has_no_sync_waiter(&self, inst: InstanceId, index: u32) -> bool {
        self.waitable(inst, index).is_some_and(|waitable| !waitable.has_sync_waiter)
    }

    fn is_delivered(&self, inst: InstanceId, index: u32) -> bool {
        let subtask = self.store.subtask_handle(inst, index).unwrap();
        self.store.subtasks.get(subtask).unwrap().resolve_delivered
    }

    fn is_cancellable(&self, inst: InstanceId, index: u32) -> bool {
        let subtask = self.store.subtask_handle(inst, index).unwrap();
        let subtask = self.store.subtasks.get(subtask).unwrap();
        !subtask.resolve_delivered && !subtask.cancellation_requested && subtask.waitable.set.is_none()
    }

    fn is_unused_set(&self, inst: InstanceId, index: u32) -> bool {
        let set = self.store.set_handle(inst, index).unwrap();
        let set = self.store.sets.get(set).unwrap();
        set.num_members == 0 && set.num_waiting == 0
    }

    fn is_unlent(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.handle(inst, index) {
            Ok(Handle::Resource(resource)) => resource.num_lends == 0,
            _ => false,
        }
    }

    fn is_free_own(&self, inst: InstanceId, index: u32) -> bool {
        match self.store.handle(inst, index) {
            Ok(Handle::Resource(resource)) => resource.num_lends == 0 && resource.is_own(),
            _ => false,
        }
    }

    fn transfer(&mut self, step: CopyStep<Runtime>) -> Result<CopyStep<Runtime>, Trap> {
        match step {
            CopyStep::Transfer(transfer) => {
                let (to, from) = self.store.buffers_mut(transfer.reader, transfer.writer)?;
                assert_eq!(transfer.count, to.remain().min(from.remain()));
                self.store.finish_transfer(transfer)
            }
            step => Ok(step),
        }
    }
}

const WAITABLES: &[HandleKind] = &[
    HandleKind::Subtask,
    HandleKind::StreamReadable,
    HandleKind::StreamWritable,
    HandleKind::FutureReadable,
    HandleKind::FutureWritable,
];

const ENDS: &[HandleKind] = &[
    HandleKind::StreamReadable,
    HandleKind::StreamWritable,
    HandleKind::FutureReadable,
    HandleKind::FutureWritable,
];
