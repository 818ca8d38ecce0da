//! An instance at work: its store, driven by a task of its worker's, and the requests that were given to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream as _};
use http::{Request, Response};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};
use tombolo::{Accessor, Ended, Store};
use tombolo_http::{Body, Error, Service};

use super::app::{Host, TIME_SLICE};
use super::complaints::Complaints;

/// A request's place in an instance: taken until its response is over.
pub(super) struct Seat(Rc<Instance>);

/// What the worker sees of an instance.
pub(super) struct Instance {
    /// Requests that it has not seen yet.
    queue: RefCell<VecDeque<Job>>,
    /// Its store, until that has ended.
    store: RefCell<Option<Driven>>,
    /// Wakes the task that drives the store.
    driver: RefCell<Option<Waker>>,
    taken: Cell<usize>,
    /// How many requests it may still be given.
    left: Cell<u64>,
    has_failed: Cell<bool>,
    vacancy: Rc<Notify>,
    complaints: Arc<Complaints>,
}

/// A store on its way to its end.
struct Driven {
    store: Pin<Box<dyn Future<Output = tombolo::Result<()>>>>,
    /// Set when the component, or one that stands in front of it, is no more.
    ended: Arc<OnceLock<Ended>>,
    /// Until then others have their turn.
    rest: Option<Pin<Box<Sleep>>>,
}

/// How long others have their turn after a guest has run for a time slice. It takes a timer for them to have it: tasks that
/// are woken at once keep the executor from looking at its connections.
const REST: Duration = Duration::from_millis(1);

impl Driven {
    fn new(instance: Rc<Instance>, mut store: Store<Host>, service: Service) -> Self {
        let ended = Arc::new(OnceLock::new());
        let told = ended.clone();
        store.on_ended(move |_, ended| {
            // The first is the one that the others waited for.
            let _ = told.set(ended.clone());
        });
        let store = async move { store.run_concurrent(|store| instance.hand_over(store, service)).await };
        Driven { store: Box::pin(store), ended, rest: None }
    }

    fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    fn why_ended(&self) -> Option<tombolo::Error> {
        self.ended.get()?.error().cloned()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<tombolo::Result<()>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let begun = Instant::now();
        let end = self.store.as_mut().poll(cx);
        if end.is_pending() && begun.elapsed() >= TIME_SLICE {
            let rest = self.rest.insert(Box::pin(sleep(REST)));
            // It wakes the task when it is over.
            let _ = rest.as_mut().poll(cx);
        }
        end
    }
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
            store: RefCell::new(None),
            driver: RefCell::new(None),
            taken: Cell::new(0),
            left: Cell::new(reuse),
            has_failed: Cell::new(false),
            vacancy,
            complaints,
        });
        instance.store.replace(Some(Driven::new(instance.clone(), store, service)));
        let driven = instance.clone();
        tokio::task::spawn_local(poll_fn(move |cx| {
            remember(&driven.driver, cx);
            driven.turn(cx)
        }));
        instance
    }

    /// Gives the store a turn. Ready when there will be no more.
    fn turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(mut store) = self.store.try_borrow_mut() else {
            // It has one now: the request comes from inside of it.
            return Poll::Pending;
        };
        let end = match &mut *store {
            None => return Poll::Ready(()),
            Some(driven) => match driven.poll(cx) {
                Poll::Ready(end) => end.err(),
                Poll::Pending if driven.has_ended() => driven.why_ended(),
                // Whatever the component does after its answers, it does it now or, if it has to wait, not at all.
                Poll::Pending if self.is_over() => None,
                Poll::Pending => return Poll::Pending,
            },
        };
        drop(store);
        self.end();
        if let Some(error) = end {
            self.failed(&error);
        }
        Poll::Ready(())
    }

    /// Ends it, whatever it is at.
    pub(super) fn end(&self) {
        self.retire();
        // Neither may be borrowed while what is in it is dropped.
        let store = self.store.take();
        drop(store);
        let unseen = self.queue.take();
        drop(unseen);
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

    /// Has the store see what is new: here and now if that is possible, as it saves two changes of tasks.
    fn go_on(&self) {
        let driver = self.driver.borrow().clone();
        let Some(driver) = driver else { return };
        if self.turn(&mut Context::from_waker(&driver)).is_pending() && !self.queue.borrow().is_empty() {
            driver.wake();
        }
    }

    fn wake(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// What runs inside of the store: hands the component its requests.
    async fn hand_over(self: Rc<Self>, store: Accessor<Host>, service: Service) {
        let mut calls = pin!(FuturesUnordered::new());
        poll_fn(|cx| {
            while let Some(job) = self.next_job() {
                calls.push(job.call(&store, &service));
            }
            while let Poll::Ready(Some(())) = calls.as_mut().poll_next(cx) {}
            Poll::Pending
        })
        .await
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
        self.0.queue.borrow_mut().push_back(job);
        self.0.go_on();
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
