use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::clocks::monotonic_clock;

use crate::exports::tombolo::pair::counters::{Counter, CounterBorrow, Guest, GuestCounter};

/// How many counters live: made and not yet dropped by whoever owns them.
static ALIVE: AtomicU32 = AtomicU32::new(0);

pub struct MyCounter(Cell<u64>);

impl MyCounter {
    fn new(value: u64) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        MyCounter(Cell::new(value))
    }
}

impl Drop for MyCounter {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl GuestCounter for MyCounter {
    fn new(start: u64) -> Self {
        MyCounter::new(start)
    }

    fn add(&self, n: u64) -> u64 {
        self.0.set(self.0.get() + n);
        self.0.get()
    }

    fn value(&self) -> u64 {
        self.0.get()
    }

    fn same_value(&self, other: CounterBorrow<'_>) -> bool {
        self.0 == other.get::<MyCounter>().0
    }

    fn merge(a: Counter, b: Counter) -> Counter {
        Counter::new(MyCounter::new(value(&a) + value(&b)))
    }

    async fn add_after(&self, n: u64, milliseconds: u64) -> u64 {
        monotonic_clock::wait_for(milliseconds * 1_000_000).await;
        self.add(n)
    }
}

impl Guest for crate::Callee {
    type Counter = MyCounter;

    fn total(counters: Vec<CounterBorrow<'_>>) -> u64 {
        counters.iter().map(|counter| counter.get::<MyCounter>().value()).sum()
    }

    fn take(counter: Counter) -> u64 {
        value(&counter)
    }

    fn split(counter: Counter, parts: u32) -> Vec<Counter> {
        let part = value(&counter) / u64::from(parts);
        (0..parts).map(|_| Counter::new(MyCounter::new(part))).collect()
    }

    fn maybe(value: Option<u64>) -> Option<Counter> {
        value.map(|value| Counter::new(MyCounter::new(value)))
    }

    fn alive() -> u32 {
        ALIVE.load(Ordering::Relaxed)
    }
}

fn value(counter: &Counter) -> u64 {
    counter.get::<MyCounter>().value()
}
