//! Bodies through guests and past them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tombolo::{Config, Engine};
use tombolo_http::{Body, Error, ErrorCode, HttpCtx};

use crate::host::{answer, collect, component, frames, pipe, start, start_with, whole};

/// Through the guest's memory, and not.
const WAYS: [&str; 2] = ["/?copy", "/"];

#[tokio::test]
async fn bodies_and_trailers_come_back() {
    let service = start("http-echo");
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("42"));
    for way in WAYS {
        for trailers in [None, Some(trailers.clone())] {
            let body = frames(&["one ", "", "two ", "three"], trailers.clone());
            let request = Request::post(way).header("X-Some", "thing").body(body).unwrap();
            let response = answer(&service, request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["x-some"], "thing");
            let body = collect(response).await.unwrap();
            assert_eq!(body.trailers(), trailers.as_ref());
            assert_eq!(body.to_bytes(), "one two three");
        }
    }
}

#[tokio::test]
async fn large_bodies_come_back_whole() {
    let service = start("http-echo");
    let bytes: Bytes = (0..3_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
    for way in WAYS {
        let request = Request::post(way).body(bytes.clone().into()).unwrap();
        let body = collect(answer(&service, request).await.unwrap()).await.unwrap();
        assert!(body.to_bytes() == bytes, "{way}");
    }
}

#[tokio::test]
async fn a_body_comes_back_before_it_has_ended() {
    let service = start("http-echo");
    for way in WAYS {
        let (writer, body) = pipe();
        let mut body = answer(&service, Request::post(way).body(body).unwrap()).await.unwrap().into_body();
        for piece in ["one", "two"] {
            writer.send(Ok(Frame::data(piece.into()))).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
        }
        drop(writer);
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back() {
    let service = start("http-echo");
    for way in WAYS {
        let (writer, body) = pipe();
        let response = answer(&service, Request::post(way).body(body).unwrap()).await.unwrap();
        let piece = Bytes::from(vec![7; 16 << 10]);
        let mut sent = 0;
        while tokio::time::timeout(Duration::from_millis(200), writer.send(Ok(Frame::data(piece.clone()))))
            .await
            .is_ok()
        {
            sent += piece.len();
            assert!(sent < 1 << 20, "nobody reads, and the guest takes all the same");
        }
        let reading = tokio::spawn(collect(response));
        for _ in 0..100 {
            writer.send(Ok(Frame::data(piece.clone()))).await.unwrap();
            sent += piece.len();
        }
        drop(writer);
        assert_eq!(reading.await.unwrap().unwrap().to_bytes().len(), sent);
    }
}

#[tokio::test]
async fn dropping_a_response_ends_the_request() {
    let service = start("http-echo");
    for way in WAYS {
        let (writer, body) = pipe();
        drop(answer(&service, Request::post(way).body(body).unwrap()).await.unwrap());
        let closed = tokio::time::timeout(Duration::from_secs(20), async {
            while writer.send(Ok(Frame::data("more".into()))).await.is_ok() {}
        });
        closed.await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_fails_fails_on_the_other_side() {
    let service = start("http-echo");
    for way in WAYS {
        let (writer, body) = pipe();
        let response = answer(&service, Request::post(way).body(body).unwrap()).await.unwrap();
        let reading = tokio::spawn(collect(response));
        writer.send(Ok(Frame::data("some".into()))).await.unwrap();
        writer.send(Err(ErrorCode::ConnectionReadTimeout)).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap_err(), ErrorCode::ConnectionReadTimeout);
    }
}

#[tokio::test]
async fn a_body_that_fails_before_it_is_read_is_no_empty_body() {
    let engine = Engine::new(&Config::new()).unwrap();
    let faults = component(&engine, "http-faults");
    for _ in 0..10 {
        let service = start_with(&engine, &faults, HttpCtx::new());
        match answer(&service, Request::get("/trap-late").body(Body::empty()).unwrap()).await {
            Ok(response) => {
                assert_eq!(response.body().size_hint().exact(), None);
                collect(response).await.unwrap_err();
            }
            Err(error) => assert_eq!(error.status(), 500, "{error}"),
        }
    }
}

#[tokio::test]
async fn content_length_is_enforced_in_both_directions() {
    let service = start("http-echo");
    for way in WAYS {
        for (promised, error) in
            [("5", ErrorCode::HttpRequestBodySize(Some(8))), ("9", ErrorCode::HttpRequestBodySize(Some(8)))]
        {
            let body = frames(&["1234", "5678"], None);
            let request = Request::post(way).header("content-length", promised).body(body).unwrap();
            let found = whole(answer(&service, request).await).await.unwrap_err();
            // The guest's own promise is broken by what it passes on, and is found out first when there is too much.
            assert!(
                found == error || found == ErrorCode::HttpResponseBodySize(Some(8)),
                "{way} {promised}: {found:?}"
            );
        }
        let request =
            Request::post(way).header("content-length", "8").body(frames(&["1234", "5678"], None)).unwrap();
        assert_eq!(collect(answer(&service, request).await.unwrap()).await.unwrap().to_bytes(), "12345678");
    }
    let request = Request::post("/")
        .header("content-length", "1")
        .header("content-length", "2")
        .body(Body::empty())
        .unwrap();
    assert!(matches!(answer(&service, request).await, Err(Error::Request(ErrorCode::HttpProtocolError))));
}

#[tokio::test]
async fn a_short_answer_is_there_at_once() {
    let service = start("http-hello");
    let response = answer(&service, Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(14));
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn many_requests_are_answered_at_once() {
    let service = start("http-slow");
    let begun = std::time::Instant::now();
    let answers = (0..200).map(|_| async {
        let request = Request::get("/?wait=300&pieces=3&every=1").body(Body::empty()).unwrap();
        collect(answer(&service, request).await.unwrap()).await.unwrap().to_bytes()
    });
    for body in futures_util::future::join_all(answers).await {
        assert_eq!(body, "1 of 3\n2 of 3\n3 of 3\n");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "one after the other it takes a minute");
}

#[tokio::test]
async fn a_body_that_is_passed_on_never_enters_the_guest() {
    let service = start("http-echo");
    let (writer, body) = pipe();
    let mut body = answer(&service, Request::post("/").body(body).unwrap()).await.unwrap().into_body();
    for size in [1, 100, 1_000_000] {
        let piece = Bytes::from(vec![7; size]);
        let (sent, frame) = tokio::join!(writer.send(Ok(Frame::data(piece.clone()))), body.frame());
        sent.unwrap();
        let data = frame.unwrap().unwrap().into_data().unwrap();
        assert_eq!((data.as_ptr(), data.len()), (piece.as_ptr(), size), "the very bytes");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_let_go_of() {
    let service = start("http-echo");
    for way in WAYS {
        let (writer, body) = pipe();
        let request = Request::post(way).body(body).unwrap();
        // Polled once, and dropped.
        drop(service.handle(request).now_or_never());
        let closed = tokio::time::timeout(Duration::from_secs(20), async {
            while writer.send(Ok(Frame::data("more".into()))).await.is_ok() {}
        });
        closed.await.unwrap();
    }
}

#[tokio::test]
async fn empty_frames_without_end_hold_nobody_up() {
    let service = start("http-echo");
    for way in WAYS {
        let empty = futures_util::stream::repeat_with(|| Ok::<_, ErrorCode>(Frame::data(Bytes::new())));
        let body = Body::new(http_body_util::StreamBody::new(empty));
        let flood = answer(&service, Request::post(way).body(body).unwrap()).await.unwrap();
        let flood = tokio::spawn(collect(flood));
        // On the same thread, and in the same store.
        let request = Request::post(way).body("text".into()).unwrap();
        assert_eq!(collect(answer(&service, request).await.unwrap()).await.unwrap().to_bytes(), "text");
        assert!(!flood.is_finished());
        flood.abort();
    }
}
