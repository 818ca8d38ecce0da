//! `tombolo wast`: runs reference test scripts.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;
use tombolo::{Config, Engine, Feature};
use tombolo_wast::{Components, ModuleEngine, Modules};

use crate::diagnostics::Failure;

/// Run reference test scripts (.wast), and say what failed and where
#[derive(Debug, Args)]
pub(crate) struct WastArgs {
    /// Compile without optimizing
    #[arg(long)]
    no_optimize: bool,

    /// Scripts with core modules, components or both
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs each script with everything switched on that modules and components can use.
///
/// # Errors
///
/// A script cannot be read, or the report cannot be written.
pub(crate) fn wast(arguments: &WastArgs) -> Result<ExitCode, Failure> {
    let cannot_run = "cannot run WebAssembly here";
    let optimize = !arguments.no_optimize;
    let mut config = Config::new();
    config.optimize(optimize);
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    let engine = Engine::new(&config).map_err(|error| Failure::caused_by(cannot_run, error))?;
    let module_engine = ModuleEngine::new(optimize).map_err(|error| Failure::caused_by(cannot_run, error))?;
    let mut out = io::stdout().lock();
    let mut all_passed = true;
    for path in &arguments.files {
        let file = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::caused_by(format!("cannot read {file}"), error))?;
        let mut modules =
            Modules::new(&module_engine).map_err(|error| Failure::caused_by(cannot_run, error))?;
        let report = tombolo_wast::run(&file, &text, &mut Components::new(&engine), &mut modules);
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
