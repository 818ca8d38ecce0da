//! Calls between components, and resources: `guests/bench-calls`.

use crate::bench::{Bench, Row, Settings, Target, Unit};
use crate::programs::Programs;
use crate::timed::{Kind, MANY, MOST_ASYNC, measure};

/// Kind, how often at most, work, target and wasmtime's figure in PERF.md (in nanoseconds).
const CALLS: &[(&str, u64, &str, f64, f64)] = &[
    ("nothing", MANY, "component -> component, sync, func()", 5.0, 7.8),
    ("add", MANY, "component -> component, sync, func(u32, u32) -> u32", 5.0, 9.0),
    ("string-32", MANY, "component -> component, sync, func(string) -> string, 32 bytes", 60.0, 72.0),
    ("list-64k", MANY, "component -> component, sync, list<u8> 64 KiB there and back", 12e3, 82e3),
    ("records-100", MANY, "component -> component, sync, 100 records there and back", 6e3, 9e3),
    ("method", MANY, "method on a resource", 20.0, 540.0),
    ("resource", MANY, "resource new + method + drop", 80.0, 1100.0),
    ("async-ready", MOST_ASYNC, "component -> component, async, ready at once", 250.0, 2600.0),
    ("async-100", MOST_ASYNC, "100 async calls at once that yield once each, per call", 400.0, 4200.0),
    ("yield", MANY, "yield to the event loop and back", 60.0, 545.0),
];

/// The rows.
pub fn benches(programs: &Programs, settings: Settings) -> Vec<Bench> {
    let bench = |&(name, most, work, target, peer): &(&'static str, u64, &str, f64, f64)| {
        let row = Row { name: work.to_owned(), unit: Unit::Time, target: Target::of_peer(target, peer) };
        Bench::of(row, programs.contestants(|runner| measure(runner, &Kind { name, most }, None, settings)))
    };
    CALLS.iter().map(bench).collect()
}
