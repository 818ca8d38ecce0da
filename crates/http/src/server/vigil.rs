//! Looking for the next request before going to sleep.
//!
//! To be woken takes longer than to answer a small request: the processor comes out of a sleep of its own, and with cold
//! caches. So a worker that has sent what it had to say looks out a moment longer for what is said to it next. It does not
//! if it has many connections, as it sleeps little then, and others may need the processor to ask it something; it stops
//! when it has lost the processor; and when nothing came it tries less often, so that a worker which has little to do
//! sleeps.

use std::future::pending;
use std::time::{Duration, Instant};

/// How long to look out.
const MOST: Duration = Duration::from_micros(50);

/// One look takes less, unless somebody else had the processor.
const LOOK: Duration = Duration::from_micros(20);

/// How many connections are few.
const FEW: usize = 4;

/// Nothing came so often in a row: from here on it is tried once in two to this power.
const RARELY: u32 = 8;

#[derive(Default)]
pub(super) struct Vigil {
    /// While it looks out: since when, and when it looked last.
    awake: Option<(Instant, Instant)>,
    /// How often in a row nothing came.
    missed: u32,
    /// How often not to try.
    skip: u32,
}

impl Vigil {
    /// Everything that has come so far on so many connections is answered.
    pub(super) fn begin(&mut self, connections: usize) {
        if connections <= FEW {
            self.begin_at(Instant::now());
        } else {
            self.awake = None;
        }
    }

    /// Looks out, if it is the time for that. Never ready.
    ///
    /// # Cancel safety
    /// It can be dropped and called again.
    pub(super) async fn look(&mut self) {
        while self.awake.is_some() {
            tokio::task::yield_now().await;
            self.look_at(Instant::now());
        }
        pending().await
    }

    fn begin_at(&mut self, now: Instant) {
        if self.awake.take().is_some() {
            self.missed = 0;
        }
        match self.skip.checked_sub(1) {
            Some(skip) => self.skip = skip,
            None => self.awake = Some((now, now)),
        }
    }

    fn look_at(&mut self, now: Instant) {
        let Some((since, last)) = self.awake else { return };
        if now - since < MOST && now - last < LOOK {
            self.awake = Some((since, now));
        } else {
            self.awake = None;
            self.missed = (self.missed + 1).min(RARELY);
            self.skip = (1 << self.missed) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins and looks every five microseconds until it sleeps, or something comes after so many. Returns how often it looked.
    fn keep(vigil: &mut Vigil, comes_after: u32) -> u32 {
        let mut now = Instant::now();
        vigil.begin_at(now);
        let mut looks = 0;
        while vigil.awake.is_some() && looks < comes_after {
            now += Duration::from_micros(5);
            vigil.look_at(now);
            looks += 1;
        }
        looks
    }

    #[test]
    fn it_looks_out_for_a_while_and_less_often_when_nothing_comes() {
        let mut vigil = Vigil::default();
        let looks: Vec<_> = (0..12).map(|_| keep(&mut vigil, u32::MAX)).collect();
        assert_eq!(looks, [10, 0, 10, 0, 0, 0, 10, 0, 0, 0, 0, 0]);
        for _ in 0..10_000 {
            keep(&mut vigil, u32::MAX);
        }
        let tried = (0..1024).filter(|_| keep(&mut vigil, u32::MAX) > 0).count();
        assert_eq!(tried, 4, "and no less often than that");
        // Where something comes it goes on.
        while keep(&mut vigil, 3) == 0 {}
        assert_eq!([3; 5].map(|looks| keep(&mut vigil, looks)), [3; 5]);
    }

    #[test]
    fn it_stops_when_somebody_else_has_the_processor() {
        let mut vigil = Vigil::default();
        let now = Instant::now();
        vigil.begin_at(now);
        vigil.look_at(now + Duration::from_micros(1));
        vigil.look_at(now + LOOK + Duration::from_micros(1));
        assert!(vigil.awake.is_none());
    }

    #[tokio::test]
    async fn it_lets_others_run_and_sleeps_in_the_end() {
        let mut vigil = Vigil::default();
        vigil.begin(1);
        tokio::select! {
            biased;
            () = vigil.look() => unreachable!("it is never ready"),
            () = tokio::task::yield_now() => {}
        }
        let patience = tokio::time::timeout(Duration::from_millis(20), vigil.look()).await;
        assert!(patience.is_err() && vigil.awake.is_none());
    }
}
