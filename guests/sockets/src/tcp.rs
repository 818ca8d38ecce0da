//! The states of TCP sockets, and which addresses they take.

use wasip3::sockets::types::{ErrorCode, IpAddressFamily, TcpSocket};

use crate::address::{FAMILIES, address, connection, family_of, listener, loopback, other, port};
use crate::report::Report;

type Outcome = Result<(), ErrorCode>;
const INVALID_STATE: Outcome = Err(ErrorCode::InvalidState);
const INVALID_ARGUMENT: Outcome = Err(ErrorCode::InvalidArgument);

/// What a socket says to `send` and `receive` outside of a connection.
async fn check_no_streams(report: &mut Report, state: &str, socket: &TcpSocket) {
    let (mut data, received) = socket.receive();
    report.check(&format!("{state}: receive gives"), data.next().await, None::<u8>);
    report.check(&format!("{state}: receive"), received.await, INVALID_STATE);
    let (mut writer, reader) = wasip3::wit_stream::new();
    let sent = socket.send(reader);
    report.check(&format!("{state}: send"), sent.await, INVALID_STATE);
    report.check(&format!("{state}: the rest of send"), writer.write_all(vec![1]).await, [1]);
}

pub async fn states(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (_target, _connections, target) = listener(family)?;
        let any = loopback(family, 0);

        let socket = TcpSocket::create(family)?;
        report.check("unbound: family", socket.get_address_family(), family);
        report.check("unbound: listening", socket.get_is_listening(), false);
        report.check("unbound: local", socket.get_local_address().map(drop), INVALID_STATE);
        report.check("unbound: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        check_no_streams(report, "unbound", &socket).await;

        socket.bind(any)?;
        let local = socket.get_local_address()?;
        report.check("bound: local", local, loopback(family, port(local)));
        report.check("bound: has a port", port(local) != 0, true);
        report.check("bound: bind", socket.bind(any), INVALID_STATE);
        report.check("bound: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        check_no_streams(report, "bound", &socket).await;

        let connections = socket.listen()?;
        report.check("listening: listening", socket.get_is_listening(), true);
        report.check("listening: local", socket.get_local_address()?, local);
        report.check("listening: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        report.check("listening: bind", socket.bind(any), INVALID_STATE);
        report.check("listening: listen", socket.listen().map(drop), INVALID_STATE);
        report.check("listening: connect", socket.connect(target).await, INVALID_STATE);
        check_no_streams(report, "listening", &socket).await;
        drop((connections, socket));

        // Bound and then connected: the local address stays.
        let socket = TcpSocket::create(family)?;
        socket.bind(any)?;
        let local = socket.get_local_address()?;
        socket.connect(target).await?;
        report.check("connected: local", socket.get_local_address()?, local);
        report.check("connected: remote", socket.get_remote_address()?, target);
        report.check("connected: listening", socket.get_is_listening(), false);
        report.check("connected: bind", socket.bind(any), INVALID_STATE);
        report.check("connected: listen", socket.listen().map(drop), INVALID_STATE);
        report.check("connected: connect", socket.connect(target).await, INVALID_STATE);

        // Connected and listening without being bound first.
        let socket = TcpSocket::create(family)?;
        socket.connect(target).await?;
        report.check("connected at once: has a port", port(socket.get_local_address()?) != 0, true);
        let socket = TcpSocket::create(family)?;
        let _connections = socket.listen()?;
        report.check("listening at once: has a port", port(socket.get_local_address()?) != 0, true);

        // A socket that was taken is connected.
        let (near, far) = connection(family).await?;
        report.check("taken: family", far.get_address_family(), family);
        report.check("taken: remote", far.get_remote_address()?, near.get_local_address()?);
        report.check("taken: local", far.get_local_address()?, near.get_remote_address()?);
        report.check("taken: connect", far.connect(target).await, INVALID_STATE);
    }
    Ok(())
}

pub async fn addresses(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let foreign = loopback(other(family), 0);
        let (unspecified, groups): (&str, &[&str]) = match family {
            IpAddressFamily::Ipv4 => ("0.0.0.0", &["224.0.0.1", "239.255.255.255", "255.255.255.255"]),
            IpAddressFamily::Ipv6 => {
                ("[::]", &["[ff02::1]", "[ff0e::1:2]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"])
            }
        };

        let socket = TcpSocket::create(family)?;
        report.check("bind to the other family", socket.bind(foreign), INVALID_ARGUMENT);
        for group in groups {
            let bad = address(&format!("{group}:0"));
            report.check(&format!("bind to {group}"), socket.bind(bad), INVALID_ARGUMENT);
        }
        let elsewhere = match family {
            IpAddressFamily::Ipv4 => "192.0.2.1:0",
            IpAddressFamily::Ipv6 => "[2001:db8::1]:0",
        };
        let bound = socket.bind(address(elsewhere));
        report.check("bind to an address of others", bound, Err::<(), _>(ErrorCode::AddressNotBindable));
        // After all these it may still be bound.
        socket.bind(address(&format!("{unspecified}:0")))?;
        report.check("any port", port(socket.get_local_address()?) != 0, true);

        let socket = TcpSocket::create(family)?;
        let connect = async |to| socket.connect(to).await;
        report.check(
            "connect to the other family",
            connect(loopback(other(family), 1)).await,
            INVALID_ARGUMENT,
        );
        for group in groups {
            let bad = address(&format!("{group}:80"));
            report.check(&format!("connect to {group}"), connect(bad).await, INVALID_ARGUMENT);
        }
        let nowhere = address(&format!("{unspecified}:80"));
        report.check("connect to no address", connect(nowhere).await, INVALID_ARGUMENT);
        report.check("connect to no port", connect(loopback(family, 0)).await, INVALID_ARGUMENT);
        // What was not tried did not fail.
        let (_listener, _connections, target) = listener(family)?;
        report.check("the families agree", family_of(target), family);
        socket.connect(target).await?;
    }
    Ok(())
}

pub async fn in_use(report: &mut Report) -> Outcome {
    const IN_USE: Outcome = Err(ErrorCode::AddressInUse);
    for family in FAMILIES {
        let first = TcpSocket::create(family)?;
        first.bind(loopback(family, 0))?;
        let local = first.get_local_address()?;
        let second = TcpSocket::create(family)?;
        report.check("bind where another is bound", second.bind(local), IN_USE);
        let connections = first.listen()?;
        report.check("bind where another listens", second.bind(local), IN_USE);
        drop((first, connections));
        // Now the same socket may have it.
        second.bind(local)?;
        let third = TcpSocket::create(family)?;
        report.check("bind where one is bound to a given port", third.bind(local), IN_USE);
        drop(second);

        // The server closes first, so that its port is in TIME_WAIT.
        let server = TcpSocket::create(family)?;
        server.bind(local)?;
        let mut connections = server.listen()?;
        let client = TcpSocket::create(family)?;
        client.connect(local).await?;
        let taken = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
        drop((taken, server, connections));
        let (data, received) = client.receive();
        report.check(
            "the end",
            (data.collect().await, received.await),
            (Vec::<u8>::new(), Ok::<(), ErrorCode>(())),
        );
        drop(client);
        let again = TcpSocket::create(family)?;
        again.bind(local)?;
        again.listen()?;
    }
    Ok(())
}

pub async fn refused(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        // Bound and not listening: nobody else gets the port meanwhile.
        let nobody = TcpSocket::create(family)?;
        nobody.bind(loopback(family, 0))?;
        let target = nobody.get_local_address()?;
        let socket = TcpSocket::create(family)?;
        let refused = socket.connect(target).await;
        report.check("connect where nobody listens", refused, Err::<(), _>(ErrorCode::ConnectionRefused));
        report.check("closed: connect", socket.connect(target).await, INVALID_STATE);
        report.check("closed: bind", socket.bind(loopback(family, 0)), INVALID_STATE);
        report.check("closed: listen", socket.listen().map(drop), INVALID_STATE);
        report.check("closed: local", socket.get_local_address().map(drop), INVALID_STATE);
        report.check("closed: remote", socket.get_remote_address().map(drop), INVALID_STATE);
        report.check("closed: listening", socket.get_is_listening(), false);
        report.check("closed: family", socket.get_address_family(), family);
        report.check("closed: backlog", socket.set_listen_backlog_size(1), INVALID_STATE);
        report.check("closed: get option", socket.get_hop_limit().map(drop), INVALID_STATE);
        report.check("closed: set option", socket.set_hop_limit(1), INVALID_STATE);
    }
    Ok(())
}

pub async fn backlog(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let socket = TcpSocket::create(family)?;
        report.check("none", socket.set_listen_backlog_size(0), INVALID_ARGUMENT);
        report.check("one", socket.set_listen_backlog_size(1), Ok::<(), ErrorCode>(()));
        report.check("all", socket.set_listen_backlog_size(u64::MAX), Ok::<(), ErrorCode>(()));
        socket.bind(loopback(family, 0))?;
        socket.set_listen_backlog_size(2)?;
        let mut connections = socket.listen()?;
        socket.set_listen_backlog_size(16)?;
        let target = socket.get_local_address()?;
        // Many connect before any is taken.
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let client = TcpSocket::create(family)?;
            client.connect(target).await?;
            report.check("connected", client.set_listen_backlog_size(1), INVALID_STATE);
            waiting.push(client);
        }
        for client in waiting {
            let taken = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
            report.check("in turn", taken.get_remote_address()?, client.get_local_address()?);
            report.check("taken", taken.set_listen_backlog_size(1), INVALID_STATE);
        }
    }
    Ok(())
}
