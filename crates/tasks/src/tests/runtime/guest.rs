//! What guests do at random: all built-ins.

use super::*;

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

impl World {
    pub(super) fn guest_step(&mut self, thread: ThreadId) -> Step {
        let (task, inst) = self.store.thread_scope(thread)?;
        if self.crowded {
            return match self.pick(24) {
                0..=7 => self.return_(thread, task),
                8..=11 => self.guest_call(thread, inst),
                12 | 13 => self.resolve_task(thread, task),
                14 | 15 => self.sets(thread, inst),
                16..=19 => self.join(inst),
                20 => self.subtasks(inst),
                21 => self.backpressure(inst),
                _ => self.threads(thread, task, inst),
            };
        }
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
    pub(super) fn return_(&mut self, thread: ThreadId, task: TaskId) -> Step {
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
                let set = self.pick_handle(inst, &[HandleKind::WaitableSet], Self::is_worth_waiting_for);
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
                    return self.event_loop(thread, code, set);
                }
                self.log("ret 0");
            }
        }
        let exit = self.store.exit_implicit_thread(task, thread)?;
        assert!(exit.task.is_none_or(|call| call == number));
        self.leave()
    }

    pub(super) fn event_loop(&mut self, thread: ThreadId, code: u32, set: u32) -> Step {
        self.log(format!("ret {}", code | set << 4));
        let at_once = self.store.met_at_once(thread, CallbackCode::unpack(code | set << 4)?);
        let step = self.store.callback_returned(thread, code | set << 4)?;
        if let Some(wait) = at_once? {
            assert!(matches!(step, CallbackStep::Wait));
            assert_eq!(self.store.threads.get(thread)?.wait, wait);
            assert_eq!((self.store.ready.front(), self.store.is_ready(thread)), (Some(thread), Ok(true)));
        }
        match step {
            CallbackStep::Exit => unreachable!("the code is not EXIT"),
            CallbackStep::Call(event) => {
                self.callback(event);
                Ok(())
            }
            CallbackStep::Wait => self.block(Next::Callback),
        }
    }

    pub(super) fn guest_call(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        if self.stack.len() > 12 {
            return Ok(());
        }
        let target = self.pick_instance();
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

    pub(super) fn resolve_task(&mut self, _: ThreadId, task: TaskId) -> Step {
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

    pub(super) fn resources(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 && self.name(inst) == 0 {
            let rep = self.pick(90) as u64;
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

    pub(super) fn sets(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
        let any = self.pick_handle(inst, &[HandleKind::WaitableSet], Self::is_worth_waiting_for);
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
            _ if self.crowded && any.is_some() && self.pick(4) > 0 => Ok(()),
            _ => {
                self.log("set.new");
                let index = self.store.waitable_set_new(inst)?;
                self.log(format!("= {index}"));
                Ok(())
            }
        }
    }

    pub(super) fn join(&mut self, inst: InstanceId) -> Step {
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

    pub(super) fn subtasks(&mut self, inst: InstanceId) -> Step {
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

    pub(super) fn new_ends(&mut self, inst: InstanceId) -> Step {
        let (stream, element) = (self.pick(2) == 0, self.pick_type());
        self.log(format!("{}.new {element:?}", if stream { "stream" } else { "future" }));
        let (reader, writer) = match stream {
            true => self.store.stream_new(inst, element)?,
            false => self.store.future_new(inst, element)?,
        };
        self.log(format!("= {reader} {writer}"));
        Ok(())
    }

    pub(super) fn copy(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
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

    pub(super) fn cancel_copy(&mut self, thread: ThreadId, inst: InstanceId) -> Step {
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

    pub(super) fn drop_end(&mut self, inst: InstanceId) -> Step {
        let Some(index) = self.pick_handle(inst, ENDS, Self::is_droppable) else { return Ok(()) };
        let (kind, element) = self.end_type(inst, index);
        self.log(format!("end.drop {kind:?} {element:?} {index}"));
        self.store.end_drop(inst, index, kind, &element)?;
        self.log("=");
        Ok(())
    }

    pub(super) fn forward(&mut self, inst: InstanceId) -> Step {
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
    pub(super) fn hand_over(&mut self, inst: InstanceId) -> Step {
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

    pub(super) fn backpressure(&mut self, inst: InstanceId) -> Step {
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

    pub(super) fn error_context(&mut self, inst: InstanceId) -> Step {
        if self.pick(2) == 0 {
            self.log("error-context.new");
            let index = self.store.error_context_new(inst, ErrorContext { value: (), bytes: 10 })?;
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

    pub(super) fn threads(&mut self, thread: ThreadId, task: TaskId, inst: InstanceId) -> Step {
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
}
