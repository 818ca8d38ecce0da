//! What a descriptor allows.

use tombolo_wasi::Permissions;

use crate::guest::{expect, expect_everywhere};
use crate::tree::HostTree;

/// Everything that would change something, through `d`.
const CHANGES: [(&str, &str); 14] = [
    ("f = d open file write", "ReadOnly"),
    ("f = d open file read write", "ReadOnly"),
    ("f = d open file truncate write", "ReadOnly"),
    ("f = d open file create read", "ReadOnly"),
    ("f = d open new create read", "ReadOnly"),
    ("f = d open directory read mutate", "ReadOnly"),
    ("d mkdir new", "ReadOnly"),
    ("d rmdir directory", "ReadOnly"),
    ("d unlink file", "ReadOnly"),
    ("d symlink file new", "ReadOnly"),
    ("d link file root new", "ReadOnly"),
    ("d rename file root new", "ReadOnly"),
    ("d set-times-at file now now", "ReadOnly"),
    ("d set-times now now", "ReadOnly"),
];

/// Everything that only looks.
const LOOKS: [(&str, &str); 6] = [
    ("d stat-at file", "RegularFile 5 bytes 1 links"),
    ("d readlink to-file", "file"),
    ("d sync", "ok"),
    ("f = d open file read", "ok"),
    ("f read 0", "hello"),
    ("g = d open . read", "ok"),
];

#[tokio::test]
async fn without_mutate_directory_nothing_changes() {
    let script = [&[("d = root open . read", "ok"), ("d flags", "read")][..], &CHANGES, &LOOKS].concat();
    expect_everywhere(&script).await;
    // Neither through what is opened through it.
    let deeper = [("e = root open . read", "ok"), ("d = e open . read", "ok")];
    expect_everywhere(&[&deeper[..], &CHANGES].concat()).await;
}

#[tokio::test]
async fn nothing_comes_to_a_place_that_may_not_be_changed() {
    expect_everywhere(&[
        ("d = root open directory read", "ok"),
        ("root rename file d moved", "ReadOnly"),
        ("root link file d linked", "ReadOnly"),
        ("root stat-at file", "RegularFile 5 bytes 1 links"),
        ("d list", "nested"),
    ])
    .await;
}

#[tokio::test]
async fn a_read_only_folder_stays_as_it_is() {
    let tree = HostTree::new();
    let wasi = tree.wasi_with(Permissions::READ_ONLY);
    let script = [&[("root flags", "read"), ("d = root open . read", "ok")][..], &CHANGES, &LOOKS].concat();
    let more = [
        ("root set-times now now", "ReadOnly"),
        ("f = root open file read", "ok"),
        ("f set-times now now", "ReadOnly"),
        ("f set-size 0", "BadDescriptor"),
        ("root unlink file", "ReadOnly"),
    ];
    expect("read-only", wasi, &[&script[..], &more].concat()).await;
    assert_eq!(tree.read("inside/file"), "hello");
}

#[tokio::test]
async fn a_folder_that_may_not_be_read_is_not() {
    let tree = HostTree::new();
    let wasi = tree.wasi_with(Permissions { read: false, write: true });
    let script = [
        ("root flags", "mutate"),
        ("f = root open file read", "NotPermitted"),
        ("root list", "BadDescriptor"),
        ("f = root open file write", "ok"),
        ("f read 0", "BadDescriptor"),
        ("f append !", "ok"),
    ];
    expect("write-only", wasi, &script).await;
    assert_eq!(tree.read("inside/file"), "hello!");
}

#[tokio::test]
async fn filesystem_rename_and_link_across_directories_with_different_rights() {
    let (source, target) = (HostTree::new(), HostTree::new());
    let read_write = Permissions::READ_WRITE;
    for (from, to, outcome) in [
        (Permissions::READ_ONLY, read_write, "ReadOnly"),
        (read_write, Permissions::READ_ONLY, "ReadOnly"),
        // It could be read there, which it could not be before.
        (Permissions { read: false, write: true }, read_write, "NotPermitted"),
    ] {
        let wasi = source.wasi_with(from).preopened_dir(target.path("inside"), "target", to).unwrap();
        let script = [("root rename file target x", outcome), ("root link file target x", outcome)];
        expect("across", wasi, &script).await;
    }
    let wasi = source.wasi().preopened_dir(target.path("inside"), "target", read_write).unwrap();
    let script = [
        ("root link file target x", "ok"),
        ("root rename file target file", "ok"),
        ("root stat-at file", "NoEntry"),
        ("target stat-at x", "RegularFile 5 bytes 2 links"),
    ];
    expect("across", wasi, &script).await;
}

#[tokio::test]
async fn nothing_moves_between_filesystems() {
    let tree = HostTree::new();
    let memory = std::sync::Arc::new(crate::memory::Memory::tree());
    let wasi = tree.wasi().preopened_object(memory, "memory", Permissions::READ_WRITE);
    let script = [
        ("root rename file memory x", "CrossDevice"),
        ("memory rename file root x", "CrossDevice"),
        ("memory link file root x", "CrossDevice"),
        ("root same memory", "false"),
        // But bytes do.
        ("from = memory open directory/nested read", "ok"),
        ("to = root open file write truncate", "ok"),
        ("copy from to", "ok ok"),
    ];
    expect("between", wasi, &script).await;
    assert_eq!(tree.read("inside/file"), "nested");
}
