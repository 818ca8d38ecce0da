//! Calls of the host whose futures were dropped: their guests are asked to cancel, and ended if they do not in time.
//!
//! A future may be dropped anywhere, also where its store cannot be reached. So it leaves a note ([`CancelOnDrop`]), and
//! the event loop reads those first in each turn.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tombolo_tasks::{TaskId, TaskState};

use super::Store;
use crate::ended::EndCause;
use crate::error::Result;
use crate::runtime::{Driver, StoreCore};

/// The cancellations of a store.
#[derive(Default)]
pub(crate) struct Cancellations {
    dropped: Arc<Mutex<Vec<Arc<PendingCall>>>>,
    /// Calls that were asked to cancel, and when their time is up.
    asked: RefCell<Vec<(TaskId, Instant)>>,
    grace: Cell<Option<Duration>>,
}

/// A call of the host that has a future.
#[derive(Default)]
pub(crate) struct PendingCall {
    /// Once it has begun.
    task: OnceLock<TaskId>,
    dropped: AtomicBool,
}

impl PendingCall {
    /// Notes that it has begun.
    pub fn begun(&self, task: TaskId) {
        let _ = self.task.set(task);
    }

    /// Whether its future was dropped.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

/// Has a call cancelled when it is dropped.
pub(crate) struct CancelOnDrop {
    call: Arc<PendingCall>,
    list: Arc<Mutex<Vec<Arc<PendingCall>>>>,
    driver: Driver,
    done: bool,
}

impl CancelOnDrop {
    /// The call is over.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.done {
            self.call.dropped.store(true, Ordering::Release);
            self.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.call.clone());
            self.driver.wake();
        }
    }
}

impl Cancellations {
    /// When the first of those that were asked is to have ended.
    pub fn next(&self) -> Option<Instant> {
        self.asked.borrow().iter().map(|(_, at)| *at).min()
    }
}

impl StoreCore {
    /// What is to be kept with the future of a call.
    pub fn cancel_on_drop(&self, call: &Arc<PendingCall>) -> CancelOnDrop {
        let list = self.cancellations.dropped.clone();
        CancelOnDrop { call: call.clone(), list, driver: self.host_tasks.driver(), done: false }
    }

    /// Asks the guests to cancel whose callers' futures were dropped. Returns whether there were any.
    pub fn cancel_dropped(&self) -> bool {
        let dropped = {
            let mut list = self.cancellations.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *list)
        };
        let any = !dropped.is_empty();
        for call in dropped {
            let Some(task) = call.task.get().copied() else { continue };
            // An error has ended the guest's island.
            let _ = self.cancel_task(task);
            if self.is_resolved(task) {
                continue;
            }
            if let Some(at) =
                self.cancellations.grace.get().and_then(|grace| Instant::now().checked_add(grace))
            {
                self.cancellations.asked.borrow_mut().push((task, at));
                self.ring_for_cancellations();
            }
        }
        any
    }

    /// Ends the islands of calls that were asked to cancel and have not ended in time.
    pub fn end_overdue(&self) {
        if self.cancellations.asked.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        let mut overdue = Vec::new();
        self.cancellations.asked.borrow_mut().retain(|(task, at)| {
            let resolved = self.is_resolved(*task);
            if !resolved && *at <= now {
                overdue.push(*task);
            }
            !resolved && *at > now
        });
        for task in overdue {
            let instance = self.tasks.borrow().task_instance(task);
            if let Some(island) = instance.ok().and_then(|instance| self.island_of(instance)) {
                self.end_island(&island, EndCause::NotCancelled);
            }
        }
        self.ring_for_cancellations();
    }

    fn is_resolved(&self, task: TaskId) -> bool {
        self.tasks.borrow().task_state(task) == TaskState::Resolved
    }
}

impl<T: Send + 'static> Store<T> {
    /// Sets how long a guest may take to end a call that was cancelled; `None`, the default, for as long as it likes.
    ///
    /// A call is cancelled by dropping its future. When the store is driven next, the guest is asked to cancel, as the
    /// Component Model has it. If it has neither returned nor cancelled by then, its root instance ends when the time is up
    /// ([`EndCause::NotCancelled`]), as soon as the store is driven; a guest that runs at that time only if its engine's
    /// code has checks ([`Config::deadlines`](crate::Config::deadlines)). Calls that are cancelled later have this time.
    ///
    /// # Errors
    /// If the system does not give the process the one thread that keeps time for all stores.
    pub fn set_cancellation_grace(&mut self, grace: Option<Duration>) -> Result<()> {
        self.core().make_alarm()?;
        self.core().cancellations.grace.set(grace);
        Ok(())
    }
}
