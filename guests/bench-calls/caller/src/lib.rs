//! The half of bench-calls that calls and measures.
//!
//! `bench-calls KIND ITERATIONS` does one kind of work so often and prints `KIND ITERATIONS NANOSECONDS`; without
//! a number, as often as takes about a fifth of a second on a fast runtime. Without arguments it does every kind
//! that needs no directory.

mod between;
mod kinds;
mod memory;
mod to_host;

use kinds::{KINDS, Kind};
use wasip3::clocks::monotonic_clock;

wit_bindgen::generate!({
    path: "../wit",
    world: "caller",
});

struct Caller;

impl wasip3::exports::cli::run::Guest for Caller {
    async fn run() -> Result<(), ()> {
        let args = support::args();
        let (wanted, iterations): (Vec<&Kind>, _) = match args.as_slice() {
            [] => (KINDS.iter().filter(|kind| !kind.needs_directory).collect(), None),
            [name] => (KINDS.iter().filter(|kind| kind.name == name).collect(), None),
            [name, number] => match number.parse() {
                Ok(number) => (KINDS.iter().filter(|kind| kind.name == name).collect(), Some(number)),
                Err(_) => (Vec::new(), None),
            },
            _ => (Vec::new(), None),
        };
        if wanted.is_empty() {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            support::eprint(&format!("usage: bench-calls [KIND [ITERATIONS]]\nkinds: {}\n", names.join(" ")))
                .await;
            return Err(());
        }
        for kind in wanted {
            let iterations = iterations.unwrap_or(kind.iterations);
            if kind.needs_directory
                && let Err(error) = to_host::directory().await
            {
                support::eprint(&format!("bench-calls: {error}\n")).await;
                return Err(());
            }
            // Whatever happens once has happened before the clock starts.
            (kind.run)(iterations.min(100)).await;
            let start = monotonic_clock::now();
            (kind.run)(iterations).await;
            let nanoseconds = monotonic_clock::now() - start;
            let line = format!("{} {iterations} {nanoseconds}\n", kind.name);
            support::print(&line).await.map_err(drop)?;
        }
        Ok(())
    }
}

wasip3::cli::command::export!(Caller);
