//! `wasi:http` for Tombolo.
