//! Serving another component without anybody noticing.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::harness::{Server, guest, serve};

/// Puts a guest where it is served from, as a build would.
fn put(name: &str, app: &Path) {
    let beside = app.with_extension("new");
    fs::copy(guest(name), &beside).unwrap();
    fs::rename(&beside, app).unwrap();
}

fn is_hello(server: &Server) -> bool {
    server.get("/?every=0").ends_with("Hello, World!\n")
}

#[test]
fn sighup_serves_the_component_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.wasm");
    put("http-hello", &app);
    let server = serve([&app]);
    assert!(is_hello(&server));
    put("http-slow", &app);
    assert!(is_hello(&server));
    server.signal(Signal::HUP);
    server.expect_line("Serving ");
    assert!(!is_hello(&server));
    // What cannot be served does not take its place.
    for wrong in [&b"\0asm\x0d\0\x01"[..], b"(component)", b""] {
        fs::write(&app, wrong).unwrap();
        server.signal(Signal::HUP);
        server.expect_line("error: ");
        server.expect_line("until then, what was served before is served on");
        assert!(server.get("/").contains("1 of 1\n"));
    }
}

#[test]
fn watch_serves_the_component_when_its_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.wasm");
    put("http-hello", &app);
    let server = serve(["--watch", app.to_str().unwrap()]);
    for name in ["http-slow", "http-hello", "http-slow"] {
        put(name, &app);
        server.expect_line("Serving ");
        assert_eq!(is_hello(&server), name == "http-hello");
    }
    fs::write(&app, "nothing").unwrap();
    server.expect_line("error: ");
    assert!(!is_hello(&server));
    put("http-hello", &app);
    server.expect_line("Serving ");
    assert!(is_hello(&server));
}
