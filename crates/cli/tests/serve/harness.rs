//! A server in a process of its own, and what to ask it with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Nothing takes this long; what does hangs.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A running `tombolo serve`. Dropping it kills it.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    /// What it prints to its standard error stream, behind the first line.
    pub stderr: mpsc::Receiver<String>,
}

/// The file of a guest in `guests/`.
pub fn guest(name: &str) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests");
    guests.join(name).join(name).with_extension("wasm").canonicalize().unwrap()
}

/// Starts a server on a port of its own, and returns when it is ready.
pub fn serve<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["serve", "--addr", "127.0.0.1:0"])
        .args(arguments)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = lines(child.stderr.take().unwrap());
    let first = stderr.recv_timeout(TIME_LIMIT).unwrap();
    let address = first.rsplit("://").next().and_then(|rest| rest.strip_suffix('/')?.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no address: {first}"));
    Server { child, address, stderr }
}

/// The lines of a stream, as they come.
pub fn lines(stream: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Server {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream.set_write_timeout(Some(TIME_LIMIT)).unwrap();
        stream
    }

    /// Asks for a path, on a connection of its own, and returns all of the answer.
    pub fn get(&self, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    }

    /// Sends bytes on a connection of their own, and returns all that comes back.
    pub fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended of itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIME_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end");
    }

    /// Waits for a line on its standard error stream that holds `text`.
    pub fn expect_line(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.stderr.recv_timeout(TIME_LIMIT) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line holds {text:?}: {seen:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number in the first line.
pub fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {response:?}"))
}

/// The body of a whole response. Where the component was held up while it wrote, that comes in chunks.
pub fn body(response: &str) -> String {
    let (head, mut rest) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no body: {response:?}"));
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut body = String::new();
    while let Some((size, data)) = rest.split_once("\r\n") {
        let (data, next) = data.split_at(usize::from_str_radix(size, 16).unwrap());
        body += data;
        rest = next.strip_prefix("\r\n").unwrap();
    }
    body
}

/// Reads a response and leaves the connection open.
pub fn read_response(stream: &mut TcpStream) -> String {
    let (mut response, mut byte) = (Vec::new(), [0]);
    let mut length = None;
    loop {
        stream.read_exact(&mut byte).unwrap();
        response.push(byte[0]);
        if length.is_none() && response.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&response);
            let promise = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length = Some(promise.map(|length| response.len() + length.parse::<usize>().unwrap()));
        }
        let is_whole = match length {
            None => false,
            Some(Some(length)) => response.len() == length,
            Some(None) => response.ends_with(b"\r\n0\r\n\r\n"),
        };
        if is_whole {
            return String::from_utf8(response).unwrap();
        }
    }
}
