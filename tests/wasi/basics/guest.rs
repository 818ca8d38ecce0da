//! Running the guest.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::stdio::MemoryOutput;
use tombolo_wasi::{Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p3};

/// No case takes this long; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// How the guest ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It came back from `run`.
    Said(Result<(), ()>),
    /// It called `exit`.
    Exited(u8),
    /// It trapped.
    Trapped,
}

/// Runs operations and gives what each of them came to, and how it ended.
pub(crate) async fn end(wasi: WasiCtxBuilder, operations: &[&str]) -> (Vec<String>, End) {
    let (engine, component) = component();
    let outcomes = MemoryOutput::new(1 << 20);
    let wasi = wasi.arg("basics").args(operations.iter().copied()).stderr(outcomes.clone());
    let mut linker = Linker::new(engine);
    p3::add_to_linker(&mut linker).unwrap();
    let mut store = Store::new(engine, Host { wasi: wasi.build(), table: ResourceTable::new() });
    let instance = linker.instantiate(&mut store, component).unwrap();
    let run = instance.instance("wasi:cli/run@0.3.2").unwrap();
    let run = run.typed_func::<(), Result<(), ()>>(&mut store, "run").unwrap();
    let result = tokio::time::timeout(TIME_LIMIT, run.call_async(&mut store, ())).await;
    let end = match result.unwrap_or_else(|_| panic!("{operations:?} hangs")) {
        Ok(said) => End::Said(said),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(exit) => End::Exited(exit.0),
            None if error.trap().is_some() => End::Trapped,
            None => panic!("{operations:?}: {error}"),
        },
    };
    let outcomes = String::from_utf8(outcomes.contents()).unwrap();
    (outcomes.lines().map(str::to_owned).collect(), end)
}

/// Runs operations that end well, and gives what each of them came to.
pub(crate) async fn run(wasi: WasiCtxBuilder, operations: &[&str]) -> Vec<String> {
    let (outcomes, end) = end(wasi, operations).await;
    assert_eq!(end, End::Said(Ok(())), "{operations:?}");
    outcomes
}

fn component() -> &'static (Engine, Component) {
    static COMPONENT: OnceLock<(Engine, Component)> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/basics/basics.wasm");
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::from_file(&engine, path).unwrap();
        (engine, component)
    })
}
