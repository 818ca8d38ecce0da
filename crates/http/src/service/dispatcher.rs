//! A service from outside of its store.
//!
//! Requests wait in a queue for whoever drives the store: the future that [`Service::start`] gives, or, if that sleeps,
//! whoever brings a request. The latter is the rule: the store is entered in place, and as long as the guest waits for
//! nothing its answer is there without another task having run.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;
use tombolo::{Accessor, Store};

use super::Service;
use crate::body::Body;
use crate::{Error, ErrorCode, HttpView, RequestOptions, SendFuture, SendRequest};

/// A service that runs elsewhere: hands requests to it, and gives what it answers.
///
/// Cheap to clone. Any thread may use it; it is best used on the thread that drives the store.
#[derive(Clone)]
pub struct Dispatcher {
    line: Arc<Line>,
}

/// What dispatchers, and the bodies that they gave, hold on to: when it is dropped, the store need not be driven.
struct Line {
    shared: Arc<Shared>,
    /// That of `shared`.
    waker: Waker,
}

struct Shared {
    queue: Arc<Queue>,
    /// Drives the store, while it can be driven.
    driver: Mutex<Option<Driver>>,
    /// Whoever polls the driver when nobody brings requests.
    task: AtomicWaker,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    /// No more will come.
    closed: AtomicBool,
}

/// A request, and where the answer goes.
struct Job {
    /// Boxed, as it goes from hand to hand.
    request: Box<http::Request<Body>>,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<http::Response<Body>, Error>;

impl Dispatcher {
    /// Has the service answer a request.
    ///
    /// # Errors
    /// As for [`Service::handle`], and [`Error::Gone`] or [`Error::Abandoned`] if the service's store is not driven any
    /// more.
    ///
    /// # Cancel safety
    /// When the future is dropped, the service finishes its answer all the same, and writes no more of the body than is
    /// read.
    pub async fn handle<B>(&self, request: http::Request<B>) -> Answer
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<ErrorCode>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.line.shared.queue.lock().push_back(Job { request: Box::new(request.map(Body::new)), answer });
        if !self.line.drive() {
            self.line.shared.queue.lock().clear();
            return Err(Error::Gone);
        }
        let answer = match answered.try_recv() {
            Ok(answer) => answer,
            Err(oneshot::error::TryRecvError::Empty) => answered.await.unwrap_or(Err(Error::Abandoned)),
            Err(oneshot::error::TryRecvError::Closed) => Err(Error::Abandoned),
        };
        let mut response = answer?;
        response.body_mut().gather().map_err(Error::Response)?;
        // Until the body is read or dropped, somebody may yet need the store.
        response.body_mut().keep(self.line.clone());
        Ok(response)
    }
}

/// Has the service answer what other components send: without a network, and whatever the authority.
impl SendRequest for Dispatcher {
    fn send(&self, request: http::Request<Body>, _: RequestOptions) -> SendFuture {
        let service = self.clone();
        Box::pin(async move {
            service.handle(request).await.map_err(|error| match error {
                Error::Request(code) | Error::Response(code) => code,
                error => ErrorCode::InternalError(Some(error.to_string())),
            })
        })
    }
}

impl Line {
    /// Drives the store until it waits, or has it driven if that is going on. Returns whether it is driven at all.
    fn drive(&self) -> bool {
        match self.shared.driver.try_lock() {
            Ok(mut driver) => {
                let Some(driving) = &mut *driver else { return false };
                if driving.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                    *driver = None;
                    drop(driver);
                    self.shared.task.wake();
                }
            }
            Err(TryLockError::WouldBlock) => self.shared.task.wake(),
            Err(TryLockError::Poisoned(_)) => return false,
        }
        true
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.queue.closed.store(true, Ordering::Release);
        self.shared.task.wake();
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.task.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.wake();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Lets the service be reached from outside of its store. The future drives the store; it ends with the store when all
    /// dispatchers and the bodies of their responses are dropped, or with an error when the component has failed and is
    /// asked again, or fails where nobody waits for it.
    pub fn start<T: HttpView + 'static>(
        self,
        mut store: Store<T>,
    ) -> (Dispatcher, impl Future<Output = tombolo::Result<Store<T>>> + Send) {
        let queue = Arc::new(Queue::default());
        let jobs = queue.clone();
        let (end, mut ended) = oneshot::channel();
        let driver = async move {
            let result = store.run_concurrent(|store| self.answer_all(store, jobs)).await;
            // Whoever waited for the end may be gone.
            let _ = end.send(result.flatten().map(|()| store));
        };
        let driver = Mutex::new(Some(Box::pin(driver) as Driver));
        let shared = Arc::new(Shared { queue, driver, task: AtomicWaker::new() });
        let driving = Driving(shared.clone());
        let future = async move {
            let Driving(shared) = &driving;
            let waker = Waker::from(shared.clone());
            poll_fn(|cx| {
                shared.task.register(cx.waker());
                let mut driver = shared.lock();
                let over = driver
                    .as_mut()
                    .is_none_or(|driver| driver.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
                if over {
                    *driver = None;
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            ended.try_recv().unwrap_or_else(|_| Err(tombolo::Error::host(Error::Abandoned)))
        };
        let waker = Waker::from(shared.clone());
        (Dispatcher { line: Arc::new(Line { shared, waker }) }, future)
    }

    /// Hands the component its requests, as long as any may come and it can be called.
    async fn answer_all<T: HttpView + 'static>(
        self,
        store: Accessor<T>,
        queue: Arc<Queue>,
    ) -> tombolo::Result<()> {
        poll_fn(|_| {
            loop {
                let Some(Job { request, answer }) = queue.lock().pop_front() else { break };
                let answer = |response| {
                    // Whoever asked may be gone.
                    let _ = answer.send(response);
                };
                if let Err(error) = store.with(|store| self.handle_then(store, *request, answer)) {
                    return Poll::Ready(Err(error));
                }
            }
            match queue.closed.load(Ordering::Acquire) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// Whoever drives the store. When that is dropped, nobody does.
struct Driving(Arc<Shared>);

impl Drop for Driving {
    fn drop(&mut self) {
        let driver = self.0.lock().take();
        drop(driver);
        self.0.queue.lock().clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Driver>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
