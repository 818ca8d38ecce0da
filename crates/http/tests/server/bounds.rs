//! How much peers may send, and how long they may take.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use tombolo_http::ErrorCode;
use tombolo_http::server::{Config, Limits, Timeouts};

use super::harness::{config, read_all, read_response, start, status};

/// Time-outs that a test can wait for, one of them short.
fn hasty(change: impl FnOnce(&mut Timeouts)) -> Config {
    let mut config = config();
    change(&mut config.timeouts);
    config
}

const SHORT: Option<Duration> = Some(Duration::from_millis(200));

/// What is too late comes when the time is over, and not much later.
fn assert_short(begun: Instant) {
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(190), "{taken:?}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}

#[test]
fn header_count_is_limited() {
    let mut config = config();
    config.limits = Limits { headers: 10, ..Limits::default() };
    for (config, limit) in [(config, 10), (self::config(), 100)] {
        let server = start(config);
        let get = |count: usize| {
            let headers: String = (0..count - 2).map(|number| format!("x-{number}: y\r\n")).collect();
            server.exchange(
                format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n").as_bytes(),
            )
        };
        assert_eq!(status(&get(limit)), 200);
        assert_eq!(status(&get(limit + 1)), 431);
        assert_eq!(status(&get(limit * 20)), 431);
    }
}

#[test]
fn header_size_is_limited() {
    let mut config = config();
    config.limits = Limits { header_bytes: 10_000, ..Limits::default() };
    for (config, limit) in [(config, 10_000), (self::config(), 64 << 10)] {
        let server = start(config);
        let get = |size: usize| {
            let rest = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: \r\n\r\n".len();
            let value = "y".repeat(size - rest);
            server.exchange(
                format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {value}\r\n\r\n").as_bytes(),
            )
        };
        assert_eq!(status(&get(limit)), 200);
        assert_eq!(status(&get(limit + 1)), 431);
        assert_eq!(status(&get(limit * 30)), 431);
    }
}

#[test]
fn connections_are_limited_and_others_wait() {
    let mut config = config();
    config.limits = Limits { connections: 2, ..Limits::default() };
    let server = start(config);
    let mut held = [server.connect(), server.connect()];
    for stream in &mut held {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_response(stream);
    }
    let mut third = server.connect();
    third.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0]).is_err(), "one more than allowed is served");
    drop(held);
    third.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(status(&read_response(&mut third)), 200);
}

#[test]
fn slow_clients_lose_their_connection_before_the_headers_are_whole() {
    let server = start(hasty(|timeouts| timeouts.headers = SHORT));
    // A byte now and then does not help.
    let begun = Instant::now();
    let stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let dripping = thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".chunks(1) {
            if writer.write_all(byte).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let response = read_all(stream);
    assert_eq!(status(&response), 408, "{response}");
    assert_short(begun);
    dripping.join().unwrap();
}

#[test]
fn slow_clients_that_say_nothing_are_left() {
    let server = start(hasty(|timeouts| timeouts.headers = SHORT));
    let begun = Instant::now();
    assert_eq!(read_all(server.connect()), "");
    assert_short(begun);
}

#[test]
fn slow_clients_lose_their_connection_while_idle() {
    let server = start(hasty(|timeouts| timeouts.idle = SHORT));
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        // Being answered is not being idle.
        read_response(&mut stream);
        thread::sleep(Duration::from_millis(50));
    }
    let begun = Instant::now();
    assert_eq!(read_all(stream), "");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn slow_clients_lose_their_request_while_they_send_its_body() {
    let server = start(hasty(|timeouts| timeouts.request = SHORT));
    let begun = Instant::now();
    let stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n").unwrap();
    let dripping = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(server.body(), Err(ErrorCode::ConnectionReadTimeout));
    assert_short(begun);
    read_all(stream);
    dripping.join().unwrap();
}

#[test]
fn slow_clients_that_read_nothing_are_left() {
    let server = start(hasty(|timeouts| timeouts.idle = SHORT));
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_secs(1));
    // What the kernel had taken before is still there, but not all of it.
    assert!(read_all(stream).len() < 8 << 20);
}

#[test]
fn clients_that_read_slowly_but_read_are_served() {
    let server = start(hasty(|timeouts| timeouts.idle = SHORT));
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut total = 0;
    let mut buffer = vec![0; 512 << 10];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(total > 8 << 20, "{total}");
}

/// They are no good for anything, but they do what they say.
#[test]
fn time_outs_of_zero_end_at_once_what_they_bound() {
    let zero = Some(Duration::ZERO);
    let server = start(hasty(|timeouts| timeouts.headers = zero));
    assert_eq!(read_all(server.connect()), "");
    let server = start(hasty(|timeouts| timeouts.request = zero));
    let mut stream = server.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n").unwrap();
    assert_eq!(server.body(), Err(ErrorCode::ConnectionReadTimeout));
    let server = start(hasty(|timeouts| timeouts.idle = zero));
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let response = read_all(stream);
    assert!(response.is_empty() || status(&response) == 200, "{response}");
}
