//! How a program is started, and how it ends: `environment`, `exit` and `run`.

use tombolo_wasi::WasiCtx;
use tombolo_wasi::stdio::MemoryOutput;

use crate::guest::{End, end, run};

#[tokio::test]
async fn a_program_is_told_what_it_was_started_with_and_nothing_else() {
    let given = WasiCtx::builder().env("A", "1").env("B", "ü=x").env("A", "2").initial_cwd("/work");
    let outcomes = run(given, &["environment", "arguments", "cwd"]).await;
    assert_eq!(
        outcomes,
        ["A=2 B=ü=x", r#"["basics", "environment", "arguments", "cwd"]"#, r#"Some("/work")"#]
    );
    assert_eq!(run(WasiCtx::builder(), &["environment", "cwd"]).await, ["", "None"]);
}

#[tokio::test]
async fn exit_ends_the_program_with_its_code() {
    for (operation, code) in
        [("exit ok", 0), ("exit failed", 1), ("exit 0", 0), ("exit 7", 7), ("exit 255", 255)]
    {
        let (outcomes, end) = end(WasiCtx::builder(), &["arguments", operation, "arguments"]).await;
        assert_eq!((outcomes.len(), end), (1, End::Exited(code)), "{operation}");
    }
    assert_eq!(end(WasiCtx::builder(), &["fail"]).await.1, End::Said(Err(())));
}

#[tokio::test]
async fn what_was_written_survives_exit_and_trap() {
    for (operation, expected) in [("exit 3", End::Exited(3)), ("trap", End::Trapped)] {
        for write in ["write last", "write-and-forget last"] {
            let output = MemoryOutput::new(100);
            let (_, end) = end(WasiCtx::builder().stdout(output.clone()), &[write, operation]).await;
            assert_eq!(end, expected);
            assert_eq!(output.contents(), b"last", "{write}, {operation}");
        }
    }
}
