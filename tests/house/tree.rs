//! What the rules look at: the files that git tracks, and the crates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files that git tracks or would, by their paths from the root; those that are gone from disk left out.
///
/// Empty where the sources came without their history: then the rules on files have nothing to look at.
pub(crate) fn tracked_files() -> Vec<String> {
    if !root().join(".git").exists() {
        eprintln!("not a git checkout: no files are looked at");
        return Vec::new();
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    names
        .split('\0')
        .filter(|name| !name.is_empty() && root().join(name).is_file())
        .map(str::to_owned)
        .collect()
}

/// The Rust sources of the crates, by their paths from the root, with their texts.
pub(crate) fn crate_sources() -> Vec<(String, String)> {
    tracked_files()
        .into_iter()
        .filter(|name| name.starts_with("crates/") && name.contains("/src/") && name.ends_with(".rs"))
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).unwrap();
            (name, text)
        })
        .collect()
}

/// The packages of the workspace as `cargo metadata` describes them.
pub(crate) fn packages() -> Vec<Value> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("cargo metadata has no packages, but {other}"),
    }
}

/// Fails with the list of what broke a rule, unless it is empty.
pub(crate) fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}
