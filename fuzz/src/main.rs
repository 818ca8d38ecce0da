//! Runs the fuzz targets with inputs that a seed determines; README.md says how.

mod driver;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tombolo_fuzz::component::Components;
use tombolo_fuzz::differential::Differential;
use tombolo_fuzz::no_crash::NoCrash;

/// Fuzzes Tombolo without a fuzzer.
#[derive(Clone, Parser)]
struct Args {
    /// What to fuzz.
    target: Name,
    /// Files to try instead, each an input.
    files: Vec<PathBuf>,
    /// How many inputs to try.
    #[arg(long, default_value_t = 100_000)]
    inputs: u64,
    /// Stops after so many seconds, if inputs are left.
    #[arg(long)]
    seconds: Option<u64>,
    /// Determines the inputs, with their numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of the first input.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many processes try inputs at once.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Prints what the files, or the first input, stand for, and tries nothing.
    #[arg(long)]
    show: bool,
    /// What the driver starts: see `driver/worker.rs`. Notes in this file which input it tries.
    #[arg(long, hide = true, requires = "every")]
    worker: Option<PathBuf>,
    #[arg(long, hide = true, default_value_t = 1)]
    every: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Differential,
    NoCrash,
    Component,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    match args.target {
        Name::Differential => driver::main::<Differential>(&args),
        Name::Component => driver::main::<Components>(&args),
        Name::NoCrash => driver::main::<NoCrash>(&args),
    }
}
