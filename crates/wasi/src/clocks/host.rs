//! The machine's own clocks.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_getres, clock_gettime};
use tokio::runtime::Handle;

use super::{Instant, MonotonicClock, NANOSECONDS_PER_SECOND, Sleep, SystemClock};

/// The machine's monotonic clock. Waiting needs a tokio runtime with its timer enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostMonotonicClock;

/// The machine's date.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSystemClock;

impl MonotonicClock for HostMonotonicClock {
    fn now(&self) -> u64 {
        let time = clock_gettime(ClockId::Monotonic);
        nanoseconds(time.tv_sec, time.tv_nsec)
    }

    fn resolution(&self) -> u64 {
        resolution(ClockId::Monotonic)
    }

    fn wait_until(&self, mark: u64) -> Sleep {
        let clock = *self;
        Box::pin(async move {
            // The timer has a resolution of its own, so the clock has the last word.
            while let Some(left) = mark.checked_sub(clock.now()).filter(|left| *left > 0) {
                if Handle::try_current().is_err() {
                    return Err(io::Error::other("waiting for a clock needs a tokio runtime"));
                }
                tokio::time::sleep(Duration::from_nanos(left)).await;
            }
            Ok(())
        })
    }
}

impl SystemClock for HostSystemClock {
    fn now(&self) -> Instant {
        let time = clock_gettime(ClockId::Realtime);
        Instant { seconds: time.tv_sec, nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0) }
    }

    fn resolution(&self) -> u64 {
        resolution(ClockId::Realtime)
    }
}

fn resolution(clock: ClockId) -> u64 {
    let tick = clock_getres(clock);
    nanoseconds(tick.tv_sec, tick.tv_nsec).max(1)
}

/// Neither clock gives a negative value, and 584 years of uptime fit.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS_PER_SECOND.into()).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_clock_does_not_go_back() {
        let clock = HostMonotonicClock;
        let (first, second) = (clock.now(), clock.now());
        assert!(first <= second);
        assert!(clock.resolution() >= 1);
    }

    #[test]
    fn system_clock_agrees_with_the_standard_library() {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = HostSystemClock.now();
        assert!(now.seconds.abs_diff(since_1970.as_secs() as i64) <= 2);
        assert!(now.nanoseconds < NANOSECONDS_PER_SECOND);
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_mark_and_not_before() {
        let clock = HostMonotonicClock;
        let mark = clock.now() + 3_000_000;
        clock.wait_until(mark).await.unwrap();
        assert!(clock.now() >= mark);
        clock.wait_until(0).await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_for_the_end_of_time_does_not_overflow() {
        let wait = HostMonotonicClock.wait_until(u64::MAX);
        assert!(tokio::time::timeout(Duration::from_millis(5), wait).await.is_err());
    }
}
