//! Waits 50, 100 and 150 milliseconds at once: that takes as long as the longest, and less than all three in a
//! row. Other times may be given as arguments.

use futures_util::future::join_all;
use wasip3::clocks::monotonic_clock;

const MILLISECOND: u64 = 1_000_000;

struct Timers;

impl wasip3::exports::cli::run::Guest for Timers {
    async fn run() -> Result<(), ()> {
        let mut waits: Vec<u64> = support::args().iter().filter_map(|arg| arg.parse().ok()).collect();
        if waits.is_empty() {
            waits = vec![50, 100, 150];
        }
        let (longest, all): (u64, u64) = (waits.iter().copied().max().unwrap_or(0), waits.iter().sum());

        let start = monotonic_clock::now();
        join_all(waits.iter().map(|wait| monotonic_clock::wait_for(wait * MILLISECOND))).await;
        let elapsed = (monotonic_clock::now() - start) / MILLISECOND;

        support::print(&format!("{elapsed} ms\n")).await.map_err(drop)?;
        if elapsed < longest {
            support::eprint(&format!("timers: {longest} ms were not waited for\n")).await;
            return Err(());
        }
        if elapsed >= all && waits.len() > 1 {
            support::eprint(&format!("timers: one after the other, {all} ms in all\n")).await;
            return Err(());
        }
        Ok(())
    }
}

wasip3::cli::command::export!(Timers);
