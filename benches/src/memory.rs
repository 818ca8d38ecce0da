//! Bulk operations on a guest's own memory: `guests/bench-calls`, and what the machine's `memmove` and `memset` take.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;

use crate::bench::{Bench, Contestant, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::Programs;
use crate::timed::{Kind, MANY, measure};

/// Kind, work, bytes, and whether they are copied or filled.
const BULK: &[(&str, &str, usize, bool)] = &[
    ("copy-1m", "memory.copy, 1 MiB", 1 << 20, true),
    ("copy-64k", "memory.copy, 64 KiB", 64 << 10, true),
    ("copy-32", "memory.copy, 32 bytes", 32, true),
    ("fill-64k", "memory.fill, 64 KiB", 64 << 10, false),
    ("fill-32", "memory.fill, 32 bytes", 32, false),
];

/// The rows.
pub fn benches(programs: &Programs, settings: Settings) -> Vec<Bench> {
    let bench = |&(name, work, length, copies): &(&'static str, &str, usize, bool)| {
        let mut contestants =
            programs.contestants(|runner| measure(runner, &Kind { name, most: MANY }, None, settings));
        contestants.push(Contestant {
            who: Who::Native,
            measure: Box::new(move || Ok(vec![native(length, copies)?])),
        });
        let target = Target::Native { times: 1.1, plus: 5.0 };
        Bench::of(Row { name: work.to_owned(), unit: Unit::Bytes(length as u64), target }, contestants)
    };
    BULK.iter().map(bench).collect()
}

/// The same work as the guest's.
fn native(length: usize, copies: bool) -> Result<Sample> {
    let (from, mut to) = (vec![1_u8; length], vec![2_u8; length]);
    let times = (1 << 30) / length.max(256);
    let start = Instant::now();
    for _ in 0..times {
        let (from, to) = (black_box(from.as_slice()), black_box(to.as_mut_slice()));
        if copies { to.copy_from_slice(from) } else { to.fill(black_box(3)) }
    }
    Ok((start.elapsed().as_nanos() as f64 / times as f64).into())
}
