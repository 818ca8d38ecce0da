use futures_util::join;

use crate::report::{Report, check};
use crate::tombolo::pair::counters::{self, Counter};

pub async fn check(report: &mut Report) {
    methods(report);
    passing(report);
    waiting(report).await;
    check!(report, counters::alive(), 0);
}

fn methods(report: &mut Report) {
    let counter = Counter::new(40);
    check!(report, counter.add(2), 42);
    check!(report, counter.value(), 42);
    check!(report, counter.same_value(&Counter::new(42)), true);
    check!(report, counter.same_value(&Counter::new(43)), false);
    check!(report, counter.same_value(&counter), true);
    check!(report, counters::alive(), 1);
    drop(counter);
    check!(report, counters::alive(), 0);
}

fn passing(report: &mut Report) {
    let (one, two) = (Counter::new(1), Counter::new(2));
    check!(report, counters::total(&[]), 0);
    check!(report, counters::total(&[&one, &two, &one]), 4);
    check!(report, counters::alive(), 2);
    let merged = Counter::merge(one, two);
    check!(report, counters::alive(), 1);
    check!(report, merged.value(), 3);
    check!(report, counters::take(merged), 3);
    check!(report, counters::alive(), 0);

    let parts = counters::split(Counter::new(100), 4);
    check!(report, counters::alive(), 4);
    check!(report, parts.iter().map(Counter::value).collect(), vec![25; 4]);
    drop(parts);
    check!(report, counters::maybe(None).is_none(), true);
    check!(report, counters::maybe(Some(9)).map(|counter| counter.value()), Some(9));

    // More handles than a small table holds, dropped in another order than made.
    let mut many: Vec<Counter> = (0..1000).map(Counter::new).collect();
    many.sort_by_key(|counter| counter.value() % 7);
    many.truncate(500);
    check!(report, counters::alive(), 500);
}

async fn waiting(report: &mut Report) {
    let counter = Counter::new(0);
    let (slow, fast) = join!(counter.add_after(1, 20), counter.add_after(10, 2));
    check!(report, (slow, fast), (11, 10));
    check!(report, counter.value(), 11);
}
