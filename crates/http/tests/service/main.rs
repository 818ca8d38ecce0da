//! Services of guests, called from Rust without a network between. What `wasi:http` has of functions, the guest
//! `guests/http-types` calls: it does what a request tells it and answers with what each operation came to.
#![expect(clippy::unwrap_used, reason = "this is a test")]

mod answers;
mod bodies;
mod chains;
mod fields;
mod host;
mod requests;
mod sending;
