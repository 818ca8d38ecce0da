//! `tombolo wast`: runs reference test scripts.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;
use tombolo::{Config, Engine, Feature};
use tombolo_wast::{Components, NoModules};

use crate::diagnostics::Failure;

/// Run reference test scripts (.wast), and say what failed and where
#[derive(Debug, Args)]
pub(crate) struct WastArgs {
    /// Scripts of the Component Model
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs each script with everything switched on that components can use.
///
/// # Errors
///
/// A script cannot be read, or the report cannot be written.
pub(crate) fn wast(arguments: &WastArgs) -> Result<ExitCode, Failure> {
    let mut config = Config::new();
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    let engine =
        Engine::new(&config).map_err(|error| Failure::caused_by("cannot run WebAssembly here", error))?;
    let mut out = io::stdout().lock();
    let mut all_passed = true;
    for path in &arguments.files {
        let file = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::caused_by(format!("cannot read {file}"), error))?;
        let report = tombolo_wast::run(&file, &text, &mut Components::new(&engine), &mut NoModules);
        all_passed &= report.is_ok();
        let mut lines = report.failures.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (failed, skipped) = (report.failures.len(), report.skipped);
        lines.push(match (failed, skipped) {
            (0, _) => format!("{file}: {} passed", report.passed),
            (_, 0) => format!("{file}: {} passed, {failed} failed", report.passed),
            _ => format!("{file}: {} passed, {failed} failed, {skipped} skipped for that", report.passed),
        });
        writeln!(out, "{}", lines.join("\n"))
            .map_err(|error| Failure::caused_by("cannot write the report", error))?;
    }
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
