//! Middleware in front of services, in one store.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tombolo::{Config, Engine};
use tombolo_http::{Body, Dispatcher, Error, ErrorCode, HttpCtx, Service};

use crate::host::{answer, collect, component, frames, linker, pipe, run, store};

/// A guest behind so many layers of `guests/http-middleware`.
fn chain(guest: &str, layers: usize) -> Dispatcher {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut store = store(&engine, HttpCtx::new());
    let (linker, middleware) = (linker(&engine), component(&engine, "http-middleware"));
    let mut service = Service::new(&mut store, &linker, &component(&engine, guest)).unwrap();
    for _ in 0..layers {
        service = service.behind(&mut store, &linker, &middleware).unwrap();
    }
    run(service, store)
}

#[tokio::test]
async fn each_layer_adds_its_header() {
    for layers in 0..4 {
        let service = chain("http-hello", layers);
        let response = answer(&service, Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().get_all("server-timing").iter().count(), layers);
        assert_eq!(collect(response).await.unwrap().to_bytes(), "Hello, World!\n");
    }
}

#[tokio::test]
async fn bodies_and_trailers_pass_every_layer_unread() {
    let service = chain("http-echo", 2);
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("42"));
    for way in ["/", "/?copy"] {
        let request = Request::post(way).body(frames(&["some ", "text"], Some(trailers.clone()))).unwrap();
        let body = collect(answer(&service, request).await.unwrap()).await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "some text");
    }
    // Three components are between, and none of them sees the bytes.
    let (writer, body) = pipe();
    let mut body = answer(&service, Request::post("/").body(body).unwrap()).await.unwrap().into_body();
    let piece = Bytes::from(vec![7; 100_000]);
    let (sent, frame) = tokio::join!(writer.send(Ok(Frame::data(piece.clone()))), body.frame());
    sent.unwrap();
    assert_eq!(frame.unwrap().unwrap().into_data().unwrap().as_ptr(), piece.as_ptr());
    drop(body);
    writer.closed().await;
}

#[tokio::test]
async fn errors_and_fates_pass_every_layer() {
    let service = chain("http-types", 2);
    let ask = async |how: &str| {
        answer(&service, Request::get(format!("/answer/{how}")).body(Body::empty()).unwrap()).await
    };
    assert!(matches!(ask("error/DNS-timeout").await, Err(Error::Response(ErrorCode::DnsTimeout))));
    let error = collect(ask("promised/9").await.unwrap()).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpResponseBodySize(Some(8)));
    let mut fate = Bytes::new();
    for _ in 0..100 {
        fate = collect(ask("fate").await.unwrap()).await.unwrap().to_bytes();
        if fate != "None" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(fate, "Some(Err(ErrorCode::HttpResponseBodySize(Some(8))))");
}

#[test]
fn middleware_alone_says_what_it_needs() {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut store = store(&engine, HttpCtx::new());
    let middleware = component(&engine, "http-middleware");
    let error = Service::new(&mut store, &linker(&engine), &middleware).map(drop).unwrap_err();
    assert!(error.to_string().contains("wasi:http/handler"), "{error}");
}
