//! What a server does when all is well.

use rustix::process::Signal;

use super::harness::{guest, lines, serve, status};

#[test]
fn a_component_is_served_until_sigterm() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = serve([guest("http-hello")]);
        for _ in 0..10 {
            let answer = server.get("/");
            assert_eq!(status(&answer), 200, "{answer}");
            assert!(answer.ends_with("Hello, World!\n"), "{answer}");
        }
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        // Quiet: there is nothing behind the first line.
        assert!(server.stderr.recv().is_err());
    }
}

#[test]
fn the_access_log_is_on_the_standard_output() {
    let mut server = serve(["--log", "json", guest("http-hello").to_str().unwrap()]);
    let log = lines(server.child.stdout.take().unwrap());
    server.get("/one?two");
    let line = log.recv().unwrap();
    for part in [
        r#""method":"GET""#,
        r#""path":"/one?two""#,
        r#""version":"HTTP/1.1""#,
        r#""status":200"#,
        r#""received_bytes":0"#,
        r#""sent_bytes":14"#,
        r#""guest_ms":"#,
    ] {
        assert!(line.contains(part), "{line}");
    }
    server.exchange("GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    let line = log.recv().unwrap();
    assert!(line.contains(r#""status":400"#) && line.contains(r#""guest_ms":null"#), "{line}");
}
