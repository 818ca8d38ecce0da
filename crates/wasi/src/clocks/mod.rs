//! Clocks: what time it is, and where; how much has passed, and waiting for more to pass.

mod host;
mod time_zone;
mod virtual_clock;

use std::future::Future;
use std::io;
use std::pin::Pin;

pub use host::{HostMonotonicClock, HostSystemClock};
pub use time_zone::{FixedTimeZone, HostTimeZone, TimeZone};
pub use virtual_clock::VirtualClock;

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// `nanoseconds` is below 1,000,000,000 and always counts forwards: one nanosecond before 1970 is
/// `{ seconds: -1, nanoseconds: 999_999_999 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// The rest, in nanoseconds.
    pub nanoseconds: u32,
}

/// How many nanoseconds make a second.
pub(crate) const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A future that ends when a clock reaches a mark, or with an error when it turns out that it cannot wait for that.
pub type Sleep = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A clock that never goes backwards, for measuring and waiting. Marks are nanoseconds from an origin of its own.
pub trait MonotonicClock: Send + Sync + 'static {
    /// Reads the clock.
    fn now(&self) -> u64;

    /// The length of one tick, in nanoseconds.
    fn resolution(&self) -> u64;

    /// Waits until [`now`](MonotonicClock::now) is at least `mark`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait.
    fn wait_until(&self, mark: u64) -> Sleep;
}

/// A clock that tells the date, and may be set forwards or backwards at any time.
pub trait SystemClock: Send + Sync + 'static {
    /// Reads the clock.
    fn now(&self) -> Instant;

    /// The smallest step, in nanoseconds.
    fn resolution(&self) -> u64;
}
