//! What others ask with: `curl`, Python and a browser, where they are installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::harness::{Server, guest, serve};

/// Writes a certificate for this machine and its key into a folder.
fn certify(folder: &Path) -> (PathBuf, PathBuf) {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

/// A server that has a certificate for this machine.
fn serve_tls(name: &str) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certify(folder.path());
    let mut arguments = vec!["--tls-cert".into(), certificate.into_os_string(), "--tls-key".into()];
    arguments.extend([key.into_os_string(), guest(name).into_os_string()]);
    (folder, serve(arguments))
}

/// Whether a program is installed. If it is not, it says that the test is left out.
fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = version.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// Runs a program to its end with `input`, and returns what it printed.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end without reading all of it.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

fn curl(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60"]);
    String::from_utf8(run(command.args(arguments), input)).unwrap()
}

#[test]
fn curl_asks() {
    if !is_there("curl") {
        return;
    }
    let (folder, hello) = serve_tls("http-hello");
    let trusted = folder.path().join("cert.pem");
    let secure = format!("https://localhost:{}/", hello.address.port());
    let plain_server = serve([guest("http-hello")]);
    let plain = format!("http://{}/", plain_server.address);
    for (option, version) in [("--http1.0", "1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let answer = curl(&[option, "--write-out", "%{http_version}", &plain], b"");
        assert_eq!(answer, format!("Hello, World!\n{version}"));
    }
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let trust = trusted.to_str().unwrap();
        let answer = curl(&[option, "--cacert", trust, "--write-out", "%{http_version}", &secure], b"");
        assert_eq!(answer, format!("Hello, World!\n{version}"));
    }
    let head = curl(&["--head", &plain], b"");
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("Hello"), "{head}");
}

#[test]
fn curl_sends() {
    if !is_there("curl") {
        return;
    }
    let (folder, secure_echo) = serve_tls("http-echo");
    let trust = folder.path().join("cert.pem").to_str().unwrap().to_owned();
    let secure = format!("https://localhost:{}/", secure_echo.address.port());
    let plain_echo = serve([guest("http-echo")]);
    let plain = format!("http://{}/", plain_echo.address);
    let body = "0123456789".repeat(100_000);
    for path in ["", "?copy"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            // With its length, and without.
            for how in [["--data-binary", "@-"], ["--upload-file", "-"]] {
                let answer = curl(&[version, how[0], how[1], &format!("{plain}{path}")], body.as_bytes());
                assert!(answer == body, "{version} {how:?} {path}: {} bytes", answer.len());
            }
        }
        let answer =
            curl(&["--http2", "--cacert", &trust, "-T", "-", &format!("{secure}{path}")], body.as_bytes());
        assert!(answer == body, "{path}: {} bytes", answer.len());
    }
}

#[test]
fn sighup_serves_with_the_certificate_as_it_is_now() {
    if !is_there("curl") {
        return;
    }
    let (folder, hello) = serve_tls("http-hello");
    let secure = format!("https://localhost:{}/", hello.address.port());
    let (certificate, old) = (folder.path().join("cert.pem"), folder.path().join("old.pem"));
    let trust = |certificate: &Path| {
        assert_eq!(curl(&["--cacert", certificate.to_str().unwrap(), &secure], b""), "Hello, World!\n");
    };
    std::fs::copy(&certificate, &old).unwrap();
    certify(folder.path());
    trust(&old);
    hello.signal(Signal::HUP);
    hello.expect_line("Serving ");
    trust(&certificate);
    // What is no certificate does not take its place.
    std::fs::copy(&certificate, &old).unwrap();
    std::fs::write(&certificate, "none").unwrap();
    hello.signal(Signal::HUP);
    let line = hello.expect_line("error: ");
    assert!(line.contains("cannot serve HTTPS with"), "{line}");
    hello.expect_line("until then, the certificate that was used before is used on");
    hello.expect_line("Serving ");
    trust(&old);
}

#[test]
fn python_asks() {
    if !is_there("python3") {
        return;
    }
    let script = r#"
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.connect()
socket = connection.sock
for i in range(20):
    body = bytes([i]) * 10_000
    connection.request("POST", "/", body, {"x-number": str(i)})
    response = connection.getresponse()
    assert response.status == 200 and response.getheader("x-number") == str(i)
    assert response.read() == body
    # Without a length, in pieces.
    connection.request("PUT", "/?copy", (body for _ in range(10)), encode_chunked=True)
    assert connection.getresponse().read() == body * 10
    assert connection.sock is socket, "the connection was closed"
connection.request("GET", "/")
assert connection.getresponse().read() == b""
print("ok")
"#;
    let echo = serve([guest("http-echo")]);
    let port = echo.address.port().to_string();
    let said = run(Command::new("python3").args(["-c", script, &port]), b"");
    assert_eq!(String::from_utf8(said).unwrap(), "ok\n");
}

#[test]
fn a_browser_asks() {
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_there(name))
    else {
        return;
    };
    let hello = serve([guest("http-hello")]);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().display()));
    let page = run(command.arg(format!("http://{}/", hello.address)).stderr(Stdio::null()), b"");
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("Hello, World!"), "{page}");
}
