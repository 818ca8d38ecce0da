//! Programs that compute and call nobody: `guests/kernels`, which times them itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::bench::{Bench, Contestant, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::{Programs, Runner, guest, output};
use crate::timed::figures;

const KERNELS: [&str; 7] = ["n-body", "mandelbrot", "sieve", "sha-256", "matmul", "hash-map", "string-sort"];

/// The rows: a round of each program, their geometric mean, and the whole process that ran them.
pub fn bench(programs: &Programs, settings: Settings) -> Bench {
    let row = |name: &str, target| Row { name: format!("kernels: {name}"), unit: Unit::Time, target };
    let of_peer = |ratio| Target::Wasmtime { ratio, nanos: None };
    let mut rows: Vec<Row> = KERNELS.iter().map(|name| row(name, of_peer(1.15))).collect();
    rows.push(row("geometric mean", of_peer(1.0)));
    rows.push(row("whole process, no cache", Target::None));

    // What all of them must have computed, as the first of them did.
    let results = Rc::new(RefCell::new(None));
    let contestant = |(who, runner)| {
        let results = results.clone();
        let measure = move || {
            let (samples, found) = run(who, &runner, settings)?;
            let expected = results.borrow_mut().get_or_insert_with(|| found.clone()).clone();
            ensure!(found == expected, "it computed {found:?}, and not {expected:?}");
            Ok(samples)
        };
        Contestant { who, measure: Box::new(measure) }
    };
    Bench { rows, contestants: programs.runners().into_iter().map(contestant).collect() }
}

/// Runs all programs in one process, and returns the samples and the checksums.
fn run(who: Who, runner: &Runner, settings: Settings) -> Result<(Vec<Sample>, Vec<String>)> {
    // Tombolo has no cache yet.
    let options: &[&str] = if who == Who::Wasmtime { &["-Ccache=n"] } else { &[] };
    let mut command = runner.command(options, &guest("kernels"));
    command.arg("all");
    if settings.quick {
        command.arg("5");
    }
    let start = Instant::now();
    let printed = output(&mut command)?;
    let whole = start.elapsed().as_nanos() as f64;
    let of = |name: &&str| {
        let found = figures(&printed).find(|(found, _)| found == name);
        found.map(|(_, nanos)| nanos).with_context(|| format!("it did not measure {name}"))
    };
    let mut nanos = KERNELS.iter().map(of).collect::<Result<Vec<f64>>>()?;
    nanos.push(geometric_mean(&nanos));
    nanos.push(whole);
    let results = printed.lines().filter(|line| line.contains(':')).map(str::to_owned).collect();
    Ok((nanos.into_iter().map(Sample::from).collect(), results))
}

fn geometric_mean(nanos: &[f64]) -> f64 {
    (nanos.iter().map(|nanos| nanos.ln()).sum::<f64>() / nanos.len() as f64).exp()
}
