//! The host's own work inside a store: async host functions, and the host's ends of streams and futures.
//!
//! A small executor. Its tasks are polled by whoever drives the store, and once in place when a guest starts them, so
//! that what is ready at once never waits for a turn. Wakers may be called from any thread.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::{ArcWake, AtomicWaker, waker_ref};
use tombolo_tasks::InstanceId;

use super::copy::Span;
use super::core::StoreCore;
use crate::error::{Error, Result};

/// Work that the host does in a store.
pub(crate) trait HostTask: Any + Send {
    /// Goes on with it. It is removed once it is ready.
    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// As [`HostTask::poll`], of what works on an end, when the guest at the other end begins a copy: it may take part, and
    /// then says how many elements were copied.
    fn poll_offer(
        self: Pin<&mut Self>,
        _core: &StoreCore,
        _span: Span<'_>,
        _copied: &mut u32,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        Poll::Pending
    }

    /// Called when it has failed: it gives up what it has, and says which guest it worked for, whose island ends.
    fn failed(&self, core: &StoreCore) -> Option<InstanceId>;

    /// How much it takes up.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }

    /// Whether it waits for nothing but a guest. Asked after each poll.
    fn is_idle(&self) -> bool {
        false
    }

    /// What it leaves for somebody else to go on with, if anything: the type of what [`HostTask::leave`] returns.
    fn leaves(&self) -> Option<TypeId> {
        None
    }

    /// Leaves that.
    fn leave(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        None
    }
}

/// A [`HostTask`] of whatever type.
pub(crate) type BoxedTask = Pin<Box<dyn HostTask>>;

/// Names a [`HostTask`] of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostTaskId {
    slot: u32,
    generation: u32,
}

/// The host's work in one store.
#[derive(Default)]
pub(crate) struct HostTasks {
    slots: RefCell<Slots>,
    shared: Arc<Shared>,
    /// The place of something that was ready at once, for the next.
    spare: Cell<Option<Place>>,
    /// Room for those that are being polled.
    polled: Cell<VecDeque<HostTaskId>>,
}

/// What a guest is charged for a task that works for it, beside the task itself.
pub(crate) const PLACE_COST: usize = 192;

/// A slot and its waker, before there is a task in it.
pub(crate) struct Place {
    waker: Arc<TaskWaker>,
}

/// How a first poll ended.
pub(crate) enum First<R> {
    Ready(R),
    Pending(Place),
}

#[derive(Default)]
struct Slots {
    entries: Vec<Slot>,
    free: Vec<u32>,
    /// Tasks that something outside of the store may wake.
    busy: usize,
}

struct Slot {
    generation: u32,
    busy: bool,
    state: State,
}

enum State {
    Free,
    Idle(BoxedTask, Arc<TaskWaker>),
    /// Being polled, further out on this stack.
    Polling(Arc<TaskWaker>),
}

#[derive(Default)]
struct Shared {
    woken: Mutex<VecDeque<HostTaskId>>,
    /// Set after something was added to `woken`.
    any_woken: AtomicBool,
    driver: AtomicWaker,
}

/// Wakes whoever drives a store.
pub(crate) struct Driver(Arc<Shared>);

impl Driver {
    pub fn wake(&self) {
        self.0.driver.wake();
    }
}

struct TaskWaker {
    shared: Arc<Shared>,
    id: HostTaskId,
    queued: AtomicBool,
}

impl ArcWake for TaskWaker {
    fn wake_by_ref(this: &Arc<Self>) {
        if !this.queued.swap(true, Ordering::AcqRel) {
            this.shared.woken.lock().unwrap_or_else(PoisonError::into_inner).push_back(this.id);
            this.shared.any_woken.store(true, Ordering::Release);
            this.shared.driver.wake();
        }
    }
}

impl HostTasks {
    /// Adds a task. It runs when it is polled for the first time: see [`HostTasks::poll_now`] and
    /// [`HostTasks::wake`].
    pub fn spawn(&self, task: BoxedTask) -> Result<HostTaskId> {
        let place = self.place()?;
        Ok(self.go_on(place, task))
    }

    /// Polls what may become a task, once. If it is not ready, it becomes one by [`HostTasks::go_on`].
    #[inline]
    pub fn poll_first<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Result<First<R>> {
        let place = match self.spare.take() {
            Some(place) => place,
            None => self.place()?,
        };
        match poll(&mut Context::from_waker(&waker_ref(&place.waker))) {
            Poll::Pending => Ok(First::Pending(place)),
            Poll::Ready(result) => {
                if let Err(place) = self.keep(place) {
                    self.remove(place.waker.id);
                }
                Ok(First::Ready(result))
            }
        }
    }

    /// Keeps a place for the next, if nobody but itself and its slot has the waker; else gives it back.
    #[inline]
    pub fn keep(&self, place: Place) -> Result<(), Place> {
        if Arc::strong_count(&place.waker) > 2 || place.waker.queued.load(Ordering::Acquire) {
            return Err(place);
        }
        if let Some(other) = self.spare.replace(Some(place)) {
            self.remove(other.waker.id);
        }
        Ok(())
    }

    /// Puts a task into a place.
    pub fn go_on(&self, place: Place, task: BoxedTask) -> HostTaskId {
        let id = place.waker.id;
        let mut slots = self.slots.borrow_mut();
        if let Some(entry) = slots.entry(id) {
            let busy = !task.is_idle();
            entry.state = State::Idle(task, place.waker);
            entry.busy = busy;
            slots.busy += usize::from(busy);
        }
        id
    }

    /// Gives a place back that no task was put into.
    pub fn give_back(&self, place: Place) {
        self.remove(place.waker.id);
    }

    /// A place for a task.
    fn place(&self) -> Result<Place> {
        let mut slots = self.slots.borrow_mut();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(slots.entries.len())
                    .map_err(|_| Error::usage("more than four billion host tasks in a store"))?;
                slots.entries.push(Slot { generation: 0, busy: false, state: State::Free });
                slot
            }
        };
        let entry =
            slots.entries.get_mut(slot as usize).ok_or_else(|| Error::usage("a host task's slot is gone"))?;
        let id = HostTaskId { slot, generation: entry.generation };
        let waker = Arc::new(TaskWaker { shared: self.shared.clone(), id, queued: AtomicBool::new(false) });
        entry.state = State::Polling(waker.clone());
        Ok(Place { waker })
    }

    /// How much a task takes up; nothing if it is being polled.
    pub fn bytes(&self, id: HostTaskId) -> usize {
        match self.slots.borrow_mut().entry(id) {
            Some(Slot { state: State::Idle(task, _), .. }) => task.bytes(),
            _ => 0,
        }
    }

    /// Removes a task and drops it, unless it is being polled now; then it is dropped after that.
    pub fn remove(&self, id: HostTaskId) {
        let state = self.slots.borrow_mut().take(id);
        drop(state);
    }

    /// Has a task polled at the next turn.
    pub fn wake(&self, id: HostTaskId) {
        let slots = self.slots.borrow();
        if let Some(Slot { generation, state: State::Idle(_, waker) | State::Polling(waker), .. }) =
            slots.entries.get(id.slot as usize)
            && *generation == id.generation
        {
            ArcWake::wake_by_ref(waker);
        }
    }

    /// Polls a task in place. Does nothing if it is gone or being polled.
    pub fn poll_now(&self, core: &StoreCore, id: HostTaskId) {
        let Some((mut task, waker)) = self.slots.borrow_mut().begin(id) else { return };
        waker.queued.store(false, Ordering::Release);
        let poll = poll_caught(|| task.as_mut().poll(core, &mut Context::from_waker(&waker_ref(&waker))));
        let mut slots = self.slots.borrow_mut();
        match poll {
            Poll::Pending => {
                let unused = slots.end(id, task, waker);
                drop(slots);
                drop(unused);
            }
            Poll::Ready(result) => {
                // It may have been removed, and nobody cares about it any more.
                let wanted = slots.take(id).is_some();
                drop(slots);
                if wanted {
                    core.task_is_done(task, result);
                }
            }
        }
    }

    /// Polls every task that was woken before this call, once. Returns whether there was any.
    pub fn poll_woken(&self, core: &StoreCore) -> bool {
        if !self.any_woken() {
            return false;
        }
        // What is woken from here on is found the next time.
        self.shared.any_woken.swap(false, Ordering::AcqRel);
        let mut woken = self.polled.take();
        std::mem::swap(&mut woken, &mut *self.lock());
        let any = !woken.is_empty();
        for id in woken.drain(..) {
            self.poll_now(core, id);
        }
        self.polled.set(woken);
        any
    }

    /// Wakes whoever drives the store; for any thread.
    pub fn driver(&self) -> Driver {
        Driver(self.shared.clone())
    }

    /// Has the waker called when a task is woken.
    pub fn register(&self, waker: &Waker) {
        self.shared.driver.register(waker);
    }

    /// Whether something outside of the store may yet make a task go on.
    pub fn busy(&self) -> bool {
        self.slots.borrow().busy > 0 || self.any_woken()
    }

    /// Whether there are tasks to be polled.
    #[inline]
    pub fn any_woken(&self) -> bool {
        self.shared.any_woken.load(Ordering::Relaxed)
    }

    /// The type of what a task leaves for somebody else to go on with; `None` if nothing, or if it is being polled.
    pub fn leaves(&self, id: HostTaskId) -> Option<TypeId> {
        match self.slots.borrow_mut().entry(id)? {
            Slot { state: State::Idle(task, _), .. } => task.leaves(),
            _ => None,
        }
    }

    /// Takes a task out that is not being polled, for somebody else to go on with.
    pub fn take(&self, id: HostTaskId) -> Option<BoxedTask> {
        let mut slots = self.slots.borrow_mut();
        match slots.entry(id)?.state {
            State::Idle(..) => match slots.take(id)? {
                State::Idle(task, _) => Some(task),
                _ => None,
            },
            _ => None,
        }
    }

    /// Drops all tasks.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        drop(slots);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<HostTaskId>> {
        self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreCore {
    /// Deals with what came of a task.
    #[inline]
    pub(super) fn task_is_done(&self, task: BoxedTask, result: Result<()>) {
        if let Err(error) = result {
            match task.failed(self) {
                Some(instance) => self.end_instance(instance, &error),
                None => self.unheard(error),
            }
        }
    }
}

/// Polls a task; a panic is an error.
#[inline]
pub(super) fn poll_caught(poll: impl FnOnce() -> Poll<Result<()>>) -> Poll<Result<()>> {
    // Unwind safe: nothing looks at the task again but to let it go.
    let poll = catch_unwind(AssertUnwindSafe(poll));
    poll.unwrap_or_else(|payload| Poll::Ready(Err(Error::raised(tombolo_vm::Trap::panic(payload)))))
}

impl Slots {
    fn entry(&mut self, id: HostTaskId) -> Option<&mut Slot> {
        self.entries.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    fn take(&mut self, id: HostTaskId) -> Option<State> {
        let entry = self.entry(id)?;
        entry.generation = entry.generation.wrapping_add(1);
        let state = std::mem::replace(&mut entry.state, State::Free);
        let busy = std::mem::take(&mut entry.busy);
        self.busy -= usize::from(busy);
        self.free.push(id.slot);
        Some(state)
    }

    fn begin(&mut self, id: HostTaskId) -> Option<(BoxedTask, Arc<TaskWaker>)> {
        let entry = self.entry(id)?;
        match std::mem::replace(&mut entry.state, State::Free) {
            State::Idle(task, waker) => {
                entry.state = State::Polling(waker.clone());
                Some((task, waker))
            }
            other => {
                entry.state = other;
                None
            }
        }
    }

    /// Puts a task back that was polled; returns it if it was removed meanwhile.
    fn end(&mut self, id: HostTaskId, task: BoxedTask, waker: Arc<TaskWaker>) -> Option<BoxedTask> {
        let Some(entry) = self.entry(id) else { return Some(task) };
        let (was, is) = (entry.busy, !task.is_idle());
        entry.busy = is;
        entry.state = State::Idle(task, waker);
        self.busy = self.busy - usize::from(was) + usize::from(is);
        None
    }
}
