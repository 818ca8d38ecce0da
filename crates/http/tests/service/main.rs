//! Services of guests, called from Rust without a network between.
#![expect(clippy::unwrap_used, reason = "this is a test")]

mod bodies;
mod host;
mod targets;
