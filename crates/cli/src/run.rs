//! `tombolo run`: runs a command.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tombolo::{Component, Config, Engine, ErrorKind, Instance, Linker, ResourceTable, Store};
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::{Exit, Permissions, WasiCtx, WasiCtxView, WasiView, p3};

use crate::diagnostics::{Failure, report_trap};
use crate::load::Source;
use crate::network::NetworkArgs;
use crate::provided::Needs;
use crate::role::Role;

/// How many of the process's descriptors are never the program's.
const DESCRIPTOR_RESERVE: usize = 64;

/// Run a command: a component that exports wasi:cli/run
#[derive(Debug, Args)]
#[command(override_usage = "tombolo run [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    /// Give the program the folder HOST, under the name GUEST (the same name, if none is given)
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = parse_folder)]
    folders: Vec<Folder>,

    /// Set an environment variable, or pass on one of yours by its name alone
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse_variable)]
    variables: Vec<Variable>,

    /// Pass on all of your environment variables
    #[arg(long)]
    inherit_env: bool,

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

/// A folder that the program is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    /// The folder on the host.
    host: PathBuf,
    /// The name under which the program finds it.
    guest: String,
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

    /// What the program is given of the world outside.
    fn wasi(&self) -> Result<WasiCtx, Failure> {
        let arguments = self.arguments().map_err(Failure::new)?;
        let environment = self.environment(std::env::vars_os());
        // The program is this process's only work: it may wait for the disk.
        let mut wasi = WasiCtx::builder()
            .args(arguments)
            .envs(environment)
            .inherit_stdio()
            .allow_blocking(true)
            .descriptor_limit(DescriptorLimit::all_but(DESCRIPTOR_RESERVE));
        for Folder { host, guest } in &self.folders {
            wasi = wasi.preopened_dir(host, guest, Permissions::READ_WRITE).map_err(|error| {
                Failure::caused_by(format!("cannot give the program the folder {}", host.display()), error)
                    .hint("`--dir HOST::GUEST` names an existing folder of the host first")
            })?;
        }
        Ok(self.network.grant(wasi).build())
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
    let engine =
        Engine::new(&config).map_err(|error| Failure::caused_by("cannot run WebAssembly here", error))?;
    let component = Component::new(&engine, &source.bytes).map_err(|error| explain(&source, error))?;
    let mut linker = Linker::new(&engine);
    p3::add_to_linker(&mut linker).map_err(|error| Failure::caused_by("cannot provide WASI", error))?;
    let host = Host { wasi: arguments.wasi()?, table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused_by("cannot start the event loop", error))?;
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
            (None, None) => Err(explain(&source, error)),
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
fn explain(source: &Source, error: tombolo::Error) -> Failure {
    let file = source.path.display().to_string();
    let part = match source.check() {
        Ok(part) => part,
        Err(malformed) => return malformed,
    };
    let role = Role::of(&part);
    if !matches!(role, Role::Command { .. }) {
        return Failure::new(format!("{file} is {}", role.phrase())).hint(role.next_step(&file));
    }
    let missing = Needs::of(&part).missing;
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

/// Reads `HOST` or `HOST::GUEST`.
fn parse_folder(text: &str) -> Result<Folder, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST::GUEST, such as ./data::/data, or HOST alone".to_owned());
    }
    Ok(Folder { host: PathBuf::from(host), guest: guest.to_owned() })
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

    fn folder(text: &str) -> (String, String) {
        let run = parse(&["--dir", text, "app.wasm"]).unwrap();
        let [Folder { host, guest }] = run.folders.as_slice() else { panic!("{run:?}") };
        (host.to_str().unwrap().to_owned(), guest.clone())
    }

    #[test]
    fn a_folder_keeps_its_name_unless_another_is_given() {
        assert_eq!(folder("."), (".".to_owned(), ".".to_owned()));
        assert_eq!(folder("a/b::/data"), ("a/b".to_owned(), "/data".to_owned()));
        assert_eq!(folder("a::b::c"), ("a".to_owned(), "b::c".to_owned()));
        assert!(parse(&["--dir", "::x", "app.wasm"]).unwrap_err().contains("HOST::GUEST"));
        assert!(parse(&["--dir", "x::", "app.wasm"]).unwrap_err().contains("HOST::GUEST"));
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
        let failure = explain(&Source::read(&path).unwrap(), tombolo::Error::host("the engine's own words"));
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
