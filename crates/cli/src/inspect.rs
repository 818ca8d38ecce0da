//! `tombolo inspect`: says what a file holds and what it would need to run, without running it.

mod report;
mod text;
mod wit;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::diagnostics::Failure;
use crate::load::Source;
use report::Report;

/// Show what a component or module holds, and what it needs to run
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The component or module (.wasm or .wat); - reads the standard input
    file: PathBuf,

    /// Print one JSON object instead of text for people
    #[arg(long)]
    json: bool,

    /// Print the component's world and every interface in it as WIT, and nothing else
    #[arg(long, conflicts_with = "json")]
    wit: bool,
}

/// Runs the subcommand.
pub(crate) fn inspect(arguments: &InspectArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&arguments.file)?;
    let output = if arguments.wit {
        wit::whole(&source)?
    } else {
        let report = Report::of(&source)?;
        if arguments.json {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Failure::caused_by("cannot write the report as JSON", error))? + "\n"
        } else {
            text::render(&report)
        }
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(output.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}
