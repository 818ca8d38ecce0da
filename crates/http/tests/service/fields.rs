//! `fields`.

use http::Request;
use tombolo::{Config, Engine};
use tombolo_http::{Body, FieldLimits, HttpCtx};

use crate::host::{answer, check, component, outcomes, perform, start, start_with};

#[tokio::test]
async fn fields_are_made_read_and_changed() {
    check(
        &start("http-types"),
        &[
            ("fields append X-One 1", "ok"),
            ("fields append x-one 2", "ok"),
            ("fields append two 3", "ok"),
            ("fields all", "X-One=1 X-One=2 two=3"),
            ("fields get x-ONE", "[1 2]"),
            ("fields get none", "[]"),
            ("fields get no{name", "[]"),
            ("fields has TWO", "true"),
            ("fields has three", "false"),
            ("fields has no{name", "false"),
            ("fields set two 4 5", "ok"),
            ("fields get two", "[4 5]"),
            ("fields set two", "ok"),
            ("fields has two", "false"),
            ("fields take X-one", "[1 2]"),
            ("fields take X-one", "[]"),
            ("fields delete none", "ok"),
            ("fields all", ""),
            ("fields from-list A=1 b=2 a=3 empty=", "ok"),
            ("fields all", "A=1 A=3 b=2 empty="),
            ("fields clone", "ok"),
            ("fields delete a", "ok"),
            // The order is that in which they are sent.
            ("fields all", "empty= b=2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn forbidden_and_invalid_fields_are_refused() {
    let service = start("http-types");
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "Transfer-Encoding",
        "TE",
        "upgrade",
        "Host",
        "HTTP2-Settings",
    ] {
        let operations = ["append", "set", "delete"].map(|operation| format!("fields {operation} {name} x"));
        let operations: Vec<_> = operations.iter().map(String::as_str).collect();
        assert_eq!(perform(&service, &operations[..2]).await, ["forbidden"; 2], "{name}");
        assert_eq!(perform(&service, &[&format!("fields delete {name}")]).await, ["forbidden"], "{name}");
        assert_eq!(perform(&service, &[&format!("fields from-list a=1 {name}=x")]).await, ["forbidden"]);
    }
    check(
        &service,
        &[
            ("fields append no{name x", "invalid-syntax"),
            ("fields append  x", "invalid-syntax"),
            ("fields append-bytes a", "invalid-syntax"),
            ("fields set a b\u{0}c", "invalid-syntax"),
            ("fields delete no{name", "invalid-syntax"),
            ("fields take no{name", "invalid-syntax"),
            ("fields from-list a=1 b(=2", "invalid-syntax"),
        ],
    )
    .await;
}

#[tokio::test]
async fn header_count_and_size_limits_are_told() {
    let engine = Engine::new(&Config::new()).unwrap();
    let limits = FieldLimits { count: 3, bytes: 10_000, total_bytes: 25_000 };
    let guest = component(&engine, "http-types");
    let service = start_with(&engine, &guest, HttpCtx::new().field_limits(limits));
    check(
        &service,
        &[
            ("fields append a 1", "ok"),
            ("fields append a 2", "ok"),
            ("fields append b 3", "ok"),
            ("fields append c 4", "size-exceeded"),
            ("fields from-list a=1 b=2 c=3 d=4", "size-exceeded"),
            ("fields set a 1 2 3", "size-exceeded"),
            ("fields all", "a=1 a=2 b=3"),
            ("fields delete a", "ok"),
            ("fields append-large a 9000", "ok"),
            ("fields append-large c 1000", "size-exceeded"),
            ("fields copies 1", "1"),
            ("fields all", &format!("b=3 a={}", "x".repeat(9000))),
        ],
    )
    .await;
    // What was let go of counts no more, and nothing is left of earlier requests.
    for _ in 0..20 {
        check(&service, &[("fields append-large a 9000", "ok"), ("fields copies 1", "1")]).await;
    }
    // A copy cannot fail, so that it ends the guest.
    let request = Request::post("/").body("fields append-large a 9000\nfields copies 3".into()).unwrap();
    let error = answer(&service, request).await.unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
}

#[tokio::test]
async fn fields_of_a_message_are_immutable_and_outlive_it() {
    let service = start("http-types");
    let request =
        Request::post("/").header("A", "1").header("a", "2").header("host", "h").header("te", "trailers");
    let operations = [
        "headers",
        "fields all",
        "fields append b 1",
        "fields set a 1",
        "fields delete a",
        "fields take a",
        "fields clone",
        "fields append b 1",
        "fields all",
        "request header-change",
    ];
    let request = request.body(operations.join("\n").into()).unwrap();
    let expected = [
        "ok",
        "a=1 a=2",
        "immutable",
        "immutable",
        "immutable",
        "immutable",
        "ok",
        "ok",
        "a=1 a=2 b=1",
        "HeaderError::Immutable",
    ];
    assert_eq!(outcomes(&service, request).await, expected);
}

#[tokio::test]
async fn trailers_of_a_request_are_immutable_fields() {
    let service = start("http-types");
    let mut trailers = http::HeaderMap::new();
    for (name, value) in
        [("x-sum", "42"), ("content-length", "7"), ("connection", "close"), ("authorization", "x")]
    {
        trailers.append(name, http::HeaderValue::from_static(value));
    }
    let body = crate::host::frames(&["trailers\nfields all\nfields append a 1\n"], Some(trailers));
    let request = Request::post("/").body(body).unwrap();
    assert_eq!(outcomes(&service, request).await, ["ok", "x-sum=42", "immutable"]);
    let request = Request::post("/").body(Body::from("trailers")).unwrap();
    assert_eq!(outcomes(&service, request).await, ["none"]);
}
