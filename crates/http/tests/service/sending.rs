//! `wasi:http/client`, with the test as the client.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tombolo::{Config, Engine};
use tombolo_http::{Body, Dispatcher, ErrorCode, HttpCtx, RequestOptions, SendFuture, SendRequest};

use crate::host::{check, component, frames, start, start_with};

/// Answers with what it was asked, and as the path says.
#[derive(Clone, Default)]
struct Mirror {
    seen: Arc<Mutex<Vec<String>>>,
}

impl SendRequest for Mirror {
    fn send(&self, request: Request<Body>, _: RequestOptions) -> SendFuture {
        let seen = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        self.seen.lock().unwrap().push(seen);
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let open = request.uri().host() == Some("open");
            let body = if open { "early".into() } else { request.into_body().collect().await?.to_bytes() };
            let mut trailers = HeaderMap::new();
            trailers.append("x-sum", HeaderValue::from_static("42"));
            Ok(match path.as_str() {
                "/error" => return Err(ErrorCode::ConnectionRefused),
                "/trailers" => Response::new(frames(&["body"], Some(trailers))),
                "/short" => {
                    Response::builder().header("content-length", "9").body(frames(&["body"], None)).unwrap()
                }
                "/long" => {
                    Response::builder().header("content-length", "3").body(frames(&["body"], None)).unwrap()
                }
                "/contradicting" => Response::builder()
                    .header("content-length", "3")
                    .header("content-length", "4")
                    .body(Body::empty())
                    .unwrap(),
                "/large" => {
                    Response::builder().header("large", "x".repeat(200_000)).body(Body::empty()).unwrap()
                }
                _ => Response::builder()
                    .status(StatusCode::ACCEPTED)
                    .header("connection", "x-hop")
                    .header("x-hop", "1")
                    .body(body.into())
                    .unwrap(),
            })
        })
    }
}

fn begin() -> (Dispatcher, Mirror) {
    let engine = Engine::new(&Config::new()).unwrap();
    let mirror = Mirror::default();
    let http = HttpCtx::new().client(mirror.clone());
    (start_with(&engine, &component(&engine, "http-types"), http), mirror)
}

#[tokio::test]
async fn requests_are_sent_and_answered() {
    let (service, mirror) = begin();
    check(
        &service,
        &[
            ("request make X-One=1 body", "ok"),
            ("request scheme HTTP", "ok"),
            ("request authority a.example:81", "ok"),
            ("request path /b?c", "ok"),
            ("request method post", "ok"),
            ("request send", "202 [] body None"),
            // Nothing but an authority.
            ("request make", "ok"),
            ("request authority a.example", "ok"),
            ("request send", "202 []  None"),
            ("request make", "ok"),
            ("request authority a.example", "ok"),
            ("request path /trailers", "ok"),
            ("request send", "200 [] body Some(\"x-sum=42\")"),
            ("request send-open", "202 [] early None"),
        ],
    )
    .await;
    let seen = mirror.seen.lock().unwrap();
    assert_eq!(seen[0], "POST http://a.example:81/b?c {\"x-one\": \"1\"}");
    assert_eq!(seen[1], "GET https://a.example/ {}");
}

#[tokio::test]
async fn what_cannot_be_sent_or_received_is_told() {
    let (service, mirror) = begin();
    let mut cases = Vec::new();
    for (path, expected) in [
        ("/error", "ErrorCode::ConnectionRefused"),
        ("/short", "200 ErrorCode::HttpResponseBodySize(Some(4))"),
        ("/long", "200 ErrorCode::HttpResponseBodySize(Some(4))"),
        ("/contradicting", "ErrorCode::HttpProtocolError"),
        ("/large", "ErrorCode::HttpResponseHeaderSectionSize(Some(200037))"),
    ] {
        cases.extend([
            ("request make".to_owned(), "ok"),
            ("request authority a.example".to_owned(), "ok"),
            (format!("request path {path}"), "ok"),
            ("request send".to_owned(), expected),
        ]);
    }
    let cases: Vec<_> = cases.iter().map(|(operation, expected)| (operation.as_str(), *expected)).collect();
    check(&service, &cases).await;
    let before = mirror.seen.lock().unwrap().len();
    check(
        &service,
        &[
            // A scheme that needs an authority.
            ("request make", "ok"),
            ("request scheme HTTP", "ok"),
            ("request send", "ErrorCode::HttpRequestUriInvalid"),
            ("request make content-length=4 content-length=5 body", "ok"),
            ("request authority a.example", "ok"),
            ("request send", "ErrorCode::HttpProtocolError"),
        ],
    )
    .await;
    assert_eq!(mirror.seen.lock().unwrap().len(), before, "none of these is sent");
    // The body is found to be wrong while it is sent.
    for promised in ["3", "5"] {
        check(
            &service,
            &[
                (&format!("request make content-length={promised} body"), "ok"),
                ("request authority a.example", "ok"),
                ("request send", "ErrorCode::HttpRequestBodySize(Some(4))"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn without_a_client_requests_are_denied() {
    let cases = [
        ("request make body", "ok"),
        ("request authority a.example", "ok"),
        ("request send", "ErrorCode::HttpRequestDenied"),
    ];
    check(&start("http-types"), &cases).await;
}

#[tokio::test]
async fn a_service_can_stand_where_the_network_would() {
    let engine = Engine::new(&Config::new()).unwrap();
    let echo = start_with(&engine, &component(&engine, "http-echo"), HttpCtx::new());
    let http = HttpCtx::new().client(echo);
    let service = start_with(&engine, &component(&engine, "http-types"), http);
    for path in ["/", "/?copy"] {
        check(
            &service,
            &[
                ("request make X-One=1 content-length=4 body", "ok"),
                ("request authority anybody.example", "ok"),
                (&format!("request path {path}"), "ok"),
                ("request send", "200 [x-one=1 content-length=4] body None"),
            ],
        )
        .await;
    }
    let hello = start_with(&engine, &component(&engine, "http-types"), HttpCtx::new());
    let service = start_with(&engine, &component(&engine, "http-types"), HttpCtx::new().client(hello));
    for (path, expected) in [
        ("/answer/error/DNS-timeout", "ErrorCode::DnsTimeout"),
        ("/answer/promised/9", "200 ErrorCode::HttpResponseBodySize(Some(8))"),
    ] {
        let cases = [
            ("request make", "ok"),
            ("request authority a", "ok"),
            (&format!("request path {path}"), "ok"),
            ("request send", expected),
        ];
        check(&service, &cases).await;
    }
}
