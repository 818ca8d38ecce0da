//! An instance at work: its store, driven by a task of its worker's, and the requests that were given to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, Stream as _};
use http::{Request, Response};
use tokio::sync::Notify;
use tombolo::{Accessor, Store};
use tombolo_http::{Body, Error, Service};

use super::app::Host;
use super::complaints::Complaints;

/// A request's place in an instance: taken until its response is over.
pub(super) struct Seat(Rc<Instance>);

/// What the worker sees of an instance.
pub(super) struct Instance {
    /// Requests that it has not seen yet.
    queue: RefCell<VecDeque<Job>>,
    /// Wakes the task that drives its store.
    driver: RefCell<Option<Waker>>,
    taken: Cell<usize>,
    /// How many requests it may still be given.
    left: Cell<u64>,
    ended: Cell<bool>,
    has_failed: Cell<bool>,
    vacancy: Rc<Notify>,
    complaints: Arc<Complaints>,
}

/// A request, and where its answer goes. Dropped without one, it says that there will be none.
struct Job {
    request: Request<Body>,
    answer: Promise,
}

impl Instance {
    /// Begins to drive a store, for so many requests. `vacancy` is told when one of them is over.
    pub(super) fn start(
        store: Store<Host>,
        service: Service,
        reuse: u64,
        vacancy: Rc<Notify>,
        complaints: Arc<Complaints>,
    ) -> Rc<Instance> {
        let instance = Rc::new(Instance {
            queue: RefCell::default(),
            driver: RefCell::new(None),
            taken: Cell::new(0),
            left: Cell::new(reuse),
            ended: Cell::new(false),
            has_failed: Cell::new(false),
            vacancy,
            complaints,
        });
        let driven = instance.clone();
        tokio::task::spawn_local(async move {
            let mut store = store;
            let end = store.run_concurrent(|store| driven.clone().drive(store, service)).await;
            driven.ended.set(true);
            driven.retire();
            let unseen = driven.queue.take();
            drop(unseen);
            if let Err(error) = end {
                driven.failed(&error);
            }
        });
        instance
    }

    /// Takes a place, if there are fewer than `concurrency` taken.
    pub(super) fn claim(self: &Rc<Self>, concurrency: usize) -> Option<Seat> {
        if self.taken.get() >= concurrency || self.left.get() == 0 {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        self.left.set(self.left.get() - 1);
        Some(Seat(self.clone()))
    }

    /// Gives it no more requests. It ends when those that it has are answered.
    pub(super) fn retire(&self) {
        self.left.set(0);
        self.wake();
    }

    /// Says, once, that its component failed, and gives it no more requests.
    pub(super) fn failed(&self, error: &tombolo::Error) {
        if !self.has_failed.replace(true) {
            self.complaints.failed(error);
        }
        self.retire();
    }

    fn is_retired(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.taken.get() == 0
    }

    /// Whether it has answered all that it will ever answer.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired() && self.is_idle()
    }

    fn wake(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// What runs inside of the store: hands the component its requests, until the instance is retired and done.
    async fn drive(self: Rc<Self>, store: Accessor<Host>, service: Service) {
        let mut calls = pin!(FuturesUnordered::new());
        poll_fn(|cx| {
            remember(&self.driver, cx);
            while let Some(job) = self.next_job() {
                calls.push(job.call(&store, &service));
            }
            while let Poll::Ready(Some(())) = calls.as_mut().poll_next(cx) {}
            match self.is_over() && calls.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    fn next_job(&self) -> Option<Job> {
        self.queue.borrow_mut().pop_front()
    }
}

impl Seat {
    /// Has the instance answer a request.
    ///
    /// # Errors
    ///
    /// The component failed, or answered with an error code.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the call is cancelled.
    pub(super) fn handle(&self, request: Request<Body>) -> Handling {
        let answer = Rc::new(Answer::default());
        let job = Job { request, answer: Promise(answer.clone()) };
        match self.0.ended.get() {
            true => drop(job),
            false => {
                self.0.queue.borrow_mut().push_back(job);
                self.0.wake();
            }
        }
        Handling(answer)
    }

    pub(super) fn instance(&self) -> &Rc<Instance> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let instance = &self.0;
        instance.taken.set(instance.taken.get().saturating_sub(1));
        if instance.is_retired() {
            instance.wake();
        }
        instance.vacancy.notify_one();
    }
}

impl Job {
    /// Calls the component, unless nobody waits for its answer any more.
    async fn call(self, store: &Accessor<Host>, service: &Service) {
        let Job { request, answer } = self;
        let mut handled = pin!(service.handle(store, request));
        let result = poll_fn(|cx| match answer.0.is_abandoned(cx) {
            true => Poll::Ready(None),
            false => handled.as_mut().poll(cx).map(Some),
        });
        if let Some(result) = result.await {
            answer.0.set(result);
        }
    }
}

type Outcome = Result<Response<Body>, Error>;

/// What one task tells another of the same thread, once.
#[derive(Default)]
struct Answer {
    outcome: RefCell<Option<Outcome>>,
    answered: Cell<bool>,
    abandoned: Cell<bool>,
    /// Who waits for it.
    asker: RefCell<Option<Waker>>,
    /// Who works on it.
    worker: RefCell<Option<Waker>>,
}

impl Answer {
    fn set(&self, outcome: Outcome) {
        *self.outcome.borrow_mut() = Some(outcome);
        self.answered.set(true);
        if let Some(asker) = self.asker.take() {
            asker.wake();
        }
    }

    fn abandon(&self) {
        self.abandoned.set(true);
        if let Some(worker) = self.worker.take() {
            worker.wake();
        }
    }

    fn is_abandoned(&self, cx: &Context<'_>) -> bool {
        remember(&self.worker, cx);
        self.abandoned.get()
    }
}

fn remember(slot: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    if !slot.as_ref().is_some_and(|slot| slot.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// The end of an [`Answer`] that sets it.
struct Promise(Rc<Answer>);

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.0.answered.get() {
            self.0.set(Err(Error::Gone));
        }
    }
}

/// An answer that is waited for.
pub(super) struct Handling(Rc<Answer>);

impl Future for Handling {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.0.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                remember(&self.0.asker, cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
