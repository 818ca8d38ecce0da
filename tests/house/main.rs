//! The rules of the house: what no compiler checks and every change must keep.
//!
//! Each file is one rule. Where a rule has exceptions they are listed in its file, each with a reason, and an
//! exception that is no longer needed fails as well.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod ci;
mod file_size;
mod guests;
mod hazards;
mod layers;
mod machine;
mod readme;
mod tree;
mod unsafe_code;
