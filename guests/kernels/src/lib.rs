//! Seven programs that compute and call nobody: they show how good a runtime's machine code is.
//!
//! `kernels NAME ROUNDS` prints `NAME ROUNDS NANOSECONDS`, measured inside after a round that does not count, and then
//! `NAME: CHECKSUM`, which depends on the rounds and on nothing else. Without ROUNDS it does as many as take about half
//! a second. `all`, or no name, is all of them.

mod hash_map;
mod mandelbrot;
mod matmul;
mod n_body;
mod random;
mod sha256;
mod sieve;
mod string_sort;

use std::hint::black_box;

use wasip3::clocks::monotonic_clock;

/// A program.
struct Kernel {
    name: &'static str,
    /// How many rounds, unless the command line says.
    rounds: u32,
    /// Works so many rounds and returns a checksum.
    run: fn(u32) -> u64,
}

const KERNELS: &[Kernel] = &[
    Kernel { name: "n-body", rounds: 500, run: n_body::run },
    Kernel { name: "mandelbrot", rounds: 20, run: mandelbrot::run },
    Kernel { name: "sieve", rounds: 100, run: sieve::run },
    Kernel { name: "sha-256", rounds: 700, run: sha256::run },
    Kernel { name: "matmul", rounds: 30, run: matmul::run },
    Kernel { name: "hash-map", rounds: 40, run: hash_map::run },
    Kernel { name: "string-sort", rounds: 50, run: string_sort::run },
];

struct Kernels;

impl wasip3::exports::cli::run::Guest for Kernels {
    async fn run() -> Result<(), ()> {
        let args = support::args();
        let rounds = args.get(1).map(|rounds| rounds.parse());
        let wanted = |kernel: &&Kernel| args.first().is_none_or(|name| name == "all" || name == kernel.name);
        let wanted: Vec<&Kernel> = KERNELS.iter().filter(wanted).collect();
        if wanted.is_empty() || args.len() > 2 || matches!(rounds, Some(Err(_))) {
            let names: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
            support::eprint(&format!("usage: kernels [all|NAME [ROUNDS]]\nnames: {}\n", names.join(" ")))
                .await;
            return Err(());
        }
        for kernel in wanted {
            let rounds = rounds.clone().and_then(Result::ok).unwrap_or(kernel.rounds);
            // Whatever happens once has happened before the clock starts.
            black_box((kernel.run)(black_box(1)));
            let start = monotonic_clock::now();
            let checksum = (kernel.run)(black_box(rounds));
            let nanoseconds = monotonic_clock::now() - start;
            let name = kernel.name;
            let lines = format!("{name} {rounds} {nanoseconds}\n{name}: {checksum:016x}\n");
            support::print(&lines).await.map_err(drop)?;
        }
        Ok(())
    }
}

wasip3::cli::command::export!(Kernels);
