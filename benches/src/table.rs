//! The table: printed row by row, as each is measured.

use crate::bench::{Figures, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::Programs;

/// The table, whose head has been printed.
pub struct Table;

/// The heads of the columns, and how wide they are.
const COLUMNS: [(&str, usize); 9] = [
    ("work", 65),
    ("Tombolo", 20),
    ("spread", 7),
    ("wasmtime", 20),
    ("ratio", 7),
    ("native", 20),
    ("ratio", 7),
    ("target", 18),
    ("over target", 11),
];

impl Table {
    /// Says how it is measured, and prints the head.
    pub fn begin(programs: &Programs, settings: Settings) -> Self {
        let peer = programs.peer.as_ref().map_or("wasmtime is not on PATH", |peer| peer.version.as_str());
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let work = if settings.quick { ", quick (do not quote)" } else { "" };
        println!("Medians of {} interleaved runs{work}; {cores} cores; {peer}.", settings.runs);
        println!(
            "Ratios are of times: below 1, Tombolo is faster. \"over target\" is 1 or less where it is met."
        );
        println!("\"spread\": how many times longer Tombolo's slowest run took than its fastest.\n");
        print_cells(COLUMNS.map(|(head, _)| head.to_owned()));
        print_cells(COLUMNS.map(|(_, width)| "-".repeat(width)));
        Table
    }

    /// Prints a row.
    pub fn row(&self, row: &Row, figures: &Figures) {
        let cell = |who| match figures.of(who) {
            Some(sample) => figure(row.unit, sample),
            None if figures.failed(who) => "failed".to_owned(),
            None => "-".to_owned(),
        };
        let ours = figures.of(Who::Tombolo);
        let ratio = |who| match (ours, figures.of(who)) {
            (Some(ours), Some(other)) => times(ours.nanos / other.nanos),
            _ => "-".to_owned(),
        };
        let over = match (ours, limit(row.target, figures)) {
            (Some(ours), Some(limit)) => times(ours.nanos / limit),
            _ => "-".to_owned(),
        };
        print_cells([
            row.name.clone(),
            cell(Who::Tombolo),
            figures.median(Who::Tombolo).map_or_else(|| "-".to_owned(), |median| times(median.spread)),
            cell(Who::Wasmtime),
            ratio(Who::Wasmtime),
            cell(Who::Native),
            ratio(Who::Native),
            target(row, figures),
            over,
        ]);
        for (who, failure) in &figures.failures {
            eprintln!("{}: {who:?} failed: {failure}", row.name);
        }
    }

    /// Says what is missing.
    pub fn end(&self, programs: &Programs) {
        if programs.peer.is_none() {
            println!(
                "\nwasmtime is not on PATH: targets that are a ratio to it are PERF.md's figures for its machine instead."
            );
        }
    }
}

fn print_cells(cells: [String; 9]) {
    let cells = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:width$}"));
    println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// The longest that Tombolo may take, in nanoseconds, if that can be said.
fn limit(target: Target, figures: &Figures) -> Option<f64> {
    match target {
        Target::Wasmtime { ratio, nanos } => {
            figures.of(Who::Wasmtime).map(|peer| peer.nanos * ratio).or(nanos)
        }
        Target::Native { times, plus } => figures.of(Who::Native).map(|native| native.nanos * times + plus),
        Target::None => None,
    }
}

fn target(row: &Row, figures: &Figures) -> String {
    match row.target {
        Target::Wasmtime { ratio, .. } if figures.of(Who::Wasmtime).is_some() => {
            format!("{} wasmtime", times(ratio))
        }
        Target::Wasmtime { nanos: Some(nanos), .. } => figure(row.unit, nanos.into()),
        Target::Wasmtime { ratio, nanos: None } => format!("{} wasmtime", times(ratio)),
        Target::Native { times: 1.0, plus } if plus > 0.0 => format!("native + {}", time(plus)),
        Target::Native { times: ratio, .. } => format!("{} native", times(ratio)),
        Target::None => "-".to_owned(),
    }
}

/// A ratio: near 1, a hundredth matters.
fn times(ratio: f64) -> String {
    if (0.1..10.0).contains(&ratio) { format!("{ratio:.2}x") } else { format!("{}x", digits(ratio)) }
}

fn figure(unit: Unit, sample: Sample) -> String {
    let figure = match unit {
        Unit::Time => time(sample.nanos),
        Unit::Bytes(bytes) => rate(bytes as f64 / sample.nanos),
        Unit::PerSecond => format!("{:.0}/s", 1e9 / sample.nanos),
    };
    match sample.peak_bytes {
        Some(bytes) => format!("{figure} ({:.1} MiB)", bytes as f64 / f64::from(1 << 20)),
        None => figure,
    }
}

fn time(nanos: f64) -> String {
    match nanos {
        1e9.. => format!("{} s", digits(nanos / 1e9)),
        1e6.. => format!("{} ms", digits(nanos / 1e6)),
        1e3.. => format!("{} µs", digits(nanos / 1e3)),
        _ => format!("{} ns", digits(nanos)),
    }
}

/// A rate, given in bytes per nanosecond.
fn rate(rate: f64) -> String {
    if rate < 0.1 { format!("{} MB/s", digits(rate * 1e3)) } else { format!("{} GB/s", digits(rate)) }
}

/// Two digits that count, or all before the point.
fn digits(value: f64) -> String {
    match value.abs() {
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
