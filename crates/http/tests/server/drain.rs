//! Ending without losing anybody.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::{Tested, config, read_all, read_response, start, status};

fn wait_for_end(server: &Tested, time: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(time, server.running.ended()).await.unwrap() });
}

#[test]
fn drain_answers_what_was_asked_and_refuses_what_comes_later() {
    let server = start(config());
    let mut asked = server.connect();
    asked.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut idle = server.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    read_response(&mut idle);
    server.running.drain();
    let response = read_all(asked);
    assert!(response.ends_with("slow") && response.contains("connection: close"), "{response}");
    // A request that may have been under way when the server decided to end.
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let response = read_all(idle);
    assert!(status(&response) == 200 && response.contains("connection: close"), "{response}");
    wait_for_end(&server, Duration::from_secs(5));
    assert!(TcpStream::connect(server.address()).is_err());
}

#[test]
fn drain_answers_a_first_request_that_is_under_way() {
    let server = start(config());
    let mut new = server.connect();
    thread::sleep(Duration::from_millis(100));
    server.running.drain();
    thread::sleep(Duration::from_millis(100));
    new.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let response = read_all(new);
    assert!(status(&response) == 200 && response.contains("connection: close"), "{response}");
}

#[test]
fn drain_ends_idle_connections() {
    let server = start(config());
    let mut idle = server.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    read_response(&mut idle);
    let silent = server.connect();
    server.running.drain();
    wait_for_end(&server, Duration::from_secs(5));
    assert_eq!(read_all(idle) + &read_all(silent), "");
}

#[test]
fn drain_under_load_loses_nothing() {
    for _ in 0..5 {
        let server = start(config());
        let address = server.address();
        let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let Ok(mut stream) = TcpStream::connect(address) else { break };
                        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                        loop {
                            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
                            let response = read_response(&mut stream);
                            assert_eq!(status(&response), 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                            if response.contains("connection: close") {
                                break;
                            }
                        }
                        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                    }
                });
            }
            thread::sleep(Duration::from_millis(200));
            server.running.drain();
            wait_for_end(&server, Duration::from_secs(5));
            done.store(true, Ordering::Relaxed);
        });
        assert!(answered.into_inner() > 16);
    }
}

#[test]
fn stop_does_not_wait() {
    let server = start(config());
    let mut stream = server.connect();
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(100));
    server.running.drain();
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.running.stop();
    wait_for_end(&server, Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(read_all(stream), "");
}
