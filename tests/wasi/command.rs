//! Running a command of `guests/`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p3};

/// No case takes this long; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Host {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A guest, compiled when it is first run.
pub(crate) struct Command {
    name: &'static str,
    compiled: OnceLock<(Engine, Component)>,
}

impl Command {
    pub(crate) const fn new(name: &'static str) -> Self {
        Command { name, compiled: OnceLock::new() }
    }

    /// Runs it, for as long as a case may take. Gives how that ended, and the store as it is then.
    pub(crate) async fn run(
        &self,
        wasi: WasiCtxBuilder,
        arguments: &[&str],
    ) -> (Result<tombolo::Result<Result<(), ()>>, Elapsed>, Store<Host>) {
        let (engine, component) = self.compiled.get_or_init(|| self.compile());
        let wasi = wasi.arg(self.name).args(arguments.iter().copied()).build();
        let mut linker = Linker::new(engine);
        p3::add_to_linker(&mut linker).unwrap();
        let mut store = Store::new(engine, Host { wasi, table: ResourceTable::new() });
        let instance = linker.instantiate(&mut store, component).unwrap();
        let run = instance.instance("wasi:cli/run@0.3.2").unwrap();
        let run = run.typed_func::<(), Result<(), ()>>(&mut store, "run").unwrap();
        let ended = tokio::time::timeout(TIME_LIMIT, run.call_async(&mut store, ())).await;
        (ended, store)
    }

    fn compile(&self) -> (Engine, Component) {
        let name = self.name;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../guests/{name}/{name}.wasm"));
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::from_file(&engine, path).unwrap();
        (engine, component)
    }
}
