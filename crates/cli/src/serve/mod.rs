//! `tombolo serve`: serves HTTP.
//!
//! `app.rs` is what is served. Each worker of the server (`backend.rs`) has a pool of its instances (`pool.rs`), each with a
//! store of its own (`instance.rs`). Here all of it is put together; `supervisor.rs` sees to it from then on.

mod access_log;
mod app;
mod arguments;
mod backend;
mod complaints;
mod instance;
mod lines;
mod output;
mod pool;
mod supervisor;
mod watch;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::mpsc;
use tombolo::{Config, Engine};
use tombolo_http::server::{self, Running, Server, StartError};
use tombolo_wasi::Workers;
use tombolo_wasi::filesystem::DescriptorLimit;

use crate::diagnostics::Failure;
use app::{App, Given};
pub(crate) use arguments::ServeArgs;
use backend::{Backend, Swap};
use complaints::Complaints;
use lines::Lines;
use supervisor::{Signals, Supervisor};
use watch::Watch;

/// How many of the process's descriptors are neither the peers' nor the program's.
const DESCRIPTOR_RESERVE: usize = 64;

/// Serves until a signal comes.
///
/// # Errors
///
/// The component cannot be served, or not at that address.
pub(crate) fn serve(arguments: ServeArgs) -> Result<ExitCode, Failure> {
    let arguments = Arc::new(arguments);
    let lines = Lines::stderr().map_err(cannot_start)?;
    let log = arguments.log.map(|format| Ok((format, Lines::stdout()?))).transpose().map_err(cannot_start)?;
    let mut config = arguments.config()?;
    config.log = log.as_ref().map(|(format, lines)| format.to(lines.clone()));
    let descriptors = share_descriptors(&mut config.limits);
    let given = Given {
        arguments: arguments.clone(),
        descriptors,
        workers: Workers::default(),
        lines: lines.clone(),
    };
    let engine = engine(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
    // Before they are read: what changes from now on is seen.
    let watch = runtime.block_on(async { arguments.watch.then(|| Watch::new(arguments.files())) });
    let app = Arc::new(App::load(&engine, &given)?);
    // From now on they do not end the process.
    let signals = runtime.block_on(async { Signals::new() }).map_err(cannot_start)?;
    let tls = config.tls.clone();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let server = Server::bind(arguments.addr, config).map_err(|error| cannot_listen(&arguments, error))?;
    let address = server.local_addr();
    let complaints = Arc::new(Complaints::new(lines.clone()));
    let (running, workers) = start(server, &app, &complaints)?;
    // Somebody may read it to learn the port; nothing is lost if nobody does.
    let _ = writeln!(io::stderr(), "Serving HTTP on {scheme}://{address}/");
    let supervisor = Supervisor { running, workers, engine, given, tls, signals, watch };
    let code = runtime.block_on(supervisor.supervise());
    for lines in log.iter().map(|(_, lines)| lines).chain([&lines]) {
        lines.flush();
    }
    runtime.shutdown_background();
    Ok(code)
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::caused_by("cannot start", error)
}

fn cannot_listen(arguments: &ServeArgs, error: io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: `--addr` names another port, 0 any that is free"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are for the administrator: `--addr` names another"
        }
        _ => "`--addr` names an address of this machine, such as 127.0.0.1:8080",
    };
    Failure::caused_by(format!("cannot listen on {}", arguments.addr), error).hint(hint)
}

/// The engine, for this application and those that follow it.
fn engine(arguments: &ServeArgs) -> Result<Engine, Failure> {
    let mut config = Config::new();
    // A guest that runs on and on must not keep its worker from everything else: see `App::store`.
    config.deadlines(true);
    arguments.bounds.bind(&mut config);
    Engine::new(&config).map_err(|error| Failure::caused_by("cannot run WebAssembly here", error))
}

/// Divides the process's descriptors between peers and program, where there are not enough for both.
fn share_descriptors(limits: &mut server::Limits) -> DescriptorLimit {
    // For its side effect: the process may have as many open from now on as it ever may.
    let _ = DescriptorLimit::all_but(DESCRIPTOR_RESERVE);
    let all = getrlimit(Resource::Nofile).current.and_then(|all| usize::try_from(all).ok());
    let all = all.unwrap_or(usize::MAX).saturating_sub(DESCRIPTOR_RESERVE);
    limits.connections = limits.connections.min(all / 2).max(1);
    DescriptorLimit::new(all - limits.connections)
}

/// Starts the server with an instance for each worker, and returns where each gets other applications from.
fn start(
    server: Server,
    app: &Arc<App>,
    complaints: &Arc<Complaints>,
) -> Result<(Running, Vec<mpsc::UnboundedSender<Swap>>), Failure> {
    let (app, complaints) = (app.clone(), complaints.clone());
    let (register, registered) = std::sync::mpsc::channel();
    let running = server.start(async move |_worker: usize| {
        let (sender, swaps) = mpsc::unbounded_channel();
        let backend = Backend::new(app.clone(), swaps, complaints.clone())?;
        // Fails when another worker could not be started, and this one is to end.
        let _ = register.send(sender);
        Ok(backend)
    });
    match running {
        Ok(running) => Ok((running, registered.try_iter().collect())),
        Err(StartError::System(error)) => Err(cannot_start(error)),
        Err(StartError::Handler(failure)) => Err(failure),
    }
}
