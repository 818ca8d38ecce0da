//! The standard streams.

use std::os::fd::OwnedFd;

use tombolo_wasi::stdio::{HostInput, HostOutput, MemoryInput, MemoryOutput};
use tombolo_wasi::{WasiCtx, Workers};

use crate::guest::run;

#[tokio::test]
async fn input_is_read_in_parts_and_ends() {
    let wasi = WasiCtx::builder().stdin(MemoryInput::new("hello, world"));
    let outcomes = run(wasi, &["read-some 5", "read-some 2", "read-some 0", "read", "read"]).await;
    assert_eq!(
        outcomes,
        [r#""hello" Ok(())"#, r#"", " Ok(())"#, r#""" Ok(())"#, r#""world" Ok(())"#, r#""" Ok(())"#]
    );
}

#[tokio::test]
async fn streams_that_the_embedder_did_not_give_lead_nowhere() {
    let outcomes = run(WasiCtx::builder(), &["read", "write text", "terminals"]).await;
    assert_eq!(outcomes, [r#""" Ok(())"#, "0 left, Ok(())", "false false false"]);
}

#[tokio::test]
async fn output_arrives_from_one_stream_and_from_several() {
    let output = MemoryOutput::new(100);
    let operations = ["write one", "write-both two three", "write-nothing", "write-and-forget four"];
    let outcomes = run(WasiCtx::builder().stdout(output.clone()), &operations).await;
    assert_eq!(outcomes, ["0 left, Ok(())", "Ok(()) Ok(())", "Ok(())", "0 left"]);
    assert_eq!(output.contents(), b"onetwothreefour");
}

#[tokio::test]
async fn output_that_does_not_fit_is_an_error() {
    let output = MemoryOutput::new(3);
    let outcomes = run(WasiCtx::builder().stdout(output.clone()), &["write hello", "write again"]).await;
    assert_eq!(outcomes, ["2 left, Err(ErrorCode::Io)", "5 left, Err(ErrorCode::Io)"]);
    assert_eq!(output.contents(), b"hel");
}

#[tokio::test]
async fn a_pipe_whose_other_end_goes_away_is_told() {
    for workers in [Workers::default(), Workers::default().in_place()] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = HostOutput::new(OwnedFd::from(writer), &workers);
        let outcomes = run(WasiCtx::builder().stdout(output), &["write hello"]).await;
        assert_eq!(outcomes, ["5 left, Err(ErrorCode::Pipe)"]);

        // The writer of the input goes away in the middle: what it wrote arrives, and then the end.
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"half of it").unwrap();
        drop(writer);
        let input = HostInput::new(OwnedFd::from(reader), &workers);
        let outcomes = run(WasiCtx::builder().stdin(input), &["read-some 4", "read"]).await;
        assert_eq!(outcomes, [r#""half" Ok(())"#, r#"" of it" Ok(())"#]);
    }
}

#[tokio::test]
async fn a_full_disk_behind_the_output_is_told() {
    for workers in [Workers::default(), Workers::default().in_place()] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = HostOutput::new(OwnedFd::from(full), &workers);
        let outcomes = run(WasiCtx::builder().stdout(output), &["write hello"]).await;
        assert_eq!(outcomes, ["5 left, Err(ErrorCode::Io)"]);
    }
}

#[tokio::test]
async fn an_input_that_cannot_be_read_is_told() {
    let directory = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let input = HostInput::new(OwnedFd::from(directory), &Workers::default());
    assert_eq!(run(WasiCtx::builder().stdin(input), &["read"]).await, [r#""" Err(ErrorCode::Io)"#]);
}
