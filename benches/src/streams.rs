//! Streams between components: `guests/bench-calls`.

use crate::bench::{Bench, Row, Settings, Target, Unit};
use crate::programs::Programs;
use crate::timed::{Kind, MANY, measure};

/// Kind, bytes per write, work, target and wasmtime's figure in PERF.md (in GB/s).
const STREAMS: &[(&str, u64, &str, f64, f64)] = &[
    ("stream-64k", 65536, "stream guest -> guest, 64 KiB writes", 15.0, 15.0),
    ("stream-4k", 4096, "stream guest -> guest, 4 KiB writes", 10.0, 6.4),
    ("stream-64", 64, "stream guest -> guest, 64-byte writes", 1.0, 0.23),
];

/// The rows.
pub fn benches(programs: &Programs, settings: Settings) -> Vec<Bench> {
    let bench = |&(name, bytes, work, target, peer): &(&'static str, u64, &str, f64, f64)| {
        let target = Target::of_peer_rate(bytes, target, peer);
        let row = Row { name: work.to_owned(), unit: Unit::Bytes(bytes), target };
        let kind = Kind { name, most: MANY };
        Bench::of(row, programs.contestants(|runner| measure(runner, &kind, None, settings)))
    };
    STREAMS.iter().map(bench).collect()
}
