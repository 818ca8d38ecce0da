//! `wasi:clocks`.

use wasip3::clocks::{monotonic_clock, system_clock};

use crate::{number, unknown};

pub async fn perform(words: &[&str]) -> String {
    match *words {
        ["now"] => monotonic_clock::now().to_string(),
        ["resolution"] => monotonic_clock::get_resolution().to_string(),
        ["wait-for", duration] => {
            let before = monotonic_clock::now();
            monotonic_clock::wait_for(number(duration)).await;
            waited(before, number(duration))
        }
        // A mark so many nanoseconds from now.
        ["wait-until", ahead] => {
            let before = monotonic_clock::now();
            monotonic_clock::wait_until(before + number(ahead)).await;
            waited(before, number(ahead))
        }
        ["wait-until-past"] => {
            monotonic_clock::wait_until(0).await;
            monotonic_clock::wait_until(monotonic_clock::now().saturating_sub(1)).await;
            "ok".to_owned()
        }
        // A wait for ever, given up.
        ["give-up"] => {
            let mut wait = Box::pin(monotonic_clock::wait_for(u64::MAX));
            let first =
                std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx).is_pending())).await;
            drop(wait);
            if first { "ok" } else { "it did not wait" }.to_owned()
        }
        ["goes-on"] => {
            let mut last = monotonic_clock::now();
            let steady = (0..1000).all(|_| {
                let now = monotonic_clock::now();
                std::mem::replace(&mut last, now) <= now
            });
            steady.to_string()
        }
        ["date"] => {
            let now = system_clock::now();
            format!("{}:{}", now.seconds, now.nanoseconds)
        }
        ["date-resolution"] => system_clock::get_resolution().to_string(),
        ref words => unknown(words),
    }
}

fn waited(before: u64, duration: u64) -> String {
    let passed = monotonic_clock::now() - before;
    if passed >= duration { "ok".to_owned() } else { format!("only {passed}") }
}
