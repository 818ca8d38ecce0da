//! What goes through TCP connections.

use futures_util::future::join;
use wasip3::sockets::types::{ErrorCode, TcpSocket};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

use crate::address::{FAMILIES, connection, listener};
use crate::report::Report;

type Outcome = Result<(), ErrorCode>;
const OK: Outcome = Ok(());

/// A way to send, and how that ends.
pub fn sender(socket: &TcpSocket) -> (StreamWriter<u8>, FutureReader<Outcome>) {
    let (writer, reader) = wasip3::wit_stream::new();
    let sent = socket.send(reader);
    (writer, sent)
}

pub async fn receive(socket: &TcpSocket) -> (Vec<u8>, Outcome) {
    collect(socket.receive()).await
}

async fn collect((data, received): (StreamReader<u8>, FutureReader<Outcome>)) -> (Vec<u8>, Outcome) {
    let data = data.collect().await;
    (data, received.await)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 / 3) as u8).collect()
}

/// Several megabytes in both directions at once.
pub async fn echo(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (near, far) = connection(family).await?;
        let bytes = pattern(3_000_000);
        let sending = async {
            let (mut writer, sent) = sender(&near);
            let rest = writer.write_all(bytes.clone()).await;
            drop(writer);
            (rest.len(), sent.await)
        };
        let echoing = async {
            let (mut data, received) = far.receive();
            let (mut writer, sent) = sender(&far);
            loop {
                let (result, buffer) = data.read(Vec::with_capacity(10_000)).await;
                if result == StreamResult::Dropped || !writer.write_all(buffer).await.is_empty() {
                    break;
                }
            }
            drop((data, writer));
            (received.await, sent.await)
        };
        let (sent, (echoed, (got, received))) = join(sending, join(echoing, receive(&near))).await;
        report.check("sent", sent, (0, OK));
        report.check("echoed", echoed, (OK, OK));
        report.check("received", received, OK);
        report.check("the bytes are the same", got == bytes, true);
    }
    Ok(())
}

/// One direction is closed, the other goes on.
pub async fn half_close(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (near, far) = connection(family).await?;
        let (mut near_writer, near_sent) = sender(&near);
        near_writer.write_all(b"first".to_vec()).await;
        drop(near_writer);
        report.check("near sent", near_sent.await, OK);
        report.check("far received", receive(&far).await, (b"first".to_vec(), OK));
        let (mut far_writer, far_sent) = sender(&far);
        far_writer.write_all(b"second".to_vec()).await;
        drop(far_writer);
        report.check("far sent", far_sent.await, OK);
        report.check("near received", receive(&near).await, (b"second".to_vec(), OK));

        // Who drops its stream does not want any more, and may send all the same.
        let (near, far) = connection(family).await?;
        let (data, received) = near.receive();
        drop(data);
        report.check("not interested", received.await, OK);
        let (mut writer, sent) = sender(&near);
        writer.write_all(b"still".to_vec()).await;
        drop(writer);
        report.check("sent all the same", sent.await, OK);
        report.check("received all the same", receive(&far).await, (b"still".to_vec(), OK));

        // Nothing at all is sent.
        let (near, far) = connection(family).await?;
        let (writer, sent) = sender(&near);
        drop(writer);
        report.check("nothing is sent", sent.await, OK);
        report.check("nothing is received", receive(&far).await, (Vec::<u8>::new(), OK));
    }
    Ok(())
}

pub async fn once(report: &mut Report) -> Outcome {
    const INVALID_STATE: Outcome = Err(ErrorCode::InvalidState);
    let (near, far) = connection(FAMILIES[0]).await?;
    let first = near.receive();
    report.check("receive again", receive(&near).await, (Vec::<u8>::new(), INVALID_STATE));
    let (mut writer, sent) = sender(&near);
    let (mut again, sent_again) = sender(&near);
    report.check("send again", sent_again.await, INVALID_STATE);
    report.check("the stream is closed", again.write_all(vec![1]).await, [1]);
    // The first ones are as good as before.
    writer.write_all(b"x".to_vec()).await;
    drop(writer);
    report.check("sent", sent.await, OK);
    report.check("received", receive(&far).await, (b"x".to_vec(), OK));
    let (writer, sent) = sender(&far);
    drop(writer);
    sent.await?;
    report.check("received here", collect(first).await, (Vec::<u8>::new(), OK));
    report.check("receive after the end", receive(&near).await, (Vec::<u8>::new(), INVALID_STATE));
    Ok(())
}

/// Streams outlive the socket that they came from.
pub async fn shared(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (socket, mut connections, target) = listener(family)?;
        drop(socket);
        let near = TcpSocket::create(family)?;
        near.connect(target).await?;
        let far = connections.next().await.ok_or(ErrorCode::ConnectionAborted)?;
        drop(connections);
        // The last one is gone: nobody listens, and what was taken goes on.
        let late = TcpSocket::create(family)?;
        let refused = late.connect(target).await;
        report.check("nobody listens", refused, Err::<(), _>(ErrorCode::ConnectionRefused));

        let (mut writer, sent) = sender(&near);
        drop(near);
        let incoming = far.receive();
        drop(far);
        writer.write_all(b"orphan".to_vec()).await;
        drop(writer);
        report.check("sent", sent.await, OK);
        report.check("received", collect(incoming).await, (b"orphan".to_vec(), OK));
    }
    Ok(())
}

/// The peer closes without having read everything.
pub async fn broken(report: &mut Report) -> Outcome {
    for family in FAMILIES {
        let (near, far) = connection(family).await?;
        let incoming = near.receive();
        let (mut writer, sent) = sender(&near);
        writer.write_all(b"never read".to_vec()).await;
        // The bytes have to arrive before the socket is closed; the machine is its own peer.
        wasip3::clocks::monotonic_clock::wait_for(20_000_000).await;
        drop(far);
        let (data, received) = collect(incoming).await;
        report.check(
            "received",
            (data, received),
            (Vec::<u8>::new(), Err::<(), _>(ErrorCode::ConnectionReset)),
        );
        // Sooner or later a write fails, and the future says why.
        let mut rest = Vec::new();
        for _ in 0..100 {
            rest = writer.write_all(vec![0; 1000]).await;
            if !rest.is_empty() {
                break;
            }
        }
        report.check("what could not be sent comes back", rest.is_empty(), false);
        drop(writer);
        let sent = sent.await;
        let expected = matches!(sent, Err(ErrorCode::ConnectionBroken | ErrorCode::ConnectionReset));
        report.check(&format!("sent: {sent:?}"), expected, true);
    }
    Ok(())
}

/// What one connection brings goes to another, past the guest.
pub async fn relay(report: &mut Report) -> Outcome {
    let (near, middle_in) = connection(FAMILIES[0]).await?;
    let (middle_out, far) = connection(FAMILIES[1]).await?;
    let (data, received) = middle_in.receive();
    let forwarded = middle_out.send(data);
    let bytes = pattern(1_000_000);
    let sending = async {
        let (mut writer, sent) = sender(&near);
        writer.write_all(bytes.clone()).await;
        drop(writer);
        sent.await
    };
    let (sent, (got, outcome)) = join(sending, receive(&far)).await;
    report.check("sent", sent, OK);
    report.check("forwarded", (received.await, forwarded.await, outcome), (OK, OK, OK));
    report.check("the bytes are the same", got == bytes, true);
    Ok(())
}

/// A writer waits while the peer does not read, and loses nothing.
pub async fn full(report: &mut Report) -> Outcome {
    let (near, far) = connection(FAMILIES[0]).await?;
    let bytes = pattern(8_000_000);
    let (mut writer, sent) = sender(&near);
    let sending = async {
        let rest = writer.write_all(bytes.clone()).await;
        drop(writer);
        (rest.len(), sent.await)
    };
    let receiving = async {
        wasip3::clocks::monotonic_clock::wait_for(30_000_000).await;
        receive(&far).await
    };
    let (sent, (got, received)) = join(sending, receiving).await;
    report.check("sent", sent, (0, OK));
    report.check("received", received, OK);
    report.check("the bytes are the same", got == bytes, true);
    Ok(())
}
