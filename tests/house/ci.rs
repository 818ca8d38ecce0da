//! What the README tells a newcomer to type is what the checks run.

use std::fs;

use crate::tree::root;

#[test]
fn the_checks_run_the_commands_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let checks = fs::read_to_string(root().join(".ci/run")).unwrap();
    for command in
        ["cargo run --release -p tombolo-cli -- run guests/hello/hello.wasm", "cargo test --workspace"]
    {
        assert!(readme.contains(command), "the README does not say: {command}");
        assert!(checks.contains(command), "the checks do not run: {command}");
    }
}
