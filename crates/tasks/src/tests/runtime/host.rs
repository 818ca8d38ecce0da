//! What the host does at random.

use super::*;

impl World {
    pub(super) fn host_step(&mut self) -> Step {
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

    pub(super) fn host_call(&mut self) -> Step {
        let inst = self.pick_instance();
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

    pub(super) fn tick(&mut self) -> Step {
        let anyone_ready = self.store.anyone_ready(None);
        let next = self.store.next_ready();
        assert_eq!(next.is_some(), anyone_ready);
        match next {
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

    pub(super) fn host_cancel(&mut self) -> Step {
        let open = |call: &Call| call.caller.is_none() && !call.cancelled && call.lift != Lift::Sync;
        let store = &self.store;
        let mut calls = self.calls.iter_mut().enumerate().filter(|(_, call)| open(call));
        let found = calls.find(|(_, call)| store.task_state(call.task) != TaskState::Resolved);
        let Some((number, call)) = found else { return Ok(()) };
        call.cancelled = true;
        let task = call.task;
        self.log(format!("hcancel {number}"));
        self.request_cancellation(task, None)
    }

    pub(super) fn host_new(&mut self) -> Step {
        let (stream, element) = (self.pick(2) == 0, self.pick_type());
        let (reader, writer) = match stream {
            true => self.store.new_stream(element)?,
            false => self.store.new_future(element)?,
        };
        self.host_ends.extend([reader, writer]);
        self.host_names.extend([reader, writer]);
        self.log(format!("hnew {} {element:?}", if stream { "stream" } else { "future" }));
        Ok(())
    }

    pub(super) fn host_copy(&mut self) -> Step {
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
            assert!(matches!(self.store.peer(end)?, Peer::Copying(buffer) if buffer.remain() == remain));
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

    pub(super) fn host_done(&mut self, end: EndId, delivered: Delivered<Runtime>) {
        let name = self.host_name(end);
        let CopyEvent { result, progress, .. } = delivered.event;
        self.log(format!("hevent {name} {} {progress}", result as u32));
    }

    pub(super) fn host_drop(&mut self) -> Step {
        let Some(end) = self.pick_host_end() else { return Ok(()) };
        if matches!(self.store.end_state(end)?, EndState::Idle | EndState::Done) && !self.is_direct(end) {
            let name = self.host_name(end);
            self.log(format!("hdrop {name}"));
            self.host_ends.retain(|other| *other != end);
            self.store.drop_end(end)?;
        }
        Ok(())
    }

    pub(super) fn host_direct(&mut self) -> Step {
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

    pub(super) fn remove_instance(&mut self) -> Step {
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

    pub(super) fn pick_host_end(&mut self) -> Option<EndId> {
        let at = self.pick(self.host_ends.len());
        self.host_ends.get(at).copied()
    }

    pub(super) fn host_name(&self, end: EndId) -> usize {
        self.host_names.iter().position(|other| *other == end).unwrap()
    }

    pub(super) fn is_direct(&self, end: EndId) -> bool {
        self.store.ends.get(end).unwrap().direct
    }

    /// Whether both ends are the host's.
    pub(super) fn same_host(&self, end: EndId) -> bool {
        let other = self.store.other_end(end).unwrap();
        other.is_some_and(|other| self.store.end_owner(other) == Ok(None))
    }
}
