//! Guests that time themselves: they print `KIND ITERATIONS NANOSECONDS`, and so their start does not count.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use crate::bench::{Bench, Measure, Row, Settings, Target, Unit};
use crate::programs::{Programs, Runner, guest, output};

/// A kind of work that `guests/bench-calls` measures.
pub struct Kind {
    /// What the guest calls it.
    pub name: &'static str,
    /// How often a contestant may be asked to do it at most.
    pub most: u64,
}

/// Enough for anything that takes a nanosecond.
pub const MANY: u64 = 1_000_000_000;

/// As often as wasmtime does an async call before it has kept too much of them.
pub const MOST_ASYNC: u64 = 200_000;

/// Has a contestant do a kind of work, often enough for a figure; `folder` is what it is preopened.
pub fn measure(
    runner: Runner,
    kind: &Kind,
    folder: Option<Arc<tempfile::TempDir>>,
    settings: Settings,
) -> Measure {
    let (name, most) = (kind.name, kind.most);
    let enough = if settings.quick { 2e7 } else { 2e8 };
    let mut iterations = None;
    Box::new(move || {
        let once = |count: u64| {
            let directory = folder.as_ref().map(|folder| format!("{}::/", folder.path().display()));
            let options: Vec<&str> = directory.iter().flat_map(|directory| ["--dir", directory]).collect();
            run(&runner, &options, name, count)
        };
        let count = match iterations {
            Some(count) => count,
            None => *iterations.insert(calibrate(once, most, enough)?),
        };
        Ok(vec![(once(count)? / count as f64).into()])
    })
}

/// How often the work has to be done to take about `enough` nanoseconds.
fn calibrate(once: impl Fn(u64) -> Result<f64>, most: u64, enough: f64) -> Result<u64> {
    let mut count = 1000.min(most);
    loop {
        let nanos = once(count)?.max(1.0);
        if nanos >= enough / 20.0 || count == most {
            // Some kinds are done in groups of 100.
            let hundreds = (count as f64 * enough / nanos / 100.0) as u64;
            return Ok(hundreds.clamp(1, most / 100) * 100);
        }
        count = count.saturating_mul(10).min(most);
    }
}

/// Runs the guest, and returns how many nanoseconds it was at it.
fn run(runner: &Runner, options: &[&str], kind: &str, count: u64) -> Result<f64> {
    let mut command = runner.command(options, &guest("bench-calls"));
    let printed = output(command.arg(kind).arg(count.to_string()))?;
    let (found, nanos) = figures(&printed).next().with_context(|| format!("it printed {printed:?}"))?;
    ensure!(found == kind, "asked for {kind}, it measured {found}");
    Ok(nanos * count as f64)
}

/// The lines that a guest printed: a kind, and the nanoseconds of one iteration.
pub fn figures(printed: &str) -> impl Iterator<Item = (&str, f64)> {
    printed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let iterations: f64 = words.next()?.parse().ok()?;
        let nanos: f64 = words.next()?.parse().ok()?;
        Some((kind, nanos / iterations))
    })
}

/// The rows of `guests/bench-hand`, which measures all of them in one run.
pub fn by_hand(programs: &Programs) -> Bench {
    let kinds = [
        ("hand-sync", "component -> component, sync, by hand", Unit::Time, Target::of_peer(5.0, 9.0)),
        (
            "hand-ready",
            "component -> component, async, ready at once, by hand",
            Unit::Time,
            Target::of_peer(25.0, 2800.0),
        ),
        (
            "hand-100",
            "100 async calls at once that yield once each, by hand, per call",
            Unit::Time,
            Target::None,
        ),
        (
            "hand-stream-64k",
            "stream guest -> guest, by hand, 64 KiB writes",
            Unit::Bytes(65536),
            Target::of_peer_rate(65536, 15.0, 15.0),
        ),
        (
            "hand-stream-4k",
            "stream guest -> guest, by hand, 4 KiB writes",
            Unit::Bytes(4096),
            Target::of_peer_rate(4096, 10.0, 6.4),
        ),
        (
            "hand-stream-64",
            "stream guest -> guest, by hand, 64-byte writes",
            Unit::Bytes(64),
            Target::of_peer_rate(64, 1.0, 0.23),
        ),
    ];
    let names = kinds.map(|(kind, ..)| kind);
    let row = |(_, name, unit, target): (&str, &str, _, _)| Row { name: name.to_owned(), unit, target };
    let contestants = programs.contestants(|runner| {
        Box::new(move || {
            let printed = output(&mut runner.command(&[], &guest("bench-hand")))?;
            let of = |kind: &&str| {
                let found = figures(&printed).find(|(found, _)| found == kind);
                found.map(|(_, nanos)| nanos.into()).with_context(|| format!("it did not measure {kind}"))
            };
            names.iter().map(of).collect()
        })
    });
    Bench { rows: kinds.into_iter().map(row).collect(), contestants }
}
