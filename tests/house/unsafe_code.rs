//! Unsafe code stands in `vm`, and elsewhere only in the modules listed here.

use std::fs;

use crate::tree::{assert_none, crate_sources, root, tracked_files};

/// Where the lint may be lifted, and what for. A name that ends with a slash is a folder.
const OPENED: &[(&str, &str)] = &[
    ("crates/vm/", "memory mappings, code memory, signals and fibers are made here"),
    ("crates/http/src/server/outbox/ring.rs", "lends the system memory to read from"),
    (
        "crates/tombolo/src/component/mod.rs",
        "hands machine code to vm, which trusts it to come from our compiler",
    ),
    (
        "crates/tombolo/src/host_func.rs",
        "finds the store's data, whose type was erased on the way through guests",
    ),
    ("crates/tombolo/src/runtime/activation.rs", "follows the pointer to the call that runs now"),
    ("crates/tombolo/src/runtime/adapter/helpers.rs", "is called by compiled code, with pointers"),
    ("crates/tombolo/src/runtime/adapter/link.rs", "writes the words of links, which compiled code reads"),
    ("crates/tombolo/src/runtime/ending.rs", "frees the memory of guests that have ended"),
    ("crates/tombolo/src/runtime/entry.rs", "turns the pointers that compiled code carries into references"),
    ("crates/tombolo/src/runtime/guest.rs", "reads and writes guest memory"),
    ("crates/tombolo/src/runtime/lazy.rs", "goes on with calls that compiled code has begun, on fibers"),
    ("crates/tombolo/src/runtime/thread.rs", "fibers hold a pointer to the store that they run in"),
    ("crates/tombolo/src/store/mod.rs", "a store's two halves are reached through one pointer"),
    ("crates/tombolo/src/store/drive.rs", "the same pointer, on its way to the embedder"),
    ("crates/tombolo/src/stream/mod.rs", "the same, for streams whose other end the host holds"),
];

#[test]
fn unsafe_code_stays_in_its_modules() {
    let mut broken = Vec::new();
    let sources = crate_sources();
    for (name, text) in &sources {
        let lifts = lifts_the_lint(text);
        let opened = OPENED.iter().any(|(place, _)| is_in(name, place));
        if lifts && !opened {
            broken.push(format!(
                "{name} lifts `unsafe_code`; vm is the place for it, or OPENED has the reason"
            ));
        }
        if lifts && !text.starts_with("//!") {
            broken.push(format!("{name} has unsafe code and does not begin with what it relies on"));
        }
    }
    for (place, _) in OPENED.iter().filter(|_| !sources.is_empty()) {
        if !sources.iter().any(|(name, text)| is_in(name, place) && lifts_the_lint(text)) {
            broken.push(format!("{place} in OPENED has no unsafe code"));
        }
    }
    assert_none(&broken, "unsafe code stays in its modules");
}

/// The compiler denies unsafe code wherever the lint is not lifted, provided that it is asked to.
#[test]
fn every_package_has_the_workspaces_lints() {
    let mut broken = Vec::new();
    for name in tracked_files() {
        let ours = name.starts_with("crates/") || name.starts_with("tests/") || name.starts_with("benches/");
        if ours && name.ends_with("Cargo.toml") {
            let text = fs::read_to_string(root().join(&name)).unwrap();
            if !text.contains("[lints]\nworkspace = true") && !text.contains("lints.workspace = true") {
                broken.push(name);
            }
        }
    }
    assert_none(&broken, "these manifests do not take over the workspace's lints");
}

fn is_in(name: &str, place: &str) -> bool {
    if place.ends_with('/') { name.starts_with(place) } else { name == place }
}

fn lifts_the_lint(text: &str) -> bool {
    let text: String = text.split_whitespace().collect();
    ["allow(", "expect(", "warn("].iter().any(|level| {
        text.match_indices(&format!("[{level}")).any(|(at, _)| {
            let attribute = text.get(at..).unwrap_or_default();
            attribute.split(']').next().is_some_and(|attribute| attribute.contains("unsafe_code"))
        })
    })
}
