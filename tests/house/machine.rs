//! Nothing in the repository tells on which machine it was made.

use std::fs;

use crate::tree::{assert_none, root, tracked_files};

/// Folders that machines have and repositories do not, when a name follows.
const FOLDERS: &[&str] = &["root", "home", "work", "farm", "Users"];

/// The hosts of package registries, in parts, so that this file does not name them.
const HOSTS: &[&[&str]] = &[
    &["index", "crates", "io"],
    &["static", "crates", "io"],
    &["pypi", "org"],
    &["files", "pythonhosted", "org"],
    &["registry", "npmjs", "org"],
    &["deb", "debian", "org"],
];

#[test]
fn no_file_names_a_machine() {
    let hosts: Vec<String> = HOSTS.iter().map(|parts| parts.join(".")).collect();
    let mut broken = Vec::new();
    for name in tracked_files() {
        let bytes = fs::read(root().join(&name)).unwrap();
        for (start, path) in paths(&bytes) {
            broken.push(format!("{name}, byte {start}: {path}"));
        }
        for host in &hosts {
            if bytes.windows(host.len()).any(|window| window == host.as_bytes()) {
                broken.push(format!("{name}: {host}"));
            }
        }
    }
    assert_none(&broken, "no paths of one machine and no registry's hosts, in sources or built guests");
}

/// What looks like an absolute path of a machine, with where it begins.
fn paths(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let start = format!("/{folder}/");
        for (at, window) in bytes.windows(start.len()).enumerate() {
            let rest = bytes.get(at + start.len()..).unwrap_or_default();
            let named = rest.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'.');
            if window == start.as_bytes() && named {
                let end = rest.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(rest.len()).min(60);
                let path = rest.get(..end).unwrap_or_default();
                found.push((at, format!("{start}{}", path.escape_ascii())));
            }
        }
    }
    found
}

#[test]
fn paths_are_found_in_text_and_in_binaries() {
    let path = |folder: &str| format!("\0\x01/{folder}/user/x.rs\0");
    assert_eq!(paths(path("home").as_bytes()).len(), 1);
    assert_eq!(paths(path("root").as_bytes()), [(2, ["", "root", "user", "x.rs"].join("/"))]);
    assert!(paths(b"the /home/ folder, /data/home").is_empty());
}
