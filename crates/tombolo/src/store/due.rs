//! What is to have ended at a time: calls that were cancelled, and root instances with a deadline of their own.
//!
//! The store's alarm rings for the first of them. Whoever hears of it ends what has not ended by itself: the event loop,
//! before it does anything else in a turn, and the checks of guests that run meanwhile.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tombolo_tasks::TaskId;

use crate::ended::EndCause;
use crate::error::{Error, Result, TrapCode, TrapReason};
use crate::runtime::{Island, StoreCore};

/// All that is to end at a time.
#[derive(Default)]
pub(crate) struct Due {
    list: RefCell<BTreeSet<(Instant, Ending)>>,
    /// The deadlines of islands, by their numbers: those in the list.
    islands: RefCell<BTreeMap<u64, Instant>>,
}

/// What is to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// The island of a call that was cancelled, unless that resolves before.
    Call(TaskId),
    /// The island with this number.
    Island(u64),
}

impl Due {
    /// Whether nothing is to end.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// When the first of them is to have ended.
    pub fn next(&self) -> Option<Instant> {
        self.list.borrow().first().map(|(at, _)| *at)
    }

    /// Sets the deadline of an island, or takes it away.
    pub fn set_island(&self, number: u64, deadline: Option<Instant>) {
        let (mut list, mut islands) = (self.list.borrow_mut(), self.islands.borrow_mut());
        let before = match deadline {
            Some(at) => islands.insert(number, at),
            None => islands.remove(&number),
        };
        if let Some(at) = before {
            list.remove(&(at, Ending::Island(number)));
        }
        if let Some(at) = deadline {
            list.insert((at, Ending::Island(number)));
        }
    }

    /// Takes out the first, if it is due or `is_over`.
    fn take(&self, now: Instant, is_over: impl Fn(Ending) -> bool) -> Option<Ending> {
        let mut list = self.list.borrow_mut();
        let (at, ending) = *list.first()?;
        if at > now && !is_over(ending) {
            return None;
        }
        list.pop_first();
        if let Ending::Island(number) = ending {
            self.islands.borrow_mut().remove(&number);
        }
        Some(ending)
    }
}

impl StoreCore {
    /// Has the island of a call that was cancelled end at a time.
    pub fn end_call_at(&self, task: TaskId, at: Instant) {
        self.deadlines.due.list.borrow_mut().insert((at, Ending::Call(task)));
        self.deadlines.set_alarm();
    }

    /// Sets the time at which an island is ended, or takes it away.
    pub fn set_island_deadline(&self, island: &Island, deadline: Option<Instant>) -> Result<()> {
        self.need_alarm()?;
        island.check()?;
        self.deadlines.due.set_island(island.number, deadline);
        self.deadlines.set_alarm();
        if deadline.is_some_and(|at| at <= Instant::now()) {
            self.vm.interrupt_handle().interrupt();
        }
        Ok(())
    }

    /// Ends what is due and has not ended.
    pub fn end_overdue(&self) {
        let due = &self.deadlines.due;
        if due.is_empty() {
            return;
        }
        let now = Instant::now();
        let is_over = |ending| matches!(ending, Ending::Call(task) if self.is_resolved(task));
        let mut any = false;
        while let Some(ending) = due.take(now, is_over) {
            any = true;
            match ending {
                Ending::Call(task) if self.is_resolved(task) => {}
                Ending::Call(task) => {
                    let instance = self.tasks.borrow().task_instance(task);
                    if let Some(island) = instance.ok().and_then(|instance| self.island_of(instance)) {
                        self.end_island(&island, EndCause::NotCancelled);
                    }
                }
                Ending::Island(number) => self.end_at_deadline(number),
            }
        }
        if any {
            self.deadlines.set_alarm();
        }
    }

    fn end_at_deadline(&self, number: u64) {
        let island = self.islands.borrow().get(number);
        if let Some(island) = island {
            let error = Error::from(TrapReason::Core(TrapCode::Interrupted));
            // It may have done nothing just then: this is not the cause if others cannot go on.
            self.end_with_waiting(&island, EndCause::Failed(error));
        }
    }
}
