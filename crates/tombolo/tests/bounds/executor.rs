//! The least of executors: one thread, futures in turns.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// Polls the futures in turns, those that were woken, until all are ready.
pub(crate) fn run_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let flags: Vec<_> =
        futures.iter().map(|_| Arc::new(Unpark(thread::current(), AtomicBool::new(true)))).collect();
    let mut done = vec![false; futures.len()];
    while done.contains(&false) {
        let mut any = false;
        for ((future, flag), done) in futures.iter_mut().zip(&flags).zip(&mut done) {
            if !*done && flag.1.swap(false, Ordering::Acquire) {
                any = true;
                *done = future.as_mut().poll(&mut Context::from_waker(&Waker::from(flag.clone()))).is_ready();
            }
        }
        if !any {
            thread::park();
        }
    }
}

pub(crate) fn block_on<R>(future: impl Future<Output = R>) -> R {
    let mut result = None;
    run_all(vec![Box::pin(async { result = Some(future.await) })]);
    result.unwrap()
}

/// Waits for one turn.
pub(crate) async fn rest() {
    let mut rested = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut rested, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
