//! Changing a tree.

use crate::guest::{expect_everywhere, expect_on_host};
use crate::tree::HostTree;

#[tokio::test]
async fn directories_are_made_and_removed() {
    expect_everywhere(&[
        ("root mkdir new", "ok"),
        ("root mkdir new/deeper/", "ok"),
        ("root stat-at new/deeper/", "Directory"),
        ("root mkdir new", "Exist"),
        ("root mkdir file", "Exist"),
        ("root mkdir .", "Exist"),
        ("root mkdir to-directory", "Exist"),
        ("root mkdir dangling", "Exist"),
        ("root mkdir nothing/new", "NoEntry"),
        ("root mkdir file/new", "NotDirectory"),
        ("root mkdir ''", "NoEntry"),
        ("root rmdir new", "NotEmpty"),
        ("root rmdir file", "NotDirectory"),
        ("root rmdir to-directory", "NotDirectory"),
        ("root rmdir nothing", "NoEntry"),
        ("root rmdir .", "Invalid"),
        ("root rmdir new/deeper/", "ok"),
        ("root rmdir new", "ok"),
        ("root stat-at new", "NoEntry"),
    ])
    .await;
}

#[tokio::test]
async fn unlink_removes_names_of_anything_but_directories() {
    expect_everywhere(&[
        ("root unlink directory", "IsDirectory"),
        ("root unlink directory/", "IsDirectory"),
        ("root unlink file/", "NotDirectory"),
        ("root unlink nothing", "NoEntry"),
        ("f = root open file read", "ok"),
        ("root unlink file", "ok"),
        ("root stat-at file", "NoEntry"),
        // The file is there until it is closed.
        ("f read 0", "hello"),
        ("f stat", "RegularFile 5 bytes 0 links"),
        ("root unlink to-directory", "ok"),
        ("root unlink escape", "ok"),
        ("root stat-at directory/nested", "RegularFile 6 bytes 1 links"),
    ])
    .await;
}

#[tokio::test]
async fn rename_moves_and_replaces() {
    expect_everywhere(&[
        ("d = root open directory read mutate", "ok"),
        ("root rename file d moved", "ok"),
        ("d list", "moved nested"),
        ("root rename directory root renamed/", "ok"),
        // What is open stays open, wherever it is by now.
        ("d rename moved d nested", "ok"),
        ("d list", "nested"),
        ("f = root open renamed/nested read", "ok"),
        ("f read 0", "hello"),
        ("root rename renamed/nested root renamed/nested", "ok"),
        ("root rename nothing root x", "NoEntry"),
        ("root rename renamed/nested root nothing/x", "NoEntry"),
        ("root rename renamed/nested/ root x", "NotDirectory"),
        ("root mkdir empty", "ok"),
        ("root rename renamed/nested root empty", "IsDirectory"),
        ("root rename empty root renamed/nested", "NotDirectory"),
        ("root rename empty root renamed", "NotEmpty"),
        ("root rename renamed root renamed/below", "Invalid"),
        ("root rename renamed root empty", "ok"),
        ("root stat-at empty/nested", "RegularFile 5 bytes 1 links"),
        // The link itself moves, not what it leads to.
        ("root rename escape root escaped", "ok"),
        ("root readlink escaped", "../outside/secret"),
        ("root rename . root x", "Busy"),
        ("root rename empty root .", "Busy"),
    ])
    .await;
}

#[tokio::test]
async fn hard_links_are_made() {
    expect_everywhere(&[
        ("root link file root second", "ok"),
        ("root stat-at second", "RegularFile 5 bytes 2 links"),
        ("root link to-file root link", "ok"),
        ("root readlink link", "file"),
        ("root link to-file root third follow", "ok"),
        ("root stat-at third", "RegularFile 5 bytes 3 links"),
        ("root link nothing root x", "NoEntry"),
        ("root link dangling root x follow", "NoEntry"),
        ("root link file root second", "Exist"),
        ("root link file root directory", "Exist"),
        ("root link directory root x", "NotPermitted"),
        ("root link directory/ root x", "NotPermitted"),
        ("root link . root x", "NotPermitted"),
        ("root link file/ root x", "NotDirectory"),
        ("root link file root nothing/x", "NoEntry"),
        ("root link file root x/", "NoEntry"),
        ("root unlink file", "ok"),
        ("root stat-at second", "RegularFile 5 bytes 2 links"),
    ])
    .await;
}

#[tokio::test]
async fn symbolic_links_are_made() {
    expect_everywhere(&[
        ("root symlink file new", "ok"),
        ("f = root open new follow read", "ok"),
        ("f read 0", "hello"),
        ("root symlink file new", "Exist"),
        ("root symlink file directory", "Exist"),
        ("root symlink /etc/passwd x", "NotPermitted"),
        ("root symlink '' x", "NoEntry"),
        ("root symlink file x/", "NoEntry"),
        ("root symlink file nothing/x", "NoEntry"),
        ("root stat-at x", "NoEntry"),
        // A link may say what it likes, but for that. It is following it that is refused.
        ("root symlink ../../outside/secret directory/out", "ok"),
        ("root stat-at directory/out follow", "NotPermitted"),
    ])
    .await;
}

#[tokio::test]
async fn times_are_set() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f set-times 1000000000:7 2000000000:999999999", "ok"),
        ("f times", "1000000000:7 2000000000:999999999"),
        ("root times-at file", "1000000000:7 2000000000:999999999"),
        ("f set-times keep 5:0", "ok"),
        ("f times", "1000000000:7 5:0"),
        ("root set-times-at file 6:1 keep", "ok"),
        ("f times", "6:1 5:0"),
        ("f set-times keep keep", "ok"),
        ("f times", "6:1 5:0"),
        // Through a descriptor that is open for nothing.
        ("p = root open file", "ok"),
        ("p set-times 8:0 8:0", "ok"),
        ("f times", "8:0 8:0"),
        // Links, and what they lead to.
        ("root set-times-at to-file 3:0 3:0", "ok"),
        ("root times-at to-file", "3:0 3:0"),
        ("f times", "8:0 8:0"),
        ("root set-times-at to-file 4:0 4:0 follow", "ok"),
        ("f times", "4:0 4:0"),
        ("root set-times-at nothing 4:0 4:0", "NoEntry"),
        // A second has so many nanoseconds and no more.
        ("f set-times 4:1000000000 keep", "Invalid"),
        ("f set-times keep 4:4294967295", "Invalid"),
        // What the kernel takes for `now` and `no-change`.
        ("root set-times-at file 4:1073741823 4:1073741822", "Invalid"),
        ("f times", "4:0 4:0"),
        ("d = root open directory read mutate", "ok"),
        ("d set-times 9:0 9:0", "ok"),
        ("root times-at directory", "9:0 9:0"),
    ])
    .await;
}

#[tokio::test]
async fn times_are_set_to_now() {
    let tree = HostTree::new();
    let seconds = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = seconds(std::time::SystemTime::now());
    let script =
        [("f = root open file write", "ok"), ("f set-times 7:0 7:0", "ok"), ("f set-times keep now", "ok")];
    expect_on_host(&tree, &script).await;
    let metadata = std::fs::metadata(tree.path("inside/file")).unwrap();
    assert_eq!(seconds(metadata.accessed().unwrap()), 7);
    // The kernel's time stamps are up to a tick behind.
    assert!(seconds(metadata.modified().unwrap()) + 1 >= before);
}
