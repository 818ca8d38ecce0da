//! Where in the world the clock hangs.

use std::sync::OnceLock;

use jiff::Timestamp;

use super::{Instant, NANOSECONDS_PER_SECOND, VirtualClock};

/// A time zone, as people set their watches by it.
pub trait TimeZone: Send + Sync + 'static {
    /// Its name in the IANA Time Zone Database, such as `Europe/Berlin`, if it has one there.
    fn iana_id(&self) -> Option<String>;

    /// By how many nanoseconds local time is ahead of UTC at an instant: less than a day. `None` if nobody knows.
    fn utc_offset(&self, when: Instant) -> Option<i64>;

    /// Something to show to a person who looks for a mistake.
    fn to_debug_string(&self) -> String {
        self.iana_id().unwrap_or_else(|| "unknown".to_owned())
    }
}

/// The machine's own time zone, from its database: the one that `TZ` names, or else that of `/etc/localtime`. It is
/// looked up once.
#[derive(Clone, Debug, Default)]
pub struct HostTimeZone(OnceLock<Option<jiff::tz::TimeZone>>);

impl HostTimeZone {
    fn zone(&self) -> Option<&jiff::tz::TimeZone> {
        let find = || match jiff::tz::TimeZone::try_system() {
            Ok(zone) if !zone.is_unknown() => Some(zone),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "the machine's time zone is not known");
                None
            }
        };
        self.0.get_or_init(find).as_ref()
    }
}

impl TimeZone for HostTimeZone {
    fn iana_id(&self) -> Option<String> {
        self.zone()?.iana_name().map(str::to_owned)
    }

    fn utc_offset(&self, when: Instant) -> Option<i64> {
        // The offset changes at whole seconds. Years beyond 9999 have none.
        let when = Timestamp::from_second(when.seconds).ok()?;
        let seconds = self.zone()?.to_offset(when).seconds();
        Some(i64::from(seconds).saturating_mul(NANOSECONDS_PER_SECOND.into()))
    }

    fn to_debug_string(&self) -> String {
        match self.zone() {
            None => "unknown".to_owned(),
            Some(zone) => zone.iana_name().map_or_else(|| format!("{zone:?}"), str::to_owned),
        }
    }
}

/// A time zone without summer time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedTimeZone {
    id: Option<String>,
    seconds: i32,
}

impl FixedTimeZone {
    /// Makes a time zone that is ahead of UTC by so many seconds, at most a day less a second in either direction, and
    /// has a name in the IANA Time Zone Database or not.
    pub fn new(id: Option<&str>, seconds: i32) -> Self {
        const MOST: i32 = 24 * 60 * 60 - 1;
        FixedTimeZone { id: id.map(str::to_owned), seconds: seconds.clamp(-MOST, MOST) }
    }

    /// Universal time.
    pub fn utc() -> Self {
        FixedTimeZone::new(Some("Etc/UTC"), 0)
    }
}

impl TimeZone for FixedTimeZone {
    fn iana_id(&self) -> Option<String> {
        self.id.clone()
    }

    fn utc_offset(&self, _: Instant) -> Option<i64> {
        Some(i64::from(self.seconds).saturating_mul(NANOSECONDS_PER_SECOND.into()))
    }

    fn to_debug_string(&self) -> String {
        let minutes = self.seconds / 60;
        let sign = if self.seconds < 0 { '-' } else { '+' };
        let offset = format!("{sign}{:02}:{:02}", (minutes / 60).abs(), (minutes % 60).abs());
        self.id.clone().unwrap_or(offset)
    }
}

/// It hangs in Greenwich, always.
impl TimeZone for VirtualClock {
    fn iana_id(&self) -> Option<String> {
        FixedTimeZone::utc().iana_id()
    }

    fn utc_offset(&self, _: Instant) -> Option<i64> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn at(seconds: i64) -> Instant {
        Instant { seconds, nanoseconds: 0 }
    }

    fn zone(zone: jiff::tz::TimeZone) -> HostTimeZone {
        HostTimeZone(OnceLock::from(Some(zone)))
    }

    #[test]
    fn summer_time_comes_and_goes() {
        // A rule rather than a name: the machine may have no database.
        let berlin = zone(jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        assert_eq!(berlin.utc_offset(at(1_767_225_600)), Some(HOUR)); // 2026-01-01
        assert_eq!(berlin.utc_offset(at(1_782_864_000)), Some(2 * HOUR)); // 2026-07-01
        assert_eq!(berlin.utc_offset(at(-1)), Some(HOUR));
        assert_eq!(berlin.iana_id(), None);
        assert_eq!(berlin.utc_offset(at(i64::MAX)), None);
        assert_eq!(berlin.utc_offset(at(i64::MIN)), None);
    }

    #[test]
    fn a_machine_without_a_time_zone_says_so() {
        let nowhere = HostTimeZone(OnceLock::from(None));
        assert_eq!((nowhere.iana_id(), nowhere.utc_offset(at(0))), (None, None));
        assert_eq!(nowhere.to_debug_string(), "unknown");
    }

    #[test]
    fn fixed_zones_stay() {
        let west = FixedTimeZone::new(None, -12_600);
        assert_eq!(west.utc_offset(at(0)), Some(-HOUR * 7 / 2));
        assert_eq!(west.to_debug_string(), "-03:30");
        let far = FixedTimeZone::new(None, i32::MAX).utc_offset(at(0)).unwrap();
        assert!(far < 24 * HOUR);
        let clock = VirtualClock::new(at(0));
        assert_eq!((clock.iana_id().unwrap(), clock.to_debug_string()), ("Etc/UTC".into(), "Etc/UTC".into()));
    }
}
