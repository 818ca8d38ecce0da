//! The driver: processes that try inputs, and one that watches them, since an input may end or hang the process that
//! tries it.

mod watch;
mod worker;

use std::fs;
use std::process::ExitCode;

use tombolo_fuzz::{Bits, Counts, Target};

use crate::Args;

pub(crate) fn main<T: Target>(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(place) = &args.worker {
        return on_large_stack(|| worker::run::<T>(args, place));
    }
    if !args.show && args.files.is_empty() {
        return watch::run::<T>(args);
    }
    on_large_stack(|| try_files::<T>(args))
}

/// The input of a number.
fn input<T: Target>(seed: u64, index: u64) -> Vec<u8> {
    let mut bits = Bits::new(Bits::new(seed).word() ^ index);
    let length = 32 + bits.below(T::LONGEST);
    bits.bytes(length)
}

fn try_files<T: Target>(args: &Args) -> anyhow::Result<ExitCode> {
    let mut inputs = Vec::new();
    for file in &args.files {
        inputs.push((file.display().to_string(), fs::read(file)?));
    }
    if inputs.is_empty() {
        inputs.push((format!("input {}", args.from), input::<T>(args.seed, args.from)));
    }
    let mut target = T::new()?;
    let mut passed = true;
    for (name, input) in inputs {
        if args.show {
            print!("{}", target.show(&input));
            continue;
        }
        let mut counts = Counts::default();
        match target.run(&input, &mut counts) {
            Ok(()) => print!("{name}: nothing found\n{counts}"),
            Err(finding) => {
                println!("{name}: {finding}");
                passed = false;
            }
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The guests' stack is the thread's.
fn on_large_stack<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, f);
        let joined = thread.expect("a thread with a large stack").join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
