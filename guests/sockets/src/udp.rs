//! UDP sockets.

use std::pin::pin;

use futures_util::future::{Either, join, select};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::sockets::types::{ErrorCode, IpAddressFamily, UdpSocket};

use crate::address::{FAMILIES, address, loopback, other, port, udp};
use crate::report::Report;

type Outcome = Result<(), ErrorCode>;
const OK: Outcome = Ok(());
const INVALID_STATE: Outcome = Err(ErrorCode::InvalidState);
const INVALID_ARGUMENT: Outcome = Err(ErrorCode::InvalidArgument);

async fn nothing_comes(socket: &UdpSocket) -> bool {
    matches!(select(pin!(socket.receive()), pin!(wait_for(10_000_000))).await, Either::Right(_))
}

pub async fn states(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (peer, target) = udp(family)?;
        let socket = UdpSocket::create(family)?;
        report.check("family", socket.get_address_family(), family);
        report.check("unbound: local", socket.get_local_address().map(drop), INVALID_STATE);
        report.check("unbound: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        report.check("unbound: receive", socket.receive().await.map(drop), INVALID_STATE);
        report.check("unbound: disconnect", socket.disconnect(), INVALID_STATE);
        report.check("unbound: send to nobody", socket.send(vec![1], None).await, INVALID_ARGUMENT);
        report.check("unbound still", socket.get_local_address().map(drop), INVALID_STATE);
        // Sending binds it.
        socket.send(b"hello".to_vec(), Some(target)).await?;
        let local = socket.get_local_address()?;
        report.check("bound by sending", port(local) != 0, true);
        report.check("bind", socket.bind(loopback(family, 0)), INVALID_STATE);
        let (_, from) = peer.receive().await?;
        report.check("the port is the same", port(from), port(local));

        // So does connecting.
        let socket = UdpSocket::create(family)?;
        socket.connect(target)?;
        let local = socket.get_local_address()?;
        report.check("bound by connecting", local, loopback(family, port(local)));
        report.check("connected: remote", socket.get_remote_address()?, target);
        report.check("connected: bind", socket.bind(loopback(family, 0)), INVALID_STATE);
        socket.disconnect()?;
        report.check("disconnected: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        report.check("disconnected: disconnect", socket.disconnect(), INVALID_STATE);
        report.check("disconnected: the port stays", port(socket.get_local_address()?), port(local));
        report.check("disconnected: send to nobody", socket.send(vec![1], None).await, INVALID_ARGUMENT);

        // Bound sockets keep where they are bound, whatever they are connected to.
        let (socket, local) = udp(family)?;
        socket.connect(target)?;
        socket.disconnect()?;
        report.check("the address stays", socket.get_local_address()?, local);
        let taken = UdpSocket::create(family)?.bind(local);
        report.check("taken", taken, Err::<(), _>(ErrorCode::AddressInUse));
    }
    Ok(())
}

pub async fn addresses(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (foreign, nowhere, elsewhere) = match family {
            IpAddressFamily::Ipv4 => ("[::1]:9", "0.0.0.0:9", "192.0.2.1:0"),
            IpAddressFamily::Ipv6 => ("127.0.0.1:9", "[::]:9", "[2001:db8::1]:0"),
        };
        let mut bad =
            vec![address(foreign), address(nowhere), loopback(family, 0), loopback(other(family), 9)];
        if let IpAddressFamily::Ipv6 = family {
            bad.push(address("[::ffff:127.0.0.1]:9"));
        }
        let socket = UdpSocket::create(family)?;
        for bad in bad {
            report.check(&format!("connect to {bad:?}"), socket.connect(bad), INVALID_ARGUMENT);
            report.check(
                &format!("send to {bad:?}"),
                socket.send(vec![1], Some(bad)).await,
                INVALID_ARGUMENT,
            );
        }
        report.check("bind to the other family", socket.bind(address(foreign)), INVALID_ARGUMENT);
        let bound = socket.bind(address(elsewhere));
        report.check("bind to an address of others", bound, Err::<(), _>(ErrorCode::AddressNotBindable));
        socket.bind(loopback(family, 0))?;
    }
    let mapped = address("[::ffff:127.0.0.1]:0");
    report.check("bind to a mapped one", UdpSocket::create(FAMILIES[1])?.bind(mapped), INVALID_ARGUMENT);
    // To everybody is not to somebody: nothing says that a guest may.
    let all = UdpSocket::create(FAMILIES[0])?.send(vec![1], Some(address("255.255.255.255:9"))).await;
    let refused = matches!(all, Err(ErrorCode::AccessDenied | ErrorCode::RemoteUnreachable));
    report.check(&format!("broadcast: {all:?}"), refused, true);
    Ok(())
}

pub async fn options(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let unbound = UdpSocket::create(family)?;
        let (bound, target) = udp(family)?;
        let connected = UdpSocket::create(family)?;
        connected.connect(target)?;
        for socket in [unbound, bound, connected] {
            report.check("no hops", socket.set_unicast_hop_limit(0), INVALID_ARGUMENT);
            for hops in [1, 42, 255] {
                socket.set_unicast_hop_limit(hops)?;
                report.check("hops", socket.get_unicast_hop_limit()?, hops);
            }
            report.check("no receive buffer", socket.set_receive_buffer_size(0), INVALID_ARGUMENT);
            report.check("no send buffer", socket.set_send_buffer_size(0), INVALID_ARGUMENT);
            socket.set_receive_buffer_size(16384)?;
            socket.set_send_buffer_size(16384)?;
            report.check("receive buffer", socket.get_receive_buffer_size()?, 16384);
            report.check("send buffer", socket.get_send_buffer_size()?, 16384);
            for size in [1, u64::MAX] {
                socket.set_receive_buffer_size(size)?;
                socket.set_send_buffer_size(size)?;
                report.check("clamped", socket.get_receive_buffer_size()? > 0, true);
                report.check("clamped", socket.get_send_buffer_size()? > 0, true);
            }
        }
    }
    Ok(())
}

pub async fn transfer(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (one, one_address) = udp(family)?;
        let (two, two_address) = udp(family)?;
        for length in [0, 1, 1000, 9000] {
            let bytes = vec![length as u8; length];
            one.send(bytes.clone(), Some(two_address)).await?;
            let (got, from) = two.receive().await?;
            report.check("the datagram", got == bytes, true);
            report.check("its sender", from, one_address);
        }
        // Datagrams stay apart.
        for byte in 0..10 {
            two.send(vec![byte; 10], Some(one_address)).await?;
        }
        for byte in 0..10 {
            report.check("apart", one.receive().await?.0, vec![byte; 10]);
        }
    }
    Ok(())
}

pub async fn sizes(report: &mut Report) -> Outcome {
    const TOO_LARGE: Outcome = Err(ErrorCode::DatagramTooLarge);
    for family in FAMILIES {
        let (one, target) = udp(family)?;
        let most = match family {
            IpAddressFamily::Ipv4 => 65507,
            IpAddressFamily::Ipv6 => 65527,
        };
        let sender = UdpSocket::create(family)?;
        sender.set_send_buffer_size(1 << 20)?;
        one.set_receive_buffer_size(1 << 20)?;
        sender.send(vec![3; most], Some(target)).await?;
        report.check("the largest", one.receive().await?.0.len(), most);
        for length in [most + 1, 65535, 65536, 1_000_000] {
            let sent = sender.send(vec![3; length], Some(target)).await;
            report.check(&format!("{length} bytes"), sent, TOO_LARGE);
        }
        // Nothing of those was sent.
        sender.send(vec![4], Some(target)).await?;
        report.check("the next", one.receive().await?.0, [4]);
    }
    Ok(())
}

pub async fn connect(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (socket, local) = udp(family)?;
        let (peer, peer_address) = udp(family)?;
        let (stranger, stranger_address) = udp(family)?;
        // Before it is connected a stranger's datagram comes into the queue.
        stranger.send(b"early".to_vec(), Some(local)).await?;
        socket.connect(peer_address)?;
        stranger.send(b"late".to_vec(), Some(local)).await?;
        peer.send(b"peer".to_vec(), Some(local)).await?;
        report.check("the peer's alone", socket.receive().await?, (b"peer".to_vec(), peer_address));
        report.check("and no others", nothing_comes(&socket).await, true);

        socket.send(b"1".to_vec(), None).await?;
        socket.send(b"2".to_vec(), Some(peer_address)).await?;
        let other = socket.send(b"3".to_vec(), Some(stranger_address)).await;
        report.check("send to another", other, INVALID_ARGUMENT);
        report.check("without an address", peer.receive().await?, (b"1".to_vec(), local));
        report.check("with the same address", peer.receive().await?, (b"2".to_vec(), local));

        // Another peer, without disconnecting first.
        socket.connect(stranger_address)?;
        report.check("the new peer", socket.get_remote_address()?, stranger_address);
        socket.send(b"4".to_vec(), None).await?;
        report.check("the new peer got it", stranger.receive().await?, (b"4".to_vec(), local));
        // And none.
        socket.disconnect()?;
        for (from, address) in [(&peer, peer_address), (&stranger, stranger_address)] {
            from.send(b"5".to_vec(), Some(local)).await?;
            report.check("from everybody", socket.receive().await?, (b"5".to_vec(), address));
            socket.send(b"6".to_vec(), Some(address)).await?;
            report.check("to everybody", from.receive().await?, (b"6".to_vec(), local));
        }

        // A port that was chosen for it stays its own when it is untied.
        let socket = UdpSocket::create(family)?;
        socket.connect(peer_address)?;
        let local = socket.get_local_address()?;
        socket.disconnect()?;
        peer.send(b"7".to_vec(), Some(local)).await?;
        report.check("its own port", socket.receive().await?, (b"7".to_vec(), peer_address));
    }
    Ok(())
}

pub async fn refused(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (gone, address) = udp(family)?;
        drop(gone);
        let (socket, _) = udp(family)?;
        socket.connect(address)?;
        socket.send(vec![1], None).await?;
        let received = socket.receive().await.map(drop);
        report.check("receive", received, Err::<(), _>(ErrorCode::ConnectionRefused));
        socket.send(vec![1], None).await?;
        wait_for(10_000_000).await;
        let sent = socket.send(vec![1], None).await;
        report.check("send", sent, Err::<(), _>(ErrorCode::ConnectionRefused));
    }
    Ok(())
}

/// Several wait at once, some give up, and nothing is lost.
pub async fn wait(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (socket, local) = udp(family)?;
        report.check("nothing comes", nothing_comes(&socket).await, true);
        let (peer, _) = udp(family)?;
        let sending = async {
            wait_for(10_000_000).await;
            peer.send(vec![1], Some(local)).await?;
            peer.send(vec![2], Some(local)).await
        };
        let (received, sent) = join(join(socket.receive(), socket.receive()), sending).await;
        report.check("sent", sent, OK);
        let mut got = [received.0?.0, received.1?.0].concat();
        got.sort();
        report.check("each got one", got, [1, 2]);
    }
    Ok(())
}
