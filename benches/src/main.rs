//! What Tombolo is measured against, as one table: its figure, wasmtime's, the native one, and the target.
//!
//! A benchmark is a [`Bench`]: rows of the table and the contestants that fill them. The contestants take turns, run
//! by run, so that a machine that is busy for a while is busy for all of them; the table shows the median of each.

mod bench;
mod calls;
mod embedder;
mod host;
mod http;
mod kernels;
mod memory;
mod native_http;
mod peer;
mod programs;
mod service;
mod start;
mod stdio;
mod streams;
mod table;
mod timed;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use bench::{Bench, Settings};
use programs::Programs;
use table::Table;

/// Measure Tombolo, next to wasmtime where it is on PATH
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the rows that contain one of these words
    #[arg(value_name = "ROW")]
    rows: Vec<String>,

    /// How often each figure is taken; the table shows the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// Less work per run: good for a look, not for a figure to quote
    #[arg(long)]
    quick: bool,

    /// Measure this `tombolo`, instead of the one that cargo builds now
    #[arg(long, value_name = "FILE")]
    tombolo: Option<std::path::PathBuf>,

    /// Compiles this component too, as a row of its own
    #[arg(long, value_name = "FILE")]
    compile: Vec<std::path::PathBuf>,

    /// Names the rows and ends
    #[arg(long)]
    list: bool,

    /// Copies standard input to standard output: the native loop that the guest's is compared with
    #[arg(long, hide = true, value_name = "CHUNK")]
    native_copy: Option<usize>,

    /// Serves HTTP with nothing but `hyper`: what `tombolo serve` is compared with
    #[arg(long, hide = true, value_name = "KIND")]
    native_http: Option<native_http::Kind>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.native_copy, arguments.native_http) {
        (Some(chunk), _) => stdio::native_copy(chunk).context("copying"),
        (None, Some(kind)) => native_http::serve(kind).context("serving"),
        (None, None) => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let settings = Settings { runs: arguments.runs, quick: arguments.quick };
    if arguments.list {
        let programs = Programs::none();
        for row in benches(&programs, settings, &arguments.compile)?.iter().flat_map(|bench| &bench.rows) {
            println!("{}", row.name);
        }
        return Ok(());
    }
    let programs = Programs::find(arguments.tombolo.as_deref())?;
    let wanted =
        |name: &str| arguments.rows.is_empty() || arguments.rows.iter().any(|row| name.contains(row));
    let mut benches = benches(&programs, settings, &arguments.compile)?;
    benches.retain(|bench| bench.rows.iter().any(|row| wanted(&row.name)));
    let table = Table::begin(&programs, settings);
    for bench in &mut benches {
        let outcome = bench.run(settings);
        for (row, figures) in bench.rows.iter().zip(outcome).filter(|(row, _)| wanted(&row.name)) {
            table.row(row, &figures);
        }
    }
    table.end(&programs);
    Ok(())
}

/// All rows, in the order of the table.
fn benches(programs: &Programs, settings: Settings, components: &[std::path::PathBuf]) -> Result<Vec<Bench>> {
    let mut benches = calls::benches(programs, settings);
    benches.extend(streams::benches(programs, settings));
    benches.push(timed::by_hand(programs));
    benches.extend(host::benches(programs, settings)?);
    benches.push(embedder::bench(settings));
    benches.extend(memory::benches(programs, settings));
    benches.push(kernels::bench(programs, settings));
    benches.extend(stdio::benches(programs, settings)?);
    benches.extend(start::benches(programs, settings, components)?);
    benches.push(service::bench(settings));
    benches.extend(http::benches(programs, settings)?);
    Ok(benches)
}
