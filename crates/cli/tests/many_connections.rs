//! Thousands of connections at once through one guest or to a server, and what each costs the host.
//!
//! `CONNECTIONS=10000 cargo test --release -p tombolo-cli --test many_connections -- --nocapture` prints the figures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tombolo_wasi::filesystem::DescriptorLimit;

const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How many. This process holds as many of them as the other.
fn connections() -> usize {
    let _raised = DescriptorLimit::all_but(0);
    std::env::var("CONNECTIONS").map_or(1000, |count| count.parse().unwrap())
}

#[test]
fn one_guest_serves_many_connections_at_once() {
    let count = connections();
    let mut server = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["run", "--tcp", "listen=127.0.0.1:0"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/echo/echo.wasm"))
        .args(["127.0.0.1:0", &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();

    let before = memory(&server);
    let begin = Instant::now();
    let mut connections: Vec<TcpStream> = (0..count)
        .map(|_| {
            let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
            connection.set_read_timeout(Some(TIME_LIMIT)).unwrap();
            connection
        })
        .collect();
    echo(&mut connections, 0);
    let connected = begin.elapsed();
    let after = memory(&server);

    // All of them are there: each is served again, the last ones first.
    let begin = Instant::now();
    connections.reverse();
    echo(&mut connections, 1);
    let served = begin.elapsed();
    println!(
        "{count} connections: {} bytes each beyond {} KiB; connected and served in {connected:?}, served again in \
         {served:?}",
        after.saturating_sub(before) / count as u64,
        before / 1024,
    );

    drop(connections);
    assert!(wait(&mut server), "the server did not end well");
}

/// Sends a message through each connection, and only then receives the answers.
fn echo(connections: &mut [TcpStream], round: u64) {
    let message = |i: usize| (i as u64 ^ (round << 32)).to_le_bytes();
    for (i, connection) in connections.iter_mut().enumerate() {
        connection.write_all(&message(i)).unwrap();
    }
    for (i, connection) in connections.iter_mut().enumerate() {
        let mut answer = [0; 8];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message(i));
    }
}

/// Connections that are kept and have nothing to do are to be had for little more than the two buffers of each.
const IDLE_BYTES: u64 = 20 << 10;

#[test]
fn a_server_holds_many_connections_and_answers_all_of_them_at_once() {
    let count = connections();
    // It keeps half of its descriptors for what it serves.
    let descriptors = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |all| all as usize);
    let count = count.min(descriptors / 2 - 100);
    let mut server = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["serve", "--addr", "127.0.0.1:0"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/http-slow/http-slow.wasm"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit("://").next().unwrap().trim_end_matches('/');
    let connect = || {
        let connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        connection
    };
    // What the first ones need, all need together.
    drop((0..50).map(|_| ask_slowly(connect(), 1)).map(answered).collect::<Vec<_>>());

    let before = memory(&server);
    let mut connections: Vec<_> = (0..count).map(|_| answered(ask_slowly(connect(), 0))).collect();
    let idle = memory(&server).saturating_sub(before) / count as u64;

    let wait = 1000 + count as u64;
    connections = connections.into_iter().map(|connection| ask_slowly(connection, wait)).collect();
    let busy = memory(&server).saturating_sub(before) / count as u64;
    let begin = Instant::now();
    connections = connections.into_iter().map(answered).collect();
    println!(
        "{count} connections: {idle} bytes each beyond {} KiB, {busy} while each waits for its answer; all answered {:?} \
         after the last was asked",
        before / 1024,
        begin.elapsed(),
    );
    drop(connections);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(idle <= IDLE_BYTES, "{idle} bytes");
}

/// Asks for an answer that takes so many milliseconds.
fn ask_slowly(mut connection: TcpStream, wait: u64) -> TcpStream {
    write!(connection, "GET /?wait={wait} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    connection
}

/// Receives the answer.
fn answered(mut connection: TcpStream) -> TcpStream {
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    let is_whole = |answer: &[u8]| {
        let has_length = String::from_utf8_lossy(answer).contains("content-length: ");
        answer.ends_with(if has_length { &b"1 of 1\n"[..] } else { b"0\r\n\r\n" })
    };
    while !is_whole(&answer) {
        let length = connection.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&piece[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    connection
}

/// The physical memory of a process, in bytes: the guest's and the host's, without the kernel's.
fn memory(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn wait(process: &mut Child) -> bool {
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    false
}
