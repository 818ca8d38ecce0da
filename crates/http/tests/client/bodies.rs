//! Heads, bodies and trailers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tombolo_http::{Body, ErrorCode};

use super::server::{Server, drain, head};
use super::{client, endless, fetch, get, post, read, send, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Sends a request, and says what came out at the other end. The request ends with `end`.
async fn wire(end: &'static str, request: impl FnOnce(&Server) -> Request<Body>) -> String {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let mut bytes = Vec::new();
            while !bytes.ends_with(end.as_bytes()) {
                bytes.push(stream.read_u8().await.unwrap());
            }
            sender.send(String::from_utf8(bytes).unwrap()).unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    let request = request(&server);
    assert_eq!(soon("the answer", fetch(&client(), request)).await.unwrap(), "ok");
    receiver.recv().await.unwrap().replace(&server.address.to_string(), "ADDRESS")
}

fn with_trailers(bytes: &'static str, name: &'static str) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static("1"));
    Body::new(Body::from(bytes).with_trailers(async move { Some(Ok::<_, ErrorCode>(trailers)) }))
}

#[tokio::test]
async fn a_request_as_it_is_sent() {
    let sent = wire("\r\n\r\n", |server| {
        let mut request = get(server.uri("/a%20b?c=d"));
        request.headers_mut().append("x", HeaderValue::from_static("1"));
        request.headers_mut().append("x", HeaderValue::from_static("2"));
        request.headers_mut().insert("host", HeaderValue::from_static("elsewhere"));
        request
    })
    .await;
    let expected =
        "GET /a%20b?c=d HTTP/1.1\r\nx: 1\r\nx: 2\r\nhost: ADDRESS\r\nte: trailers\r\nconnection: TE\r\n\r\n";
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_path_is_never_empty() {
    let sent = wire("\r\n\r\n", |server| get(server.uri(""))).await;
    assert!(sent.starts_with("GET / HTTP/1.1\r\n"), "{sent}");
    let sent = wire("\r\n\r\n", |server| get(server.uri("?q"))).await;
    assert!(sent.starts_with("GET /?q HTTP/1.1\r\n"), "{sent}");
}

#[tokio::test]
async fn a_body_whose_length_is_known_is_sent_with_it() {
    let sent = wire("\r\n\r\nabc", |server| post(server.uri("/"), "abc")).await;
    assert!(sent.contains("content-length: 3\r\n") && !sent.contains("transfer-encoding"), "{sent}");
}

#[tokio::test]
async fn a_body_whose_length_is_promised_is_sent_with_it() {
    let sent = wire("\r\n\r\nabc", |server| {
        let mut request = post(server.uri("/"), with_trailers("abc", "x"));
        request.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
        request
    })
    .await;
    assert!(sent.contains("content-length: 3\r\n") && !sent.contains("transfer-encoding"), "{sent}");
}

#[tokio::test]
async fn trailers_that_were_announced_are_sent() {
    let sent = wire("0\r\nx: 1\r\n\r\n", |server| {
        let mut request = post(server.uri("/"), with_trailers("abc", "x"));
        request.headers_mut().insert("trailer", HeaderValue::from_static("x"));
        request
    })
    .await;
    assert!(sent.ends_with("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\n\r\n"), "{sent}");
}

#[tokio::test]
async fn trailers_of_a_response() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\nx: 2\r\n\r\n";
    let server = Server::once(answer).await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    let trailers: Vec<_> = body.trailers().unwrap().get_all("x").iter().collect();
    assert_eq!(trailers, ["1", "2"]);
    assert_eq!(body.to_bytes(), "abc");
}

#[tokio::test]
async fn a_response_says_nothing_of_its_connection() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\nx: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let server = Server::once(answer).await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    assert_eq!(
        response.headers(),
        &HeaderMap::from_iter([("x".parse().unwrap(), HeaderValue::from_static("2"))])
    );
}

#[tokio::test]
async fn a_response_whose_end_is_that_of_the_connection() {
    let server = Server::once("HTTP/1.0 200 OK\r\n\r\nabc").await;
    assert_eq!(fetch(&client(), get(server.uri("/"))).await.unwrap(), "abc");
}

#[tokio::test]
async fn answers_without_bodies() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        let server = Server::always(answer).await;
        let client = client();
        for _ in 0..2 {
            let request = Request::builder().method(method).uri(server.uri("/")).body(Body::empty()).unwrap();
            let response = send(&client, request).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "", "{answer:?}");
        }
        assert_eq!(server.connections(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn what_comes_before_an_answer_is_no_answer() {
    let server = Server::once(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().len()), (200, 1));
    assert_eq!(read(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn an_early_response_is_delivered_while_the_request_is_being_sent() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // Both go on at once: what comes in goes out.
        let (mut incoming, mut outgoing) = stream.into_split();
        let mut buffer = [0; 1024];
        loop {
            let n = incoming.read(&mut buffer).await.unwrap();
            let bytes = &buffer[..n];
            if bytes.windows(5).any(|end| end == b"0\r\n\r\n") || n == 0 {
                break;
            }
            outgoing.write_all(format!("{n:x}\r\n").as_bytes()).await.unwrap();
            outgoing.write_all(bytes).await.unwrap();
            outgoing.write_all(b"\r\n").await.unwrap();
        }
        outgoing.write_all(b"0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    sender.send("first".into()).unwrap();
    let body = Channel(receiver);
    let response = soon("the head", send(&client(), post(server.uri("/"), Body::new(body)))).await.unwrap();
    let mut body = response.into_body();
    let mut echoed = String::new();
    for piece in ["first", "second", "third"] {
        if piece != "first" {
            sender.send(piece.into()).unwrap();
        }
        while !echoed.contains(piece) {
            let frame = soon("a piece", body.frame()).await.unwrap().unwrap();
            echoed.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
    drop(sender);
    while let Some(frame) = soon("the end", body.frame()).await {
        frame.unwrap();
    }
}

/// A body that comes through a channel.
struct Channel(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.0.poll_recv(cx).map(|bytes| Some(Ok(Frame::data(bytes?))))
    }
}

#[tokio::test]
async fn an_early_refusal_is_delivered_though_the_request_cannot_be_sent() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        let answer = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        drain(&mut stream).await;
    })
    .await;
    let response = soon("the answer", send(&client(), post(server.uri("/"), endless()))).await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    assert_eq!(soon("the body", read(response)).await.unwrap(), "no");
}

#[tokio::test]
async fn a_large_body_goes_both_ways() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n").await.unwrap();
        let (mut incoming, mut outgoing) = stream.into_split();
        let mut left = AsyncReadExt::take(&mut incoming, 10_000_000);
        tokio::io::copy(&mut left, &mut outgoing).await.unwrap();
    })
    .await;
    let bytes: Bytes = (0..10_000_000_u32).map(|i| (i / 7) as u8).collect();
    let echoed = soon("the answer", fetch(&client(), post(server.uri("/"), bytes.clone()))).await.unwrap();
    assert!(echoed == bytes);
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_held_back() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = Server::start(move |mut stream, _| {
        let count = count.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[0; 64 << 10]).await.is_ok() {
                count.fetch_add(64 << 10, Ordering::SeqCst);
            }
        }
    })
    .await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What the kernel holds, and little more.
    let held = sent.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sent.load(Ordering::SeqCst), held);
    assert!(held < 16 << 20, "{held}");
    assert!(!response.body().is_end_stream());
}
