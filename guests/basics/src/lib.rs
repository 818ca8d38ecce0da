//! Does with the standard streams, clocks and random numbers what its arguments say, and prints a line with the outcome
//! of each on the standard error stream: for tests that judge by themselves what an operation should come to.

mod clocks;
mod random;
mod streams;

use wasip3::cli::{environment, exit};

struct Guest;

impl wasip3::exports::cli::run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        for operation in support::args() {
            let words: Vec<&str> = operation.split(' ').collect();
            let outcome = perform(&words).await;
            support::eprint(&format!("{outcome}\n")).await;
            if outcome == "failed" {
                return Err(());
            }
        }
        Ok(())
    }
}

async fn perform(words: &[&str]) -> String {
    match *words {
        ["fail"] => "failed".to_owned(),
        ["exit", "ok"] => told(exit::exit(Ok(()))),
        ["exit", "failed"] => told(exit::exit(Err(()))),
        ["exit", code] => told(exit::exit_with_code(number(code) as u8)),
        ["trap"] => std::process::abort(),
        ["environment"] => {
            let variables = environment::get_environment().into_iter();
            variables.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        }
        ["arguments"] => format!("{:?}", environment::get_arguments()),
        ["cwd"] => format!("{:?}", environment::get_initial_cwd()),
        ["random", ref rest @ ..] => random::perform(rest),
        ["clock", ref rest @ ..] => clocks::perform(rest).await,
        ref rest => streams::perform(rest).await,
    }
}

/// What comes back from a call that never does.
fn told((): ()) -> String {
    "came back".to_owned()
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_default()
}

fn unknown(words: &[&str]) -> String {
    format!("what is {}?", words.join(" "))
}

wasip3::cli::command::export!(Guest);
