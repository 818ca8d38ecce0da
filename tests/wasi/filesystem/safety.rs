//! The ways in which filesystems of runtimes have failed (SAFETY.md, Filesystem), but for two: `race` has the symbolic
//! links that are swapped, `rights` has rename and link across directories with different rights.

use crate::guest::{Actions, expect, expect_everywhere, expect_on_host};
use crate::tree::HostTree;

/// What every operation makes of a path that leads out of the directory.
async fn refused(path: &str, outcome: &str) {
    let operations = [
        format!("f = root open {path} follow read"),
        format!("f = root open {path} follow"),
        format!("f = root open {path} follow directory read"),
        format!("root stat-at {path} follow"),
        format!("root hash-at {path} follow"),
        format!("root set-times-at {path} now now follow"),
        format!("root link {path} root x follow"),
    ];
    let script: Vec<_> = operations.iter().map(|operation| (operation.as_str(), outcome)).collect();
    expect_everywhere(&script).await;
}

/// … and those that would not follow a link at its end.
async fn refused_as_it_is(path: &str, outcome: &str) {
    let operations = [
        format!("f = root open {path} read"),
        format!("f = root open {path} create write"),
        format!("root stat-at {path}"),
        format!("root readlink {path}"),
        format!("root mkdir {path}"),
        format!("root rmdir {path}"),
        format!("root unlink {path}"),
        format!("root rename {path} root x"),
        format!("root rename file root {path}"),
        format!("root link {path} root x"),
        format!("root link file root {path}"),
        format!("root symlink file {path}"),
    ];
    let script: Vec<_> = operations.iter().map(|operation| (operation.as_str(), outcome)).collect();
    expect_everywhere(&script).await;
}

#[tokio::test]
async fn filesystem_dot_dot_does_not_lead_out() {
    for path in ["..", "../outside/secret", "directory/../../outside/secret", "../inside/file"] {
        refused(path, "NotPermitted").await;
    }
    for path in ["../outside/secret", "directory/../../outside/new", "to-directory/../../outside/secret"] {
        refused_as_it_is(path, "NotPermitted").await;
    }
    // From a directory further down, what is above it is outside too.
    expect_everywhere(&[
        ("d = root open directory read mutate", "ok"),
        ("d stat-at ../file", "NotPermitted"),
        ("d stat-at ..", "NotPermitted"),
        ("d rename nested root ../nested", "NotPermitted"),
        ("root symlink ../file directory/up", "ok"),
        ("d stat-at up follow", "NotPermitted"),
        ("root stat-at directory/up follow", "RegularFile 5 bytes 1 links"),
    ])
    .await;
}

#[tokio::test]
async fn filesystem_absolute_paths_lead_nowhere() {
    for path in ["/", "/file", "//file", "/etc/passwd"] {
        refused(path, "NotPermitted").await;
        refused_as_it_is(path, "NotPermitted").await;
    }
}

#[tokio::test]
async fn filesystem_symlinks_do_not_lead_out() {
    for path in ["escape", "escape-directory", "escape-directory/secret", "absolute", "absolute/x"] {
        refused(path, "NotPermitted").await;
    }
    for path in ["escape-directory/secret", "escape-directory/new", "absolute/x"] {
        refused_as_it_is(path, "NotPermitted").await;
    }
}

#[tokio::test]
async fn filesystem_trailing_slashes() {
    // A slash makes the kernel follow a link that calls would not follow otherwise.
    expect_everywhere(&[
        ("root stat-at escape-directory/", "NotPermitted"),
        ("root readlink escape-directory/", "NotPermitted"),
        ("f = root open escape-directory/ read", "NotPermitted"),
        ("root set-times-at escape-directory/ now now", "NotPermitted"),
        ("root link escape-directory/ root x", "NotPermitted"),
        ("root rmdir escape-directory/", "NotDirectory"),
        ("root unlink escape-directory/", "NotDirectory"),
        ("root rename escape-directory/ root x", "NotDirectory"),
    ])
    .await;
    // Only a directory answers to such a path.
    expect_everywhere(&[
        ("root stat-at file/", "NotDirectory"),
        ("f = root open file/ read", "NotDirectory"),
        ("root stat-at to-file/", "NotDirectory"),
        ("root unlink file/", "NotDirectory"),
        ("root set-times-at file/ now now", "NotDirectory"),
        ("root stat-at to-directory/", "Directory"),
        ("root mkdir new//", "ok"),
        ("root rmdir new//", "ok"),
    ])
    .await;
}

#[tokio::test]
async fn filesystem_truncating_through_a_read_only_descriptor() {
    expect_everywhere(&[
        ("f = root open file read", "ok"),
        ("f set-size 0", "BadDescriptor"),
        ("f write 0 x", "BadDescriptor"),
        ("f = root open file read truncate", "Invalid"),
        ("f = root open file truncate", "Invalid"),
        ("d = root open . read", "ok"),
        ("f = d open file write truncate", "ReadOnly"),
        ("f = root open file read", "ok"),
        ("f read 0", "hello"),
    ])
    .await;
}

#[tokio::test]
async fn filesystem_timestamps_before_1970() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f set-times -1:999999999 -1000000000:1", "ok"),
        ("f times", "-1:999999999 -1000000000:1"),
        ("root set-times-at to-file -5:0 keep follow", "ok"),
        ("root times-at file", "-5:0 -1000000000:1"),
        ("root set-times-at to-file -2:5 -3:0", "ok"),
        ("root times-at to-file", "-2:5 -3:0"),
    ])
    .await;
}

#[tokio::test]
async fn filesystem_a_directory_handle_outlives_its_directory() {
    let tree = HostTree::new();
    let directory = tree.path("inside/directory");
    let wasi = tree.wasi().stdin(Actions::one(move || std::fs::remove_dir_all(directory).unwrap()));
    let script = [
        ("d = root open directory read mutate", "ok"),
        ("f = root open directory/nested read write", "ok"),
        ("pause", "ok"),
        ("d type", "Directory"),
        ("d same d", "true"),
        ("d stat-at nested", "NoEntry"),
        ("d list", "NoEntry"),
        ("g = d open nested read", "NoEntry"),
        ("g = d open new create write", "NoEntry"),
        ("d mkdir new", "NoEntry"),
        ("d symlink x new", "NoEntry"),
        ("root rename file d new", "NoEntry"),
        ("d stat-at ..", "NotPermitted"),
        ("root stat-at directory", "NoEntry"),
        ("f read 0", "nested"),
        ("f append !", "ok"),
        ("f read 0", "nested!"),
    ];
    expect("removed", wasi, &script).await;
}

#[tokio::test]
async fn filesystem_files_are_opened_until_that_is_refused() {
    let tree = HostTree::new();
    // One of a hundred is the directory itself.
    expect_on_host(
        &tree,
        &[
            ("root hoard file", "99, then Other: too many open files"),
            // They were given back, and the host has its own.
            ("f = root open file read", "ok"),
            ("f read 0", "hello"),
        ],
    )
    .await;
    assert_eq!(tree.limit.open(), 0);
    std::fs::File::open(tree.path("inside/file")).unwrap();
}
