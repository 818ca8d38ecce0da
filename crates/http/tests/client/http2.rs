//! HTTP/2, which is spoken where TLS says so.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tombolo_http::{Body, ErrorCode, RequestOptions};

use super::server::Server;
use super::tls::Identity;
use super::{endless, fetch, get, post, read, send, soon};

/// A server that does with each request what it is told, and a client that trusts it.
async fn serve<F>(
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
) -> (Server, tombolo_http::client::Client, String)
where
    F: Future<Output = ()> + Send + 'static,
{
    let identity = Identity::new("localhost");
    let acceptor = identity.acceptor(&["h2", "http/1.1"]);
    let serve = Arc::new(serve);
    let server = Server::start(move |stream, _| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(serve(request, respond));
            }
        }
    })
    .await;
    let uri = format!("https://localhost:{}/", server.address.port());
    (server, identity.client(), uri)
}

fn ok() -> Response<()> {
    Response::new(())
}

async fn say_ok(mut respond: SendResponse<Bytes>) {
    // The client may have gone.
    if let Ok(mut body) = respond.send_response(ok(), false) {
        let _ = body.send_data("ok".into(), true);
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let (server, client, uri) = serve(|_, respond| say_ok(respond)).await;
    let requests: Vec<_> = (0..300)
        .map(|_| {
            let (client, request) = (client.clone(), get(&uri));
            tokio::spawn(async move { fetch(&client, request).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_as_it_arrives() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (server, client, uri) = serve(move |request, respond| {
        sender.send(request.map(|_| ())).unwrap();
        say_ok(respond)
    })
    .await;
    let mut request = get(format!("{uri}a?b"));
    request.headers_mut().insert("host", HeaderValue::from_static("elsewhere"));
    let response = send(&client, request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(read(response).await.unwrap(), "ok");
    let request = receiver.recv().await.unwrap();
    assert_eq!(request.uri().to_string(), format!("https://localhost:{}/a?b", server.address.port()));
    let headers = HeaderMap::from_iter([("te".parse().unwrap(), HeaderValue::from_static("trailers"))]);
    assert_eq!(request.headers(), &headers);
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let (_, client, uri) = serve(|request, mut respond| async move {
        let mut incoming = request.into_body();
        let mut outgoing = respond.send_response(ok(), false).unwrap();
        while let Some(bytes) = incoming.data().await {
            let bytes = bytes.unwrap();
            incoming.flow_control().release_capacity(bytes.len()).unwrap();
            outgoing.send_data(bytes, false).unwrap();
        }
        outgoing.send_trailers(incoming.trailers().await.unwrap().unwrap()).unwrap();
    })
    .await;
    let trailers = HeaderMap::from_iter([("x".parse().unwrap(), HeaderValue::from_static("1"))]);
    let bytes: Bytes = (0..1_000_000_u32).map(|i| (i / 7) as u8).collect();
    let sent = trailers.clone();
    let body = Body::from(bytes.clone()).with_trailers(async move { Some(Ok::<_, ErrorCode>(sent)) });
    let response = send(&client, post(&uri, Body::new(body))).await.unwrap();
    let body = soon("the body", response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert!(body.to_bytes() == bytes);
}

#[tokio::test]
async fn a_request_goes_on_after_a_response_that_was_early() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let (_, client, uri) = serve(move |request, mut respond| {
        let sender = sender.clone();
        async move {
            respond.send_response(ok(), true).unwrap();
            let (mut incoming, mut total) = (request.into_body(), 0);
            while let Some(bytes) = incoming.data().await {
                let bytes = bytes.unwrap();
                incoming.flow_control().release_capacity(bytes.len()).unwrap();
                total += bytes.len();
            }
            sender.send(total).unwrap();
        }
    })
    .await;
    let response = send(&client, post(&uri, vec![0; 3_000_000])).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "");
    assert_eq!(soon("the rest", received.recv()).await, Some(3_000_000));
}

#[tokio::test]
async fn giving_up_resets_the_stream_and_nothing_else() {
    for answers in [false, true] {
        let reset = Arc::new(Mutex::new(None));
        let (asked, mut was_asked) = mpsc::unbounded_channel();
        let tell = reset.clone();
        let (server, client, uri) = serve(move |request, mut respond| {
            let (tell, asked) = (tell.clone(), asked.clone());
            async move {
                if request.uri().path() == "/ok" {
                    return say_ok(respond).await;
                }
                let reason = if answers {
                    let mut body = respond.send_response(ok(), false).unwrap();
                    asked.send(()).unwrap();
                    poll_fn(|cx| body.poll_reset(cx)).await
                } else {
                    asked.send(()).unwrap();
                    poll_fn(|cx| respond.poll_reset(cx)).await
                };
                *tell.lock().unwrap() = Some(reason.unwrap());
                asked.send(()).unwrap();
            }
        })
        .await;
        for request in [get(&uri), post(&uri, endless())] {
            let sending = {
                let client = client.clone();
                tokio::spawn(async move {
                    let response = send(&client, request).await.unwrap();
                    // Until the task is aborted.
                    std::future::pending::<()>().await;
                    drop(response);
                })
            };
            soon("the request", was_asked.recv()).await.unwrap();
            if answers {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            sending.abort();
            soon("the reset", was_asked.recv()).await.unwrap();
            assert_eq!(reset.lock().unwrap().take(), Some(Reason::CANCEL));
        }
        assert_eq!(fetch(&client, get(format!("{uri}ok"))).await.unwrap(), "ok");
        assert_eq!(server.connections(), 1);
    }
}

/// What becomes of a request whose stream the server ends so.
async fn reset(reason: Reason, with_head: bool) -> ErrorCode {
    let (_, client, uri) = serve(move |_, mut respond| async move {
        if with_head {
            let mut body = respond.send_response(ok(), false).unwrap();
            body.send_data("abc".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            body.send_reset(reason);
        } else {
            respond.send_reset(reason);
        }
    })
    .await;
    fetch(&client, post(&uri, "abc")).await.unwrap_err()
}

#[tokio::test]
async fn a_stream_that_the_server_resets() {
    for (reason, with_head, expected) in [
        (Reason::INTERNAL_ERROR, false, ErrorCode::ConnectionTerminated),
        (Reason::REFUSED_STREAM, false, ErrorCode::ConnectionTerminated),
        (Reason::CANCEL, false, ErrorCode::ConnectionTerminated),
        (Reason::INTERNAL_ERROR, true, ErrorCode::HttpResponseIncomplete),
        (Reason::CANCEL, true, ErrorCode::HttpResponseIncomplete),
        (Reason::PROTOCOL_ERROR, false, ErrorCode::HttpProtocolError),
        (Reason::HTTP_1_1_REQUIRED, false, ErrorCode::HttpProtocolError),
    ] {
        assert_eq!(reset(reason, with_head).await, expected, "{reason:?} {with_head}");
    }
}

#[tokio::test]
async fn content_length_of_a_response_is_kept_to() {
    for (length, expected) in [("2", ErrorCode::HttpProtocolError), ("5", ErrorCode::HttpProtocolError)] {
        let (_, client, uri) = serve(move |_, mut respond| async move {
            let mut head = ok();
            head.headers_mut().insert("content-length", HeaderValue::from_static(length));
            let mut body = respond.send_response(head, false).unwrap();
            let _ = body.send_data("abc".into(), true);
        })
        .await;
        assert_eq!(fetch(&client, get(&uri)).await.unwrap_err(), expected, "{length}");
    }
}

#[tokio::test]
async fn headers_that_are_too_large_are_a_protocol_error_of_the_stream_alone() {
    let (_, client, uri) = serve(|request, mut respond| async move {
        if request.uri().path() == "/ok" {
            return say_ok(respond).await;
        }
        let mut head = ok();
        for i in 0..20 {
            let name = http::HeaderName::try_from(format!("x{i}")).unwrap();
            head.headers_mut().insert(name, "a".repeat(10_000).parse().unwrap());
        }
        let _ = respond.send_response(head, true);
    })
    .await;
    let error = fetch(&client, get(&uri)).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpProtocolError);
    assert_eq!(fetch(&client, get(format!("{uri}ok"))).await.unwrap(), "ok");
}

#[tokio::test]
async fn http_request_body_size_if_shorter_or_longer_than_promised() {
    let (_, client, uri) = serve(|request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.data().await {}
        let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
    })
    .await;
    for (promised, seen) in [("5", 3), ("2", 3)] {
        let body = Body::from("abc").with_trailers(async { None::<Result<HeaderMap, ErrorCode>> });
        let mut request = post(&uri, Body::new(body));
        request.headers_mut().insert("content-length", HeaderValue::from_static(promised));
        let error = soon("the failure", send(&client, request)).await.unwrap_err();
        assert_eq!(error, ErrorCode::HttpRequestBodySize(Some(seen)), "{promised}");
    }
}

#[tokio::test]
async fn time_outs() {
    let (_, client, uri) = serve(|request, mut respond| async move {
        let body = (request.uri().path() == "/head").then(|| respond.send_response(ok(), false).unwrap());
        std::future::pending::<()>().await;
        drop((body, respond));
    })
    .await;
    let short = Some(Duration::from_millis(100));
    let options = RequestOptions { first_byte_timeout: short, ..Default::default() };
    let error = soon("the time-out", client.send(get(&uri), options)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionReadTimeout);
    let response = client.send(get(format!("{uri}head")), options).await.unwrap();
    let error = soon("the time-out", read(response)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionReadTimeout);
    let error = soon("the time-out", client.send(post(&uri, endless()), options)).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionWriteTimeout);
}

#[tokio::test]
async fn a_connection_that_the_server_leaves_is_replaced() {
    let identity = Identity::new("localhost");
    let acceptor = identity.acceptor(&["h2"]);
    let server = Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut connection = h2::server::handshake(acceptor.accept(stream).await.unwrap()).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                tokio::spawn(say_ok(respond));
                connection.graceful_shutdown();
            }
        }
    })
    .await;
    let client = identity.client();
    for i in 1..4 {
        let uri = format!("https://localhost:{}/", server.address.port());
        assert_eq!(fetch(&client, get(uri)).await.unwrap(), "ok");
        assert_eq!(server.connections(), i);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
