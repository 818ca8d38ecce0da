//! Where requests end and what they are about: what two programs in a row must not understand differently.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use tombolo_http::ErrorCode;
use tombolo_http::server::Limits;

use super::harness::{config, read_all, read_response, start, status};

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n{body}")
}

#[test]
fn conflicting_content_lengths_are_refused() {
    let server = start(config());
    for headers in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3, 4\r\n",
        "content-length: +3\r\n",
        "content-length: -3\r\n",
        "content-length: 0x3\r\n",
        "content-length: 3 3\r\n",
        "content-length: \r\n",
        "content-length: 99999999999999999999999\r\n",
        "content-length : 3\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "content-length: 3\r\ntransfer-encoding: gzip\r\n",
    ] {
        let response = server.exchange(post(headers, "abc").as_bytes());
        assert_eq!(status(&response), 400, "{headers:?}: {response}");
        assert!(server.bodies.try_recv().is_err(), "{headers:?}");
    }
}

/// A repeated length that says the same is one length (RFC 9110, section 8.6).
#[test]
fn duplicate_content_lengths_count_once() {
    let server = start(config());
    let response = server.exchange(post("content-length: 3\r\ncontent-length: 3\r\n", "abc").as_bytes());
    assert!(response.ends_with("size=Ok(3)"), "{response}");
}

/// The transfer coding counts, and whatever comes behind it on the connection is not believed (RFC 9112, section 6.1).
#[test]
fn content_length_beside_a_transfer_coding_ends_the_connection() {
    let server = start(config());
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    ] {
        let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}");
        let response = server.exchange(request.as_bytes());
        assert!(response.ends_with("size=Ok(3)"), "{response}");
        assert_eq!(server.body(), Ok(3));
        assert!(server.bodies.try_recv().is_err());
    }
}

#[test]
fn chunks_that_are_none_end_the_body_with_an_error() {
    let server = start(config());
    for chunks in ["z\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc"] {
        let mut stream = server.connect();
        stream.write_all(post("transfer-encoding: chunked\r\n", chunks).as_bytes()).unwrap();
        assert!(server.body().is_err(), "{chunks:?}");
        assert!(!read_all(stream).contains("size=Ok"), "{chunks:?}");
    }
}

#[test]
fn a_body_shorter_than_promised_is_an_error_for_who_reads_it() {
    let server = start(config());
    for (headers, body) in
        [("content-length: 10\r\n", "abc"), ("transfer-encoding: chunked\r\n", "3\r\nabc\r\n")]
    {
        let mut stream = server.connect();
        stream.write_all(post(headers, body).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(server.body().is_err(), "{headers:?}");
    }
}

/// What is more than promised is the next request, or none.
#[test]
fn a_body_longer_than_promised_is_cut_where_it_was_to_end() {
    let server = start(config());
    let mut stream = server.connect();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\nhost: b\r\n\r\n",
        )
        .unwrap();
    assert!(read_response(&mut stream).ends_with("POST / host=a size=Ok(3)"));
    assert!(read_response(&mut stream).ends_with("GET / host=b size=Ok(0)"));
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\x00\x01rest").unwrap();
    assert!(read_response(&mut stream).ends_with("size=Ok(3)"));
    assert_eq!(status(&read_all(stream)), 400);
}

#[test]
fn absolute_form_targets_say_the_host() {
    let server = start(config());
    let get = |target: &str, headers: &str| {
        server.exchange(format!("GET {target} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").as_bytes())
    };
    let response = get("http://b.example:81/x?y=1", "host: a\r\n");
    assert!(response.ends_with("GET http://b.example:81/x?y=1 host=b.example:81 size=Ok(0)"), "{response}");
    for (target, headers) in [
        ("http://user@b/x", "host: b\r\n"),
        ("http:///x", "host: b\r\n"),
        ("http://b/x", ""),
        ("b/x", "host: b\r\n"),
        ("*", "host: b\r\n"),
        ("/x", ""),
        ("/x", "host: a\r\nhost: a\r\n"),
        ("/x", "host: a/b\r\n"),
        ("/x#fragment\x01", "host: a\r\n"),
    ] {
        assert_eq!(status(&get(target, headers)), 400, "{target} {headers:?}");
    }
    let connect = server.exchange(b"CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
    assert_eq!(status(&connect), 501);
    let options = server.exchange(b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(status(&options), 200, "{options}");
}

#[test]
fn requests_that_are_none_are_refused() {
    let server = start(config());
    for bytes in [
        "\0\0\0\0",
        "hello\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        assert_eq!(status(&server.exchange(bytes.as_bytes())), 400, "{bytes:?}");
    }
}

#[test]
fn bodies_larger_than_allowed_are_refused_or_cut() {
    let mut config = config();
    config.limits = Limits { body_bytes: Some(1000), ..Limits::default() };
    let server = start(config);
    let response = server.exchange(post("content-length: 1001\r\n", "").as_bytes());
    assert_eq!(status(&response), 413);
    let chunks = "64\r\n".to_owned() + &"x".repeat(100) + "\r\n";
    let ten = chunks.repeat(10) + "0\r\n\r\n";
    assert!(
        server.exchange(post("transfer-encoding: chunked\r\n", &ten).as_bytes()).ends_with("size=Ok(1000)")
    );
    assert_eq!(server.body(), Ok(1000));
    let eleven = chunks.repeat(11) + "0\r\n\r\n";
    server.exchange(post("transfer-encoding: chunked\r\n", &eleven).as_bytes());
    assert_eq!(server.body(), Err(ErrorCode::HttpRequestBodySize(Some(1000))));
}

/// A client that still sends hears the answer, instead of a reset.
#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let server = start(config());
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n").unwrap();
        for _ in 0..9 {
            stream.write_all(&[b'x'; 100_000]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let response = read_all(stream);
        assert!(response.ends_with("early"), "{response}");
    }
}

#[test]
fn a_response_that_contradicts_itself_is_a_500() {
    let server = start(config());
    let ask = |method: &str, path: &str| {
        server
            .exchange(format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
    };
    for path in
        ["/promise/4", "/promise/6", "/promise/0", "/promise/x", "/promise/-5", "/empty/5", "/interim"]
    {
        let response = ask("GET", path);
        assert_eq!(status(&response), 500, "{path}: {response}");
        assert!(!response.contains("hello"), "{path}: {response}");
    }
    assert!(ask("GET", "/promise/5").ends_with("\r\n\r\nhello"));
    // The answer to HEAD has the length of another body.
    for path in ["/promise/5", "/empty/5"] {
        let response = ask("HEAD", path);
        assert!(status(&response) == 200 && response.contains("content-length: 5"), "{path}: {response}");
    }
}
