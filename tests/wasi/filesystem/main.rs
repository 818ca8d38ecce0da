//! `wasi:filesystem` as guests see it: on the machine's own files, on the thread that drives the guest and off it, and
//! on a filesystem of an embedder's own (`memory`).
//!
//! The guest is `guests/files`, which does what it is told and prints what each operation came to. So a test is a list
//! of operations with their outcomes. Tests whose names begin with `filesystem_` show what SAFETY.md's paragraph of that
//! name asks for.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../command.rs"]
mod command;

mod changes;
mod data;
mod devices;
mod guest;
mod lookups;
mod memory;
mod race;
mod rights;
mod safety;
mod streams;
mod tree;
