//! Running the guest.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::stdio::MemoryOutput;
use tombolo_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p3};

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

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The program said that it succeeded.
    pub(crate) succeeded: bool,
    /// What it printed.
    pub(crate) output: String,
    /// What it complained about.
    pub(crate) complaints: String,
}

/// Runs the guest with these arguments, and makes sure that it leaves nothing open.
pub(crate) async fn run(wasi: WasiCtxBuilder, arguments: &[&str]) -> Outcome {
    run_limited(wasi, DescriptorLimit::new(1000), arguments).await
}

/// … with no more descriptors than that.
pub(crate) async fn run_limited(wasi: WasiCtxBuilder, limit: DescriptorLimit, arguments: &[&str]) -> Outcome {
    let (engine, component) = component();
    let (stdout, stderr) = (MemoryOutput::new(1 << 20), MemoryOutput::new(1 << 20));
    let wasi = wasi
        .arg("sockets")
        .args(arguments.iter().copied())
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .descriptor_limit(limit.clone())
        .build();
    let mut linker = Linker::new(engine);
    p3::add_to_linker(&mut linker).unwrap();
    let mut store = Store::new(engine, Host { wasi, table: ResourceTable::new() });
    let instance = linker.instantiate(&mut store, component).unwrap();
    let run = instance.instance("wasi:cli/run@0.3.2").unwrap();
    let run = run.typed_func::<(), Result<(), ()>>(&mut store, "run").unwrap();
    let result = tokio::time::timeout(TIME_LIMIT, run.call_async(&mut store, ())).await;
    let text = |output: &MemoryOutput| String::from_utf8(output.contents()).unwrap();
    let succeeded = match result {
        Err(_) => panic!("{arguments:?} hangs: {}", text(&stderr)),
        Ok(Err(error)) => panic!("{arguments:?}: {error}"),
        Ok(Ok(said)) => said.is_ok(),
    };
    assert!(store.data().table.is_empty(), "{arguments:?} left resources behind");
    drop(store);
    assert_eq!(limit.open(), 0, "{arguments:?} left descriptors open");
    Outcome { succeeded, output: text(&stdout), complaints: text(&stderr) }
}

/// Runs a case that checks itself, with all of the network.
pub(crate) async fn passes(arguments: &[&str]) {
    let outcome = run(WasiCtx::builder().inherit_network(), arguments).await;
    assert!(outcome.succeeded && outcome.output == "ok\n", "{arguments:?}:\n{}", outcome.complaints);
}

fn component() -> &'static (Engine, Component) {
    static COMPONENT: OnceLock<(Engine, Component)> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/sockets/sockets.wasm");
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::from_file(&engine, path).unwrap();
        (engine, component)
    })
}
