//! Calls to the host: clocks, random numbers, arguments, timers and files, with what the system calls alone cost.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::bench::{Bench, Contestant, Measure, Row, Settings, Target, Unit, Who};
use crate::programs::Programs;
use crate::timed::{Kind, MANY, measure};

/// The file that `guests/bench-calls` makes in its folder.
const FILE: &str = "bench-file";

/// The rows.
///
/// # Errors
///
/// There is no place for a temporary folder.
pub fn benches(programs: &Programs, settings: Settings) -> Result<Vec<Bench>> {
    let folder = Arc::new(tempfile::tempdir().context("making a temporary folder")?);
    let call = |name, work: &str, target, native: Option<Measure>| {
        let needs_folder = matches!(name, "stat" | "open");
        let mut contestants = programs.contestants(|runner| {
            measure(runner, &Kind { name, most: MANY }, needs_folder.then(|| folder.clone()), settings)
        });
        contestants.extend(native.map(|measure| Contestant { who: Who::Native, measure }));
        Bench::of(Row { name: work.to_owned(), unit: Unit::Time, target }, contestants)
    };
    let (stated, opened) = (folder.clone(), folder.clone());
    Ok(vec![
        call("now", "monotonic-clock.now", Target::Native { times: 1.0, plus: 15.0 }, Some(native_now())),
        call("random", "random.get-random-u64", Target::of_peer(25.0, 150.0), None),
        call("arguments", "get-arguments, 2 strings", Target::of_peer(150.0, 447.0), None),
        call("wait-for-0", "wait-for(0): async, ready at once", Target::of_peer(60.0, 265.0), None),
        call(
            "stat",
            "stat-at, cached",
            Target::Native { times: 1.0, plus: 200.0 },
            Some(native_stat(stated)),
        ),
        call(
            "open",
            "open-at + drop, cached",
            Target::Native { times: 1.3, plus: 0.0 },
            Some(native_open(opened)),
        ),
    ])
}

fn native_now() -> Measure {
    Box::new(|| {
        per_iteration(1_000_000, || {
            black_box(clock_gettime(ClockId::Monotonic));
            Ok(())
        })
    })
}

fn native_stat(folder: Arc<tempfile::TempDir>) -> Measure {
    Box::new(move || {
        let folder = std::fs::File::open(folder.path())?;
        per_iteration(50_000, || {
            black_box(fs::statat(&folder, FILE, AtFlags::SYMLINK_NOFOLLOW)?);
            Ok(())
        })
    })
}

fn native_open(folder: Arc<tempfile::TempDir>) -> Measure {
    Box::new(move || {
        let folder = std::fs::File::open(folder.path())?;
        per_iteration(50_000, || {
            black_box(fs::openat(&folder, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
            Ok(())
        })
    })
}

/// The time of one of so many iterations.
fn per_iteration(
    iterations: u32,
    mut work: impl FnMut() -> rustix::io::Result<()>,
) -> Result<Vec<crate::bench::Sample>> {
    work()?;
    let start = Instant::now();
    for _ in 0..iterations {
        work()?;
    }
    Ok(vec![(start.elapsed().as_nanos() as f64 / f64::from(iterations)).into()])
}
