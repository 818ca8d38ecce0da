//! Middleware, and components that ask other servers.

use super::harness::{guest, serve, status};

#[test]
fn middleware_stands_in_front() {
    let (middleware, hello) = (guest("http-middleware"), guest("http-hello"));
    let (middleware, hello) = (middleware.to_str().unwrap(), hello.to_str().unwrap());
    let plain = serve([hello]).get("/");
    let one = serve(["--middleware", middleware, hello]).get("/");
    let two = serve(["--middleware", middleware, "--middleware", middleware, hello]).get("/");
    for (answer, times) in [(plain, 0), (one, 1), (two, 2)] {
        assert_eq!(status(&answer), 200);
        assert!(answer.ends_with("Hello, World!\n"), "{answer}");
        assert_eq!(answer.matches("server-timing").count(), times, "{answer}");
    }
}

#[test]
fn bodies_pass_through_middleware() {
    let (middleware, echo) = (guest("http-middleware"), guest("http-echo"));
    let server = serve(["--middleware", middleware.to_str().unwrap(), echo.to_str().unwrap()]);
    let body = "0123456789".repeat(20_000);
    let length = body.len();
    let request =
        format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    let answer = server.exchange(&request);
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("server-timing") && answer.ends_with(&body[..1000]), "{}", answer.len());
}

/// The network's flags are those of `run`.
#[test]
fn requests_go_where_they_may() {
    let back = serve([guest("http-hello")]);
    let proxy = guest("http-proxy");
    let path = format!("/?to=http://{}/", back.address);
    let granted = serve(["--tcp", &back.address.to_string(), proxy.to_str().unwrap()]);
    assert!(granted.get(&path).contains("Hello, World!\n"));
    let denied = serve([proxy.to_str().unwrap()]);
    assert!(!denied.get(&path).contains("Hello, World!\n"));
}
