//! The `tombolo` command: one file per subcommand.

mod args;
mod bounds;
mod contents;
mod denied;
mod diagnostics;
mod explain;
mod folders;
mod grants;
mod host;
mod inspect;
mod load;
mod network;
mod provided;
mod role;
mod run;
mod serve;
mod trap;
mod units;
mod wast;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return diagnostics::report_usage(&error),
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::Inspect(arguments) => inspect::inspect(&arguments),
        Command::Wast(arguments) => wast::wast(&arguments),
    };
    outcome.unwrap_or_else(|failure| diagnostics::report(&failure))
}
