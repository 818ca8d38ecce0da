//! A file has one subject and fits in a reader's head.

use crate::tree::{assert_none, crate_sources};

/// Past this many lines, a file needs a reason.
const LIMIT: usize = 800;

/// Files past the limit, and why each is still one.
const REASONS: &[(&str, &str)] = &[];

#[test]
fn long_files_have_a_reason() {
    let mut broken = Vec::new();
    let sources = crate_sources();
    for (name, text) in &sources {
        let lines = text.lines().count();
        let reason = REASONS.iter().any(|(file, _)| file == name);
        if lines > LIMIT && !reason {
            broken.push(format!("{name} has {lines} lines: cut it, or give the reason in REASONS"));
        } else if lines <= LIMIT && reason {
            broken.push(format!("{name} has {lines} lines: its reason in REASONS is no longer needed"));
        }
    }
    for (file, _) in REASONS.iter().filter(|_| !sources.is_empty()) {
        if !sources.iter().any(|(name, _)| name == file) {
            broken.push(format!("{file} in REASONS does not exist"));
        }
    }
    assert_none(&broken, "files have at most 800 lines");
}
