//! Connections that are used again, and how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tombolo_http::{ErrorCode, RequestOptions};

use super::server::{Server, drain, head};
use super::{builder, client, fetch, get, post, send, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn a_connection_is_used_again() {
    for answer in [OK, CHUNKED, EMPTY] {
        let (server, client) = (Server::always(answer).await, client());
        for _ in 0..20 {
            fetch(&client, get(server.uri("/"))).await.unwrap();
        }
        assert_eq!(server.connections(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_whose_response_nobody_reads_is_used_again_if_it_is_all_there() {
    let (server, client) = (Server::always(OK).await, client());
    for _ in 0..20 {
        let response = send(&client, get(server.uri("/"))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        drop(response);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_wants_to_close_may() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let (server, client) = (Server::always(answer).await, client());
    for _ in 0..5 {
        fetch(&client, get(server.uri("/"))).await.unwrap();
    }
    assert_eq!(server.connections(), 5);
}

/// A server that answers one request of each connection, and closes it at the next.
async fn forgetful() -> Server {
    Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn what_is_safe_is_sent_again_if_a_used_connection_was_closed() {
    let (server, client) = (forgetful().await, client());
    for i in 1..5 {
        assert_eq!(fetch(&client, get(server.uri("/"))).await.unwrap(), "ok");
        assert_eq!(server.connections(), i);
    }
}

#[tokio::test]
async fn what_is_not_safe_is_sent_once() {
    let (server, client) = (forgetful().await, client());
    assert_eq!(fetch(&client, post(server.uri("/"), "")).await.unwrap(), "ok");
    let error = fetch(&client, post(server.uri("/"), "")).await.unwrap_err();
    assert_eq!((error, server.connections()), (ErrorCode::ConnectionTerminated, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_it_was_idle_is_not_used() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let client = client();
    for i in 1..5 {
        assert_eq!(fetch(&client, post(server.uri("/"), "")).await.unwrap(), "ok");
        assert_eq!(server.connections(), i);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn connections_to_one_host_are_bounded_and_requests_wait() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let server = Server::start(move |mut stream, _| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            while head(&mut stream).await.is_some() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = builder().connections_per_host(4).build();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (client, uri) = (client.clone(), server.uri("/"));
            tokio::spawn(async move { fetch(&client, get(uri)).await.unwrap() })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), "ok");
    }
    assert_eq!((highest.load(Ordering::SeqCst), server.connections()), (4, 4));
}

#[tokio::test]
async fn connection_limit_reached() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    let options = RequestOptions { connect_timeout: Some(Duration::from_millis(50)), ..Default::default() };
    for client in [builder().connections(2).build(), builder().connections_per_host(2).build()] {
        let held: Vec<_> = (0..2)
            .map(|_| {
                let (client, uri) = (client.clone(), server.uri("/"));
                tokio::spawn(async move { fetch(&client, get(uri)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let error = client.send(get(server.uri("/")), options).await.unwrap_err();
        assert_eq!(error, ErrorCode::ConnectionLimitReached);
        // One that is given up makes room for another.
        held[0].abort();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sent =
            tokio::time::timeout(Duration::from_millis(200), client.send(get(server.uri("/")), options))
                .await;
        assert!(sent.is_err(), "it was sent, and is not answered: {sent:?}");
        held[1].abort();
    }
}

#[tokio::test]
async fn a_connection_that_idles_gives_way_to_one_that_is_needed() {
    let client = builder().connections(2).build();
    for _ in 0..5 {
        let server = Server::always(OK).await;
        assert_eq!(soon("the answer", fetch(&client, get(server.uri("/")))).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_connection_that_idles_for_too_long_is_closed() {
    let closed = Arc::new(Notify::new());
    let tell = closed.clone();
    let server = Server::start(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            assert_eq!(drain(&mut stream).await, 0);
            tell.notify_one();
        }
    })
    .await;
    let client = builder().idle_timeout(Duration::from_millis(50)).build();
    fetch(&client, get(server.uri("/"))).await.unwrap();
    soon("the end of the connection", closed.notified()).await;
}

#[tokio::test]
async fn connections_end_with_their_client() {
    let closed = Arc::new(Notify::new());
    let tell = closed.clone();
    let server = Server::start(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            drain(&mut stream).await;
            tell.notify_one();
        }
    })
    .await;
    let client = client();
    fetch(&client, get(server.uri("/"))).await.unwrap();
    drop(client);
    soon("the end of the connection", closed.notified()).await;
}
