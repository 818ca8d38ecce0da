//! Calls of the host whose futures were dropped: their guests are asked to cancel, and ended if they do not in time. An
//! instantiation whose future was dropped cannot be asked: it ends.
//!
//! A future may be dropped anywhere, also where its store cannot be reached. So it leaves a note ([`CancelOnDrop`]), and
//! the event loop reads those first in each turn ([`StoreCore::note_dropped`]). Guests are asked once none is suspended at
//! the end of a time slice ([`StoreCore::ask_to_cancel`]); their time runs from when the note was read.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tombolo_tasks::{TaskId, TaskState};

use super::Store;
use crate::ended::EndCause;
use crate::error::Result;
use crate::runtime::{Driver, Island, StoreCore};
use crate::slot::Slot;

/// The cancellations of a store.
#[derive(Default)]
pub(crate) struct Cancellations {
    dropped: Arc<Dropped>,
    /// Calls that are to be asked.
    unasked: RefCell<Vec<TaskId>>,
    grace: Cell<Option<Duration>>,
}

/// What was dropped since the event loop has looked.
#[derive(Default)]
struct Dropped {
    list: Mutex<Vec<Arc<Pending>>>,
    /// Set after something was added.
    any: AtomicBool,
}

/// What the embedder has begun, or will, and waits for by a future.
#[derive(Default)]
pub(crate) struct Pending {
    /// Once it has begun.
    begun: OnceLock<Begun>,
    dropped: AtomicBool,
}

enum Begun {
    Call(TaskId),
    Instantiation(Arc<Island>),
}

impl Pending {
    /// Notes that a call has begun. Later notes are not heard.
    pub fn begun(&self, task: TaskId) {
        let _ = self.begun.set(Begun::Call(task));
    }

    /// Notes that an instantiation has begun.
    pub fn begun_instance(&self, island: &Arc<Island>) {
        let _ = self.begun.set(Begun::Instantiation(island.clone()));
    }

    /// Whether its future was dropped.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

/// Has what its future waits for cancelled when it is dropped.
pub(crate) struct CancelOnDrop {
    pending: Arc<Pending>,
    list: Arc<Dropped>,
    driver: Driver,
    done: bool,
}

/// Where the result of what was begun arrives, and what is to be kept with its future.
pub(crate) type Started<R> = (Arc<Slot<Result<R>>>, CancelOnDrop);

impl CancelOnDrop {
    /// It is over, and its result was taken.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.done {
            self.pending.dropped.store(true, Ordering::Release);
            self.list.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.pending.clone());
            self.list.any.store(true, Ordering::Release);
            self.driver.wake();
        }
    }
}

impl Cancellations {
    /// Whether there are calls to be asked.
    #[inline]
    pub fn has_unasked(&self) -> bool {
        !self.unasked.borrow().is_empty()
    }

    /// Whether anything was dropped that is yet to be noted.
    #[inline]
    pub fn any_dropped(&self) -> bool {
        self.dropped.any.load(Ordering::Relaxed)
    }
}

impl StoreCore {
    /// What is to be kept with the future of a call or an instantiation.
    pub fn cancel_on_drop(&self, pending: &Arc<Pending>) -> CancelOnDrop {
        let list = self.cancellations.dropped.clone();
        CancelOnDrop { pending: pending.clone(), list, driver: self.host_tasks.driver(), done: false }
    }

    /// Reads whose futures were dropped. Runs no guest.
    #[inline]
    pub fn note_dropped(&self) {
        if self.cancellations.any_dropped() {
            self.note_those_dropped();
        }
    }

    #[cold]
    fn note_those_dropped(&self) {
        let Dropped { list, any } = &*self.cancellations.dropped;
        // What is added from here on is found the next time.
        any.swap(false, Ordering::AcqRel);
        let dropped = std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner));
        for pending in dropped {
            match pending.begun.get() {
                // It does not begin any more.
                None => {}
                Some(Begun::Instantiation(island)) => self.end_island(island, EndCause::Removed),
                Some(Begun::Call(task)) if self.is_resolved(*task) => {}
                Some(Begun::Call(task)) => {
                    self.cancellations.unasked.borrow_mut().push(*task);
                    let grace = self.cancellations.grace.get();
                    if let Some(at) = grace.and_then(|grace| Instant::now().checked_add(grace)) {
                        self.end_call_at(*task, at);
                    }
                }
            }
        }
    }

    /// Asks the guests to cancel whose callers' futures were dropped.
    pub fn ask_to_cancel(&self) {
        for task in self.cancellations.unasked.take() {
            // An error has ended the guest's island.
            let _ = self.cancel_task(task);
        }
    }

    pub(super) fn is_resolved(&self, task: TaskId) -> bool {
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
