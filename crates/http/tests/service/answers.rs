//! Responses, and what their senders are told.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tombolo::{Config, Engine};
use tombolo_http::{Body, Dispatcher, Error, ErrorCode, HttpCtx, Service};

use crate::host::{answer, collect, component, linker, start, store, whole};

async fn ask(service: &Dispatcher, how: &str) -> Result<Response<Body>, Error> {
    answer(service, Request::get(format!("/answer/{how}")).body(Body::empty()).unwrap()).await
}

/// What the guest was told of its last response.
async fn fate(service: &Dispatcher) -> Bytes {
    // The guest hears of it when it is its turn.
    for _ in 0..100 {
        let fate = collect(ask(service, "fate").await.unwrap()).await.unwrap().to_bytes();
        if fate != "None" {
            return fate;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Bytes::from("nothing")
}

#[tokio::test]
async fn a_guest_answers_every_method() {
    let service = start("http-hello");
    for method in ["GET", "HEAD", "POST", "STRANGE"] {
        let request = Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
        let response = answer(&service, request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain");
        let body = collect(response).await.unwrap().to_bytes();
        assert_eq!(body, if method == "HEAD" { "" } else { "Hello, World!\n" });
    }
}

#[tokio::test]
async fn an_answer_to_head_keeps_the_length_that_a_guest_gave_it() {
    let service = start("http-types");
    for (method, body) in [("GET", "12345678"), ("HEAD", "")] {
        let request = Request::builder().method(method).uri("/answer/promised/8");
        let response = answer(&service, request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-length"], "8", "{method}");
        assert_eq!(collect(response).await.unwrap().to_bytes(), body);
    }
}

#[tokio::test]
async fn a_response_without_contents_is_empty_at_once() {
    let service = start("http-types");
    let response = ask(&service, "no-body").await.unwrap();
    assert!(http_body::Body::is_end_stream(response.body()));
    drop(response);
    assert_eq!(fate(&service).await, "Some(Ok(()))");
}

#[tokio::test]
async fn status_codes_are_checked_and_some_have_no_body() {
    let service = start("http-types");
    for (status, body) in
        [("200", "some text"), ("404", "some text"), ("999", "some text"), ("204", ""), ("304", "")]
    {
        let response = ask(&service, &format!("status/{status}")).await.unwrap();
        assert_eq!(response.status().as_str(), status);
        assert_eq!(collect(response).await.unwrap().to_bytes(), body);
        assert_eq!(fate(&service).await, "Some(Ok(()))", "{status}");
    }
    for status in ["100", "101", "199"] {
        let error = ask(&service, &format!("status/{status}")).await.unwrap_err();
        assert!(matches!(error, Error::Response(ErrorCode::HttpProtocolError)), "{status}: {error:?}");
        assert_eq!(fate(&service).await, "Some(Err(ErrorCode::HttpProtocolError))", "{status}");
    }
    for status in ["0", "99", "1000", "65535"] {
        let response = ask(&service, &format!("status/{status}")).await.unwrap();
        assert_eq!(collect(response).await.unwrap().to_bytes(), "invalid", "{status}");
    }
}

#[tokio::test]
async fn body_shorter_or_longer_than_promised_is_told_on_both_sides() {
    let service = start("http-types");
    let body = collect(ask(&service, "promised/8").await.unwrap()).await.unwrap();
    assert_eq!((body.to_bytes(), fate(&service).await), ("12345678".into(), "Some(Ok(()))".into()));
    for promised in ["7", "9"] {
        let answer = ask(&service, &format!("promised/{promised}")).await;
        assert_eq!(whole(answer).await.unwrap_err(), ErrorCode::HttpResponseBodySize(Some(8)));
        assert_eq!(fate(&service).await, "Some(Err(ErrorCode::HttpResponseBodySize(Some(8))))");
    }
    for promised in ["x", "-1", "99999999999999999999"] {
        let error = ask(&service, &format!("promised/{promised}")).await.unwrap_err();
        assert!(matches!(error, Error::Response(ErrorCode::HttpProtocolError)), "{error:?}");
        assert_eq!(fate(&service).await, "Some(Err(ErrorCode::HttpProtocolError))");
    }
}

#[tokio::test]
async fn trailers_are_sent_but_for_forbidden_ones() {
    let service = start("http-types");
    let body = collect(ask(&service, "trailer/x-sum").await.unwrap()).await.unwrap();
    assert_eq!(
        (&body.trailers().unwrap()["x-sum"], fate(&service).await),
        (&"1".parse().unwrap(), "Some(Ok(()))".into())
    );
    for name in ["content-length", "Authorization", "set-cookie", "trailer"] {
        let error = whole(ask(&service, &format!("trailer/{name}")).await).await.unwrap_err();
        assert!(error.to_string().contains("must not be sent as a trailer"), "{error}");
        let fate = fate(&service).await;
        assert!(fate.starts_with(b"Some(Err(ErrorCode::InternalError("), "{name}: {fate:?}");
    }
}

#[tokio::test]
async fn errors_of_guests_are_those_of_requests() {
    let service = start("http-types");
    for (name, code) in
        [("DNS-timeout", ErrorCode::DnsTimeout), ("HTTP-response-timeout", ErrorCode::HttpResponseTimeout)]
    {
        match ask(&service, &format!("error/{name}")).await {
            Err(Error::Response(found)) => assert_eq!(found, code),
            other => panic!("{other:?}"),
        }
        let error = whole(ask(&service, &format!("trailer-error/{name}")).await).await.unwrap_err();
        assert_eq!(error, code);
    }
}

#[tokio::test]
async fn a_dropped_response_stops_its_guest() {
    let service = start("http-types");
    let mut response = ask(&service, "endless").await.unwrap();
    assert!(response.body_mut().frame().await.unwrap().unwrap().is_data());
    drop(response);
    assert_eq!(fate(&service).await, "Some(Err(ErrorCode::ConnectionTerminated))");
}

#[tokio::test]
async fn bodies_that_a_guest_does_not_read_are_let_go_of() {
    let service = start("http-types");
    for (how, expected) in [("refuse", "refused"), ("drop", "dropped"), ("early-trailers", "Ok(false)")] {
        let (writer, body) = crate::host::pipe();
        let request = Request::post(format!("/answer/{how}")).body(body).unwrap();
        let response = answer(&service, request).await.unwrap();
        assert_eq!(collect(response).await.unwrap().to_bytes(), expected);
        tokio::time::timeout(Duration::from_secs(20), writer.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_trap_ends_the_answer_with_an_error() {
    let service = start("http-types");
    match ask(&service, "trap").await.unwrap_err() {
        Error::Runtime(error) => assert!(error.trap().is_some(), "{error}"),
        other => panic!("{other}"),
    }
    // It cannot be asked again, and says so.
    assert_eq!(ask(&service, "fate").await.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(matches!(ask(&service, "fate").await, Err(Error::Gone)));

    let service = start("http-types");
    // With the headers, or just after them.
    match ask(&service, "trap-later").await {
        Ok(response) => drop(collect(response).await.unwrap_err()),
        Err(error) => assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[tokio::test]
async fn a_trap_costs_its_own_instance_alone() {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut store = store(&engine, HttpCtx::new());
    let (linker, guest) = (linker(&engine), component(&engine, "http-types"));
    let [first, second] = [(); 2].map(|()| Service::new(&mut store, &linker, &guest).unwrap());
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    store
        .run_concurrent(async |store| {
            let slow = second.handle(&store, get("/answer/endless"));
            let mut body = slow.await.unwrap().into_body();
            let error = first.handle(&store, get("/answer/trap")).await.unwrap_err();
            assert!(matches!(error, Error::Runtime(_)), "{error}");
            for _ in 0..20 {
                assert!(body.frame().await.unwrap().unwrap().is_data());
            }
            assert!(first.handle(&store, get("/answer/no-body")).await.is_err());
            assert_eq!(second.handle(&store, get("/answer/no-body")).await.unwrap().status(), 200);
        })
        .await
        .unwrap();
}
