//! What is neither a file nor a directory: nobody waits for it for ever.
//!
//! `read-via-stream` and `write-via-stream` are documented to be like `pread` and `pwrite`, which on a pipe fail with
//! `ESPIPE`: a stream at an offset ends with `invalid-seek`.

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::guest::{expect, expect_on_host};
use crate::tree::HostTree;
use tombolo_wasi::{Permissions, WasiCtx};

#[tokio::test]
async fn pipes_do_not_hold_anybody_up() {
    let tree = HostTree::new();
    mkfifoat(CWD, tree.path("inside/pipe"), Mode::RWXU).unwrap();
    let script = [
        ("root stat-at pipe", "Fifo 0 bytes 1 links"),
        ("p = root open pipe read", "ok"),
        ("p type", "Fifo"),
        ("p read 0", "InvalidSeek"),
        ("p sync", "ok"),
        ("p advise 0 0 normal", "InvalidSeek"),
        ("close p", "ok"),
        // Nobody reads it.
        ("w = root open pipe write", "NoSuchDevice"),
        ("b = root open pipe read write", "ok"),
        ("b read 0", "InvalidSeek"),
        ("b write 0 x", "InvalidSeek"),
        ("b append x", "InvalidSeek"),
        ("b set-size 0", "Invalid"),
        ("root unlink pipe", "ok"),
    ];
    expect_on_host(&tree, &script).await;
}

#[tokio::test]
async fn sockets_are_not_opened() {
    let tree = HostTree::new();
    let _listener = std::os::unix::net::UnixListener::bind(tree.path("inside/socket")).unwrap();
    let script = [
        ("root stat-at socket", "Socket 0 bytes 1 links"),
        ("s = root open socket read", "NoSuchDevice"),
        ("s = root open socket", "ok"),
        ("s type", "Socket"),
        ("s read 0", "BadDescriptor"),
    ];
    expect_on_host(&tree, &script).await;
}

#[tokio::test]
async fn devices_are_read_and_written() {
    for in_place in [false, true] {
        let wasi = WasiCtx::builder()
            .allow_blocking(in_place)
            .preopened_dir("/dev", "dev", Permissions::READ_WRITE)
            .unwrap();
        let script = [
            ("dev stat-at null", "CharacterDevice 0 bytes 1 links"),
            ("n = dev open null read write", "ok"),
            ("n read 0", "nothing"),
            ("n write-much 0 100000", "100000 ok"),
            ("z = dev open zero read", "ok"),
            ("z read-some 0 3", "\0\0\0"),
            ("z read-some 123456789 3", "\0\0\0"),
            ("f = dev open full write", "ok"),
            ("f write 0 x", "InsufficientSpace"),
            ("f append x", "InsufficientSpace"),
            ("t = dev open tty read", "NoSuchDevice"),
        ];
        expect("devices", wasi, &script).await;
    }
}
