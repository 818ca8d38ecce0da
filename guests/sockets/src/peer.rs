//! Against a peer outside, whose address is the argument.

use wasip3::sockets::types::{ErrorCode, TcpSocket, UdpSocket};

use crate::address::{FAMILIES, address, family_of};
use crate::report::Report;
use crate::tcp_streams::{receive, sender};

type Outcome = Result<(), ErrorCode>;

async fn connect(arguments: &[String]) -> Result<TcpSocket, ErrorCode> {
    let target = address(arguments.first().map_or("", String::as_str));
    let socket = TcpSocket::create(family_of(target))?;
    socket.connect(target).await?;
    Ok(socket)
}

/// The peer sends a little and resets the connection.
pub async fn resets(report: &mut Report, arguments: &[String]) -> Outcome {
    let socket = connect(arguments).await?;
    let (data, received) = socket.receive();
    let got = data.collect().await;
    report.check("before the reset", b"some bytes".starts_with(&got), true);
    report.check("the reset", received.await, Err::<(), _>(ErrorCode::ConnectionReset));
    Ok(())
}

/// The peer sends what it has and closes.
pub async fn closes(report: &mut Report, arguments: &[String]) -> Outcome {
    let socket = connect(arguments).await?;
    report.check("everything", receive(&socket).await, (b"all there is".to_vec(), Ok::<(), ErrorCode>(())));
    Ok(())
}

/// The peer goes away in the middle of what is sent to it.
pub async fn stops_reading(report: &mut Report, arguments: &[String]) -> Outcome {
    let socket = connect(arguments).await?;
    let (mut writer, sent) = sender(&socket);
    let mut rest = Vec::new();
    for _ in 0..1000 {
        rest = writer.write_all(vec![1; 100_000]).await;
        if !rest.is_empty() {
            break;
        }
    }
    report.check("not everything was sent", rest.is_empty(), false);
    drop(writer);
    let sent = sent.await;
    let expected = matches!(sent, Err(ErrorCode::ConnectionBroken | ErrorCode::ConnectionReset));
    report.check(&format!("sent: {sent:?}"), expected, true);
    Ok(())
}

/// Opens sockets until it is refused, gives them back and opens one again.
pub async fn hoard(report: &mut Report) -> Outcome {
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    let error = loop {
        match TcpSocket::create(FAMILIES[tcp.len() % 2]) {
            Ok(socket) => tcp.push(socket),
            Err(error) => break error,
        }
        match UdpSocket::create(FAMILIES[udp.len() % 2]) {
            Ok(socket) => udp.push(socket),
            Err(error) => break error,
        }
    };
    report.check("refused", matches!(error, ErrorCode::Other(_)), true);
    report.check("there were some", tcp.len() > 1 && udp.len() > 1, true);
    drop((tcp, udp));
    TcpSocket::create(FAMILIES[0])?;
    Ok(())
}
