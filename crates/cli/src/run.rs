//! `tombolo run`: runs a command.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tombolo::{
    Component, Config, Engine, ErrorKind, Feature, Instance, LimitKind, Limits, Linker, ResourceTable, Store,
};
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::{Exit, WasiCtx, WasiCtxView, WasiView, p3};

use crate::denied::Denied;
use crate::diagnostics::{Failure, report_trap};
use crate::folders::{self, Folder};
use crate::load::Source;
use crate::network::NetworkArgs;
use crate::provided::{Needs, Provided};
use crate::role::Role;

/// How many of the process's descriptors are never the program's.
const DESCRIPTOR_RESERVE: usize = 64;

/// Run a command: a component that exports wasi:cli/run
#[derive(Debug, Args)]
#[command(override_usage = "tombolo run [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    /// Give the program the folder HOST, under the name GUEST (the same name, if none is given), with :ro for reading alone
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    folders: Vec<Folder>,

    /// Set an environment variable, or pass on one of yours by its name alone
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse_variable)]
    variables: Vec<Variable>,

    /// Pass on all of your environment variables
    #[arg(long)]
    inherit_env: bool,

    /// Stop the program after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Stop the program once it has spent so many units of fuel, about an instruction each
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,

    /// Let the program have so much memory, and no more: 64M, 1G, or a number of bytes
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,

    /// Let the program use so much stack: 512K by default
    #[arg(long, value_name = "SIZE", value_parser = parse_stack_size)]
    max_stack: Option<usize>,

    /// Let components use a part of the Component Model that is off by default (repeat for several)
    #[arg(long = "feature", value_name = "NAME", value_parser = parse_feature)]
    features: Vec<Feature>,

    /// Take an interface away, such as wasi:random/random, or a package: a program that needs it is not started
    #[arg(long, value_name = "INTERFACE")]
    deny: Vec<Denied>,

    /// Provide an interface of WASI that is not stable yet
    #[arg(long, value_name = "FEATURE")]
    unstable: Vec<Unstable>,

    /// Show what the program wanted and may not have, and the option that would allow it
    #[arg(long)]
    show_refused: bool,

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

/// A feature of WASI's declarations that is marked as unstable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Unstable {
    /// The time zone, as wasi:clocks/timezone
    ClocksTimezone,
}

/// An environment variable that the program is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    /// `None` passes on the host's.
    value: Option<String>,
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

    /// What the program may take up.
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory_bytes: self.max_memory.unwrap_or(default.memory_bytes),
            stack_bytes: self.max_stack.unwrap_or(default.stack_bytes),
            ..default
        }
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
        let environment = self.environment(std::env::vars_os());
        // The program is this process's only work: it may wait for the disk, unless it is to be stopped meanwhile.
        let wasi = WasiCtx::builder()
            .args(arguments)
            .envs(environment)
            .inherit_stdio()
            .allow_blocking(self.timeout.is_none())
            .descriptor_limit(DescriptorLimit::all_but(DESCRIPTOR_RESERVE));
        let wasi = folders::grant(&self.folders, self.show_refused, wasi)?;
        Ok(self.network.grant(self.show_refused, wasi).build())
    }

    /// What the program finds of WASI.
    fn linker(&self, engine: &Engine) -> tombolo::Result<Linker<Host>> {
        let mut linker = Linker::new(engine);
        p3::add_to_linker(&mut linker)?;
        if self.unstable.contains(&Unstable::ClocksTimezone) {
            p3::clocks::add_timezone_to_linker(&mut linker)?;
        }
        for denied in &self.deny {
            denied.take_from(&mut linker);
        }
        Ok(linker)
    }

    /// Why a program that needs `provided` does not get all of it.
    fn withheld(&self, file: &str, provided: &[Provided]) -> Option<Failure> {
        for Provided { name, .. } in provided {
            if let Some(denied) = self.deny.iter().find(|denied| denied.covers(name)) {
                let hint = format!("leave out `{}`, or build the component without it", denied.option());
                return Some(Failure::new(format!("{file} needs {name}, which is denied")).hint(hint));
            }
            if name.starts_with("wasi:clocks/timezone@") && !self.unstable.contains(&Unstable::ClocksTimezone)
            {
                let failure = Failure::new(format!("{file} needs {name}, which is not stable"));
                return Some(failure.hint("`--unstable clocks-timezone` provides it all the same"));
            }
        }
        None
    }

    /// The program's environment: what `--inherit-env` and `--env` give it, the last of a name counting.
    ///
    /// `host` looks up the host's variables; what it does not find stays unset.
    fn environment(&self, host: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
        let host: BTreeMap<String, String> = host
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut environment = if self.inherit_env { host.clone() } else { BTreeMap::new() };
        for Variable { name, value } in &self.variables {
            if let Some(value) = value.as_ref().or_else(|| host.get(name)) {
                environment.insert(name.clone(), value.clone());
            }
        }
        environment
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
    config.fuel(arguments.fuel.is_some()).deadlines(arguments.timeout.is_some()).limits(arguments.limits());
    for feature in &arguments.features {
        config.feature(*feature, true);
    }
    let engine =
        Engine::new(&config).map_err(|error| Failure::caused_by("cannot run WebAssembly here", error))?;
    let component =
        Component::new(&engine, &source.bytes).map_err(|error| explain(&source, arguments, error))?;
    let linker =
        arguments.linker(&engine).map_err(|error| Failure::caused_by("cannot provide WASI", error))?;
    let host = Host { wasi: arguments.wasi()?, table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
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
            (None, None) => Err(explain(&source, arguments, error)),
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

/// What the program's store holds for its host.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Says why a file cannot be run, and what to do about it, after `error` has refused it.
///
/// Only then is the file looked at more closely: what runs does not pay for it.
fn explain(source: &Source, arguments: &RunArgs, error: tombolo::Error) -> Failure {
    let file = source.path.display().to_string();
    let part = match source.check() {
        Ok(part) => part,
        Err(malformed) => return malformed,
    };
    let role = Role::of(&part);
    if !matches!(role, Role::Command { .. }) {
        return Failure::new(format!("{file} is {}", role.phrase())).hint(role.next_step(&file));
    }
    let Needs { provided, missing } = Needs::of(&part);
    if let Some(failure) = arguments.withheld(&file, &provided) {
        return failure;
    }
    if missing.is_empty() {
        let hint = hint(&error);
        let failure = Failure::caused_by(format!("cannot run {file}"), error);
        return hint.into_iter().fold(failure, Failure::hint);
    }
    let names: Vec<&str> = missing.iter().map(|import| import.name.as_str()).collect();
    let mut failure = Failure::new(format!("{file} imports what nothing provides: {}", names.join(", ")));
    let reasons: BTreeSet<&str> = missing.iter().map(|import| import.why.as_str()).collect();
    for reason in reasons {
        failure = failure.hint(reason);
    }
    failure
}

/// What to do about an error of a valid command that imports nothing unknown.
fn hint(error: &tombolo::Error) -> Option<&'static str> {
    match error.kind() {
        // Valid, but not to the engine: something is switched off.
        ErrorKind::Unsupported { .. } | ErrorKind::Malformed { .. } => {
            Some("this version of Tombolo does not have it yet: build the component without it")
        }
        ErrorKind::Limit(exceeded) if exceeded.kind == LimitKind::MemoryBytes => {
            Some("`--max-memory` says how much memory it may have")
        }
        ErrorKind::MissingImport { .. } | ErrorKind::TypeMismatch { .. } => {
            Some("the interface is not that of WASI 0.3.0 to 0.3.2: build the component with their bindings")
        }
        _ => None,
    }
}

/// Whether `file` was meant as an option: every word from the first that is no known option on is FILE or behind it.
fn is_option(file: &Path) -> bool {
    file.as_os_str().as_encoded_bytes().starts_with(b"-") && file != Path::new("-")
}

/// Reads a time: a number with its unit.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let (number, unit) = number_and_unit(text, &units).ok_or("write a time such as 500ms, 10s, 2m or 1h")?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| "write a time that is not so long".to_owned())
}

/// Reads a number of bytes, with a unit of 1024 of the next.
fn parse_size(text: &str) -> Result<u64, String> {
    let mut units = Vec::new();
    for (letter, unit) in [("K", 1_u64 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)] {
        units.extend(
            [letter.to_owned(), format!("{letter}B"), format!("{letter}iB")].map(|name| (name, unit as f64)),
        );
    }
    units.extend([("B".to_owned(), 1.0), (String::new(), 1.0)]);
    let units: Vec<(&str, f64)> = units.iter().map(|(name, unit)| (name.as_str(), *unit)).collect();
    let (number, unit) =
        number_and_unit(text, &units).ok_or("write a size such as 64M, 1G or a number of bytes")?;
    Ok((number * unit) as u64)
}

/// Reads a size of stacks, which are not as large as memories.
fn parse_stack_size(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        size @ 0x4000..=0x4000_0000 => Ok(size as usize),
        _ => Err("a stack has from 16K to 1G".to_owned()),
    }
}

/// Splits `1.5G` into a number and what its unit is worth. Letters may be small.
fn number_and_unit(text: &str, units: &[(&str, f64)]) -> Option<(f64, f64)> {
    let (number, name) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let (_, unit) = units.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name.trim()))?;
    Some((number.parse().ok()?, *unit))
}

/// Reads the name of a feature.
fn parse_feature(text: &str) -> Result<Feature, String> {
    text.parse().map_err(|_| {
        let names: Vec<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

/// Reads `NAME` or `NAME=VALUE`.
fn parse_variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("write NAME=VALUE, or NAME alone to pass on your own variable".to_owned());
    }
    Ok(Variable { name: name.to_owned(), value })
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
    fn times_and_sizes_have_units() {
        let millis = |text: &str| parse_duration(text).map(|time| time.as_millis());
        for (text, expected) in
            [("500ms", 500), ("1.5s", 1500), ("2", 2000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(millis(text), Ok(expected));
        }
        for (text, expected) in
            [("64M", 64 << 20), ("1.5k", 1536), ("1GiB", 1 << 30), ("2mb", 2 << 20), ("100", 100), ("7 B", 7)]
        {
            assert_eq!(parse_size(text), Ok(expected));
        }
        for text in ["", "s", "10 x", "-1s", "1..2s", "1e99s", "99999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
            assert!(text == "s" || parse_size(text).is_err(), "{text}");
        }
        assert!(parse_stack_size("1K").is_err() && parse_stack_size("1T").is_err());
        assert_eq!(parse_stack_size("1m"), Ok(1 << 20));
        let error = parse(&["--feature", "magic", "app.wasm"]).unwrap_err();
        assert!(error.contains("fixed-length-lists"), "{error}");
    }

    #[test]
    fn everything_behind_the_file_is_the_programs() {
        let run = parse(&["--env", "A=1", "dir/app.wasm", "--dir", "x", "--", "--help", "-v"]).unwrap();
        assert_eq!(run.file(), Path::new("dir/app.wasm"));
        assert_eq!(run.arguments().unwrap(), ["app.wasm", "--dir", "x", "--", "--help", "-v"]);
        assert!(run.folders.is_empty());
        assert_eq!(parse(&["app.wasm", "--help"]).unwrap().arguments().unwrap(), ["app.wasm", "--help"]);
        assert_eq!(parse(&["--", "-odd.wasm", "x"]).unwrap().arguments().unwrap(), ["-odd.wasm", "x"]);
    }

    #[test]
    fn options_of_our_own_must_exist() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--env", "A=1"]).is_err());
    }

    fn explanation(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.wat");
        std::fs::write(&path, text).unwrap();
        let source = Source::read(&path).unwrap();
        let arguments = parse(&[path.to_str().unwrap()]).unwrap();
        let failure = explain(&source, &arguments, tombolo::Error::host("the engine's own words"));
        format!("{failure:?}")
    }

    #[test]
    fn what_is_not_a_command_is_said() {
        assert!(explanation("(module)").contains("a core module, not a component"));
        assert!(explanation("(component)").contains("a library"));
    }

    #[test]
    fn imports_that_nothing_provides_are_named() {
        let command = |imports: &str| {
            format!(
                "(component {imports} (component $c) (instance $run (instantiate $c))
                    (export \"wasi:cli/run@0.3.2\" (instance $run)))"
            )
        };
        let missing = "(import \"acme:a/b\" (instance)) (import \"wasi:http/client@0.3.2\" (instance))";
        let text = explanation(&command(missing));
        assert!(text.contains("nothing provides: acme:a/b, wasi:http/client@0.3.2"), "{text}");
        assert!(text.contains("wac plug") && text.contains("no HTTP"), "{text}");
        assert!(explanation(&command("")).contains("the engine's own words"));
    }

    #[test]
    fn the_environment_holds_what_was_given_and_nothing_else() {
        let host = || [("HOME", "/h"), ("TERM", "vt"), ("A", "host")].map(|(k, v)| (k.into(), v.into()));
        let environment = |words: &[&str]| -> Vec<String> {
            let run = parse(&[words, &["app.wasm"]].concat()).unwrap();
            run.environment(host()).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert!(environment(&[]).is_empty());
        assert_eq!(environment(&["--env", "A=1", "--env", "TERM"]), ["A=1", "TERM=vt"]);
        assert_eq!(environment(&["--env", "A=", "--env", "B=x=y"]), ["A=", "B=x=y"]);
        assert_eq!(environment(&["--env", "UNSET"]), [""; 0]);
        assert_eq!(environment(&["--env", "A=1", "--env", "A=2"]), ["A=2"]);
        assert_eq!(environment(&["--inherit-env", "--env", "A=1"]), ["A=1", "HOME=/h", "TERM=vt"]);
        assert!(parse(&["--env", "=x", "app.wasm"]).unwrap_err().contains("NAME=VALUE"));
    }
}
