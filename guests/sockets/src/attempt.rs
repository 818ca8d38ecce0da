//! Attempts whose outcome is for others to judge: `attempt WHAT ADDRESS...` prints a line for each.

use std::fmt::Debug;

use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{ErrorCode, IpAddress, IpSocketAddress, TcpSocket, UdpSocket};

use crate::address::{address, family_of};

/// Each argument is an attempt, `WHAT=ADDRESS` or `lookup=NAME`.
pub async fn run(arguments: &[String]) -> Result<(), ()> {
    let mut lines = String::new();
    for attempt in arguments {
        let (what, target) = attempt.split_once('=').unwrap_or((attempt, ""));
        let outcome = match what {
            "lookup" => show(resolve_addresses(target.to_owned()).await.map(drop)),
            "lookup-connect" => show(lookup_connect(target).await),
            what => show(on_address(what, address(target)).await),
        };
        lines += &format!("{attempt}: {outcome}\n");
    }
    support::print(&lines).await.map_err(drop)
}

async fn on_address(what: &str, target: IpSocketAddress) -> Result<(), ErrorCode> {
    let family = family_of(target);
    let tcp = || TcpSocket::create(family);
    let udp = || UdpSocket::create(family);
    match what {
        "tcp-bind" => tcp()?.bind(target),
        "tcp-listen" => {
            let socket = tcp()?;
            socket.bind(target)?;
            socket.listen().map(drop)
        }
        // On whatever address of this family.
        "tcp-listen-unbound" => tcp()?.listen().map(drop),
        "tcp-connect" => tcp()?.connect(target).await,
        "udp-bind" => udp()?.bind(target),
        "udp-connect" => udp()?.connect(target),
        "udp-send" => udp()?.send(b"attempt".to_vec(), Some(target)).await,
        // What comes to a socket that is bound there, answered.
        "udp-answer" => {
            let socket = udp()?;
            socket.bind(target)?;
            let (data, from) = socket.receive().await?;
            socket.send(data, Some(from)).await
        }
        // The answer to what is sent there.
        "udp-ask" => {
            let socket = udp()?;
            socket.send(b"attempt".to_vec(), Some(target)).await?;
            socket.receive().await.map(drop)
        }
        what => Err(ErrorCode::Other(Some(format!("there is no attempt {what}")))),
    }
}

/// Looks up the name in `NAME:PORT` and connects to its addresses, until one answers.
async fn lookup_connect(target: &str) -> Result<(), ErrorCode> {
    let (name, port) = target.rsplit_once(':').unwrap_or((target, "0"));
    let found = resolve_addresses(name.to_owned()).await;
    let found = found.map_err(|error| ErrorCode::Other(Some(format!("lookup: {error:?}"))))?;
    let mut outcome = Err(ErrorCode::RemoteUnreachable);
    for ip in found {
        let ip = match ip {
            IpAddress::Ipv4((a, b, c, d)) => std::net::IpAddr::from([a, b, c, d]),
            IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => std::net::IpAddr::from([a, b, c, d, e, f, g, h]),
        };
        let target = std::net::SocketAddr::new(ip, port.parse().unwrap_or(0));
        let target = address(&target.to_string());
        outcome = TcpSocket::create(family_of(target))?.connect(target).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn show<E: Debug>(outcome: Result<(), E>) -> String {
    match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
