//! Ending and swapping while many are served.
//!
//! `TOMBOLO_SWAPS` says how many swaps there are; 10,000 are a long run.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{TIME_LIMIT, guest, serve};

const CLIENTS: usize = 8;

/// What clients do that ask again and again: how many were answered, and whether they are to stop.
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    done: AtomicBool,
    /// The server has been told to end.
    is_ending: AtomicBool,
}

impl Load {
    /// Asks on one connection after another. Every request whose connection was accepted is answered, or the test fails.
    fn run(&self, address: SocketAddr) {
        while !self.done.load(Relaxed) {
            match TcpStream::connect(address) {
                Ok(stream) => self.ask(stream),
                // Nobody listens any more.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn ask(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        for number in 0..50 {
            let _ = stream.write_all(b"GET /?wait=1 HTTP/1.1\r\nhost: a\r\n\r\n");
            let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
            let is_whole = |answer: &[u8]| answer.ends_with(b"World!\n") || answer.ends_with(b"1 of 1\n");
            while !is_whole(&answer) && !answer.ends_with(b"0\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) => panic!("cut: {}", String::from_utf8_lossy(&answer)),
                    Ok(count) => answer.extend(&piece[..count]),
                    // Made in the moment in which the server closed its door, and never accepted.
                    Err(_) if number == 0 && answer.is_empty() && self.is_ending.load(Relaxed) => return,
                    Err(error) => {
                        panic!("{error} after {number} requests: {}", String::from_utf8_lossy(&answer))
                    }
                }
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            self.answered.fetch_add(1, Relaxed);
            if String::from_utf8_lossy(&answer).contains("connection: close") || self.done.load(Relaxed) {
                return;
            }
        }
    }

    /// Runs `f` while clients ask.
    fn during(&self, address: SocketAddr, f: impl FnOnce()) {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| self.run(address))).collect();
            // Also if it panics: the scope waits for the clients.
            let done = Done(&self.done);
            f();
            drop(done);
            for client in clients {
                client.join().unwrap();
            }
        });
    }
}

/// Tells the clients to stop when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn sigterm_under_load_loses_no_request() {
    for name in ["http-hello", "http-slow"] {
        let mut server = serve([guest(name)]);
        let load = Load::default();
        load.during(server.address, || {
            thread::sleep(Duration::from_millis(500));
            load.is_ending.store(true, Relaxed);
            server.signal(Signal::TERM);
            assert_eq!(server.wait().code(), Some(0));
        });
        assert!(load.answered.into_inner() > CLIENTS);
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut server = serve([guest("http-slow")]);
    let mut waiting = server.connect();
    waiting.write_all(b"GET /?wait=50000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    server.signal(Signal::INT);
    thread::sleep(Duration::from_millis(300));
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for what was asked");
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn draining_takes_no_longer_than_it_may() {
    let mut server = serve(["--drain-timeout", "500ms", guest("http-slow").to_str().unwrap()]);
    let mut waiting = server.connect();
    waiting.write_all(b"GET /?wait=50000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn swaps_under_load_fail_no_request() {
    let swaps = std::env::var("TOMBOLO_SWAPS").map_or(10, |swaps| swaps.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (app, beside) = (folder.path().join("app.wasm"), folder.path().join("new.wasm"));
    fs::copy(guest("http-hello"), &app).unwrap();
    let server = serve(["--watch", app.to_str().unwrap()]);
    let load = Load::default();
    load.during(server.address, || {
        for name in ["http-slow", "http-hello"].iter().cycle().take(swaps) {
            fs::copy(guest(name), &beside).unwrap();
            fs::rename(&beside, &app).unwrap();
            server.expect_line("Serving ");
        }
    });
    println!("{swaps} swaps, {} requests answered", load.answered.load(Relaxed));
    assert!(load.answered.into_inner() > swaps);
}
