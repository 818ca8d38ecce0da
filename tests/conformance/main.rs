//! The reference tests of the standards, each with the exact list of what does not pass.
//!
//! `cargo test -p tombolo-tests --test conformance [-- NAME…]` runs all scripts, or those whose path contains a NAME
//! and then says what each one's directives did.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod component_model;
mod suite;

use std::process::ExitCode;

use suite::Selection;

fn main() -> ExitCode {
    let selection = Selection::from_args();
    if selection.list_only {
        return ExitCode::SUCCESS;
    }
    let suites = [component_model::run(&selection)];
    if suites.iter().all(|ok| *ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
