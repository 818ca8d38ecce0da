//! A clock that stands still until it is told to move.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::{Instant, MonotonicClock, NANOSECONDS_PER_SECOND, Sleep, SystemClock};

/// A clock of both kinds that stands still until [`advance`](VirtualClock::advance) moves it. Clones are the same
/// clock.
///
/// ```
/// use tombolo_wasi::clocks::{Instant, MonotonicClock, SystemClock, VirtualClock};
///
/// let clock = VirtualClock::new(Instant { seconds: -1, nanoseconds: 0 });
/// clock.advance(1_500_000_000);
/// assert_eq!(MonotonicClock::now(&clock), 1_500_000_000);
/// assert_eq!(SystemClock::now(&clock), Instant { seconds: 0, nanoseconds: 500_000_000 });
/// ```
#[derive(Clone, Debug)]
pub struct VirtualClock {
    origin: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    waiting: Vec<Waker>,
}

impl VirtualClock {
    /// Makes a clock whose marks begin at 0 and whose date is `start`.
    pub fn new(start: Instant) -> Self {
        VirtualClock { origin: start, state: Arc::default() }
    }

    /// Moves the clock by `nanoseconds` and wakes whoever waits for it.
    pub fn advance(&self, nanoseconds: u64) {
        let mut state = self.state();
        state.now = state.now.saturating_add(nanoseconds);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MonotonicClock for VirtualClock {
    fn now(&self) -> u64 {
        self.state().now
    }

    fn resolution(&self) -> u64 {
        1
    }

    fn wait_until(&self, mark: u64) -> Sleep {
        let clock = self.clone();
        Box::pin(poll_fn(move |cx| {
            let mut state = clock.state();
            if state.now >= mark {
                return Poll::Ready(Ok(()));
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        }))
    }
}

impl SystemClock for VirtualClock {
    fn now(&self) -> Instant {
        let passed = self.state().now.saturating_add(self.origin.nanoseconds.into());
        let per_second = u64::from(NANOSECONDS_PER_SECOND);
        Instant {
            seconds: self.origin.seconds.saturating_add_unsigned(passed / per_second),
            nanoseconds: (passed % per_second) as u32,
        }
    }

    fn resolution(&self) -> u64 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_end_when_the_clock_is_moved() {
        let clock = VirtualClock::new(Instant::default());
        let wait = tokio::spawn(clock.wait_until(10));
        tokio::task::yield_now().await;
        clock.advance(9);
        tokio::task::yield_now().await;
        assert!(!wait.is_finished());
        clock.advance(1);
        wait.await.unwrap().unwrap();
    }
}
