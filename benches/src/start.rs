//! From nothing to the end of a small program, and compiling.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tombolo::{Component, Config, Engine, Instance, Linker, ResourceTable, Store};
use tombolo_wasi::stdio::MemoryOutput;
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView, p3};

use crate::bench::{Bench, Contestant, Measure, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::{Programs, guest};

/// The rows.
///
/// # Errors
///
/// A guest cannot be read.
pub fn benches(programs: &Programs, settings: Settings, components: &[PathBuf]) -> Result<Vec<Bench>> {
    let times = if settings.quick { 3 } else { 20 };
    let mut benches = vec![
        process(
            programs,
            "start of hello, process to exit, no cache",
            Target::of_peer(12e6, 46e6),
            true,
            times,
        ),
        process(
            programs,
            "start of hello, process to exit, with cache",
            Target::of_peer(4e6, 7e6),
            false,
            times,
        ),
        in_process(times)?,
        compile(programs, "guests/pair", guest("pair"), times)?,
        compile(programs, "guests/kernels", guest("kernels"), times)?,
    ];
    for file in components {
        benches.push(compile(programs, &file.display().to_string(), file.clone(), 1)?);
    }
    Ok(benches)
}

/// Whole processes that say hello.
fn process(programs: &Programs, name: &str, target: Target, without_cache: bool, times: u32) -> Bench {
    let contestants = programs.runners().into_iter().map(|(who, runner)| {
        // Tombolo has no cache yet.
        let options: &[&str] = if without_cache && who == Who::Wasmtime { &["-Ccache=n"] } else { &[] };
        let command = move || runner.command(options, &guest("hello"));
        Contestant { who, measure: whole(times, Box::new(command)) }
    });
    let row = Row { name: name.to_owned(), unit: Unit::Time, target };
    Bench::of(row, contestants.collect())
}

/// What an embedder pays, in two parts.
fn in_process(times: u32) -> Result<Bench> {
    let bytes = read("hello")?;
    let row = |name: &str| Row { name: name.to_owned(), unit: Unit::Time, target: Target::None };
    let measure = move || {
        let (mut compiled, mut ran) = (Vec::new(), Vec::new());
        for _ in 0..times {
            let engine = Engine::new(&Config::new())?;
            let start = Instant::now();
            let component = Component::new(&engine, &bytes)?;
            compiled.push(nanos_since(start));
            let start = Instant::now();
            say_hello(&engine, &component)?;
            ran.push(nanos_since(start));
        }
        Ok(vec![middle(compiled), middle(ran)])
    };
    Ok(Bench {
        rows: vec![
            row("start of hello, in process: Component::new"),
            row("start of hello, in process: linker, store, instantiate and run"),
        ],
        contestants: vec![Contestant { who: Who::Tombolo, measure: Box::new(measure) }],
    })
}

/// Compiling a component: in process, against the peer's command.
fn compile(programs: &Programs, name: &str, file: PathBuf, times: u32) -> Result<Bench> {
    let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let length = bytes.len() as u64;
    let ours = move || {
        let mut found = Vec::new();
        for _ in 0..times {
            let engine = Engine::new(&Config::new())?;
            let start = Instant::now();
            Component::new(&engine, &bytes)?;
            found.push(nanos_since(start));
        }
        Ok(vec![middle(found)])
    };
    let mut contestants = vec![Contestant { who: Who::Tombolo, measure: Box::new(ours) }];
    if let Some(peer) = &programs.peer {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let compile = peer.compile();
        let command = move || {
            let mut command = Command::new(compile.get_program());
            command.args(compile.get_args()).arg("-o").arg(folder.path().join("compiled")).arg(&file);
            command
        };
        contestants.push(Contestant { who: Who::Wasmtime, measure: whole(times, Box::new(command)) });
    }
    let name = format!("compile {name} (wasmtime: process to exit)");
    Ok(Bench::of(Row { name, unit: Unit::Bytes(length), target: Target::None }, contestants))
}

/// Runs a whole process so many times.
fn whole(times: u32, command: Box<dyn Fn() -> Command>) -> Measure {
    Box::new(move || {
        let mut found = Vec::new();
        for _ in 0..times {
            let mut command = command();
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let start = Instant::now();
            let status = command.status().with_context(|| format!("running {command:?}"))?;
            found.push(nanos_since(start));
            ensure!(status.success(), "{command:?} ended with {status}");
        }
        Ok(vec![middle(found)])
    })
}

/// What the store of the program that says hello holds.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn say_hello(engine: &Engine, component: &Component) -> Result<()> {
    let stdout = MemoryOutput::new(1024);
    let mut linker = Linker::new(engine);
    p3::add_to_linker(&mut linker)?;
    let wasi = WasiCtx::builder().arg("hello").stdout(stdout.clone()).build();
    let mut store = Store::new(engine, Host { wasi, table: ResourceTable::new() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let instance = linker.instantiate(&mut store, component)?;
        let run = instance.instance("wasi:cli/run@0.3.2");
        let run = run.as_ref().unwrap_or(&instance);
        let run = Instance::typed_func::<(), Result<(), ()>>(run, &mut store, "run")?;
        run.call_async(&mut store, ()).await
    })?;
    ensure!(outcome.is_ok() && stdout.contents() == b"Hello, world!\n", "hello did not say hello");
    Ok(())
}

fn read(name: &str) -> Result<Vec<u8>> {
    let file: PathBuf = guest(name);
    std::fs::read(&file).with_context(|| format!("reading {}", file.display()))
}

fn nanos_since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}

fn middle(mut nanos: Vec<f64>) -> Sample {
    nanos.sort_by(f64::total_cmp);
    nanos.get(nanos.len() / 2).copied().unwrap_or(f64::NAN).into()
}
