//! A TCP server that sends back what it receives, to any number of peers at once.
//!
//! `echo ADDRESS:PORT [LIMIT]` prints the port that it listens on, and ends when LIMIT connections have come and gone;
//! without LIMIT, never.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{FutureExt, select_biased};
use wasip3::sockets::types::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
use wasip3::wit_bindgen::StreamResult;

/// Bytes that are taken at once from one peer.
const CHUNK: usize = 4096;

struct Echo;

impl wasip3::exports::cli::run::Guest for Echo {
    async fn run() -> Result<(), ()> {
        let args = support::args();
        let Some(address) = args.first().and_then(|address| parse(address)) else {
            support::eprint("usage: echo ADDRESS:PORT [LIMIT]\n").await;
            return Err(());
        };
        let limit = args.get(1).and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        if let Err(error) = serve(address, limit).await {
            support::eprint(&format!("echo: {error:?}\n")).await;
            return Err(());
        }
        Ok(())
    }
}

async fn serve(address: IpSocketAddress, limit: usize) -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.bind(address)?;
    socket.set_listen_backlog_size(4096)?;
    let mut connections = socket.listen()?;
    if let IpSocketAddress::Ipv4(local) = socket.get_local_address()? {
        let _ = support::print(&format!("{}\n", local.port)).await;
    }
    let mut peers = FuturesUnordered::new();
    let (mut taken, mut gone) = (0, 0);
    while gone < limit {
        if taken == limit {
            gone += usize::from(peers.next().await.is_some());
            continue;
        }
        let mut next = std::pin::pin!(connections.next().fuse());
        loop {
            select_biased! {
                connection = next => {
                    let Some(connection) = connection else { return Err(ErrorCode::ConnectionAborted) };
                    taken += 1;
                    peers.push(echo(connection));
                    break;
                }
                _ = peers.select_next_some() => gone += 1,
            }
        }
    }
    Ok(())
}

/// Serves one peer. What becomes of it is its own business.
async fn echo(connection: TcpSocket) {
    let (mut input, received) = connection.receive();
    let (mut output, data) = wasip3::wit_stream::new();
    let sent = connection.send(data);
    drop(connection);
    loop {
        let (result, buffer) = input.read(Vec::with_capacity(CHUNK)).await;
        if result == StreamResult::Dropped || !output.write_all(buffer).await.is_empty() {
            break;
        }
    }
    drop((input, output));
    let _ = (received.await, sent.await);
}

fn parse(text: &str) -> Option<IpSocketAddress> {
    let address: std::net::SocketAddrV4 = text.parse().ok()?;
    let [a, b, c, d] = address.ip().octets();
    Some(IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) }))
}

wasip3::cli::command::export!(Echo);
