//! Running the guest.

use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::stdio::MemoryOutput;
use tombolo_wasi::{WasiCtx, WasiCtxBuilder};

use crate::command::Command;

static SOCKETS: Command = Command::new("sockets");

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
    let (stdout, stderr) = (MemoryOutput::new(1 << 20), MemoryOutput::new(1 << 20));
    let wasi = wasi.stdout(stdout.clone()).stderr(stderr.clone()).descriptor_limit(limit.clone());
    let (result, store) = SOCKETS.run(wasi, arguments).await;
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
