//! A place where one value arrives.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Holds a value between whoever makes it and whoever waits for it.
pub(crate) struct Slot<R> {
    state: Mutex<State<R>>,
}

struct State<R> {
    value: Option<R>,
    waker: Option<Waker>,
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        Slot { state: Mutex::new(State { value: None, waker: None }) }
    }
}

impl<R> Slot<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the value in and wakes who waits for it.
    pub fn set(&self, value: R) {
        let waker = {
            let mut state = self.lock();
            state.value = Some(value);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the value out, if it is there.
    pub fn take(&self) -> Option<R> {
        self.lock().value.take()
    }

    /// Takes the value out, or has the waker called when it comes.
    pub fn poll(&self, waker: &Waker) -> Poll<R> {
        let mut state = self.lock();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}
