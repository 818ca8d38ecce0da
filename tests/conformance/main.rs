//! The reference tests of the standards, each with the exact list of what does not pass.
//!
//! `cargo test -p tombolo-tests --test conformance [-- NAME…]` runs all scripts, or those whose path contains a NAME
//! and then says what each one's directives did.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod component_model;
mod core;
mod core_expected;
mod packages;
mod suite;

use std::process::ExitCode;

use packages::Packages;
use suite::{Selection, check};

fn main() -> ExitCode {
    let selection = Selection::from_args();
    if selection.list_only {
        return ExitCode::SUCCESS;
    }
    let packages = Packages::fetch();
    let mut ok = true;
    for optimize in [true, false] {
        println!("{}", if optimize { "optimized code" } else { "code that is not optimized" });
        let suites = core::suites(&packages, optimize).chain(component_model::suites(&packages, optimize));
        suites.for_each(|suite| ok &= check(&suite, &selection));
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
