//! The server and peers that mean ill, over real sockets: what a library would refuse to send is written by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod server {
    mod bounds;
    mod drain;
    mod framing;
    mod harness;
    mod http2;
}
