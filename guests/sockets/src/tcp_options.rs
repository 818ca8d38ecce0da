//! The options of TCP sockets.

use wasip3::sockets::types::{ErrorCode, TcpSocket};

use crate::address::{FAMILIES, connection, listener, loopback};
use crate::report::Report;

const SECOND: u64 = 1_000_000_000;
const INVALID_ARGUMENT: Result<(), ErrorCode> = Err(ErrorCode::InvalidArgument);

pub async fn options(report: &mut Report) -> Result<(), ErrorCode> {
    for family in FAMILIES {
        // In every state but the closed one.
        let unbound = TcpSocket::create(family)?;
        let bound = TcpSocket::create(family)?;
        bound.bind(loopback(family, 0))?;
        let (listening, _connections, _) = listener(family)?;
        let (connected, taken) = connection(family).await?;
        for socket in [unbound, bound, listening, connected, taken] {
            check(report, &socket)?;
        }
    }
    Ok(())
}

fn check(report: &mut Report, socket: &TcpSocket) -> Result<(), ErrorCode> {
    report.check("off at first", socket.get_keep_alive_enabled()?, false);
    for enabled in [true, false, true] {
        socket.set_keep_alive_enabled(enabled)?;
        report.check("keep-alive", socket.get_keep_alive_enabled()?, enabled);
    }

    report.check("no idle time", socket.set_keep_alive_idle_time(0), INVALID_ARGUMENT);
    socket.set_keep_alive_idle_time(17 * SECOND)?;
    report.check("idle time", socket.get_keep_alive_idle_time()?, 17 * SECOND);
    socket.set_keep_alive_idle_time(1)?;
    report.check("a short idle time", socket.get_keep_alive_idle_time()?, SECOND);
    socket.set_keep_alive_idle_time(u64::MAX)?;
    report.check("a long idle time", socket.get_keep_alive_idle_time()? > 1000 * SECOND, true);

    report.check("no interval", socket.set_keep_alive_interval(0), INVALID_ARGUMENT);
    socket.set_keep_alive_interval(3 * SECOND)?;
    report.check("interval", socket.get_keep_alive_interval()?, 3 * SECOND);
    socket.set_keep_alive_interval(1)?;
    report.check("a short interval", socket.get_keep_alive_interval()?, SECOND);
    socket.set_keep_alive_interval(u64::MAX)?;
    report.check("a long interval", socket.get_keep_alive_interval()? > 1000 * SECOND, true);

    report.check("no count", socket.set_keep_alive_count(0), INVALID_ARGUMENT);
    socket.set_keep_alive_count(5)?;
    report.check("count", socket.get_keep_alive_count()?, 5);
    socket.set_keep_alive_count(u32::MAX)?;
    report.check("a large count", socket.get_keep_alive_count()? > 5, true);

    report.check("no hops", socket.set_hop_limit(0), INVALID_ARGUMENT);
    for hops in [1, 42, 255] {
        socket.set_hop_limit(hops)?;
        report.check("hops", socket.get_hop_limit()?, hops);
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
    Ok(())
}

pub async fn inherit(report: &mut Report) -> Result<(), ErrorCode> {
    for family in FAMILIES {
        let (listener, mut connections, target) = listener(family)?;
        listener.set_keep_alive_enabled(true)?;
        listener.set_keep_alive_idle_time(21 * SECOND)?;
        listener.set_keep_alive_interval(22 * SECOND)?;
        listener.set_keep_alive_count(23)?;
        listener.set_hop_limit(24)?;
        listener.set_receive_buffer_size(25000)?;
        listener.set_send_buffer_size(26000)?;
        let client = TcpSocket::create(family)?;
        client.connect(target).await?;
        let taken = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
        report.check("family", taken.get_address_family(), family);
        report.check("keep-alive", taken.get_keep_alive_enabled()?, true);
        report.check("idle time", taken.get_keep_alive_idle_time()?, 21 * SECOND);
        report.check("interval", taken.get_keep_alive_interval()?, 22 * SECOND);
        report.check("count", taken.get_keep_alive_count()?, 23);
        report.check("hops", taken.get_hop_limit()?, 24);
        report.check("receive buffer", taken.get_receive_buffer_size()?, 25000);
        report.check("send buffer", taken.get_send_buffer_size()?, 26000);
        // The other end did not inherit anything.
        report.check("the client", client.get_keep_alive_enabled()?, false);
    }
    Ok(())
}
