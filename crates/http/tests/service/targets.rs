//! What a request is for, as guests see it.

use http::uri::Scheme;
use http::{Request, StatusCode};
use tombolo_http::Body;

use crate::host::{answer, collect, start};

#[tokio::test]
async fn a_guest_answers() {
    let service = start("http-hello");
    for method in ["GET", "HEAD", "POST", "STRANGE"] {
        let request = Request::builder().method(method).uri("http://localhost/").body(Body::empty()).unwrap();
        let response = answer(&service, request).await.unwrap();
        assert_eq!(
            (response.status(), response.headers()["content-length"].as_bytes()),
            (StatusCode::OK, &b"14"[..])
        );
        let body = collect(response).await.unwrap().to_bytes();
        assert_eq!(body, if method == "HEAD" { "" } else { "Hello, World!\n" });
    }
    let _ = Scheme::HTTP;
}
