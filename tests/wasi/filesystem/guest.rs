//! Running the guest.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tombolo_wasi::WasiCtxBuilder;
use tombolo_wasi::bytes::Input;
use tombolo_wasi::stdio::{InputSource, MemoryOutput};

use crate::command::Command;
use crate::tree::{HostTree, everywhere};

static FILES: Command = Command::new("files");

/// Runs operations and gives what each of them came to.
pub(crate) async fn run(wasi: WasiCtxBuilder, operations: &[&str]) -> Vec<String> {
    let output = MemoryOutput::new(1 << 20);
    run_to(wasi.stdout(output.clone()), operations).await.unwrap();
    String::from_utf8(output.contents()).unwrap().lines().map(str::to_owned).collect()
}

/// Runs operations and gives what the guest says: that its outcomes went to the standard output, or not.
pub(crate) async fn run_to(wasi: WasiCtxBuilder, operations: &[&str]) -> Result<(), ()> {
    let (result, store) = FILES.run(wasi, operations).await;
    let said = result.unwrap_or_else(|_| panic!("{operations:?} hangs")).unwrap();
    assert!(store.data().table.is_empty(), "{operations:?} left resources behind");
    said
}

/// Runs operations, each with what it should come to.
pub(crate) async fn expect(what: &str, wasi: WasiCtxBuilder, script: &[(&str, &str)]) {
    let operations: Vec<&str> = script.iter().map(|(operation, _)| *operation).collect();
    let outcomes = run(wasi, &operations).await;
    let mut differences = String::new();
    for ((operation, expected), outcome) in script.iter().zip(&outcomes) {
        if outcome != expected {
            differences += &format!("  {operation}: expected {expected}, got {outcome}\n");
        }
    }
    assert!(differences.is_empty(), "{what}:\n{differences}");
    assert_eq!(script.len(), outcomes.len());
}

/// Runs operations on every kind of filesystem, each time in a tree of its own.
pub(crate) async fn expect_everywhere(script: &[(&str, &str)]) {
    for (what, wasi, _tree) in everywhere() {
        expect(what, wasi, script).await;
    }
}

/// Runs operations on the machine's own files.
pub(crate) async fn expect_on_host(tree: &HostTree, script: &[(&str, &str)]) {
    expect("host", tree.wasi(), script).await;
}

/// A standard input of which each byte stands for something that is done when the guest reads it: the guest's `pause`.
pub(crate) struct Actions(Arc<Mutex<VecDeque<Action>>>);

type Action = Box<dyn FnOnce() + Send>;

impl Actions {
    pub(crate) fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        Actions(Arc::new(Mutex::new(actions.into_iter().collect())))
    }

    pub(crate) fn one(action: impl FnOnce() + Send + 'static) -> Self {
        Actions::new([Box::new(action) as Action])
    }
}

impl InputSource for Actions {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        Box::new(Actions(self.0.clone()))
    }
}

impl Input for Actions {
    type Error = io::Error;

    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let action = self.0.lock().unwrap().pop_front();
        let Some(action) = action else { return Poll::Ready(Ok(0)) };
        action();
        buffer[0] = b'!';
        Poll::Ready(Ok(1))
    }
}
