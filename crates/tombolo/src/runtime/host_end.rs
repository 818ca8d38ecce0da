//! The ends of streams and futures that the host owns, and what works on them.
//!
//! Most of what works on an end waits for the guest at the other end and for nothing else. It is kept here then, and is
//! polled in place whenever the state machine says that there is something to look at: it needs neither a slot nor a waker
//! among the [`HostTasks`](super::host_task::HostTasks). It becomes one of them when it has to wait for something else. A
//! guest that begins a copy offers it at once; only if nothing comes of that does the guest's end get a buffer to wait with.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tombolo_tasks::{Budget, Charge, EndId, Entity, InstanceId, Peer, Trap};

use super::copy::{CopyBuffer, Span};
use super::core::StoreCore;
use super::host_task::{BoxedTask, First, HostTask, HostTaskId, PLACE_COST, poll_caught};
use crate::error::Result;
use crate::stream::StreamState;

/// What the host does at an end that it owns whenever the guest at the other end copies.
pub(crate) trait EndWork: Send + 'static {
    /// Copies some of the elements that the guest offers, or into the room that it offers; `None` once it has dropped its
    /// end. Returns how many were copied, and whether more may be; pending if that must wait for something else.
    fn copy(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Option<Span<'_>>,
        cx: &mut Context<'_>,
    ) -> (u32, Poll<Result<StreamState>>);

    /// As [`HostTask::leaves`], of its task.
    fn leaves() -> Option<TypeId> {
        None
    }

    /// As [`HostTask::leave`], of its task.
    fn leave(_task: Pin<Box<EndTask<Self>>>) -> Option<Box<dyn Any>>
    where
        Self: Sized,
    {
        None
    }
}

pin_project! {
    /// Has the host take part in what the guest at the other end of one of its own copies.
    pub(crate) struct EndTask<W> {
        end: EndId,
        #[pin]
        work: W,
        idle: bool,
    }
}

impl<W: EndWork> EndTask<W> {
    pub fn new(end: EndId, work: W) -> Self {
        EndTask { end, work, idle: true }
    }

    pub fn work(self: Pin<&mut Self>) -> Pin<&mut W> {
        self.project().work
    }
}

impl<W: EndWork> HostTask for EndTask<W> {
    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut this = self.project();
        let end = *this.end;
        loop {
            *this.idle = true;
            let peer = core.peer(end)?;
            let span = match &peer {
                Peer::Idle => return Poll::Pending,
                Peer::Dropped => None,
                Peer::Copying(buffer) => Some(buffer.rest()),
            };
            *this.idle = false;
            let (count, poll) = this.work.as_mut().copy(core, span, cx);
            if span.is_some() && (count > 0 || matches!(poll, Poll::Ready(Ok(_)))) {
                core.tasks.borrow_mut().advance_peer(end, count)?;
            }
            match poll {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(StreamState::Closed)) => return Poll::Ready(core.release_end(end)),
                Poll::Ready(Ok(StreamState::Open)) => {}
            }
        }
    }

    fn poll_offer(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Span<'_>,
        copied: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        let mut this = self.project();
        *this.idle = false;
        while *copied < span.length {
            let (count, poll) = this.work.as_mut().copy(core, Some(span.after(*copied)), cx);
            *copied = copied.saturating_add(count);
            match poll {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(StreamState::Closed)) => return Poll::Ready(core.release_end(*this.end)),
                Poll::Ready(Ok(StreamState::Open)) => {}
            }
        }
        *this.idle = true;
        Poll::Pending
    }

    fn failed(&self, core: &StoreCore) -> Option<InstanceId> {
        core.give_up_end(self.end)
    }

    fn is_idle(&self) -> bool {
        self.idle
    }

    fn leaves(&self) -> Option<TypeId> {
        W::leaves()
    }

    fn leave(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        W::leave(self)
    }
}

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

    /// What waits for a guest, to be polled.
    #[inline]
    fn waiting(&mut self, end: EndId) -> Option<BoxedTask> {
        let worker = self.worker(end)?;
        match std::mem::replace(worker, Worker::Polled) {
            Worker::Waiting(task) => Some(task),
            other => {
                *worker = other;
                None
            }
        }
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

    /// Takes over what works on an end, if it leaves such a thing and is not being polled.
    pub(crate) fn detach<L: 'static>(&self, end: EndId) -> Option<L> {
        let mut ends = self.host_ends.borrow_mut();
        let leaves = match ends.worker(end)? {
            Worker::Waiting(task) => task.leaves(),
            Worker::Task(id) => self.host_tasks.leaves(*id),
            Worker::Polled => None,
        };
        if leaves != Some(TypeId::of::<L>()) {
            return None;
        }
        let task = match ends.remove(end)? {
            Worker::Waiting(task) => task,
            Worker::Task(id) => self.host_tasks.take(id)?,
            Worker::Polled => return None,
        };
        task.leave()?.downcast().ok().map(|left| *left)
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
                Some(Worker::Waiting(task)) => {
                    self.poll_waiting(end, task, |task, cx| task.poll(self, cx));
                }
                Some(Worker::Task(id)) => self.host_tasks.poll_now(self, id),
                Some(Worker::Polled) | None => continue,
            }
            any = true;
        }
    }

    /// Has what waits at an end of the host's copy from or to this span of the guest at the other end, which begins a copy.
    /// Returns how many elements were copied.
    #[inline]
    pub(super) fn offer(&self, end: EndId, span: Span<'_>) -> u32 {
        let mut copied = 0;
        let waiting = self.host_ends.borrow_mut().waiting(end);
        if let Some(task) = waiting {
            self.poll_waiting(end, task, |task, cx| task.poll_offer(self, span, &mut copied, cx));
        }
        copied
    }

    fn poll_waiting(
        &self,
        end: EndId,
        mut task: BoxedTask,
        poll: impl FnOnce(Pin<&mut dyn HostTask>, &mut Context<'_>) -> Poll<Result<()>>,
    ) {
        let first = self.host_tasks.poll_first(|cx| poll_caught(|| poll(task.as_mut(), cx)));
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

    /// What the guest at the other end of one of the host's does.
    #[inline]
    pub(crate) fn peer(&self, end: EndId) -> Result<Peer<CopyBuffer>> {
        Ok(match self.tasks.borrow_mut().peer(end)? {
            Peer::Dropped => Peer::Dropped,
            Peer::Idle => Peer::Idle,
            Peer::Copying(buffer) => Peer::Copying(buffer.clone()),
        })
    }

    /// Drops an end of the host's after its task is done.
    pub(crate) fn release_end(&self, end: EndId) -> Result<()> {
        self.forget_end(end);
        match self.tasks.borrow_mut().drop_end(end) {
            Ok(()) | Err(Trap::Gone(Entity::End)) => Ok(()),
            Err(trap) => Err(trap.into()),
        }
    }

    /// Drops an end of the host's whose task has failed; returns the guest at the other end.
    pub(crate) fn give_up_end(&self, end: EndId) -> Option<InstanceId> {
        let guest = {
            let tasks = self.tasks.borrow();
            let other = tasks.other_end(end).ok().flatten();
            other.and_then(|other| tasks.end_owner(other).ok().flatten())
        };
        // It fails if the end is gone already.
        let _ = self.release_end(end);
        guest
    }
}
