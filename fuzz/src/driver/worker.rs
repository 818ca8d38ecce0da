//! A process that tries the inputs from `--from` to below `--inputs`, one of every `--every`. It writes a line to its standard output for each thing that it has to say:
//!
//! - `at INDEX`, from time to time: all its inputs below have been tried;
//! - `count TIMES WHAT`: since the last time;
//! - `found INDEX TEXT`, with line breaks escaped.

use std::fs::File;
use std::io::{Write, stdout};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tombolo_fuzz::{Counts, Finding, Target};

use super::input;
use crate::Args;

pub(super) fn run<T: Target>(args: &Args, place: &Path) -> anyhow::Result<ExitCode> {
    let place = File::options().write(true).open(place)?;
    // A panic is reported as a finding, and told in full when its input is tried again.
    std::panic::set_hook(Box::new(|_| {}));
    let mut target = T::new()?;
    let mut counts = Counts::default();
    let mut reported = Instant::now();
    let mut index = args.from;
    while index < args.inputs {
        // Read by the driver when this process dies.
        place.write_all_at(&index.to_le_bytes(), 0)?;
        let input = input::<T>(args.seed, index);
        let found = match catch_unwind(AssertUnwindSafe(|| target.run(&input, &mut counts))) {
            Ok(result) => result.err(),
            Err(panic) => {
                target = T::new()?;
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                Some(Finding(format!("panic: {text}")))
            }
        };
        if let Some(finding) = found {
            println!("found {index} {}", finding.0.escape_debug());
        }
        index += args.every;
        if reported.elapsed() > Duration::from_secs(1) || index >= args.inputs {
            reported = Instant::now();
            for line in std::mem::take(&mut counts).to_string().lines() {
                println!("count {}", line.trim());
            }
            println!("at {index}");
            stdout().flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
