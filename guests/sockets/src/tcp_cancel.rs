//! Giving up what waits.

use std::pin::pin;

use futures_util::future::{Either, select};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::sockets::types::{ErrorCode, TcpSocket};
use wasip3::wit_bindgen::StreamResult;

use crate::address::{FAMILIES, address, connection, family_of, listener};
use crate::report::Report;
use crate::tcp_streams::{receive as receive_all, sender};

type Outcome = Result<(), ErrorCode>;

const PATIENCE: u64 = 10_000_000;

/// Waits for `future` no longer than a moment.
async fn briefly<R>(future: impl Future<Output = R>) -> Option<R> {
    match select(pin!(future), pin!(wait_for(PATIENCE))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

pub async fn accept(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (socket, mut connections, target) = listener(family)?;
        report.check("nobody comes", briefly(connections.next()).await.is_none(), true);
        {
            let mut reading = pin!(connections.read(Vec::with_capacity(4)));
            report.check("nor several", briefly(reading.as_mut()).await.is_none(), true);
            let (result, taken) = reading.cancel();
            report.check("cancelled", (result, taken.len()), (StreamResult::Cancelled, 0));
        }
        // It goes on where it stopped, and loses nobody.
        let client = TcpSocket::create(family)?;
        client.connect(target).await?;
        let taken = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
        report.check("the one", taken.get_remote_address()?, client.get_local_address()?);
        // Giving it up for good while a read is under way.
        report.check("nobody else", briefly(connections.next()).await.is_none(), true);
        drop((connections, socket));
        let late = TcpSocket::create(family)?;
        let refused = late.connect(target).await;
        report.check("closed", refused, Err::<(), _>(ErrorCode::ConnectionRefused));
    }
    Ok(())
}

pub async fn receive(report: &mut Report) -> Outcome {
    let (near, far) = connection(FAMILIES[0]).await?;
    let (mut data, received) = near.receive();
    for _ in 0..3 {
        let mut reading = pin!(data.read(Vec::with_capacity(100)));
        report.check("nothing comes", briefly(reading.as_mut()).await.is_none(), true);
        report.check("cancelled", reading.cancel(), (StreamResult::Cancelled, Vec::<u8>::new()));
    }
    let (mut writer, sent) = sender(&far);
    writer.write_all(b"late".to_vec()).await;
    drop(writer);
    sent.await?;
    report.check("nothing is lost", data.collect().await, b"late".to_vec());
    report.check("the end", received.await, Ok::<(), ErrorCode>(()));

    // The future alone may be given up, and the stream goes on.
    let (near, far) = connection(FAMILIES[0]).await?;
    let (data, received) = near.receive();
    drop(received);
    let (mut writer, sent) = sender(&far);
    writer.write_all(b"unwatched".to_vec()).await;
    drop(writer);
    sent.await?;
    report.check("without its future", data.collect().await, b"unwatched".to_vec());
    Ok(())
}

pub async fn send(report: &mut Report) -> Outcome {
    let (near, far) = connection(FAMILIES[0]).await?;
    near.set_send_buffer_size(4096)?;
    far.set_receive_buffer_size(4096)?;
    let (mut writer, sent) = sender(&near);
    let mut taken = 0;
    loop {
        let mut writing = pin!(writer.write(vec![7; 100_000]));
        let result = briefly(writing.as_mut()).await;
        let (result, rest) = match result {
            Some(done) => done,
            None => writing.cancel(),
        };
        taken += 100_000 - rest.remaining();
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Cancelled => break,
            StreamResult::Dropped => return Err(ErrorCode::ConnectionBroken),
        }
    }
    drop(writer);
    // What was taken arrives, and nothing of what was not.
    let (got, received) = receive_all(&far).await;
    report.check("received", (got.len(), received), (taken, Ok::<(), ErrorCode>(())));
    report.check("sent", sent.await, Ok::<(), ErrorCode>(()));
    Ok(())
}

/// The arguments are addresses that do not answer.
pub async fn connect(report: &mut Report, silent: &[String]) -> Outcome {
    for silent in silent {
        let silent = address(silent);
        let socket = TcpSocket::create(family_of(silent))?;
        {
            let mut connecting = pin!(socket.connect(silent));
            report.check("nobody answers", briefly(connecting.as_mut()).await.is_none(), true);
            let twice = socket.connect(silent).await;
            report.check("connecting: connect", twice, Err::<(), _>(ErrorCode::InvalidState));
            report.check(
                "connecting: listen",
                socket.listen().map(drop),
                Err::<(), _>(ErrorCode::InvalidState),
            );
            report.check("connecting: bind", socket.bind(silent), Err::<(), _>(ErrorCode::InvalidState));
            let backlog = socket.set_listen_backlog_size(1);
            report.check("connecting: backlog", backlog, Err::<(), _>(ErrorCode::InvalidState));
            report.check("connecting: local", socket.get_local_address().is_ok(), true);
            let remote = socket.get_remote_address().map(drop);
            report.check("connecting: remote", remote, Err::<(), _>(ErrorCode::InvalidState));
        }
        let again = socket.connect(silent).await;
        report.check("given up", again, Err::<(), _>(ErrorCode::InvalidState));
        report.check("given up: local", socket.get_local_address().is_err(), true);
    }
    Ok(())
}
