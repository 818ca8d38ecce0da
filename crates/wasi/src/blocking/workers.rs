//! A bounded number of threads for one guest's work that may block.
//!
//! The threads are those of tokio's blocking pool, which all guests of a process share: a guest that starts more work
//! than it may has the rest wait here, in a queue of its own, where work that nobody wants any more is taken out again.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Blocking;

/// Where a guest's work goes that may block. Clones share their threads.
#[derive(Clone)]
pub struct Workers {
    blocking: Blocking,
    inner: Arc<Inner>,
}

struct Inner {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Threads at work.
    running: usize,
    /// Work that waits for one of them, the oldest first.
    queue: BTreeMap<u64, Task>,
    next: u64,
}

type Task = Box<dyn FnOnce() + Send>;

impl Default for Workers {
    /// Up to 32 threads.
    fn default() -> Self {
        Workers::new(32)
    }
}

impl Workers {
    /// Allows for `limit` threads, at least one. The thread that drives the guest does not block.
    pub fn new(limit: usize) -> Self {
        let inner = Inner { limit: limit.max(1), state: Mutex::default() };
        Workers { blocking: Blocking::Avoid, inner: Arc::new(inner) }
    }

    /// Lets the thread that drives the guest block, unless waiting could take for ever.
    #[must_use]
    pub fn in_place(self) -> Self {
        Workers { blocking: Blocking::Allow, ..self }
    }

    /// Whether the thread that drives the guest may block.
    pub fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// Has `work` done on one of the threads, or in place where there is no tokio runtime.
    pub(crate) fn spawn<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Job<R> {
        let (sender, receiver) = oneshot::channel();
        let task: Task = Box::new(move || {
            // Nobody may be waiting for it any more.
            let _ = sender.send(work());
        });
        let mut job = Job { receiver, queued: None };
        let Ok(runtime) = Handle::try_current() else {
            task();
            return job;
        };
        let mut state = self.inner.state();
        let id = state.next;
        state.next += 1;
        state.queue.insert(id, task);
        let another = state.running < self.inner.limit;
        if another {
            state.running += 1;
        }
        drop(state);
        job.queued = Some((self.inner.clone(), id));
        if another {
            let worker = Worker(Some(self.inner.clone()));
            runtime.spawn_blocking(move || worker.run());
        }
        job
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the threads, from when it is asked for until it finds nothing to do.
struct Worker(Option<Arc<Inner>>);

impl Worker {
    fn run(mut self) {
        while let Some(inner) = &self.0 {
            let mut state = inner.state();
            match state.queue.pop_first() {
                Some((_, task)) => {
                    drop(state);
                    // Whoever waits for it learns of a panic by its result's absence.
                    let _ = catch_unwind(AssertUnwindSafe(task));
                }
                None => {
                    state.running -= 1;
                    drop(state);
                    self.0 = None;
                }
            }
        }
    }
}

impl Drop for Worker {
    /// The runtime shut down before the thread got to work. Without another one, nothing in the queue will be done.
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            let mut state = inner.state();
            state.running -= 1;
            let abandoned =
                if state.running == 0 { std::mem::take(&mut state.queue) } else { BTreeMap::new() };
            drop(state);
            drop(abandoned);
        }
    }
}

/// A piece of work.
///
/// # Cancel safety
///
/// Dropping it cancels the work if it has not begun. Otherwise the work goes on unobserved.
pub(crate) struct Job<R> {
    receiver: oneshot::Receiver<R>,
    queued: Option<(Arc<Inner>, u64)>,
}

impl<R> Job<R> {
    /// Waits for the work's result, which is given out once.
    ///
    /// # Errors
    ///
    /// The work panicked, or its runtime shut down before it began.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        Future::poll(Pin::new(&mut self.receiver), cx).map_err(io::Error::other)
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        if let Some((inner, id)) = self.queued.take() {
            let task = inner.state().queue.remove(&id);
            drop(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn no_more_threads_than_allowed_are_at_work() {
        let workers = Workers::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut jobs: Vec<_> = (0..20)
            .map(|i| {
                let (now, most) = (now.clone(), most.clone());
                workers.spawn(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    now.fetch_sub(1, Ordering::SeqCst);
                    i
                })
            })
            .collect();
        for (i, job) in jobs.iter_mut().enumerate() {
            assert_eq!(poll_fn(|cx| job.poll(cx)).await.unwrap(), i);
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn work_that_is_cancelled_in_the_queue_is_forgotten() {
        let workers = Workers::new(1);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let mut first = workers.spawn(move || blocked.recv().is_ok());
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..1000 {
            let done = done.clone();
            drop(workers.spawn(move || done.fetch_add(1, Ordering::SeqCst)));
        }
        assert!(workers.inner.state().queue.len() <= 1);
        release.send(()).unwrap();
        assert!(poll_fn(|cx| first.poll(cx)).await.unwrap());
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_others_go_on() {
        let workers = Workers::new(1);
        let mut bad = workers.spawn(|| -> u32 { panic!("on purpose") });
        let mut good = workers.spawn(|| 7);
        assert!(poll_fn(|cx| bad.poll(cx)).await.is_err());
        assert_eq!(poll_fn(|cx| good.poll(cx)).await.unwrap(), 7);
    }

    #[test]
    fn workers_outlive_a_runtime() {
        let workers = Workers::new(1);
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut job = runtime.block_on(async { workers.spawn(|| 7) });
            assert_eq!(runtime.block_on(poll_fn(|cx| job.poll(cx))).unwrap(), 7);
        }
    }

    #[test]
    fn without_a_runtime_work_is_done_in_place() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        assert!(matches!(Workers::default().spawn(|| 7).poll(cx), Poll::Ready(Ok(7))));
    }
}
