//! Hands the stdin stream straight to stdout: the bytes never enter this component's memory.

use wasip3::cli::{stdin, stdout};

struct Cat;

impl wasip3::exports::cli::run::Guest for Cat {
    async fn run() -> Result<(), ()> {
        let (data, read) = stdin::read_via_stream();
        if let Err(error) = stdout::write_via_stream(data).await {
            support::eprint(&format!("cat: stdout: {error:?}\n")).await;
            return Err(());
        }
        if let Err(error) = read.await {
            support::eprint(&format!("cat: stdin: {error:?}\n")).await;
            return Err(());
        }
        Ok(())
    }
}

wasip3::cli::command::export!(Cat);
