//! The process's timer: a thread that rings alarms when their time has come.
//!
//! It is started with the first alarm that is set. Setting an alarm to a later time takes no lock: an alarm's entry in the
//! queue may be earlier than its time, and the thread moves it when it gets there.
//!
//! An alarm's `queued` changes under the queue's lock only. Who sets `at` looks at `queued` afterwards; the thread, who
//! takes an entry out, clears `queued` before it looks at `at`. So one of the two sees what the other did.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Nanoseconds since the timer's beginning.
type Time = u64;

const NEVER: Time = Time::MAX;

/// Something that is done on the timer's thread at a time that may be changed.
pub(crate) struct Alarm {
    at: AtomicU64,
    /// The time of its entry in the queue.
    queued: AtomicU64,
    ring: Box<dyn Fn() + Send + Sync>,
}

struct Timer {
    queue: Mutex<Queue>,
    changed: Condvar,
    beginning: Instant,
}

struct Queue {
    /// Told apart by a number where times are equal.
    entries: BTreeMap<(Time, u64), Weak<Alarm>>,
    next: u64,
    running: bool,
}

static TIMER: LazyLock<Timer> = LazyLock::new(|| Timer {
    queue: Mutex::new(Queue { entries: BTreeMap::new(), next: 0, running: false }),
    changed: Condvar::new(),
    beginning: Instant::now(),
});

impl Alarm {
    /// Makes an alarm that is not set. `ring` must be short.
    ///
    /// # Errors
    /// When the system does not give the process another thread.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> io::Result<Arc<Self>> {
        let mut queue = TIMER.lock();
        if !queue.running {
            std::thread::Builder::new().name("tombolo-timer".into()).spawn(run)?;
            queue.running = true;
        }
        Ok(Arc::new(Alarm { at: NEVER.into(), queued: NEVER.into(), ring: Box::new(ring) }))
    }

    /// Sets the time at which it rings, once; `None` for never.
    pub fn set(self: &Arc<Self>, at: Option<Instant>) {
        let at = at.map_or(NEVER, |at| TIMER.time(at));
        self.at.store(at, SeqCst);
        if at < self.queued.load(SeqCst) {
            TIMER.lock().add(self, at);
        }
    }
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self, at: Instant) -> Time {
        let since = at.saturating_duration_since(self.beginning).as_nanos();
        Time::try_from(since).unwrap_or(NEVER).min(NEVER - 1)
    }
}

impl Queue {
    fn add(&mut self, alarm: &Arc<Alarm>, at: Time) {
        // An entry that is later stays, and is found to be of no use when its time comes.
        let first = self.entries.first_key_value().is_none_or(|(key, _)| at < key.0);
        alarm.queued.store(at, SeqCst);
        self.entries.insert((at, self.next), Arc::downgrade(alarm));
        self.next += 1;
        if first {
            TIMER.changed.notify_one();
        }
    }

    /// Takes out an alarm that is to ring now, or says when to look again.
    fn next_due(&mut self, now: Time) -> Result<Arc<Alarm>, Time> {
        while let Some(entry) = self.entries.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Err(at);
            }
            let Some(alarm) = entry.remove().upgrade() else { continue };
            if alarm.queued.load(SeqCst) != at {
                continue;
            }
            alarm.queued.store(NEVER, SeqCst);
            let at = alarm.at.load(SeqCst);
            if at > now {
                if at != NEVER {
                    self.add(&alarm, at);
                }
            } else if alarm.at.compare_exchange(at, NEVER, SeqCst, SeqCst).is_ok() {
                return Ok(alarm);
            }
            // Else it was set anew meanwhile, by somebody who waits for the lock to add it.
        }
        Err(NEVER)
    }
}

fn run() {
    let mut queue = TIMER.lock();
    loop {
        let now = TIMER.time(Instant::now());
        match queue.next_due(now) {
            Ok(alarm) => {
                drop(queue);
                (alarm.ring)();
                drop(alarm);
                queue = TIMER.lock();
            }
            Err(NEVER) => queue = TIMER.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            Err(at) => {
                let wait = Duration::from_nanos(at.saturating_sub(now));
                let woken = TIMER.changed.wait_timeout(queue, wait);
                queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn alarms_ring_in_the_order_of_their_times_as_last_set() {
        let (sender, rings) = mpsc::channel();
        let now = Instant::now();
        let after = |millis| Some(now + Duration::from_millis(millis));
        let alarms: Vec<_> = (0..4)
            .map(|number| {
                let sender = sender.clone();
                Alarm::new(move || sender.send((number, Instant::now())).unwrap_or(())).unwrap()
            })
            .collect();
        alarms[0].set(after(10));
        alarms[1].set(after(60));
        alarms[2].set(after(20));
        alarms[3].set(after(80));
        // Later, earlier, never.
        alarms[0].set(after(90));
        alarms[1].set(after(30));
        alarms[3].set(None);
        let next = || rings.recv_timeout(Duration::from_secs(20)).unwrap();
        for (number, millis) in [(2, 20), (1, 30), (0, 90)] {
            let (rang, at) = next();
            assert_eq!(rang, number);
            assert!(at >= now + Duration::from_millis(millis));
        }
        // It can be set again once it rang; one that is in the past rings at once; a dropped one does not.
        alarms[2].set(after(0));
        assert_eq!(next().0, 2);
        alarms[0].set(Some(Instant::now() + Duration::from_millis(200)));
        drop(alarms);
        assert!(rings.recv_timeout(Duration::from_millis(300)).is_err());
    }
}
