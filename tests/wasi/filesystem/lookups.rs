//! Looking at objects and paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::guest::{expect_everywhere, expect_on_host, run};
use crate::tree::{HostTree, everywhere};

#[tokio::test]
async fn stat_and_get_type_tell_what_is_there() {
    expect_everywhere(&[
        ("root stat-at file", "RegularFile 5 bytes 1 links"),
        ("root stat-at to-file", "SymbolicLink 4 bytes 1 links"),
        ("root stat-at to-file follow", "RegularFile 5 bytes 1 links"),
        ("root stat-at up follow", "RegularFile 5 bytes 1 links"),
        ("root stat-at directory/nested", "RegularFile 6 bytes 1 links"),
        ("root stat-at directory/../directory/./nested", "RegularFile 6 bytes 1 links"),
        ("root stat-at to-directory/nested", "RegularFile 6 bytes 1 links"),
        ("root stat-at dangling", "SymbolicLink 7 bytes 1 links"),
        ("root stat-at dangling follow", "NoEntry"),
        ("root stat-at loop", "SymbolicLink 4 bytes 1 links"),
        ("root stat-at loop follow", "Loop"),
        ("root stat-at nothing", "NoEntry"),
        ("root stat-at nothing/more", "NoEntry"),
        ("root stat-at file/more", "NotDirectory"),
        ("root stat-at file/..", "NotDirectory"),
        ("root stat-at ''", "NoEntry"),
        ("root stat-at a%00b", "Invalid"),
        ("f = root open file read", "ok"),
        ("f stat", "RegularFile 5 bytes 1 links"),
        ("f type", "RegularFile"),
        ("f stat-at file", "NotDirectory"),
        ("root type", "Directory"),
        ("d = root open directory", "ok"),
        ("d type", "Directory"),
    ])
    .await;
}

#[tokio::test]
async fn names_that_are_too_long_are_told() {
    let operation = format!("root stat-at {}", "n".repeat(256));
    expect_on_host(&HostTree::new(), &[(&operation, "NameTooLong")]).await;
    let operation = format!("root stat-at {}file", "directory/../".repeat(1000));
    expect_on_host(&HostTree::new(), &[(&operation, "NameTooLong")]).await;
}

#[tokio::test]
async fn open_flags_are_combined() {
    expect_everywhere(&[
        ("f = root open file", "ok"),
        ("f = root open nothing read", "NoEntry"),
        ("f = root open nothing exclusive read", "NoEntry"),
        ("f = root open file directory read", "NotDirectory"),
        ("f = root open directory directory read", "ok"),
        ("f = root open directory read", "ok"),
        ("f = root open directory write", "IsDirectory"),
        ("f = root open directory read write", "IsDirectory"),
        ("f = root open file create read", "ok"),
        ("f = root open file create exclusive read", "Exist"),
        ("f = root open to-file follow create exclusive write", "Exist"),
        ("f = root open dangling follow create exclusive write", "Exist"),
        ("f = root open new create exclusive read write", "ok"),
        ("f write 0 text", "ok"),
        ("f = root open new truncate write", "ok"),
        ("f stat", "RegularFile 0 bytes 1 links"),
        // A flag that asks for what the others rule out.
        ("f = root open file truncate read", "Invalid"),
        ("f = root open file truncate", "Invalid"),
        ("f = root open newer create directory write", "Invalid"),
        ("root stat-at newer", "NoEntry"),
        ("f = root open newer/ create write", "IsDirectory"),
        ("f = root open nothing/newer create write", "NoEntry"),
        ("f = root open file/newer create write", "NotDirectory"),
        // Links at the end of a path.
        ("f = root open to-file read", "Loop"),
        ("f = root open to-file", "Loop"),
        ("f = root open loop follow read", "Loop"),
        ("f = root open to-directory directory read", "NotDirectory"),
        ("f = root open to-directory/ directory read", "ok"),
        ("f = root open dangling follow create write", "ok"),
        ("root stat-at nothing", "RegularFile 0 bytes 1 links"),
    ])
    .await;
}

#[tokio::test]
async fn get_flags_tells_what_was_asked_for() {
    expect_everywhere(&[
        ("root flags", "read mutate"),
        ("f = root open file", "ok"),
        ("f flags", "none"),
        ("f = root open file read", "ok"),
        ("f flags", "read"),
        ("f = root open file read write data-sync", "ok"),
        ("f flags", "read write data-sync"),
        ("f = root open file write file-sync read-sync", "ok"),
        ("f flags", "write file-sync read-sync"),
        ("d = root open directory read mutate", "ok"),
        ("d flags", "read mutate"),
        ("d = root open directory read", "ok"),
        ("d flags", "read"),
        // It may only be set on directories.
        ("f = root open file read mutate", "ok"),
        ("f flags", "read"),
    ])
    .await;
}

#[tokio::test]
async fn readlink_tells_what_a_link_contains() {
    expect_everywhere(&[
        ("root readlink to-file", "file"),
        ("root readlink ./up", "directory/../file"),
        ("root readlink escape", "../outside/secret"),
        ("root readlink absolute", "NotPermitted"),
        ("root readlink file", "Invalid"),
        ("root readlink directory", "Invalid"),
        ("root readlink to-directory/", "Invalid"),
        ("root readlink nothing", "NoEntry"),
        ("root readlink file/x", "NotDirectory"),
    ])
    .await;
}

#[tokio::test]
async fn is_same_object_knows_names_of_one_object() {
    expect_everywhere(&[
        ("a = root open file read", "ok"),
        ("b = root open to-file follow write", "ok"),
        ("c = root open directory/nested read", "ok"),
        ("d = root open .", "ok"),
        ("a same b", "true"),
        ("a same c", "false"),
        ("root same d", "true"),
        ("root same a", "false"),
        ("root link file root hard", "ok"),
        ("h = root open hard read", "ok"),
        ("h same a", "true"),
        ("root unlink file", "ok"),
        ("h same a", "true"),
    ])
    .await;
}

#[tokio::test]
async fn metadata_hashes_change_with_what_they_are_of() {
    let operations = [
        "root hash-at file",
        "root hash-at to-file follow",
        "f = root open file read write",
        "f hash",
        "root hash-at to-file",
        "root hash-at directory/nested",
        "f append more",
        "f hash",
        "root unlink file",
        "g = root open file create write",
        "g write 0 hellomore",
        "g hash",
    ];
    for (what, wasi, _tree) in everywhere() {
        let hash = run(wasi, &operations).await;
        assert!(hash[0].len() == 32, "{what}: {}", hash[0]);
        assert!(hash[0] == hash[1] && hash[0] == hash[3], "{what}: one object, one hash");
        let others = [&hash[4], &hash[5], &hash[7], &hash[11]];
        assert!(others.iter().all(|other| **other != hash[0]), "{what}: {hash:?}");
        assert_ne!(hash[7], hash[11], "{what}: replaced by one of the same size");
        // A hash tells nothing to those who do not know the guest's secret.
        assert!(!hash[0].contains("00000000"), "{what}: {}", hash[0]);
    }
}

#[tokio::test]
async fn read_directory_lists_everything_once() {
    expect_everywhere(&[
        (
            "root list",
            "absolute@ dangling@ directory/ escape-directory@ escape@ file loop@ to-directory@ to-file@ up@",
        ),
        ("d = root open directory read mutate", "ok"),
        ("d list", "nested"),
        ("d list", "nested"),
        ("d unlink nested", "ok"),
        ("d list", "nothing"),
        ("f = root open file read", "ok"),
        ("f list", "NotDirectory"),
        ("d = root open directory", "ok"),
        ("d list", "BadDescriptor"),
        ("root list-some 2", "2"),
    ])
    .await;
}

#[tokio::test]
async fn names_that_are_not_unicode_are_told_at_the_end() {
    let tree = HostTree::new();
    let directory = tree.path("inside/directory");
    std::fs::write(directory.join(OsStr::from_bytes(b"\xffbad")), "").unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"\xff"), directory.join("link")).unwrap();
    let script = [
        ("d = root open directory read", "ok"),
        ("d list", "link@ nested, then IllegalByteSequence"),
        ("d readlink link", "IllegalByteSequence"),
    ];
    expect_on_host(&tree, &script).await;
}
