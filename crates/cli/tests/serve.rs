//! `tombolo serve`, as a process that is talked to over its sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod serve {
    mod basics;
    mod clients;
    mod faults;
    mod harness;
    mod load;
    mod middleware;
    mod reload;
}
