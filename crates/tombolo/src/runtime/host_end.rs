//! The ends of streams and futures that the host owns, and what works on them.
//!
//! Most of what works on an end waits for the guest at the other end and for nothing else. It is kept here then, and is
//! polled in place whenever the state machine says that there is something to look at: it needs neither a slot nor a waker
//! among the [`HostTasks`](super::host_task::HostTasks). It becomes one of them when it has to wait for something else.

use std::any::Any;

use tombolo_tasks::{Budget, Charge, EndId};

use super::core::StoreCore;
use super::host_task::{BoxedTask, First, HostTask, HostTaskId, PLACE_COST, poll_caught};
use crate::error::Result;

/// What works on each end. The slots are those of the ends' numbers.
#[derive(Default)]
pub(crate) struct HostEnds {
    slots: Vec<Option<Entry>>,
}

struct Entry {
    end: EndId,
    worker: Worker,
    /// What the guest at the other end is charged for it.
    charge: Option<Charge>,
}

enum Worker {
    /// It waits for a guest.
    Waiting(BoxedTask),
    /// It is being polled for the first time since it waited, further out on this stack.
    Polled,
    /// It is among the host's tasks.
    Task(HostTaskId),
}

impl HostEnds {
    #[inline]
    fn slot(end: EndId) -> usize {
        // The lower half is the slot.
        end.to_bits() as u32 as usize
    }

    #[inline]
    fn entry(&mut self, end: EndId) -> Option<&mut Entry> {
        self.slots.get_mut(HostEnds::slot(end))?.as_mut().filter(|entry| entry.end == end)
    }

    #[inline]
    fn worker(&mut self, end: EndId) -> Option<&mut Worker> {
        self.entry(end).map(|entry| &mut entry.worker)
    }

    #[inline]
    fn insert(&mut self, end: EndId, worker: Worker) {
        let slot = HostEnds::slot(end);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot.saturating_add(1), || None);
        }
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = Some(Entry { end, worker, charge: None });
        }
    }

    #[inline]
    fn remove(&mut self, end: EndId) -> Option<Worker> {
        let entry = self.slots.get_mut(HostEnds::slot(end))?.take_if(|entry| entry.end == end)?;
        Some(entry.worker)
    }

    /// What is to be polled.
    #[inline]
    fn due(&mut self, end: EndId) -> Option<Worker> {
        let worker = self.worker(end)?;
        Some(match worker {
            Worker::Task(id) => Worker::Task(*id),
            Worker::Waiting(_) | Worker::Polled => std::mem::replace(worker, Worker::Polled),
        })
    }
}

impl StoreCore {
    /// Puts something to work on an end that the host owns, which waits for the guest at the other end.
    #[inline]
    pub(crate) fn attach(&self, end: EndId, task: impl HostTask) {
        self.host_ends.borrow_mut().insert(end, Worker::Waiting(Box::pin(task)));
    }

    /// The same for what waits for something else: it is polled soon.
    pub(crate) fn attach_task(&self, end: EndId, task: impl HostTask) -> Result<()> {
        let id = self.host_tasks.spawn(Box::pin(task))?;
        self.host_ends.borrow_mut().insert(end, Worker::Task(id));
        self.host_tasks.wake(id);
        Ok(())
    }

    /// Charges the guest that gets the other end for what works on this one of the host's, instead of whoever had that end
    /// before.
    pub(crate) fn charge_end(&self, end: EndId, budget: &Budget) -> Result<()> {
        let mut ends = self.host_ends.borrow_mut();
        let Some(entry) = ends.entry(end) else { return Ok(()) };
        let bytes = match &entry.worker {
            Worker::Waiting(task) => task.bytes(),
            Worker::Task(id) => self.host_tasks.bytes(*id),
            Worker::Polled => return Ok(()),
        };
        entry.charge = None;
        entry.charge = Some(budget.charge((bytes + PLACE_COST) as u64)?);
        Ok(())
    }

    /// Takes over what works on an end, if it is of this type and not being polled.
    pub(crate) fn detach<H: HostTask>(&self, end: EndId) -> Option<Box<H>> {
        let mut ends = self.host_ends.borrow_mut();
        let task = match ends.worker(end)? {
            Worker::Waiting(task) if (&*task.as_ref() as &dyn Any).is::<H>() => match ends.remove(end)? {
                Worker::Waiting(task) => task,
                _ => return None,
            },
            Worker::Task(id) if self.host_tasks.is::<H>(*id) => {
                let task = self.host_tasks.take(*id);
                ends.remove(end);
                task?
            }
            _ => return None,
        };
        task.into_any()?.downcast().ok()
    }

    /// Nothing works on the end any more.
    #[inline]
    pub(crate) fn forget_end(&self, end: EndId) {
        let worker = self.host_ends.borrow_mut().remove(end);
        drop(worker);
    }

    /// Lets the host's ends work that have something to do, in place. Returns whether any had.
    #[inline]
    pub(crate) fn serve_host_ends(&self) -> bool {
        if self.tasks.borrow().has_host_notification() { self.serve_due_ends() } else { false }
    }

    fn serve_due_ends(&self) -> bool {
        let mut any = false;
        loop {
            let next = self.tasks.borrow_mut().next_host_end();
            let Some(end) = next else { return any };
            let due = self.host_ends.borrow_mut().due(end);
            match due {
                Some(Worker::Waiting(task)) => self.poll_waiting(end, task),
                Some(Worker::Task(id)) => self.host_tasks.poll_now(self, id),
                Some(Worker::Polled) | None => continue,
            }
            any = true;
        }
    }

    fn poll_waiting(&self, end: EndId, mut task: BoxedTask) {
        let first = self.host_tasks.poll_first(|cx| poll_caught(task.as_mut(), self, cx));
        let result = match first {
            Ok(First::Pending(place)) => {
                let kept = if task.is_idle() { self.host_tasks.keep(place) } else { Err(place) };
                let worker = match kept {
                    Ok(()) => Worker::Waiting(task),
                    Err(place) => Worker::Task(self.host_tasks.go_on(place, task)),
                };
                if let Some(entry) = self.host_ends.borrow_mut().worker(end) {
                    *entry = worker;
                }
                return;
            }
            Ok(First::Ready(result)) => result,
            Err(error) => Err(error),
        };
        self.task_is_done(task, result);
    }
}
