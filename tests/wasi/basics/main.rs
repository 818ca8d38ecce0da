//! `wasi:cli`, `wasi:clocks` and `wasi:random` as guests see them, with everything in its place replaced by what the test
//! holds in its hands. The guest is `guests/basics`, which does what it is told and prints what each operation came to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../command.rs"]
mod command;

mod clocks;
mod guest;
mod program;
mod random;
mod streams;
