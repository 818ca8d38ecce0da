//! The command line as a whole; each subcommand's own arguments stand in its file.

use clap::{Parser, Subcommand};

use crate::inspect::InspectArgs;
use crate::run::RunArgs;
use crate::serve::ServeArgs;
use crate::wast::WastArgs;

/// Runs WebAssembly components, sandboxed: commands and HTTP services of WASI 0.3.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<RunArgs>),
    Serve(Box<ServeArgs>),
    Inspect(InspectArgs),
    Wast(WastArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
