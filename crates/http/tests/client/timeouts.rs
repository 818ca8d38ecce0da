//! Time-outs.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tombolo_http::{Body, ErrorCode, RequestOptions};

use super::server::{Server, drain, head};
use super::{builder, client, endless, fetch, get, pieces, post, read, soon};

const SHORT: Duration = Duration::from_millis(100);

fn options(connect: Option<Duration>, first: Option<Duration>, between: Option<Duration>) -> RequestOptions {
    RequestOptions { connect_timeout: connect, first_byte_timeout: first, between_bytes_timeout: between }
}

#[tokio::test]
async fn connect_timeout() {
    // Whose queue is full, so that nobody else is answered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        held.push(stream.unwrap());
        assert!(held.len() < 100, "the queue does not fill");
    }
    let start = Instant::now();
    let request = get(format!("http://{address}/"));
    let error = client().send(request, options(Some(SHORT), None, None)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionTimeout);
    assert!(start.elapsed() >= SHORT && start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connect_timeout_in_the_handshake_of_tls() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    let request = get(format!("https://{}/", server.address));
    let error = client().send(request, options(Some(SHORT), None, None)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionTimeout);
}

#[tokio::test]
async fn first_byte_timeout() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    // Such is the body of a guest's that may yet have trailers.
    let empty =
        Body::new(pieces([], None).with_trailers(std::future::pending::<Option<Result<_, ErrorCode>>>()));
    let empty = Body::new(http_body_util::Limited::new(empty, 0).map_err(|_| ErrorCode::LoopDetected));
    for request in [get(server.uri("/")), post(server.uri("/"), "abc"), post(server.uri("/"), empty)] {
        let client = client();
        let sent = client.send(request, options(None, Some(SHORT), None));
        let error = soon("the time-out", sent).await.unwrap_err();
        assert_eq!(error, ErrorCode::ConnectionReadTimeout);
    }
}

#[tokio::test]
async fn first_byte_timeout_of_a_body() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await.unwrap();
        drain(&mut stream).await;
    })
    .await;
    let response = client().send(get(server.uri("/")), options(None, Some(SHORT), None)).await.unwrap();
    assert_eq!(soon("the time-out", read(response)).await.unwrap_err(), ErrorCode::ConnectionReadTimeout);
}

#[tokio::test]
async fn first_byte_timeout_does_not_count_the_time_of_whoever_writes_the_request() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    let slow = Body::new(pieces(["abc"], None).with_trailers(async {
        tokio::time::sleep(SHORT * 4).await;
        None::<Result<http::HeaderMap, ErrorCode>>
    }));
    let start = Instant::now();
    let client = client();
    let sent = client.send(post(server.uri("/"), slow), options(None, Some(SHORT), None));
    assert_eq!(soon("the time-out", sent).await.unwrap_err(), ErrorCode::ConnectionReadTimeout);
    assert!(start.elapsed() >= SHORT * 5, "{:?}", start.elapsed());
}

#[tokio::test]
async fn connection_write_timeout() {
    let server = Server::start(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let client = client();
    let sent = client.send(post(server.uri("/"), endless()), options(None, Some(SHORT), None));
    assert_eq!(soon("the time-out", sent).await.unwrap_err(), ErrorCode::ConnectionWriteTimeout);
}

#[tokio::test]
async fn between_bytes_timeout() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n").await.unwrap();
        for _ in 0..5 {
            stream.write_all(b"a").await.unwrap();
            tokio::time::sleep(SHORT).await;
        }
        drain(&mut stream).await;
    })
    .await;
    let response = client().send(get(server.uri("/")), options(None, None, Some(SHORT * 4))).await.unwrap();
    let mut body = response.into_body();
    let (mut read, start) = (0, Instant::now());
    let error = loop {
        match soon("the time-out", body.frame()).await.unwrap() {
            Ok(frame) => read += frame.data_ref().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!((error, read), (ErrorCode::ConnectionReadTimeout, 5));
    assert!(start.elapsed() >= SHORT * 8, "each piece starts the time anew");
}

#[tokio::test]
async fn time_outs_of_zero_fail_at_once_and_endless_ones_do_not() {
    let server = Server::always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let zero = Some(Duration::ZERO);
    let request = || get(server.uri("/"));
    let error = client().send(request(), options(zero, None, None)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionTimeout);
    let error = client().send(request(), options(None, zero, None)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionReadTimeout);
    let endless = Some(Duration::MAX);
    let response = client().send(request(), options(endless, endless, endless)).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn the_clients_own_times_hold_where_a_request_says_nothing() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    let client = builder().first_byte_timeout(SHORT).build();
    let error = soon("the time-out", fetch(&client, get(server.uri("/")))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionReadTimeout);
}
