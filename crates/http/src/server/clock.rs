//! A worker's clock: it goes in ticks, and only while the worker does.
//!
//! Looking at it costs nothing, which matters as every read and write does. A worker that was kept busy by a guest does
//! not find all its peers late afterwards, for the ticks of that time are not made up for.

use std::cell::Cell;
use std::time::Duration;

use super::Timeouts;

/// A number of ticks, or a time in them.
pub(super) type Ticks = u64;

pub(super) struct Clock {
    now: Cell<Ticks>,
    tick: Duration,
}

impl Clock {
    /// A clock fine enough for the shortest of `timeouts`.
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let Timeouts { headers, request, idle } = *timeouts;
        let shortest = [headers, request, idle].into_iter().flatten().min().unwrap_or(MAX_TICK);
        Clock { now: Cell::new(0), tick: (shortest / 20).clamp(MIN_TICK, MAX_TICK) }
    }

    /// How often [`Clock::advance`] is to be called.
    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    pub(super) fn now(&self) -> Ticks {
        self.now.get()
    }

    pub(super) fn advance(&self) {
        self.now.set(self.now.get().saturating_add(1));
    }

    /// Ticks that take at least as long as `time`; `None` takes for ever.
    pub(super) fn ticks(&self, time: Option<Duration>) -> Ticks {
        let Some(time) = time else { return Ticks::MAX };
        let ticks = time.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        // The one that goes on now may be nearly over.
        Ticks::try_from(ticks).unwrap_or(Ticks::MAX).saturating_add(1)
    }
}

const MIN_TICK: Duration = Duration::from_millis(5);
const MAX_TICK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        let clock = Clock::new(&Timeouts::default());
        assert_eq!(clock.tick(), MAX_TICK);
        assert_eq!(clock.ticks(Some(Duration::from_millis(250))), 2);
        assert_eq!(clock.ticks(Some(Duration::from_millis(251))), 3);
        assert_eq!(clock.ticks(Some(Duration::ZERO)), 1);
        assert_eq!(clock.ticks(None), Ticks::MAX);
        let quick = Timeouts { headers: Some(Duration::from_millis(200)), ..Timeouts::default() };
        assert_eq!(Clock::new(&quick).tick(), Duration::from_millis(10));
        assert_eq!(Clock::new(&quick).ticks(quick.headers), 21);
    }
}
