//! Serving HTTP, asked by `wrk`: requests per second beside a bare `hyper` server and `wasmtime serve`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::bench::{Bench, Contestant, Row, Sample, Settings, Target, Unit, Who};
use crate::native_http::Kind;
use crate::programs::{Programs, guest, output};

/// How many connections ask at once.
const CONNECTIONS: [u32; 3] = [1, 32, 512];

/// Bytes that are echoed.
const BODY: usize = 64 << 10;

/// The rows.
///
/// # Errors
///
/// There is no room for a script, or this program's own file cannot be found.
pub fn benches(programs: &Programs, settings: Settings) -> Result<Vec<Bench>> {
    [
        (Kind::Hello, "http-hello", "GET, 14 bytes back", Target::Native { times: 1.25, plus: 0.0 }),
        (Kind::Echo, "http-echo", "POST, 64 KiB there and back", Target::None),
    ]
    .into_iter()
    .map(|(kind, name, work, target)| bench(programs, settings, kind, name, work, target))
    .collect()
}

fn bench(
    programs: &Programs,
    settings: Settings,
    kind: Kind,
    name: &str,
    work: &str,
    target: Target,
) -> Result<Bench> {
    let row = |connections| {
        let name = format!("HTTP: {work}, {connections} connections (native: hyper)");
        Row { name, unit: Unit::PerSecond, target }
    };
    let mut servers =
        vec![(Who::Tombolo, Server::of(&programs.tombolo, &["serve", "--addr", "127.0.0.1:0"]))];
    if let Some(peer) = &programs.peer {
        let mut server = Server::of(&peer.program, &["serve", "--addr", "127.0.0.1:0", "-Scli"]);
        server.arguments.extend(peer.flags().iter().map(|flag| (*flag).to_owned()));
        servers.push((Who::Wasmtime, server));
    }
    for (_, server) in &mut servers {
        server.arguments.push(guest(name).display().to_string());
    }
    let this = std::env::current_exe().context("finding out where this program is")?;
    servers.push((Who::Native, Server::of(&this, &["--native-http", kind.name()])));
    let contestant = |(who, server): (Who, Server)| {
        let asker = Asker::new(kind, settings)?;
        Ok(Contestant { who, measure: Box::new(move || server.measure(&asker)) })
    };
    let contestants = servers.into_iter().map(contestant).collect::<Result<_>>()?;
    Ok(Bench { rows: CONNECTIONS.map(row).into(), contestants })
}

/// A command that serves HTTP, and says first where.
struct Server {
    program: std::path::PathBuf,
    arguments: Vec<String>,
}

impl Server {
    fn of(program: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Server { program: program.to_owned(), arguments }
    }

    /// Starts it, and has it asked with each number of connections.
    fn measure(&self, asker: &Asker) -> Result<Vec<Sample>> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().with_context(|| format!("running {command:?}"))?);
        let mut lines = BufReader::new(running.0.stderr.take().context("no pipe from it")?).lines();
        let first = lines.next().context("it ended at once")??;
        // What it says later is of no interest, but it must not have to wait to say it.
        std::thread::spawn(move || lines.for_each(drop));
        let uri = first.rsplit(' ').next().filter(|uri| uri.starts_with("http://"));
        let uri = uri.with_context(|| format!("it does not say where it serves: {first}"))?;
        asker.ask(uri, 32, 1)?;
        let sample = |connections| {
            let nanos = asker.ask(uri, connections, asker.seconds)?;
            Ok(Sample { nanos, peak_bytes: None })
        };
        CONNECTIONS.into_iter().map(sample).collect()
    }
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended of itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks with `wrk`.
struct Asker {
    folder: TempDir,
    seconds: u32,
}

impl Asker {
    fn new(kind: Kind, settings: Settings) -> Result<Self> {
        let script = match kind {
            Kind::Hello => String::new(),
            Kind::Echo => format!("wrk.method = 'POST'\nwrk.body = string.rep('x', {BODY})\n"),
        };
        let folder = TempDir::new().context("making a folder for a script")?;
        fs::write(folder.path().join("ask.lua"), script).context("writing a script")?;
        Ok(Asker { folder, seconds: if settings.quick { 1 } else { 5 } })
    }

    /// The time that there is for each request, in nanoseconds.
    fn ask(&self, uri: &str, connections: u32, seconds: u32) -> Result<f64> {
        let threads = connections.min(2);
        let mut command = Command::new("wrk");
        command.arg(format!("-t{threads}")).arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
        command.arg("-s").arg(self.folder.path().join("ask.lua")).arg(uri);
        let said = output(&mut command).context("asking (the rows of HTTP need wrk on PATH)")?;
        let after = |label: &str| said.lines().find_map(|line| line.trim().strip_prefix(label));
        if let Some(count) = after("Non-2xx or 3xx responses:") {
            bail!("{count} answers are none");
        }
        // A peer that loses one in a hundred is still measured; of one that loses more a rate says nothing.
        let errors = after("Socket errors:").unwrap_or_default();
        let answers = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
        ensure!(failed(errors) * 100 <= answers.unwrap_or(0), "errors of {answers:?} answers:{errors}");
        let rate: f64 = after("Requests/sec:").context("wrk does not say how often")?.trim().parse()?;
        ensure!(rate > 0.0, "nothing was answered");
        Ok(1e9 / rate)
    }
}

/// How many connections failed, of what `wrk` says of them: `connect 0, read 0, write 0, timeout 0`. Who is slow has not
/// failed.
fn failed(errors: &str) -> u64 {
    let count = |error: &str| {
        let (kind, count) = error.trim().split_once(' ')?;
        if kind == "timeout" { None } else { count.parse::<u64>().ok() }
    };
    errors.split(',').filter_map(count).sum()
}
