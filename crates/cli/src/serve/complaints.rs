//! What goes wrong while requests are served. It is said on the standard error stream, but not more often than somebody could
//! read: any client can make a program trap as often as it likes, once it knows how.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lines::Lines;
use crate::diagnostics::{Failure, render_trap};

/// Complaints in each period at most.
const LIMIT: u64 = 10;
const PERIOD: Duration = Duration::from_secs(10);

pub(super) struct Complaints {
    lines: Lines,
    period: Mutex<Period>,
}

struct Period {
    begun: Instant,
    count: u64,
}

impl Complaints {
    pub(super) fn new(lines: Lines) -> Self {
        Complaints { lines, period: Mutex::new(Period { begun: Instant::now(), count: 0 }) }
    }

    /// Says that a component failed.
    pub(super) fn failed(&self, error: &tombolo::Error) {
        self.say(|| match error.trap() {
            Some(trap) => render_trap(trap),
            None => Failure::new(error).render(),
        });
    }

    /// Says why something could not be done.
    pub(super) fn about(&self, failure: &Failure) {
        self.say(|| failure.render());
    }

    fn say(&self, text: impl FnOnce() -> String) {
        let left_out = {
            let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
            match period.next(Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            }
        };
        if left_out > 0 {
            self.lines.put(format!("({left_out} more errors in between)\n").as_bytes());
        }
        self.lines.put(anstream::adapter::strip_str(&text()).to_string().as_bytes());
    }
}

impl Period {
    /// Whether there may be another complaint; how many were left out before it.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if now.duration_since(self.begun) >= PERIOD {
            left_out = self.count.saturating_sub(LIMIT);
            *self = Period { begun: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        (self.count <= LIMIT).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_limited_and_counted() {
        let begun = Instant::now();
        let mut period = Period { begun, count: 0 };
        for _ in 0..LIMIT {
            assert_eq!(period.next(begun), Some(0));
        }
        assert_eq!((period.next(begun), period.next(begun)), (None, None));
        assert_eq!(period.next(begun + PERIOD), Some(2));
        assert_eq!(period.next(begun + 2 * PERIOD), Some(0));
    }
}
