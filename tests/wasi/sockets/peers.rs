//! Peers outside: how a connection ends is up to them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::guest::passes;

const PLACES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Takes one connection and does `serve` with it, while the guest runs `case`.
async fn with_peer(case: &str, serve: fn(TcpStream)) {
    for place in PLACES {
        let listener = TcpListener::bind(place).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peer = thread::spawn(move || serve(listener.accept().unwrap().0));
        passes(&[case, &address]).await;
        peer.join().unwrap();
    }
}

/// Closes a connection without goodbye.
fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_peer_that_resets_mid_transfer_is_an_error() {
    with_peer("peer-resets", |mut stream| {
        stream.write_all(b"some bytes").unwrap();
        thread::sleep(Duration::from_millis(20));
        reset(stream);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_closes_in_order_is_an_end() {
    with_peer("peer-closes", |mut stream| {
        for part in [&b"all "[..], b"there ", b"is"] {
            stream.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_goes_away_while_it_is_sent_to_is_an_error() {
    with_peer("peer-stops-reading", |mut stream| {
        stream.read_exact(&mut [0; 100_000]).unwrap();
        reset(stream);
    })
    .await;
}

/// A place where connections are never made: its queue is full.
struct Silent {
    address: SocketAddr,
    _listener: rustix::fd::OwnedFd,
    _queue: Vec<rustix::fd::OwnedFd>,
}

impl Silent {
    fn at(place: &str) -> Silent {
        let place: SocketAddr = place.parse().unwrap();
        let family = if place.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let listener = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &place).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
        let queue = (0..4).map(|_| {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
            let _ = rustix::net::connect(&socket, &address);
            socket
        });
        Silent { address, _queue: queue.collect(), _listener: listener }
    }
}

#[tokio::test]
async fn connecting_is_cancelled() {
    let silent = PLACES.map(Silent::at);
    let addresses = silent.each_ref().map(|silent| silent.address.to_string());
    passes(&["tcp-cancel-connect", &addresses[0], &addresses[1]]).await;
}
