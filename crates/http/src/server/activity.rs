//! What goes on on a connection, and since when: so that its worker can end it when its peer takes too long.
//!
//! The transport, the requests and the connection's task each note here what they see; the worker looks at all of its
//! connections once a tick ([`Activity::look`]), and wakes the task of one that is late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::clock::{Clock, Ticks};

pub(super) struct Activity {
    clock: Rc<Clock>,
    phase: Cell<Phase>,
    /// When the phase began.
    since: Cell<Ticks>,
    /// Requests whose answers are not over.
    in_flight: Cell<usize>,
    /// Since when the peer has taken nothing of what is to be sent.
    stalled: Cell<Option<Ticks>>,
    order: Cell<Option<Order>>,
    task: RefCell<Option<Waker>>,
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has come yet.
    New,
    /// Between requests.
    Idle,
    /// A request's headers are coming.
    Headers,
    /// Requests are being answered.
    Busy,
    /// Everything is sent; what the peer still sends is thrown away.
    Lingering,
}

/// What the worker wants of a connection's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To close it when nothing is going on.
    Close,
    /// To tell the peer that its request took too long to come, and to close it.
    Refuse,
    /// To end it at once.
    Abort,
}

/// How many ticks each phase may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) new: Ticks,
    pub(super) headers: Ticks,
    pub(super) idle: Ticks,
    pub(super) lingering: Ticks,
}

impl Activity {
    pub(super) fn new(clock: Rc<Clock>) -> Self {
        let since = Cell::new(clock.now());
        Activity {
            clock,
            phase: Cell::new(Phase::New),
            since,
            in_flight: Cell::new(0),
            stalled: Cell::new(None),
            order: Cell::new(None),
            task: RefCell::new(None),
        }
    }

    /// Looks whether the peer is late, and wakes the connection's task if it has got an order.
    pub(super) fn look(&self, patience: &Patience) {
        let now = self.clock.now();
        let late = |since: Ticks, patience: Ticks| now.saturating_sub(since) >= patience;
        let since = self.since.get();
        let order = match self.phase.get() {
            _ if self.stalled.get().is_some_and(|since| late(since, patience.idle)) => Some(Order::Abort),
            Phase::New if late(since, patience.new) => Some(Order::Abort),
            Phase::Idle if late(since, patience.idle) => Some(Order::Close),
            Phase::Headers if late(since, patience.headers) => Some(Order::Refuse),
            Phase::Lingering if late(since, patience.lingering) => Some(Order::Abort),
            _ => None,
        };
        if let Some(order) = order {
            self.order(order);
        }
    }

    /// Gives the connection's task an order, and wakes it.
    pub(super) fn order(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    /// Has the connection's task look around.
    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The order that the connection's task is to follow, if there is one; `task` is woken by the next.
    pub(super) fn take_order(&self, task: &Waker) -> Option<Order> {
        let mut slot = self.task.borrow_mut();
        if !slot.as_ref().is_some_and(|slot| slot.will_wake(task)) {
            *slot = Some(task.clone());
        }
        self.order.take()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.now());
    }

    /// The connection has been set up: what comes now are requests.
    pub(super) fn opened(&self) {
        self.enter(Phase::Idle);
    }

    /// The first bytes of a request have come. In HTTP/2 they may be anything.
    pub(super) fn headers_begin(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Headers);
        }
    }

    /// A request has come.
    pub(super) fn request_begins(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.phase.set(Phase::Busy);
    }

    /// A request is answered.
    pub(super) fn request_ends(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0 && self.phase.get() == Phase::Busy {
            self.enter(Phase::Idle);
        }
    }

    /// The peer's time to read what was sent last begins.
    pub(super) fn lingers(&self) {
        if self.phase.get() != Phase::Lingering {
            self.enter(Phase::Lingering);
        }
    }

    /// Something could, or could not, be sent.
    pub(super) fn sending(&self, progress: bool) {
        match progress {
            true => self.stalled.set(None),
            false if self.stalled.get().is_none() => self.stalled.set(Some(self.clock.now())),
            false => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Timeouts;

    const PATIENCE: Patience = Patience { new: 2, headers: 2, idle: 5, lingering: 3 };

    /// The order after so many ticks.
    fn wait(activity: &Activity, ticks: u64) -> Option<Order> {
        for _ in 0..ticks {
            activity.clock.advance();
        }
        activity.look(&PATIENCE);
        activity.take_order(Waker::noop())
    }

    #[test]
    fn every_phase_has_its_time() {
        let activity = Activity::new(Rc::new(Clock::new(&Timeouts::default())));
        assert_eq!(wait(&activity, 1), None);
        assert_eq!(wait(&activity, 1), Some(Order::Abort));
        activity.opened();
        assert_eq!(wait(&activity, 4), None);
        assert_eq!(wait(&activity, 1), Some(Order::Close));
        activity.headers_begin();
        assert_eq!(wait(&activity, 1), None);
        // More bytes do not give more time.
        activity.headers_begin();
        assert_eq!(wait(&activity, 1), Some(Order::Refuse));
        activity.request_begins();
        activity.request_begins();
        assert_eq!(wait(&activity, 100), None);
        activity.request_ends();
        assert_eq!(activity.phase.get(), Phase::Busy);
        activity.request_ends();
        assert_eq!(wait(&activity, 4), None);
        assert_eq!(wait(&activity, 1), Some(Order::Close));
        activity.lingers();
        assert_eq!(wait(&activity, 2), None);
        activity.lingers();
        assert_eq!(wait(&activity, 1), Some(Order::Abort));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_left() {
        let activity = Activity::new(Rc::new(Clock::new(&Timeouts::default())));
        activity.request_begins();
        activity.sending(false);
        assert_eq!(wait(&activity, 4), None);
        activity.sending(true);
        assert_eq!(wait(&activity, 4), None);
        activity.sending(false);
        activity.sending(false);
        assert_eq!(wait(&activity, 5), Some(Order::Abort));
    }
}
