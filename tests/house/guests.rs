//! Each guest has its source and its built component side by side, and a line that says what it is for.

use std::collections::BTreeMap;
use std::fs;

use crate::tree::{assert_none, root, tracked_files};

/// Folders of `guests/` that are not guests.
const OTHERS: &[(&str, &str)] = &[
    ("support", "the library that the Rust guests share"),
    ("http-support", "the library that the HTTP services share"),
];

/// What sources end with.
const SOURCES: &[&str] = &[".rs", ".c", ".cpp", ".zig", ".wat", ".py", ".js"];

#[test]
fn every_guest_has_source_and_component() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in tracked_files() {
        if let Some((guest, file)) = name.strip_prefix("guests/").and_then(|name| name.split_once('/')) {
            files.entry(guest.to_owned()).or_default().push(file.to_owned());
        }
    }
    let mut broken = Vec::new();
    for (guest, files) in files.iter().filter(|(guest, _)| !OTHERS.iter().any(|(other, _)| other == guest)) {
        if !files.iter().any(|file| SOURCES.iter().any(|end| file.ends_with(end))) {
            broken.push(format!("{guest} has no source"));
        }
        if !files.iter().any(|file| file.ends_with(".wasm")) {
            broken.push(format!("{guest} has no built component: guests/build.sh {guest}"));
        }
    }
    assert_none(&broken, "a guest is its source and the component built from it");
}

#[test]
fn every_guest_is_explained() {
    let readme = fs::read_to_string(root().join("guests/README.md")).unwrap_or_default();
    let missing: Vec<String> = tracked_files()
        .iter()
        .filter_map(|name| name.strip_prefix("guests/")?.split_once('/'))
        .map(|(guest, _)| guest.to_owned())
        .filter(|guest| !readme.contains(&format!("`{guest}`")))
        .collect();
    assert_none(&missing, "guests/README.md does not say what these are for");
}
