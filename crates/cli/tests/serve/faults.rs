//! Components that fail, and what that costs the others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::{Server, body, guest, read_response, serve, status};

fn faults(options: &[&str]) -> Server {
    let file = guest("http-faults");
    serve(options.iter().copied().chain([file.to_str().unwrap()]))
}

fn number(server: &Server) -> u64 {
    let answer = server.get("/");
    assert_eq!(status(&answer), 200, "{answer}");
    body(&answer).trim().parse().unwrap()
}

#[test]
fn a_trap_is_a_500_and_the_next_request_is_answered() {
    let server = faults(&["--workers", "1"]);
    assert_eq!((number(&server), number(&server)), (1, 2));
    assert_eq!(status(&server.get("/trap")), 500);
    let line = server.expect_line("the program trapped");
    assert!(line.contains("unreachable"), "{line}");
    // A new instance.
    assert_eq!((number(&server), number(&server)), (1, 2));
    assert_eq!(status(&server.get("/error")), 500);
    assert_eq!(number(&server), 4);
}

#[test]
fn a_trap_within_a_body_cuts_it_short() {
    let server = faults(&["--workers", "1"]);
    for _ in 0..3 {
        let answer = server.get("/trap-late");
        // Either the head was on its way already, or it is a 500.
        let is_whole = answer.ends_with("0\r\n\r\n") || answer.contains("content-length: 0");
        assert!(status(&answer) == 500 || !is_whole, "{answer}");
        assert_eq!(number(&server), 1);
    }
}

#[test]
fn a_trap_in_an_isolated_request_costs_no_other() {
    let server = faults(&["--workers", "1", "--isolate", "--timeout", "2s"]);
    let mut waiting = server.connect();
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    for _ in 0..5 {
        assert_eq!(status(&server.get("/trap")), 500);
        assert_eq!(number(&server), 1);
    }
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 504, "the one that waits is not disturbed");
}

/// By default requests that are answered at the same time are in instances of their own, as long as there are not too many.
#[test]
fn a_trap_costs_no_request_of_another_instance() {
    for workers in ["1", "2"] {
        let server = faults(&["--workers", workers, "--timeout", "3s"]);
        let mut waiting: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for stream in &mut waiting {
            stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        }
        thread::sleep(Duration::from_millis(300));
        for _ in 0..5 {
            assert_eq!(status(&server.get("/trap")), 500);
            assert_eq!(status(&server.get("/")), 200);
        }
        for mut stream in waiting {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(status(&answer), 504, "those that wait are not disturbed");
        }
    }
}

/// Even if it was given to the instance already.
#[test]
fn a_request_that_the_trapped_instance_had_not_seen_goes_to_another() {
    let server = faults(&["--workers", "1", "--spread", "1"]);
    let ask = |stream: &mut TcpStream, path: &str| {
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    };
    let answer = |stream: &mut TcpStream| status(&read_response(stream));
    let mut streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for round in 0..5 {
        for stream in &mut streams {
            ask(stream, "/");
            assert_eq!(answer(stream), 200);
        }
        // Now there is no instance. The next requests come all at once: they find a new one that has not begun.
        assert_eq!(status(&server.get("/trap")), 500);
        server.signal(Signal::STOP);
        for (index, stream) in streams.iter_mut().enumerate() {
            ask(stream, if index == round { "/trap" } else { "/" });
        }
        server.signal(Signal::CONT);
        for (index, stream) in streams.iter_mut().enumerate() {
            assert_eq!(answer(stream), if index == round { 500 } else { 200 }, "{index} in round {round}");
        }
    }
}

#[test]
fn a_request_behind_one_that_takes_too_long_goes_to_another_instance() {
    let server = faults(&["--workers", "1", "--spread", "1", "--timeout", "3s"]);
    let mut spinning = server.connect();
    spinning.write_all(b"GET /spin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(number(&server), 1);
    let mut answer = String::new();
    spinning.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 504);
}

#[test]
fn instances_are_replaced_after_so_many_requests() {
    let server = faults(&["--workers", "1", "--reuse", "3"]);
    let numbers: Vec<u64> = (0..7).map(|_| number(&server)).collect();
    assert_eq!(numbers, [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn a_component_that_does_not_answer_in_time_is_a_504() {
    let server = faults(&["--workers", "1", "--timeout", "500ms"]);
    for path in ["/wait", "/spin"] {
        let begun = Instant::now();
        assert_eq!(status(&server.get(path)), 504, "{path}");
        let taken = begun.elapsed();
        assert!(taken >= Duration::from_millis(500) && taken < Duration::from_secs(10), "{path}: {taken:?}");
        assert_eq!(number(&server), 1, "{path}");
    }
}

/// On the only thread there is.
#[test]
fn a_component_that_spins_does_not_keep_others_from_being_answered() {
    let server = faults(&["--workers", "1", "--isolate", "--timeout", "3s"]);
    let mut spinning = server.connect();
    spinning.write_all(b"GET /spin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(number(&server), 1);
    }
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    let mut answer = String::new();
    spinning.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 504);
}

#[test]
fn a_wrong_content_length_is_not_sent_as_a_whole_answer() {
    let server = faults(&[]);
    // More than promised is known before anything is sent; that no more will come, only afterwards.
    assert_eq!(status(&server.get("/long")), 500);
    let answer = server.get("/short");
    assert!(
        answer.is_empty() || answer.ends_with("short\n") && answer.contains("content-length: 100"),
        "{answer}"
    );
    assert_eq!(status(&server.get("/")), 200);
}

/// A client that does not read holds the component back: at some point it may write no more.
#[test]
fn backpressure_reaches_the_component() {
    let server = faults(&["--workers", "1", "--spread", "1"]);
    let mut slow = server.connect();
    slow.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let flooded = || -> u64 { body(&server.get("/flooded")).trim().parse().unwrap() };
    let settled = || loop {
        let before = flooded();
        thread::sleep(Duration::from_millis(300));
        if flooded() == before && before > 0 {
            return before;
        }
    };
    let first = settled();
    assert!(first < 16 << 20, "{first}");
    let mut buffer = vec![0; 4 << 20];
    slow.read_exact(&mut buffer).unwrap();
    let second = settled();
    assert!(second > first && second < first + (16 << 20), "{first} {second}");
    // When the client goes, so does the flood.
    drop(slow);
    let last = settled();
    assert!(last < second + (16 << 20));
}

#[test]
fn what_components_print_is_labelled() {
    let server = faults(&["--workers", "1"]);
    server.get("/print");
    assert_eq!(server.expect_line("stdout"), "stdout | a line for stdout");
    assert_eq!(server.expect_line("stderr"), "stderr | a line for stderr");
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = faults(&["--workers", "1", "--concurrency", "4", "--spread", "1", "--timeout", "none"]);
    for _ in 0..10 {
        let mut stream: TcpStream = server.connect();
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(50));
        drop(stream);
        thread::sleep(Duration::from_millis(50));
    }
    // What the component still waits for goes with its instance, after as many as that answers at once: eight of them here.
    assert_eq!(number(&server), 3);
}
