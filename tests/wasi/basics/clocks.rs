//! `wasi:clocks`.

use std::time::{SystemTime, UNIX_EPOCH};

use tombolo_wasi::WasiCtx;
use tombolo_wasi::clocks::{Instant, VirtualClock};

use crate::guest::run;

#[tokio::test]
async fn the_machines_clocks_go_on_and_wait() {
    let operations = [
        "clock goes-on",
        "clock wait-for 0",
        "clock wait-for 3000000",
        "clock wait-until 3000000",
        "clock wait-until-past",
        "clock give-up",
    ];
    assert_eq!(run(WasiCtx::builder(), &operations).await, ["true", "ok", "ok", "ok", "ok", "ok"]);
    let outcomes =
        run(WasiCtx::builder(), &["clock resolution", "clock date-resolution", "clock date"]).await;
    let resolution = |outcome: &str| outcome.parse::<u64>().unwrap();
    assert!((1..1_000_000_000).contains(&resolution(&outcomes[0])), "{outcomes:?}");
    assert!((1..1_000_000_000).contains(&resolution(&outcomes[1])), "{outcomes:?}");
    let (seconds, nanoseconds) = outcomes[2].split_once(':').unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(seconds.parse::<u64>().unwrap().abs_diff(now) < 100, "{outcomes:?}");
    assert!(nanoseconds.parse::<u32>().unwrap() < 1_000_000_000);
}

#[tokio::test]
async fn an_embedders_clock_stands_until_it_is_moved() {
    let clock = VirtualClock::new(Instant { seconds: -2, nanoseconds: 999_999_999 });
    let wasi = || WasiCtx::builder().monotonic_clock(clock.clone()).system_clock(clock.clone());
    let operations = ["clock now", "clock date", "clock resolution", "clock now", "clock wait-until-past"];
    assert_eq!(run(wasi(), &operations).await, ["0", "-2:999999999", "1", "0", "ok"]);
    clock.advance(1);
    assert_eq!(run(wasi(), &["clock now", "clock date"]).await, ["1", "-1:0"]);
    // An hour passes at once.
    let moved = clock.clone();
    let (outcomes, ()) = tokio::join!(run(wasi(), &["clock wait-for 3600000000000", "clock date"]), async {
        tokio::task::yield_now().await;
        for _ in 0..60 {
            moved.advance(60_000_000_000);
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(outcomes, ["ok", "3599:0"]);
}
