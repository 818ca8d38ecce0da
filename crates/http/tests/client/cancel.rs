//! Exchanges that are given up.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use super::server::{Server, drain, head};
use super::{client, endless, get, post, send, soon};

/// A server that sends so much of an answer, and tells when the connection is gone.
async fn server(answer: &'static str) -> (Server, Arc<Notify>, Arc<Notify>) {
    let (asked, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_asked, tell_closed) = (asked.clone(), closed.clone());
    let server = Server::start(move |mut stream, _| {
        let (asked, closed) = (tell_asked.clone(), tell_closed.clone());
        async move {
            head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.notify_one();
            drain(&mut stream).await;
            closed.notify_one();
        }
    })
    .await;
    (server, asked, closed)
}

#[tokio::test]
async fn dropping_a_request_closes_its_connection_at_once() {
    for is_endless in [false, true] {
        let (server, asked, closed) = server("").await;
        let request = if is_endless { post(server.uri("/"), endless()) } else { get(server.uri("/")) };
        let client = client();
        let sending = {
            let client = client.clone();
            tokio::spawn(async move { send(&client, request).await })
        };
        soon("the request", asked.notified()).await;
        sending.abort();
        soon("the end of the connection", closed.notified()).await;
    }
}

#[tokio::test]
async fn dropping_a_body_closes_its_connection_at_once() {
    let (server, _, closed) = server("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc").await;
    let client = client();
    let mut body = send(&client, get(server.uri("/"))).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    drop(body);
    soon("the end of the connection", closed.notified()).await;
}

#[tokio::test]
async fn dropping_a_body_that_was_never_read_closes_its_connection_at_once() {
    let (server, _, closed) = server("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    let client = client();
    drop(send(&client, get(server.uri("/"))).await.unwrap());
    soon("the end of the connection", closed.notified()).await;
}

#[tokio::test]
async fn dropping_a_body_ends_a_request_that_is_still_being_sent() {
    let (server, _, closed) = server("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc").await;
    let client = client();
    drop(send(&client, post(server.uri("/"), endless())).await.unwrap());
    soon("the end of the connection", closed.notified()).await;
}

#[tokio::test]
async fn a_body_outlives_its_client() {
    let (server, _, closed) = server("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(super::read(response).await.unwrap(), "abc");
    soon("the end of the connection", closed.notified()).await;
}
