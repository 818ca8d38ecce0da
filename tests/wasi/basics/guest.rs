//! Running the guest.

use tombolo_wasi::stdio::MemoryOutput;
use tombolo_wasi::{Exit, WasiCtxBuilder};

use crate::command::Command;

static BASICS: Command = Command::new("basics");

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
    let outcomes = MemoryOutput::new(1 << 20);
    let (result, _) = BASICS.run(wasi.stderr(outcomes.clone()), operations).await;
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
