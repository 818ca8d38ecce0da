//! `wasi:sockets` as guests see it, on the machine's own network: no test needs another one.
//!
//! The guest is `guests/sockets`: each of its cases checks what comes back and says what differs. `transfers` and
//! `states` run those that need nobody else, `peers` those with a peer outside, `policy` is what they may do, and
//! `network` puts another network in the place of the host's.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../command.rs"]
mod command;

mod guest;
mod network;
mod peers;
mod policy;
mod states;
mod transfers;
