//! Streams that end before everything went through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::guest::{Actions, expect, expect_everywhere};
use crate::tree::HostTree;
use tombolo_wasi::stdio::{MemoryInput, MemoryOutput};

#[tokio::test]
async fn a_stream_that_is_dropped_early_is_no_error() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f write-much 0 1000000", "1000000 ok"),
        ("f read-some 0 3", "xxx"),
        ("f read-some 0 0", "nothing"),
        ("root list-some 1", "1"),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_early_gives_its_descriptor_back() {
    for in_place in [false, true] {
        let tree = HostTree::new();
        let open: [Arc<AtomicUsize>; 2] = Default::default();
        let look = |open: &Arc<AtomicUsize>| {
            let (limit, open) = (tree.limit.clone(), open.clone());
            Box::new(move || open.store(limit.open(), Ordering::Relaxed)) as Box<dyn FnOnce() + Send>
        };
        let actions = Actions::new(open.each_ref().map(look));
        let script = [
            ("f = root open file read", "ok"),
            ("pause", "ok"),
            ("f read-some 0 1", "h"),
            ("root list-some 1", "1"),
            ("close f", "ok"),
            ("pause", "ok"),
        ];
        expect("dropped", tree.wasi().allow_blocking(in_place).stdin(actions), &script).await;
        // The directory and the file, and then the directory alone.
        assert_eq!(open.map(|open| open.load(Ordering::Relaxed)), [2, 1]);
        assert_eq!(tree.limit.open(), 0);
    }
}

#[tokio::test]
async fn bytes_go_from_the_standard_input_to_a_file_and_from_there_to_the_standard_output() {
    for in_place in [false, true] {
        let tree = HostTree::new();
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
        let wasi = tree.wasi().allow_blocking(in_place).stdin(MemoryInput::new(bytes.clone()));
        let script = [("f = root open file write truncate", "ok"), ("input f", "Ok(()) ok")];
        expect("input", wasi, &script).await;
        assert!(std::fs::read(tree.path("inside/file")).unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_source() {
    let tree = HostTree::new();
    std::fs::write(tree.path("inside/file"), vec![b'x'; 100_000]).unwrap();
    let output = MemoryOutput::new(50_000);
    let operations = ["f = root open file read", "output f"];
    // What the operations came to does not fit any more.
    let wasi = tree.wasi().stdout(output.clone());
    let outcomes = crate::guest::run_to(wasi, &operations).await;
    assert_eq!(outcomes, Err(()));
    assert!(output.contents() == vec![b'x'; 50_000]);
    assert_eq!(tree.limit.open(), 0);
}
