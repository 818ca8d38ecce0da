//! An instance at work: its store, driven by a task of its worker's, and the requests that were given to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Sleep, sleep};
use tombolo::{Accessor, Ended, Store};
use tombolo_http::{Body, Error, Service};

use super::app::TIME_SLICE;
use super::complaints::Complaints;
use crate::host::Host;

/// A request's place in an instance: taken until its response is over.
pub(super) struct Seat {
    instance: Rc<Instance>,
    /// The component was asked, and has not answered yet.
    waits: Cell<bool>,
}

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
    /// How many more may be given up before they are answered.
    patience: Cell<usize>,
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
        self.store.as_mut().poll(cx)
    }

    /// Lets others have their turn; then `cx` is woken.
    fn rest(&mut self, cx: &mut Context<'_>) {
        let rest = self.rest.insert(Box::pin(sleep(REST)));
        // It is not over yet.
        let _ = rest.as_mut().poll(cx);
    }
}

/// A request, and where it is told what came of it. Dropped in an instance, it says that there will be no answer.
struct Job {
    /// Boxed, as it goes from hand to hand.
    request: Box<Request<Body>>,
    answer: oneshot::Sender<Outcome>,
}

/// What came of a request.
pub(super) enum Outcome {
    Answered(Result<Response<Body>, Error>),
    /// The instance ended before the component saw it: another one may answer it.
    Unseen(Box<Request<Body>>),
}

/// Where an outcome arrives. Closed without one, the instance ended with the request in it.
pub(super) type Outcomes = oneshot::Receiver<Outcome>;

impl Instance {
    /// Begins to drive a store, for so many requests. `vacancy` is told when one of them is over. The component may be still
    /// at requests that were given up: when there were `patience` of them, another instance takes its place.
    pub(super) fn start(
        store: Store<Host>,
        service: Service,
        reuse: u64,
        patience: usize,
        vacancy: Rc<Notify>,
        complaints: Arc<Complaints>,
    ) -> Rc<Instance> {
        let instance = Rc::new(Instance {
            queue: RefCell::default(),
            store: RefCell::new(None),
            driver: RefCell::new(None),
            taken: Cell::new(0),
            left: Cell::new(reuse),
            patience: Cell::new(patience),
            has_failed: Cell::new(false),
            vacancy,
            complaints,
        });
        instance.store.replace(Some(Driven::new(instance.clone(), store, service)));
        let driven = instance.clone();
        tokio::task::spawn_local(poll_fn(move |cx| driven.drive(cx)));
        instance
    }

    /// What the driving task does, which is woken when a guest has more to do than a request's turn was enough for.
    fn drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.remember(cx.waker());
        let begun = Instant::now();
        let end = self.turn(cx);
        if end.is_pending()
            && begun.elapsed() >= TIME_SLICE
            && let Some(driven) = &mut *self.store.borrow_mut()
        {
            driven.rest(cx);
        }
        end
    }

    fn remember(&self, driver: &Waker) {
        let mut slot = self.driver.borrow_mut();
        if !slot.as_ref().is_some_and(|slot| slot.will_wake(driver)) {
            *slot = Some(driver.clone());
        }
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
        // It may not be borrowed while what is in it is dropped.
        let store = self.store.take();
        drop(store);
        self.give_back();
    }

    /// Has what the component has not seen yet go elsewhere.
    pub(super) fn give_back(&self) {
        for Job { request, answer } in self.queue.take() {
            // Whoever asked may be gone.
            let _ = answer.send(Outcome::Unseen(request));
        }
    }

    /// Takes a place, if there are fewer than `concurrency` taken.
    pub(super) fn claim(self: &Rc<Self>, concurrency: usize) -> Option<Seat> {
        if self.taken.get() >= concurrency || self.is_retired() {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        self.left.set(self.left.get() - 1);
        Some(Seat { instance: self.clone(), waits: Cell::new(false) })
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

    pub(super) fn is_retired(&self) -> bool {
        self.left.get() == 0
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.taken() == 0
    }

    /// Whether it has answered all that it will ever answer.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired() && self.is_idle()
    }

    /// Has the store see what is new: here and now if that is possible, as it saves two changes of tasks.
    fn go_on(&self) {
        let driver = self.driver.borrow();
        let Some(driver) = &*driver else { return };
        if self.turn(&mut Context::from_waker(driver)).is_pending() && !self.queue.borrow().is_empty() {
            driver.wake_by_ref();
        }
    }

    fn wake(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// What runs inside of the store: hands the component its requests, until it cannot be called any more.
    async fn hand_over(self: Rc<Self>, store: Accessor<Host>, service: Service) {
        poll_fn(|cx| {
            // One at a time: the store asks for the next when the component has seen this one, and is still there.
            if !service.has_ended()
                && let Some(Job { request, answer }) = self.next_job()
            {
                let then = |answered| {
                    // Whoever asked may have gone in the meantime.
                    let _ = answer.send(Outcome::Answered(answered));
                };
                if let Err(error) = store.with(|store| service.handle_then(store, *request, then)) {
                    self.failed(&error);
                }
                if !self.queue.borrow().is_empty() {
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next request that somebody waits for.
    fn next_job(&self) -> Option<Job> {
        let mut queue = self.queue.borrow_mut();
        std::iter::from_fn(|| queue.pop_front()).find(|job| !job.answer.is_closed())
    }
}

impl Seat {
    /// Has the instance answer a request. Most often the answer is there already when this returns.
    ///
    /// Whoever drops what it returns gets no answer. What the component has seen it finishes all the same.
    pub(super) fn handle(&self, request: Box<Request<Body>>) -> Outcomes {
        let (answer, outcomes) = oneshot::channel();
        self.waits.set(true);
        self.instance.queue.borrow_mut().push_back(Job { request, answer });
        self.instance.go_on();
        outcomes
    }

    /// An outcome has come.
    pub(super) fn is_answered(&self) {
        self.waits.set(false);
    }

    pub(super) fn instance(&self) -> &Rc<Instance> {
        &self.instance
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let instance = &self.instance;
        instance.taken.set(instance.taken.get().saturating_sub(1));
        if self.waits.get() {
            instance.patience.set(instance.patience.get().saturating_sub(1));
        }
        if instance.patience.get() == 0 {
            instance.retire();
        } else if instance.is_retired() {
            instance.wake();
        }
        instance.vacancy.notify_one();
    }
}
