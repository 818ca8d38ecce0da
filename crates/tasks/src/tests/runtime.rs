//! A runtime in miniature on top of the state machine: `canon lift`, `canon lower` and all built-ins, with
//! guests that do as a stream of numbers says.
//!
//! It serves two tests. `properties.rs` lets it run at random and checks the invariants after every step.
//! `reference.rs` has it keep a trace, which the specification's own definitions must be able to follow.

mod choose;
mod guest;
mod host;

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
    /// Whether all guests are in one instance and mostly wait for the same few sets.
    crowded: bool,
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
            crowded: false,
            beyond_reference,
        }
    }

    /// Runs until the choices are used up or something traps; checks the invariants after each step.
    pub(super) fn run(&mut self) -> Step {
        self.caution = [10, 100, 1000][self.pick(3)];
        self.crowded = self.pick(3) == 0;
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
        let guest = Guest { number: self.threads, call: Some(number), next: Next::Enter };
        self.threads += 1;
        let (task, thread, enter) =
            self.store.begin_task(inst, lift != Lift::Sync, exclusive, number, guest)?;
        self.calls.push(Call { caller, is_async, lift, inst, task, param, cancelled: false });
        match enter {
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
            (Param::Own(rep), None) => self.store.lower_own(inst, RESOURCE, rep.into())?,
            (Param::Own(index), Some((from, _))) => {
                let rep = self.store.lift_own(from, RESOURCE, index)?;
                self.store.lower_own(inst, RESOURCE, rep)?
            }
            (Param::Borrow(_), None) => unreachable!("the host lends nothing"),
            (Param::Borrow(index), Some((from, subtask))) => {
                let rep = self.store.lift_borrow(from, RESOURCE, index, subtask)?;
                match self.name(inst) {
                    0 => rep as u32,
                    _ => self.store.lower_borrow(inst, RESOURCE, rep, task)?,
                }
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
            let anyone_ready = self.store.anyone_ready(Some(inst));
            let next = self.store.next_ready_in(inst);
            assert_eq!(next.is_some(), anyone_ready);
            let Some(thread) = next else { return Err(Trap::CannotBlock) };
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
}
