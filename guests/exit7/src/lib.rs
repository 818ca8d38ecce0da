//! Exits with code 7, at once: what follows the call does not happen.

struct Exit7;

impl wasip3::exports::cli::run::Guest for Exit7 {
    async fn run() -> Result<(), ()> {
        wasip3::cli::exit::exit_with_code(7);
        unreachable!("the program has exited");
    }
}

wasip3::cli::command::export!(Exit7);
