//! The README's example is one that is compiled and run: the first of the `tombolo` crate's documentation.

use std::fs;

use crate::tree::root;

#[test]
fn the_readmes_example_is_the_guides() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let guide = fs::read_to_string(root().join("crates/tombolo/src/lib.rs")).unwrap();
    let shown = code(readme.lines(), "```rust");
    let tested: Vec<&str> =
        code(guide.lines().map_while(|line| line.strip_prefix("//!")).map(unindent), "```")
            .into_iter()
            .filter(|line| !line.starts_with("# "))
            .collect();
    assert!(!tested.is_empty(), "the guide of the tombolo crate has no example");
    assert_eq!(shown, tested, "copy the example of crates/tombolo/src/lib.rs into the README");
}

/// The lines of the first block of code that begins with the line `fence`.
fn code<'a>(lines: impl Iterator<Item = &'a str>, fence: &str) -> Vec<&'a str> {
    lines.skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```").collect()
}

fn unindent(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}
