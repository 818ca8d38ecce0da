//! `tombolo run`: runs a command.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tombolo::{Component, Config, Engine, Instance, Linker, Store};
use tombolo_http::client::Client;
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::{Exit, WasiCtx};

use crate::bounds::BoundArgs;
use crate::diagnostics::{Failure, report_trap};
use crate::explain::{Wanted, explain};
use crate::grants::GrantArgs;
use crate::host::Host;
use crate::load::Source;
use crate::network::NetworkArgs;
use crate::units::parse_duration;

/// How many of the process's descriptors are never the program's.
const DESCRIPTOR_RESERVE: usize = 64;

/// Run a command: a component that exports wasi:cli/run
#[derive(Debug, Args)]
#[command(override_usage = "tombolo run [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    grants: GrantArgs,

    /// Stop the program after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Stop the program once it has spent so many units of fuel, about an instruction each
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,

    #[command(flatten)]
    bounds: BoundArgs,

    /// Tell a profiler the names of the program's functions
    #[arg(long, value_name = "HOW")]
    profile: Option<Profile>,

    /// The component (.wasm or .wat), and the program's arguments
    // One list, so that everything behind FILE is the program's: `tombolo run app.wasm --help`.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    file_and_args: Vec<OsString>,

    // Last, as its heading is for all that follows.
    #[command(flatten)]
    network: NetworkArgs,
}

/// How a profiler is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    /// By the map that `perf` reads
    Perfmap,
}

impl RunArgs {
    /// The component's file.
    pub(crate) fn file(&self) -> &Path {
        self.file_and_args.first().map_or(Path::new(""), Path::new)
    }

    /// What the program sees as its arguments; the first is the name of its file.
    ///
    /// # Errors
    ///
    /// An argument is not UTF-8, as WASI's strings are.
    fn arguments(&self) -> Result<Vec<String>, String> {
        let name = self.file().file_name().map(OsString::from);
        name.iter()
            .chain(self.file_and_args.iter().skip(1))
            .map(|argument| {
                argument.to_str().map(str::to_owned).ok_or_else(|| {
                    format!("the argument {argument:?} is not UTF-8, as a component's strings are")
                })
            })
            .collect()
    }

    /// Bounds how long the program runs, from now on.
    fn bound(&self, store: &mut Store<Host>) -> tombolo::Result<()> {
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel)?;
        }
        match self.timeout {
            // A time beyond all clocks is none.
            Some(timeout) => store.set_deadline(Instant::now().checked_add(timeout)),
            None => Ok(()),
        }
    }

    /// What the program is given of the world outside.
    fn wasi(&self) -> Result<WasiCtx, Failure> {
        let arguments = self.arguments().map_err(Failure::new)?;
        // The program is this process's only work: it may wait for the disk, unless it is to be stopped meanwhile.
        let wasi = WasiCtx::builder()
            .args(arguments)
            .inherit_stdio()
            .allow_blocking(self.timeout.is_none())
            .descriptor_limit(DescriptorLimit::all_but(DESCRIPTOR_RESERVE));
        let wasi = self.grants.grant(wasi)?;
        Ok(self.network.grant(self.grants.show_refused, wasi).build())
    }

    /// What the program finds of WASI.
    fn linker(&self, engine: &Engine) -> tombolo::Result<Linker<Host>> {
        let mut linker = Linker::new(engine);
        self.grants.provide(&mut linker)?;
        self.grants.deny(&mut linker);
        Ok(linker)
    }
}

/// Runs the command and returns the exit code of its program.
///
/// # Errors
///
/// The file is no command, needs what it is not given, or failed otherwise than by its own exit code or a trap.
pub(crate) fn run(arguments: &RunArgs) -> Result<ExitCode, Failure> {
    let file = arguments.file();
    if is_option(file) && !file.exists() {
        return Err(Failure::usage(format!("there is no option {}", file.display()))
            .hint("`tombolo run --help` lists the options; those behind FILE are the program's"));
    }
    let source = Source::read(file)?;
    let mut config = Config::new();
    if arguments.profile == Some(Profile::Perfmap) {
        config.profile(tombolo::Profile::PerfMap);
    }
    config.fuel(arguments.fuel.is_some()).deadlines(arguments.timeout.is_some());
    arguments.bounds.bind(&mut config);
    let engine =
        Engine::new(&config).map_err(|error| Failure::caused_by("cannot run WebAssembly here", error))?;
    let component = Component::new(&engine, &source.bytes)
        .map_err(|error| explain(&source, Wanted::Command, &arguments.grants, error))?;
    let linker =
        arguments.linker(&engine).map_err(|error| Failure::caused_by("cannot provide WASI", error))?;
    let wasi = arguments.wasi()?;
    let client = Client::new(wasi.sockets().clone());
    let mut store = Store::new(&engine, Host::new(wasi, client));
    arguments.bound(&mut store).map_err(|error| Failure::caused_by("cannot bound the program", error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused_by("cannot start the event loop", error))?;
    let _limit_is_an_error = {
        let _entered = runtime.enter();
        // With a limit on the size of files, the kernel would end the process at it. The program gets an error instead.
        signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))
            .map_err(|error| Failure::caused_by("cannot start the event loop", error))?
    };
    let outcome = runtime.block_on(call(&mut store, &linker, &component));
    drop(store);
    // A read of the standard input may be under way on another thread, and nobody can end it.
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(())) => Ok(ExitCode::SUCCESS),
        Ok(Err(())) => Ok(ExitCode::FAILURE),
        Err(error) => match (error.downcast_ref::<Exit>(), error.trap()) {
            (Some(exit), _) => Ok(ExitCode::from(exit.0)),
            (None, Some(trap)) => Ok(report_trap(trap)),
            (None, None) => Err(explain(&source, Wanted::Command, &arguments.grants, error)),
        },
    }
}

/// Instantiates the component and calls its `wasi:cli/run`.
async fn call(
    store: &mut Store<Host>,
    linker: &Linker<Host>,
    component: &Component,
) -> tombolo::Result<Result<(), ()>> {
    let instance = linker.instantiate(&mut *store, component)?;
    let run = instance.instance(RUN);
    let run = run.as_ref().unwrap_or(&instance);
    let run = Instance::typed_func::<(), Result<(), ()>>(run, &mut *store, "run")?;
    run.call_async(store, ()).await
}

/// The interface that a command exports; a compatible version is found as well.
const RUN: &str = "wasi:cli/run@0.3.2";

/// Whether `file` was meant as an option: every word from the first that is no known option on is FILE or behind it.
fn is_option(file: &Path) -> bool {
    file.as_os_str().as_encoded_bytes().starts_with(b"-") && file != Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(words: &[&str]) -> Result<RunArgs, String> {
        Wrapper::try_parse_from([&["run"], words].concat())
            .map(|wrapper| wrapper.run)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn everything_behind_the_file_is_the_programs() {
        let run = parse(&["--env", "A=1", "dir/app.wasm", "--dir", "x", "--", "--help", "-v"]).unwrap();
        assert_eq!(run.file(), Path::new("dir/app.wasm"));
        assert_eq!(run.arguments().unwrap(), ["app.wasm", "--dir", "x", "--", "--help", "-v"]);
        assert_eq!(parse(&["app.wasm", "--help"]).unwrap().arguments().unwrap(), ["app.wasm", "--help"]);
        assert_eq!(parse(&["--", "-odd.wasm", "x"]).unwrap().arguments().unwrap(), ["-odd.wasm", "x"]);
    }

    #[test]
    fn options_of_our_own_must_exist() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--env", "A=1"]).is_err());
    }
}
