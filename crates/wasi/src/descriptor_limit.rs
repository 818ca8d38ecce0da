//! How many descriptors of the host a guest may hold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A bound on the host's descriptors that one guest holds open. Clones count together.
#[derive(Clone, Debug)]
pub struct DescriptorLimit(Arc<Count>);

#[derive(Debug)]
struct Count {
    open: AtomicUsize,
    limit: usize,
    /// Those who wait for one to be closed.
    waiting: Mutex<Vec<Waker>>,
}

/// The guest has as many descriptors open as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyOpen;

/// The right to one open descriptor, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit(DescriptorLimit);

impl DescriptorLimit {
    /// Bounds the number of open descriptors by `limit`.
    pub fn new(limit: usize) -> Self {
        DescriptorLimit(Arc::new(Count { open: AtomicUsize::new(0), limit, waiting: Mutex::default() }))
    }

    /// Allows for as many as the process may ever have open, but for `reserve` that stay the host's: for a process
    /// that runs one guest. Raises the process's soft limit (`RLIMIT_NOFILE`) to its hard limit, if it can.
    pub fn all_but(reserve: usize) -> Self {
        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
        let current = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits.maximum,
            Err(_) => limits.current,
        };
        DescriptorLimit::new(count(current).saturating_sub(reserve))
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(crate) fn acquire(&self) -> Result<Permit, TooManyOpen> {
        let count = &self.0;
        count
            .open
            .try_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < count.limit).then_some(open + 1))
            .map(|_| Permit(self.clone()))
            .map_err(|_| TooManyOpen)
    }

    /// Waits until one more may be opened.
    pub(crate) fn poll_acquire(&self, cx: &mut Context<'_>) -> Poll<Permit> {
        if let Ok(permit) = self.acquire() {
            return Poll::Ready(permit);
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        // One may have been closed before it could know of this waker.
        self.acquire().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Default for DescriptorLimit {
    /// Half of what the process may have open.
    fn default() -> Self {
        DescriptorLimit::new(count(getrlimit(Resource::Nofile).current) / 2)
    }
}

/// A limit of the process as a number; where there is none, one that is large enough.
fn count(limit: Option<u64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(1 << 20)
}

impl Drop for Permit {
    fn drop(&mut self) {
        let count = &self.0.0;
        count.open.fetch_sub(1, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *count.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn a_permit_comes_back() {
        let limit = DescriptorLimit::new(1);
        let permit = limit.acquire().unwrap();
        assert_eq!(limit.acquire().unwrap_err(), TooManyOpen);
        drop(permit);
        assert_eq!(limit.open(), 0);
        limit.acquire().unwrap();
    }
    #[tokio::test]
    async fn a_permit_that_is_waited_for_comes() {
        let limit = DescriptorLimit::new(1);
        let permit = limit.acquire().unwrap();
        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { poll_fn(|cx| limit.poll_acquire(cx)).await }
        });
        tokio::task::yield_now().await;
        drop(permit);
        drop(waiting.await.unwrap());
        assert_eq!(limit.open(), 0);
    }
}
