//! What a request is for, as guests see and set it.

use http::Request;
use http::uri::Scheme;
use tombolo_http::{Body, Error, ErrorCode};

use crate::host::{answer, check, outcomes, start};

#[tokio::test]
async fn scheme_authority_and_path_are_as_the_request_had_them() {
    let service = start("http-types");
    for (method, uri, host, scheme, expected) in [
        // Origin form of HTTP/1.1.
        ("GET", "/a?b=c", Some("example.org:81"), None, "get HTTP example.org:81 /a?b=c"),
        ("POST", "/", Some("example.org"), Some(Scheme::HTTPS), "post HTTPS example.org /"),
        ("GET", "/", None, None, "get HTTP - /"),
        // Absolute form, and the pseudo-headers of HTTP/2; the `host` header does not count beside them.
        ("GET", "http://one.example/x?y", Some("two.example"), None, "get HTTP one.example /x?y"),
        ("GET", "https://one.example", None, None, "get HTTPS one.example /"),
        ("GET", "ftp://one.example/", None, None, "get other(ftp) one.example /"),
        // Asterisk form.
        ("OPTIONS", "*", Some("example.org"), None, "options HTTP example.org *"),
        ("STRANGE", "/", Some("[::1]:80"), None, "other(STRANGE) HTTP [::1]:80 /"),
    ] {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(scheme) = scheme {
            request = request.extension(scheme);
        }
        let request = request.body("incoming".into()).unwrap();
        assert_eq!(outcomes(&service, request).await, [expected], "{uri}");
    }
    // Authority form; a tunnel has no body.
    let request = Request::connect("example.org:443").body("incoming".into()).unwrap();
    assert_eq!(outcomes(&service, request).await, [""; 0]);
    let request = Request::get("/").header("host", "no host").body(Body::empty()).unwrap();
    let error = answer(&service, request).await.unwrap_err();
    assert!(matches!(&error, Error::Request(ErrorCode::HttpRequestUriInvalid)), "{error:?}");
    assert_eq!(error.into_response().status(), 400);
    let request = Request::get("/").header("host", "a").header("host", "a").body(Body::empty()).unwrap();
    let error = answer(&service, request).await.unwrap_err();
    assert!(matches!(&error, Error::Request(ErrorCode::HttpProtocolError)), "{error:?}");
}

#[tokio::test]
async fn what_a_request_is_for_can_be_set() {
    let long = format!("request path /{}", "a".repeat(70_000));
    check(
        &start("http-types"),
        &[
            ("request describe", "get - - -"),
            ("request method post", "ok"),
            ("request scheme HTTPS", "ok"),
            ("request authority example.org:8080", "ok"),
            ("request path /a/b?c", "ok"),
            ("request describe", "post HTTPS example.org:8080 /a/b?c"),
            ("request method GET", "ok"),
            ("request describe", "get HTTPS example.org:8080 /a/b?c"),
            ("request method NEW-ONE", "ok"),
            ("request scheme gopher", "ok"),
            ("request describe", "other(NEW-ONE) other(gopher) example.org:8080 /a/b?c"),
            ("request method no(method", "invalid"),
            ("request method ", "invalid"),
            ("request scheme 1:/", "invalid"),
            ("request authority a/b", "invalid"),
            ("request authority a\rb", "invalid"),
            ("request path no path", "invalid"),
            ("request path relative", "invalid"),
            ("request path /a#b", "invalid"),
            (&long, "invalid"),
            ("request describe", "other(NEW-ONE) other(gopher) example.org:8080 /a/b?c"),
            ("request no-scheme", "ok"),
            ("request no-authority", "ok"),
            ("request no-path", "ok"),
            ("request describe", "other(NEW-ONE) - - -"),
            ("request path ", "ok"),
            ("request describe", "other(NEW-ONE) - - -"),
        ],
    )
    .await;
}

#[tokio::test]
async fn options_are_kept_and_immutable_in_a_request() {
    let expected =
        format!("[Some(1), Some({max}), None] [None, Some({max}), Some(3)] immutable true", max = u64::MAX);
    check(&start("http-types"), &[("request options", &expected)]).await;
}

#[tokio::test]
async fn a_request_that_nobody_sends_says_so() {
    check(
        &start("http-types"),
        &[(
            "request fate-of-dropped",
            "Err(ErrorCode::InternalError(Some(\"the message was dropped before it was sent\")))",
        )],
    )
    .await;
}
